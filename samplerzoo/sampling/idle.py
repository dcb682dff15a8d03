"""Warnings of options that change nothing in a run, since a user who sets one expects an effect."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from samplerzoo.core.blame import plugin_title
from samplerzoo.core.exact import learned, mixture
from samplerzoo.core.guidance import Guidance, TwoModelGuidance
from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, suited
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk
from samplerzoo.errors import ZooError
from samplerzoo.models.load import warn
from samplerzoo.options import Options
from samplerzoo.sampling.plan import Plan
from samplerzoo.sampling.recipe import Recipe

Plugin = TypeVar("Plugin", Sampler, Guidance)

MODELS = TwoModelGuidance.model_fields.keys() - Guidance.model_fields.keys()
"""Options that name a model. A rehearsal has models of its own, and is the same with any of them."""

IMAGES, SIDE = 2, 4
"""Number of states in a rehearsal, and their height and width. They have as many channels as the model."""


def warn_of_idle_options(plan: Plan, recipe: Recipe) -> None:
    """Warn of the options in a recipe that change nothing in a run, such as `s_min` of `heun` without churn."""
    for option, plugin in idle_options(plan, recipe.sampler_options, recipe.guidance_options):
        warn(
            f"samplerzoo: {option_title(option, plugin)} changes nothing in this run: with the other options as they "
            "are, its default does the same"
        )


def option_title(name: str, plugin: Sampler | Guidance) -> str:
    """Return an option in words, such as `guidance_rescale=0.7 of guidance cfg`."""
    prefix = GUIDANCE_PREFIX if isinstance(plugin, Guidance) else ""
    return f"{prefix}{name}={getattr(plugin, name)} of {plugin_title(plugin)}"


def idle_options(
    plan: Plan, of_sampler: Iterable[str], of_guidance: Iterable[str]
) -> list[tuple[str, Sampler | Guidance]]:
    """Return the given options without which the same noise makes the same states.

    They are found by rehearsals on exact data, with classes, an exact classifier, a worse model, a learned variance and
    a mean shift, so that every option can have an effect. Of a pipeline that draws by itself nothing is found.
    """
    if plan.model.drawer is not None:
        return []
    try:
        others = [
            (name, plugin, other)
            for name, plugin, other in _plans_without(plan, of_sampler, of_guidance)
            if (other.sampler, other.guidance) != (plan.sampler, plan.guidance)
        ]
        if not others:
            return []
        states = _rehearse(plan)
        return [(name, plugin) for name, plugin, other in others if _rehearse(other).equal(states)]
    except (ValueError, ZooError):  # other options need this one; any other error is reported by the run itself
        return []


def _plans_without(
    plan: Plan, of_sampler: Iterable[str], of_guidance: Iterable[str]
) -> Iterator[tuple[str, Sampler | Guidance, Plan]]:
    """Yield each given option that is not required, with its plugin, and the plan without the option."""
    for name in _optional(plan.sampler, of_sampler):
        sampler = suited(_without(plan.sampler, name), plan.model)
        yield name, plan.sampler, dataclasses.replace(plan, sampler=sampler)
    if plan.guidance is not None:
        for name in _optional(plan.guidance, of_guidance):
            yield name, plan.guidance, dataclasses.replace(plan, guidance=_without(plan.guidance, name))


def _optional(plugin: Options, given: Iterable[str]) -> list[str]:
    fields = type(plugin).model_fields
    return [name for name in given if name in fields and name not in MODELS and not fields[name].is_required()]


def _without(plugin: Plugin, name: str) -> Plugin:
    return type(plugin).model_validate({other: value for other, value in dict(plugin).items() if other != name})


@torch.no_grad()
def _rehearse(plan: Plan) -> Tensor:
    """Return x_T and all states of a run on exact data, (steps + 1, IMAGES, C, SIDE, SIDE)."""
    generator = torch.Generator().manual_seed(0)
    shape = IMAGES, plan.model.shape[0], SIDE, SIDE
    exact = _exact(plan.model.schedule, shape[1:])
    condition = exact.condition([0, 1])

    def shifted(x: Tensor, level: Level) -> Prediction:
        p = exact.denoise(x, level, condition)
        return p.replace(shift=torch.tanh(x) / level.sigma)

    def noise() -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    guided = shifted if plan.guidance is None else plan.guidance.within_interval(exact.denoise, condition, exact)
    return torch.stack(list(walk(plan.sampler, plan.grid, Denoiser(guided, exact.schedule), noise)))


def _exact(schedule: Schedule, shape: tuple[int, ...]) -> Model:
    """Make a model of two overlapping classes, so that no prediction is certain, with a worse model as its second."""
    size = math.prod(shape)
    places = torch.linspace(-1.0, 1.0, size, dtype=torch.float64).reshape(shape) / math.sqrt(size)
    means = torch.stack([places, -places])
    sharp, blurred = (learned(mixture(schedule, means, std), torch.sigmoid) for std in (0.5, 0.8))
    return dataclasses.replace(sharp, second=blurred)
