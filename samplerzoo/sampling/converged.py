"""Converged solutions: the images to which deterministic samplers converge from the same noise with many steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from samplerzoo.core.cost import Cost
from samplerzoo.core.flow import AdamsBashforth, flow_grid
from samplerzoo.core.model import Model
from samplerzoo.errors import UsageError
from samplerzoo.sampling import convergence
from samplerzoo.sampling.driver import OnStep, draw_batch, fitting
from samplerzoo.sampling.pace import count_cost
from samplerzoo.sampling.plan import Plan


@dataclass(frozen=True, eq=False)
class Converged:
    """Converged solutions of some images.

    Attributes:
        images: pictures (N, C, H, W), float32 on the CPU.
        moved: root mean square by which each image moved when its steps were last doubled, (N,).
        steps: number of steps of each image's last solution, (N,).
    """

    images: torch.Tensor
    moved: torch.Tensor
    steps: torch.Tensor


def check_flow(model: Model) -> None:
    """Refuse a model that has no probability flow.

    Raises:
        UsageError: the model predicts one possible image and not the mean.
    """
    if not model.averages:
        raise UsageError(
            f"error: {model.name} gives one possible image, as consistency models do, and so has no probability "
            "flow that a sampler could come near to: --metrics fd"
        )


def with_steps(plan: Plan, steps: int) -> Plan:
    """Return the plan that solves the probability flow in a number of steps. All else stays: noise, guidance, clip."""
    jumps = [] if plan.guidance is None else [plan.guidance.low, plan.guidance.high or math.inf]
    return dataclasses.replace(plan, sampler=AdamsBashforth(), grid=flow_grid(plan.model.schedule, steps, jumps))


def least_cost(plan: Plan) -> Cost:
    """Count the cost of one image whose first doubling of steps shows that it has converged."""
    costs = [count_cost(with_steps(plan, steps)) for steps in (convergence.FIRST_STEPS, 2 * convergence.FIRST_STEPS)]
    return dataclasses.replace(sum(costs, Cost()), images=1)


def converge(plan: Plan, indices: Sequence[int], on_step: OnStep | None = None) -> Converged:
    """Solve the probability flow of some images, doubling the steps of each image until it converges."""
    steps, images = convergence.FIRST_STEPS, _solve(plan, convergence.FIRST_STEPS, indices, on_step)
    moved = torch.full((len(indices),), math.inf)
    taken = torch.full((len(indices),), steps)
    while steps < convergence.MOST_STEPS and (rows := (moved > convergence.TOLERANCE).nonzero()[:, 0]).numel():
        steps *= 2
        finer = _solve(plan, steps, [indices[row] for row in rows], on_step)
        moved[rows], taken[rows] = distances(finer, images[rows]), steps
        images[rows] = finer
    return Converged(images, moved, taken)


def distances(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the root mean square difference over the pixels of each pair of images, (N,)."""
    return (images - others).flatten(1).square().mean(1).sqrt()


def _solve(plan: Plan, steps: int, indices: Sequence[int], on_step: OnStep | None) -> torch.Tensor:
    with fitting(indices):
        batch = draw_batch(with_steps(plan, steps), indices, on_step)
        return plan.model.decode(batch.images).float().cpu()
