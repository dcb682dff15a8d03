"""Checks of feature networks and of spacings: correct ones pass, and mutants fail at the check that is for them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import ClassVar
from unittest import SkipTest

import numpy as np
import pytest
import torch
from samplerzoo_plugins.pixels import Pixels
from samplerzoo_plugins.spacings import (
    Karras,
    Leading,
    Linspace,
    LogSNR,
    Quadratic,
    Scheduler,
    Trailing,
    through_log_snr,
)

from samplerzoo import Features, Field, Spacing, UsageError
from samplerzoo.options import Options
from samplerzoo.testing import check_features, check_spacing, checks_of


class Projected(Features):
    """Pixels of the mean over channels, projected at random, once and for all."""

    width: int = Field(16, ge=1, le=64, description="number of features")

    @property
    def id(self) -> str:
        return f"projected {self.width}"

    def load(self, device="cpu"):
        generator = torch.Generator().manual_seed(0)

        def features(images):
            weights = torch.randn(images[0, 0].numel(), self.width, generator=generator.manual_seed(0))
            return images.float().mean(1).flatten(1) / 255 @ weights

        return features

    def load_head(self, device="cpu"):
        return lambda rows: rows.argmax(1)


class Integers(Projected):
    def load(self, device="cpu"):
        return lambda images: images.flatten(1)


class Maps(Projected):
    def load(self, device="cpu"):
        return lambda images: images.float()


class Standardised(Projected):
    """Divides by the deviation of an image, which may be 0."""

    def load(self, device="cpu"):
        def features(images):
            rows = images.flatten(1).float()
            return rows / rows.std(1, keepdim=True)

        return features


class OverTheBatch(Projected):
    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: inner(images) - inner(images).mean(0)


class Sorted(Projected):
    """Sorts the images by their brightness, as some loaders do, and forgets to sort them back."""

    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: inner(images[images.float().mean((1, 2, 3)).argsort()])


class DrawnWeights(Projected):
    def load(self, device="cpu"):
        weights = torch.randn(1, self.width)
        return lambda images: images.float().mean((1, 2, 3))[:, None] * weights


class Dropout(Projected):
    """Is left in training mode."""

    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: torch.nn.functional.dropout(inner(images), 0.5)


class Augmented(Projected):
    """Flips images by numpy's global generator."""

    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: inner(images.flip(3) if np.random.rand() < 0.5 else images)


class InPlace(Projected):
    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: inner(images.sub_(1))


class Blind(Projected):
    def load(self, device="cpu"):
        return lambda images: torch.ones(len(images), self.width)


class Binary(Projected):
    """Sees black and white alone: a mean of uint8 overflows, and a picture half as bright looks the same."""

    def load(self, device="cpu"):
        return lambda images: (images > 0).flatten(1).float()


class Tracked(Projected):
    def load(self, device="cpu"):
        inner = super().load(device)

        def features(images):
            with torch.inference_mode(False), torch.enable_grad():
                return inner(images.clone()) * torch.ones(1, requires_grad=True)

        return features


class SameId(Projected):
    @property
    def id(self) -> str:
        return "projected"


class IdOfTheObject(Projected):
    @property
    def id(self) -> str:
        return f"projected {id(self)}"


class Probabilities(Projected):
    def load_head(self, device="cpu"):
        return lambda rows: rows.softmax(1).amax(1)


class ThreeChannels(Projected):
    """Fails in the middle where images are grey."""

    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: inner(
            images[:, torch.tensor([0, 1, 2][: max(images.shape[1] - 1, 1)])] if images.shape[1] != 4 else images[:, 7]
        )


class NoReferences(Projected):
    @property
    def references(self) -> Path:
        return Path("nowhere")


class NoArgument(Projected):
    def load(self):
        return lambda images: images.flatten(1).float()


class Frozen(Projected):
    """Is not what it was after JSON: a source that it changes."""

    def model_post_init(self, _):
        object.__setattr__(self, "width", self.width + 1)


FEATURE_MUTANTS: list[tuple[Features, set[str]]] = [
    (Integers(), {"check_features_are_finite_rows"}),
    (Maps(), {"check_features_are_finite_rows"}),
    (Standardised(), {"check_features_are_finite_rows"}),
    (Tracked(), {"check_features_are_finite_rows"}),
    (OverTheBatch(), {"check_features_are_kept_in_order"}),
    (Sorted(), {"check_features_are_kept_in_order"}),
    (DrawnWeights(), {"check_features_are_repeatable"}),
    (Dropout(), {"check_features_are_repeatable"}),
    (Augmented(), {"check_features_are_repeatable"}),
    (InPlace(), {"check_images_are_left_as_they_are"}),
    (Blind(), {"check_features_tell_images_apart"}),
    (Binary(), {"check_features_tell_images_apart"}),
    (SameId(), {"check_id_tells_networks_apart"}),
    (IdOfTheObject(), {"check_id_tells_networks_apart"}),
    (Probabilities(), {"check_classes_are_whole_numbers"}),
    (ThreeChannels(), {"check_other_channels_are_refused_in_one_line"}),
    (NoReferences(), {"check_references_are_a_folder"}),
    (NoArgument(), {"check_keeps_the_protocol"}),
    (Frozen(), {"check_options_survive"}),
]


class Geometric(Spacing):
    """Evenly spaced in the logarithm of sigma / alpha, with its middle moved (Doe 2026)."""

    bend: float = Field(1.0, ge=0.5, le=2, description="above 1 levels crowd at the noisy end")

    def taus(self, schedule, steps):
        top, low = (schedule.at(tau).log_snr for tau in (schedule.T, schedule.low))
        return through_log_snr(schedule, top + (low - top) * np.linspace(0, 1, steps) ** self.bend)


class FromBelow(Geometric):
    """Leaves the top out."""

    def taus(self, schedule, steps):
        return super().taus(schedule, steps + 1)[1:]


class Upwards(Geometric):
    def taus(self, schedule, steps):
        return super().taus(schedule, steps)[::-1]


class EndsTwice(Geometric):
    """Repeats the last level, as a rounding of the end does."""

    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [*taus[:-2], taus[-1], taus[-1]] if steps > 30 else taus


class Rounds(Spacing):
    """Rounds the times and does not say so."""

    def taus(self, schedule, steps):
        return np.ceil(np.linspace(schedule.T, schedule.low, steps))


class OneMore(Geometric):
    def taus(self, schedule, steps):
        return [*super().taus(schedule, steps), 0.0] if steps % 2 else super().taus(schedule, steps)


class ToZero(Geometric):
    """Has the clean level among the noisy ones."""

    def taus(self, schedule, steps):
        return [float(tau) for tau in np.linspace(schedule.T, 0, steps)]


class TooClean(Spacing):
    """Halves the time at each step."""

    def taus(self, schedule, steps):
        return [schedule.T * 0.9**k for k in range(steps)]


class OfAThousand(Spacing):
    """Has the timesteps of DDPM in mind."""

    def taus(self, schedule, steps):
        return [1000 - k * 999 / (steps - 1) for k in range(steps)]


class Jittered(Geometric):
    """Moves the inner levels by chance (Doe 2026)."""

    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [taus[0], *(tau * (1 - 1e-9 * random.random()) for tau in taus[1:-1]), taus[-1]]


class Forgotten(Geometric):
    bend: float = Field(1.0, ge=0.5, le=2, description="does nothing")

    def taus(self, schedule, steps):
        return Geometric().taus(schedule, steps)


class WrongAtABound(Geometric):
    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return taus if self.bend < 2 else taus[:1] * 2 + taus[2:]


class Refuses(Spacing):
    def taus(self, schedule, steps):
        raise UsageError("not on such a path")


class NoSteps(Geometric):
    def taus(self, schedule):
        return [schedule.T]


class Undocumented(Geometric):
    bend: float = Field(1.0, description="has no bounds")


class Changing(Geometric):
    def model_post_init(self, _):
        object.__setattr__(self, "bend", self.bend / 1.01)


SPACING_MUTANTS: list[tuple[Spacing, set[str]]] = [
    (FromBelow(), {"check_runs_start_at_the_top"}),
    (Upwards(), {"check_there_is_a_level_a_step"}),
    (EndsTwice(), {"check_there_is_a_level_a_step"}),
    (Rounds(), {"check_there_is_a_level_a_step"}),
    (OneMore(), {"check_there_is_a_level_a_step"}),
    (ToZero(), {"check_there_is_a_level_a_step", "check_no_level_is_cleaner_than_those_of_training"}),
    (TooClean(), {"check_no_level_is_cleaner_than_those_of_training"}),
    (OfAThousand(), {"check_there_is_a_level_a_step"}),
    (Jittered(), {"check_spacing_is_repeatable"}),
    (Forgotten(), {"check_options_move_levels"}),
    (WrongAtABound(), {"check_options_move_levels"}),
    (Refuses(), {"check_some_path_is_taken"}),
    (NoSteps(), {"check_keeps_the_protocol"}),
    (Undocumented(), {"check_options_are_documented"}),
    (Changing(), {"check_options_survive"}),
]
MUTANTS: list[tuple[Options, set[str]]] = [*FEATURE_MUTANTS, *SPACING_MUTANTS]


@pytest.mark.parametrize(("mutant", "caught_by"), MUTANTS, ids=[type(mutant).__name__ for mutant, _ in MUTANTS])
def test_a_mutant_is_caught_by_the_check_that_is_for_it(mutant: Options, caught_by: set[str]) -> None:
    for name in sorted(caught_by):
        said = ""
        try:
            checks_of(mutant)[name](mutant)
        except SkipTest as why:
            pytest.fail(f"{name} is skipped: {why}")
        except Exception as error:  # a mutant may fail in any way
            said = str(error)
        assert said, name


def test_every_check_catches_a_mutant() -> None:
    for original, mutants in ((Pixels(), FEATURE_MUTANTS), (Karras(), SPACING_MUTANTS)):
        assert set().union(*(checks for _, checks in mutants)) == {*checks_of(original)}


def test_the_originals_pass() -> None:
    check_features(Projected())
    check_spacing(Geometric())


@pytest.mark.parametrize(
    "spacing", [Trailing(), Leading(), Linspace(), Quadratic(), Karras(), LogSNR(), Scheduler()], ids=repr
)
def test_built_in_spacings(spacing: Spacing) -> None:
    check_spacing(spacing)


def test_built_in_features() -> None:
    check_features(Pixels())


class RightInTheMiddle(Spacing):
    """A spacing for whole timesteps that says what it does (Doe 2026)."""

    rounds: ClassVar[bool] = True
    needs_timesteps: ClassVar[bool] = True

    def taus(self, schedule, steps):
        return np.round(np.linspace(schedule.T, 1, steps))


def test_one_of_timesteps_passes_where_there_are_such() -> None:
    check_spacing(RightInTheMiddle())
