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
)

from samplerzoo import Features, Field, Spacing, UsageError
from samplerzoo.options import Options
from samplerzoo.testing import Outcome, check_features, check_spacing, checks_of


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


class LessTheFirstBatch(Projected):
    """Takes the mean of the first images that it sees from all of that size."""

    def load(self, device="cpu"):
        inner, means = super().load(device), {}

        def features(images):
            rows = inner(images)
            return rows - means.setdefault(images.shape[1:], rows.mean(0))

        return features


class BinsAreNotInTheId(Projected):
    """Has another number of features, under one id."""

    id: ClassVar[str] = "binned"


class MeansAreNotInTheId(Projected):
    """Has other features of the same number, under one id from some value on."""

    power: float = Field(1.0, ge=1, le=3, description="power of the features")

    @property
    def id(self) -> str:
        return f"projected {self.width}, {self.power > 1}"

    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: inner(images) ** self.power


class FlippedWhereFew(Projected):
    """Draws from numpy's global generator for one image alone."""

    def load(self, device="cpu"):
        inner = super().load(device)
        return lambda images: inner(images.flip(3) if len(images) == 1 and np.random.rand() < 0.5 else images)


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


class Wrong(Features):
    """Averages over cells of images of any size, and something goes wrong."""

    @property
    def id(self) -> str:
        return type(self).__name__

    def load(self, device="cpu"):
        return lambda images: self.features(images)

    def features(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 4).flatten(1)


class BatchesOfThirteen(Wrong):
    def features(self, images):
        return super().features(images) / (2 if len(images) == 13 else 1)


class DropsTheRest(Wrong):
    """Works in chunks of 32, and has no rows of its own for those that are left over."""

    def features(self, images):
        rows = super().features(images)
        left = len(images) % 32 if len(images) > 32 else 0
        return torch.cat([rows[: len(rows) - left], rows[:1].expand(left, -1)])


class TellsTheirPlace(Wrong):
    """Adds the place in the batch, from the hundredth image on."""

    def features(self, images):
        return super().features(images) + (torch.arange(len(images)) - 99).clamp(min=0)[:, None]


class OneIsCentred(Wrong):
    def features(self, images):
        rows = super().features(images)
        return rows - rows.mean() if len(rows) == 1 else rows


class FirstSixtyFour(Wrong):
    """Sees the first 64 pixels in either direction."""

    def features(self, images):
        return super().features(images[..., :64, :64])


class MiddleOfWideImages(Wrong):
    """Sees the middle 64 pixels of wide images."""

    def features(self, images):
        beside = max(images.shape[-1] - 64, 0) // 2
        return super().features(images[..., beside : images.shape[-1] - beside])


class NotTheLastRows(Wrong):
    """Loses the lower part of images that are higher than wide."""

    def features(self, images):
        return super().features(
            images[..., : images.shape[-1] // 2, :] if images.shape[-2] > images.shape[-1] else images
        )


class Overflows(Wrong):
    """Adds in whole numbers of eight bits."""

    def features(self, images):
        return super().features(images + 5)


class SignedBytes(Wrong):
    def features(self, images):
        return super().features(images.to(torch.int8))


class CutsTheBright(Wrong):
    def features(self, images):
        return super().features(images.clamp(max=250))


class HalfIfPlain(Wrong):
    """Returns half precision for images of one value."""

    def features(self, images):
        rows = super().features(images)
        return rows.half() if all(len(image.unique()) == 1 for image in images) else rows


class NoneOfGrey(Wrong):
    """Standardises, with care for black and white alone."""

    def features(self, images):
        rows = super().features(images)
        std, mean = rows.std(1, keepdim=True), rows.mean(1, keepdim=True)
        return (rows - mean) / torch.where((mean == 0) | (mean == 1), torch.ones_like(std), std)


class LargeInPlace(Wrong):
    """Inverts images in place, if they are large."""

    def features(self, images):
        return super().features(images.bitwise_not_() if images.shape[-1] > 40 else images)


class GreyIsRed(Wrong):
    def features(self, images):
        none = torch.zeros_like(images)
        return super().features(torch.cat([images, none, none], 1) if images.shape[1] == 1 else images)


class FirstHundredClasses(Wrong):
    """Classifies the first hundred rows."""

    def load_head(self, device="cpu"):
        return lambda rows: rows.argmax(1) * (torch.arange(len(rows)) < 100)


class TooFewNames(Wrong):
    class_names: ClassVar[tuple[str, ...]] = ("a", "b")

    def load_head(self, device="cpu"):
        return lambda rows: rows.argmax(1)


class TextsOfABatch(Wrong):
    """Subtracts the mean of the texts."""

    def load_text(self, device="cpu"):
        def features(texts):
            rows = torch.tensor([[float(len(text))] for text in texts]).expand(-1, 16)
            return rows - rows.mean(0)

        return features


class NarrowTexts(Wrong):
    def load_text(self, device="cpu"):
        return lambda texts: torch.ones(len(texts), 2)


class Histogram(Wrong):
    """Counts values in a few bins, and is right."""

    def features(self, images):
        return torch.stack([torch.histc(image.float(), 16, 0, 255) for image in images]) / images[0].numel()


class Luminance(Wrong):
    """Averages luminance, cropped after resizing, in units of the image's own contrast; and is right."""

    def features(self, images):
        if images.shape[1] not in (1, 3):
            raise UsageError("images of 1 or 3 channels")
        weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
        grey = (images.float() * weights).sum(1, keepdim=True)
        wide = torch.nn.functional.interpolate(grey, size=(40, 40), mode="bilinear", antialias=True)
        rows = torch.nn.functional.adaptive_avg_pool2d(wide[..., 4:-4, 4:-4], 4).flatten(1)
        return (rows - rows.mean(1, keepdim=True)) / (rows.std(1, keepdim=True) + 1e-3)


class NoReferences(Projected):
    @property
    def references(self) -> Path:
        return Path("nowhere")


class NoArgument(Projected):
    def load(self):
        return lambda images: images.flatten(1).float()


class GreysOfABatch(Wrong):
    """Takes one channel thrice for a grey image, if all of a batch are grey."""

    def features(self, images):
        grey = images.shape[1] == 3 and bool((images[:, :1] == images).all())
        return super().features(images * torch.tensor([1, 0, 0], dtype=torch.uint8)[:, None, None] if grey else images)


class FrameOfABatch(Wrong):
    """Cuts off what is black in all images of a batch."""

    def features(self, images):
        seen = (images > 5).any(1).any(0)
        high, wide = (seen.any(axis).nonzero().flatten() for axis in (1, 0))
        inner = images[..., high[0] : high[-1] + 1, wide[0] : wide[-1] + 1] if len(high) else images
        return super().features(inner)


class InkOfABatch(Wrong):
    """Takes images for drawings in ink, of half the contrast, if all of a batch have two values."""

    def features(self, images):
        ink = bool(((images == 0) | (images == 255)).all())
        return super().features(images // 2 if ink else images)


class Frozen(Projected):
    """Is not what it was after JSON: a source that it changes."""

    def model_post_init(self, _):
        object.__setattr__(self, "width", self.width + 1)


FEATURE_MUTANTS: list[tuple[Features, set[str]]] = [
    (LessTheFirstBatch(), {"check_features_are_repeatable"}),
    (BinsAreNotInTheId(), {"check_id_tells_networks_apart"}),
    (MeansAreNotInTheId(), {"check_id_tells_networks_apart"}),
    (FlippedWhereFew(), {"check_features_are_finite_rows"}),
    (Integers(), {"check_features_are_finite_rows"}),
    (Maps(), {"check_features_are_finite_rows"}),
    (Standardised(), {"check_features_are_finite_rows"}),
    (Tracked(), {"check_features_are_finite_rows"}),
    (OverTheBatch(), {"check_features_are_kept_in_order"}),
    (GreysOfABatch(), {"check_features_are_kept_in_order"}),
    (InkOfABatch(), {"check_features_are_kept_in_order"}),
    (FrameOfABatch(), {"check_features_are_kept_in_order"}),
    (Sorted(), {"check_features_are_kept_in_order"}),
    (DrawnWeights(), {"check_features_are_repeatable"}),
    (Dropout(), {"check_features_are_repeatable"}),
    (Augmented(), {"check_features_are_repeatable"}),
    (InPlace(), {"check_images_are_left_as_they_are"}),
    (HalfIfPlain(), {"check_features_are_finite_rows"}),
    (NoneOfGrey(), {"check_features_are_finite_rows"}),
    (BatchesOfThirteen(), {"check_batches_of_any_number"}),
    (DropsTheRest(), {"check_batches_of_any_number"}),
    (TellsTheirPlace(), {"check_batches_of_any_number"}),
    (OneIsCentred(), {"check_batches_of_any_number", "check_images_of_any_side"}),
    (FirstHundredClasses(), {"check_batches_of_any_number"}),
    (TooFewNames(), {"check_batches_of_any_number"}),
    (FirstSixtyFour(), {"check_images_of_any_side"}),
    (MiddleOfWideImages(), {"check_images_of_any_side"}),
    (NotTheLastRows(), {"check_images_of_any_side"}),
    (LargeInPlace(), {"check_images_of_any_side"}),
    (Overflows(), {"check_values_do_not_wrap"}),
    (SignedBytes(), {"check_values_do_not_wrap"}),
    (CutsTheBright(), {"check_all_values_are_seen"}),
    (GreyIsRed(), {"check_grey_images_may_have_three_channels"}),
    (TextsOfABatch(), {"check_texts_have_rows"}),
    (NarrowTexts(), {"check_texts_have_rows"}),
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


class Bent(Spacing):
    """Evenly spaced in a power of time (Doe 2026)."""

    bend: float = Field(1.0, ge=0.5, le=2, description="above 1 levels crowd at the noisy end")

    def taus(self, schedule, steps):
        inner = (1 - np.linspace(0, 1, steps)[1:-1] ** self.bend) * (schedule.T - schedule.low) + schedule.low
        return [schedule.T, *inner, schedule.low]


class FromBelow(Bent):
    """Leaves the top out."""

    def taus(self, schedule, steps):
        return super().taus(schedule, steps + 1)[1:]


class Upwards(Bent):
    def taus(self, schedule, steps):
        return super().taus(schedule, steps)[::-1]


class EndsTwice(Bent):
    """Repeats the last level, as a rounding of the end does."""

    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [*taus[:-2], taus[-1], taus[-1]] if steps > 30 else taus


class Rounds(Spacing):
    """Rounds the times and does not say so."""

    def taus(self, schedule, steps):
        return np.ceil(np.linspace(schedule.T, schedule.low, steps))


class OneMore(Bent):
    def taus(self, schedule, steps):
        return [*super().taus(schedule, steps), 0.0] if steps % 2 else super().taus(schedule, steps)


class ToZero(Bent):
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


class TwiceTheSame(Bent):
    """Repeats a level between 65 and 98 steps."""

    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [*taus[:10], taus[11], *taus[11:]] if 64 < steps < 99 else taus


class OneLevelUp(Bent):
    """Exchanges two levels at 25 steps."""

    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [*taus[:5], taus[6], taus[5], *taus[7:]] if steps == 25 else taus


class AThousandAtMost(Spacing):
    """Starts at 1000 where there are more timesteps."""

    def taus(self, schedule, steps):
        return np.linspace(min(schedule.T, 1000), schedule.low, steps)


class LateAtForty(Bent):
    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [(taus[0] + taus[1]) / 2, *taus[1:]] if steps == 40 else taus


class TooCleanAtMany(Bent):
    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [*taus[:-1], taus[-1] / 2] if steps == 150 else taus


class ForgetsTheLastLevel(Bent):
    """Stops one level early at 200 steps."""

    def taus(self, schedule, steps):
        return super().taus(schedule, steps + 1)[:-1] if steps == 200 else super().taus(schedule, steps)


class AnotherGridAtMany(Bent):
    """Bends the times more beyond 64 steps."""

    def taus(self, schedule, steps):
        return super().taus(schedule, steps) if steps <= 64 else Bent(bend=2).taus(schedule, steps)


class Halves(Spacing):
    """Half of the steps above some time and half below, and is right."""

    def taus(self, schedule, steps):
        middle, above = 0.3 * (schedule.T + schedule.low), steps // 2
        upper = np.linspace(schedule.T, middle, above, endpoint=False)
        return [*upper, *np.linspace(middle, schedule.low, steps - above)]


class Tabulated(Bent):
    """Has a table of its own for eight steps, and is right: its levels are more noisy ones (Doe 2026)."""

    def taus(self, schedule, steps):
        bent = Bent(bend=0.8) if steps == 8 else super()
        return bent.taus(schedule, steps)


class Jittered(Bent):
    """Moves the inner levels by chance (Doe 2026)."""

    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return [taus[0], *(tau * (1 - 1e-9 * random.random()) for tau in taus[1:-1]), taus[-1]]


class Forgotten(Bent):
    bend: float = Field(1.0, ge=0.5, le=2, description="does nothing")

    def taus(self, schedule, steps):
        return Bent().taus(schedule, steps)


class ForgottenAtMany(Bent):
    """Bends the times of up to 20 steps (Doe 2026)."""

    def taus(self, schedule, steps):
        return super().taus(schedule, steps) if steps <= 20 else Bent().taus(schedule, steps)


class WrongAtABound(Bent):
    def taus(self, schedule, steps):
        taus = super().taus(schedule, steps)
        return taus if self.bend < 2 else taus[:1] * 2 + taus[2:]


class Refuses(Spacing):
    def taus(self, schedule, steps):
        raise UsageError("not on such a path")


class NoSteps(Bent):
    def taus(self, schedule):
        return [schedule.T]


class Undocumented(Bent):
    bend: float = Field(1.0, description="has no bounds")


kept: dict[object, list[float]] = {}


class KeptByKind(LogSNR):
    """Keeps levels by kind and length of a path."""

    def taus(self, schedule, steps):
        return kept.setdefault((schedule.kind, schedule.T, steps), [*super().taus(schedule, steps)])


class KeptByEnds(LogSNR):
    """Keeps levels by kind, length and both ends of a path, which zero-SNR paths share."""

    def taus(self, schedule, steps):
        ends = schedule.at(schedule.T).log_snr, schedule.at(schedule.low).log_snr
        return kept.setdefault((schedule.kind, schedule.T, ends, steps), [*super().taus(schedule, steps)])


class KeptByEndsAlone(LogSNR):
    """Keeps levels by both ends of a path, in few digits."""

    def taus(self, schedule, steps):
        ends = round(schedule.at(schedule.T).log_snr, 3), round(schedule.at(schedule.low).log_snr, 3)
        return kept.setdefault((ends, steps), [*super().taus(schedule, steps)])


class KeptById(LogSNR):
    """Keeps levels by an id, which is used again once its schedule is gone."""

    def taus(self, schedule, steps):
        return kept.setdefault((id(schedule), steps), [*super().taus(schedule, steps)])


class SigmaForNoiseToSignal(Spacing):
    """Takes sigma for sigma / alpha on a path with alpha below 1 (Karras et al. 2022, eq. 5)."""

    def taus(self, schedule, steps):
        high, low = (schedule.at(tau).sigma for tau in (schedule.T, schedule.low))
        sigmas = np.linspace(high ** (1 / 7), low ** (1 / 7), steps)[1:-1] ** 7
        return [schedule.T, *(schedule.at_log_snr(-2 * np.log(sigma)).tau for sigma in sigmas), schedule.low]


class ZeroIsNoBend(LogSNR):
    """Bends the levels, and takes 0 for no wish."""

    most: float | None = Field(None, ge=0, le=1, description="share of the way at which half of the levels lie at most")

    def taus(self, schedule, steps):
        taus = [*super().taus(schedule, steps)]
        if not self.most:
            return taus
        bend = 1 + 1 / (1 + self.most)
        low, span = schedule.low, schedule.T - schedule.low
        return [taus[0], *(low + span * ((tau - low) / span) ** bend for tau in taus[1:-1]), taus[-1]]


class KeptByARoundedOption(Bent):
    """Bent levels are kept by the bend to one digit."""

    kept: ClassVar[dict[tuple[object, ...], list[float]]] = {}

    def taus(self, schedule, steps):
        key = (schedule, steps, round(self.bend, 1))
        if key not in self.kept:
            self.kept[key] = [*super().taus(schedule, steps)]
        return self.kept[key]


class Changing(Bent):
    def model_post_init(self, _):
        object.__setattr__(self, "bend", self.bend / 1.01)


SPACING_MUTANTS: list[tuple[Spacing, set[str]]] = [
    (KeptByARoundedOption(), {"check_options_move_levels"}),
    (FromBelow(), {"check_runs_start_at_the_top"}),
    (Upwards(), {"check_there_is_a_level_a_step"}),
    (EndsTwice(), {"check_there_is_a_level_a_step"}),
    (Rounds(), {"check_there_is_a_level_a_step"}),
    (OneMore(), {"check_there_is_a_level_a_step"}),
    (ToZero(), {"check_there_is_a_level_a_step", "check_no_level_is_cleaner_than_those_of_training"}),
    (TooClean(), {"check_no_level_is_cleaner_than_those_of_training"}),
    (OfAThousand(), {"check_there_is_a_level_a_step"}),
    (TwiceTheSame(), {"check_there_is_a_level_a_step"}),
    (OneLevelUp(), {"check_there_is_a_level_a_step"}),
    (AThousandAtMost(), {"check_runs_start_at_the_top"}),
    (LateAtForty(), {"check_runs_start_at_the_top"}),
    (TooCleanAtMany(), {"check_no_level_is_cleaner_than_those_of_training"}),
    (ForgetsTheLastLevel(), {"check_numbers_of_steps_are_alike"}),
    (AnotherGridAtMany(), {"check_numbers_of_steps_are_alike"}),
    (Jittered(), {"check_spacing_is_repeatable"}),
    (KeptByKind(), {"check_spacing_is_that_of_the_path"}),
    (KeptByEnds(), {"check_spacing_is_that_of_the_path"}),
    (KeptByEndsAlone(), {"check_spacing_is_that_of_the_path"}),
    (KeptById(), {"check_spacing_is_that_of_the_path"}),
    (SigmaForNoiseToSignal(), {"check_levels_fill_the_path"}),
    (ZeroIsNoBend(), {"check_options_move_levels"}),
    (Forgotten(), {"check_options_move_levels"}),
    (ForgottenAtMany(), {"check_numbers_of_steps_are_alike"}),
    (WrongAtABound(), {"check_options_move_levels"}),
    (Refuses(), {"check_some_path_is_taken"}),
    (NoSteps(), {"check_keeps_the_protocol"}),
    (Undocumented(), {"check_options_are_documented"}),
    (Changing(), {"check_options_survive"}),
]
SAID = {
    LessTheFirstBatch: "where the first images that it has seen were others",
    BinsAreNotInTheId: "an image has 16 features and 1, and the id is 'binned' with both: options that change the ",
    MeansAreNotInTheId: ", and the id is 'projected 16, True' with both: options that change the features ",
    SigmaForNoiseToSignal: " of a linear VP path in one step: with more steps it does not get better",
    ZeroIsNoBend: "the option most does the same at 0 as at None, and something else at 1e-06: `if ",
    KeptByEnds: "on a zero-SNR VP path that is linear, levels are off by ",
    KeptByKind: "when another path of as many timesteps was asked for before: what is kept forgets the path",
    KeptById: "levels are those of another path, which is gone and had the same id: an id is used again once its ",
    FlippedWhereFew: "it draws from the global random state of numpy: the same images have the same features",
}
"""Words that tell the cause, by mutant."""

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
        assert SAID.get(type(mutant), "") in said


def test_every_check_catches_a_mutant() -> None:
    for original, mutants in ((Pixels(), FEATURE_MUTANTS), (Karras(), SPACING_MUTANTS)):
        assert set().union(*(checks for _, checks in mutants)) == {*checks_of(original)}


def test_the_originals_pass() -> None:
    check_features(Projected())
    check_spacing(Bent())


@pytest.mark.parametrize(
    "spacing", [Trailing(), Leading(), Linspace(), Quadratic(), Karras(), LogSNR(), Scheduler()], ids=repr
)
def test_built_in_spacings(spacing: Spacing) -> None:
    assert not _warnings(check_spacing(spacing))


def test_right_spacings() -> None:
    """Correct ones pass: a table for one number of steps is a warning at most."""
    assert not _warnings(check_spacing(Halves()))
    assert _warnings(check_spacing(Tabulated())) == ["check_numbers_of_steps_are_alike"]


def _warnings(found: list[Outcome]) -> list[str]:
    return [outcome.check for outcome in found if outcome.status == "warning"]


@pytest.mark.parametrize("features", [Pixels(), Wrong(), Histogram(), Luminance()], ids=lambda it: type(it).__name__)
def test_right_features(features: Features) -> None:
    """Correct ones pass, without a warning, however coarse they are or which shapes they refuse."""
    assert not _warnings(check_features(features))


class RightInTheMiddle(Spacing):
    """A spacing for whole timesteps that says what it does (Doe 2026)."""

    rounds: ClassVar[bool] = True
    needs_timesteps: ClassVar[bool] = True

    def taus(self, schedule, steps):
        return np.round(np.linspace(schedule.T, 1, steps))


def test_one_of_timesteps_passes_where_there_are_such() -> None:
    check_spacing(RightInTheMiddle())
