"""Check of `suited`: on models of all kinds, what a user has set stays."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import torch

from samplerzoo.core.codec import PIXELS, Codec
from samplerzoo.core.model import Model
from samplerzoo.core.sampler import Sampler, suited
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.text import TextEncoder
from samplerzoo.errors import UsageError
from samplerzoo.testing.fixtures import ON_VP, Path, normal
from samplerzoo.testing.settings import neighbours, options_apart

VARIANCES = (None, "small", "large", "learned")

SHAPES = ((1,), (1, 28, 28), (3, 32, 32), (3, 256, 256), (4, 64, 64), (16, 128, 128))
"""Shapes of states: of one number, of small and large pictures, and of the latents of pictures."""

LATENT = 4
"""Least number of channels of latents, which a network decodes into pictures."""


class Decoded(Codec):
    """Codec of a model whose pictures a network makes."""

    name = "latents"
    has_decoder = True


TEXT = TextEncoder(encode=lambda prompt: {"prompt": torch.zeros(1)}, count=len, most=77)

TOLD: tuple[dict[str, Any], ...] = (
    {},
    {"num_classes": 10},
    {"num_classes": 1000, "null_label": 1000},
    {"text": TEXT},
)
"""Conditions of networks: none, a class with and without a null label, and a prompt."""


def check_what_is_set_stays(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that `suited` only fills in defaults: it changes no option that the user has set, for any kind of model.

    Models differ in learned variance, in classes and prompts, and in the shape of their states. The user's sampler
    must not change: `suited` returns a copy.
    """
    if type(sampler).suited is Sampler.suited:
        return
    fresh = [sampler.model_copy(), sampler.model_validate(dict(sampler)), *neighbours(sampler)]
    alone = [one for other in fresh for one in _alone(sampler, other)]
    for schedule in path.schedules.values():
        for model in _models(schedule):
            for other in (*fresh, *alone):
                _check_set(other, model)


def _models(schedule: Schedule) -> Iterator[Model]:
    """Yield models of all kinds on a schedule."""
    usual = normal(schedule=schedule)
    for variance, told, shape in itertools.product(VARIANCES, TOLD, SHAPES):
        codec = Decoded() if shape[0] >= LATENT else PIXELS
        yield dataclasses.replace(usual, variance=variance, shape=shape, codec=codec, **told)


def _alone(sampler: Sampler, other: Sampler) -> Iterator[Sampler]:
    """Yield samplers in which the user has set a single option: each one that differs, or every one if none does."""
    for name in options_apart(sampler, other) or type(sampler).model_fields:
        try:
            yield type(other).model_validate({name: getattr(other, name)})
        except ValueError:  # the value does not go with the defaults of other options
            continue


def _check_set(other: Sampler, model: Model) -> None:
    """Check that all set options keep their values, both in the result of `suited` and in the original object."""
    given, before = other.model_fields_set.copy(), dict(other)
    try:
        found = suited(other, model)
    except UsageError:  # it refuses the model
        return
    told = functools.partial(_told, model)
    assert dict(other) == before, (
        f"its suited() changes the object that it is asked of, from {type(other).model_construct(**before)!r} to "
        f"{other!r}, {told()}: return a copy, as self.model_copy(update=...) does"
    )
    changed = [name for name in given if getattr(found, name, None) != before[name]]
    assert not changed, (
        f"where {', '.join(f'{name}={before[name]!r}' for name in sorted(changed))} was set, its suited() returns "
        f"{found!r}, {told()}: keep what is in self.model_fields_set, as self.model_copy(update=...) does"
    )
    assert type(found) is type(other), (
        f"its suited() returns {found!r}, {told()}: return self, or self.model_copy(update=...)"
    )


def _told(model: Model) -> str:
    """Describe a model."""
    knows = "prompts" if model.text else f"{model.num_classes} classes" if model.num_classes else "no classes"
    variance = f"the variance {model.variance!r}" if model.variance else "no variance of its own"
    return f"for a {model.schedule.kind} model of shape {tuple(model.shape)} with {knows} and {variance}"
