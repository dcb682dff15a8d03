"""Options of a sampler that change nothing of a run, which is said before it: who sets one means something by it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from samplerzoo.core.blame import plugin_title
from samplerzoo.core.exact import consistency, expected
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import Model
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, suited
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk
from samplerzoo.errors import ZooError
from samplerzoo.models.load import warn
from samplerzoo.sampling.plan import Plan

SHAPE = (2, 3, 4, 4)
"""Shape of the states of a rehearsal."""


def warn_of_idle_options(plan: Plan, given: Iterable[str]) -> None:
    """Say which of the options that were given change nothing of a run, as `s_min` of `heun` without churn."""
    if plan.model.drawer is None:
        for name in idle_options(plan.sampler, plan.grid, plan.model, given):
            warn(
                f"samplerzoo: {name}={getattr(plan.sampler, name)} of {plugin_title(plan.sampler)} changes nothing in "
                "this run: with the other options as they are, its default does the same"
            )


def idle_options(sampler: Sampler, grid: Grid, model: Model, given: Iterable[str]) -> list[str]:
    """Return the options, of those that were given, without which the same noise makes the same states.

    The rehearsal is on exact data whose denoiser is bent, with a learned variance and a mean shift, so that all that an
    option may act on is there.
    """
    given = [name for name in given if not type(sampler).model_fields[name].is_required()]
    try:
        others = {name: _without(sampler, name, model) for name in given}
        apart = {name: other for name, other in others.items() if getattr(other, name) != getattr(sampler, name)}
        if not apart:
            return []
        states = _rehearse(sampler, grid, model.schedule)
        return [name for name, other in apart.items() if _rehearse(other, grid, model.schedule).equal(states)]
    except (ValueError, ZooError):  # others do not go without it; of any other fault the run itself tells
        return []


def _without(sampler: Sampler, name: str, model: Model) -> Sampler:
    """Return the sampler as it would be if an option had not been given."""
    others = {other: value for other, value in dict(sampler).items() if other != name}
    return suited(type(sampler).model_validate(others), model)


@torch.no_grad()
def _rehearse(sampler: Sampler, grid: Grid, schedule: Schedule) -> Tensor:
    """Return x_T and all states of a run on exact data, (steps + 1, *SHAPE)."""
    generator = torch.Generator().manual_seed(0)
    exact = consistency(schedule, shape=SHAPE[1:]).denoise if not sampler.needs_mean else _bent

    def noise() -> Tensor:
        return torch.randn(SHAPE, generator=generator, dtype=torch.float64)

    return torch.stack(list(walk(sampler, grid, Denoiser(exact, schedule), noise)))


def _bent(x: Tensor, level: Level) -> Prediction:
    """Return the prediction for N(0.5, 0.5^2), bent so that it is no line in x."""
    _, x0 = expected(x, level, 0.5, 0.5)
    x0 = x0 + 0.1 * torch.sin(3.0 * x0)
    eps = (x - level.alpha * x0) / level.sigma
    return Prediction(x, level, eps, x0, torch.sigmoid(x), torch.tanh(x) / level.sigma)
