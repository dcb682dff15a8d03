"""Check of `suited`: on models of all kinds, what a user has set stays."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import torch

from samplerzoo.core.codec import PIXELS, Codec
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON, FLOW, SAMPLE, V_PREDICTION
from samplerzoo.core.paths import RectifiedFlow
from samplerzoo.core.sampler import Sampler, suited
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.text import TextEncoder
from samplerzoo.errors import UsageError
from samplerzoo.testing.fixtures import ON_VP, Path, normal, with_own_grid
from samplerzoo.testing.settings import neighbours, options_apart

VARIANCES = (None, "small", "large", "learned")

SHAPES = ((1,), (1, 28, 28), (3, 32, 32), (3, 256, 256), (4, 64, 64), (16, 128, 128))
"""Shapes of states: of one number, of small and large pictures, and of the latents of pictures."""

MORE_SHAPES = (
    (2,),
    (1, 16000),
    (1, 512, 512),
    (3, 64, 64),
    (3, 512, 512),
    (3, 512, 768),
    (3, 1024, 1024),
    (4, 128, 96),
)
"""Further shapes, of one kind of model each: of sound, and of pictures and latents that are large or not square."""

PARAMETRIZATIONS = (EPSILON, SAMPLE, V_PREDICTION, FLOW)

SHIFT = 3.0
"""Shift of a flow, as of a model's own scheduler."""

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

    Models differ in learned variance, in classes and prompts, in the shape of their states, in what their networks
    answer, and in the grid and the shift of their own scheduler. The user's sampler must not change: `suited` returns
    a copy.
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
    for shape in MORE_SHAPES:
        yield dataclasses.replace(usual, shape=shape)
    kinds = [kind for kind in PARAMETRIZATIONS if not kind.blind(schedule)]
    for parametrization, told in itertools.product(kinds, TOLD):
        yield dataclasses.replace(usual, parametrization=parametrization, **told)
    for changed in _schedules(schedule):
        yield dataclasses.replace(usual, schedule=changed)


def _schedules(schedule: Schedule) -> Iterator[Schedule]:
    """Yield a schedule with a grid of the model's own, and with a shift if it is a flow."""
    yield with_own_grid(schedule)
    if isinstance(schedule, RectifiedFlow):
        shifted = copy.copy(schedule)
        shifted.shift = SHIFT
        yield shifted


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
    schedule = model.schedule
    own = " with a grid of its own" if schedule.own is not None else ""
    shift = (
        f" with a shift of {schedule.shift:g}" if isinstance(schedule, RectifiedFlow) and schedule.shift != 1 else ""
    )
    return (
        f"for a {schedule.kind} model{own}{shift} of shape {tuple(model.shape)} with {knows} and {variance}, whose "
        f"network answers {model.parametrization.name}"
    )
