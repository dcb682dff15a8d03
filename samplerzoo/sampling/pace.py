"""Cost and pace of a plan: network evaluations and seconds, estimated before its images are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SkipValidation

from samplerzoo.core.cost import Cost
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import NO_CLIP
from samplerzoo.core.noise import INITIAL_STEP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.sampling.driver import OnPrediction, OnStep, stream, timed_batches
from samplerzoo.sampling.plan import Plan
from samplerzoo.system.processes import processes

if TYPE_CHECKING:
    import torch

Calls = tuple[tuple[Level, ...], ...]
"""Levels at which the sampler calls the denoiser, for each step of a walk."""


@dataclass(frozen=True)
class Pace:
    """Pace of a plan: seconds per network evaluation, and further seconds per image, for text and decoder."""

    evaluation: float
    image: float

    def seconds(self, images: float, nfe: float) -> float:
        """Return the seconds for a number of images with `nfe` evaluations each."""
        return images * (nfe * self.evaluation + self.image)


def measure_pace(plan: Plan, size: int, *, warm: bool = False) -> Pace:
    """Time the first step of a batch of this size.

    Args:
        warm: True if the network was called before. If not, the step is made twice, and the second one is timed.
    """
    schedule = plan.model.schedule
    first = dataclasses.replace(plan, grid=schedule.grid_at(schedule.timesteps(plan.grid)[:1]))
    for _ in range(1 if warm else 2):
        ((batch, _, duration),) = timed_batches(first, [range(size)] * processes()[1])
    return Pace(duration.network / batch.cost.evaluations, (duration.encoding + duration.decoding) / size)


def count_cost(plan: Plan, on_step: OnStep | None = None, on_prediction: OnPrediction | None = None) -> Cost:
    """Count the cost of one image, by walking the whole grid with a stub of the network.

    The image has 2x2 pixels. If a plugin fails on it, as one that pads may, it has all pixels.

    Raises:
        UsageError: sampler or guidance refuses the model or the grid.
        ZooError: sampler or guidance fails.
    """
    shape = plan.model.shape[0], *[min(side, 2) for side in plan.model.shape[1:]]
    try:
        return _count(plan, shape, on_step, on_prediction)
    except UsageError:
        raise
    except ZooError:
        return _count(plan, plan.model.shape, on_step, on_prediction)


def _count(plan: Plan, shape: tuple[int, ...], on_step: OnStep | None, on_prediction: OnPrediction | None) -> Cost:
    one = dataclasses.replace(
        plan,
        model=dataclasses.replace(plan.model, shape=shape),
        num_images=1,
        clip=NO_CLIP,
        labels=None if plan.labels is None else plan.labels[:1],
    )
    everywhere = [0] * processes()[1]  # one batch per process, so that every process counts by itself
    (batch,) = stream(one, batch_size=1, indices=everywhere, on_step=on_step, on_prediction=on_prediction)
    return batch.cost


class CostCounter:
    """Counter of the costs of many plans of one model, which avoids most walks.

    A sampler and a guidance walk one grid together, which shows whether they fit each other. On every further grid the
    sampler walks alone, and then the guidance answers the same calls. This is right since the calls depend on nothing
    but the grid: all answers are those of a stub. Samplers that make the same calls share the guidance's answers.
    """

    def __init__(self) -> None:
        self._costs: dict[tuple[object, ...], Cost] = {}
        self._calls: dict[tuple[object, ...], Calls] = {}
        self._answers: dict[tuple[object, ...], Cost] = {}
        self._together: set[tuple[object, ...]] = set()

    def count(self, plan: Plan, second: str | None = None) -> Cost:
        """Count the cost of one image, as `count_cost` does.

        Args:
            second: fingerprint of the second model of the guidance.
        """
        guided = repr(plan.guidance), plan.own_scale, second, plan.labels is None
        pair = repr(plan.sampler), *guided
        walk = *pair, plan.grid
        if walk not in self._costs:
            apart = plan.guidance is not None and plan.model.drawer is None and pair in self._together
            self._costs[walk] = self._answered(plan, guided) if apart else count_cost(plan)
            self._together.add(pair)
        return self._costs[walk]

    def _answered(self, plan: Plan, guided: tuple[object, ...]) -> Cost:
        """Count the cost of the sampler's calls under the guidance."""
        walked = repr(plan.sampler), plan.grid
        if walked not in self._calls:
            self._calls[walked] = _calls(dataclasses.replace(plan, guidance=None))
        asked = *guided, self._calls[walked]
        if asked not in self._answers:
            caller = _Caller(calls=self._calls[walked])
            self._answers[asked] = count_cost(dataclasses.replace(plan, sampler=caller))
        return self._answers[asked]


def _calls(plan: Plan) -> Calls:
    """Return the calls that the sampler of a plan makes, step by step."""
    steps: list[list[Level]] = []

    def on_step(number: int, level: Level, x: torch.Tensor) -> None:
        if number == INITIAL_STEP:  # of the image, or of a larger one if the plugin fails on the first
            steps.clear()
        steps.append([])

    def on_prediction(level: Level, p: Prediction) -> None:
        steps[-1].append(level)

    count_cost(plan, on_step, on_prediction)
    return tuple(tuple(levels) for levels in steps[:-1])  # without the last state, at which no step begins


class _Caller(Sampler):
    """Sampler that makes given calls, and does not change the state."""

    takes_shift = True

    calls: SkipValidation[Calls]

    def walk(
        self, x: torch.Tensor, grid: Grid, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        for levels in self.calls:
            for level in levels:
                denoise(x, level)
            yield x
