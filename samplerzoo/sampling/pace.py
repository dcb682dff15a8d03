"""Cost and pace of a plan: network evaluations and seconds, known before its images are drawn."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from samplerzoo.core.cost import Cost
from samplerzoo.core.model import NO_CLIP
from samplerzoo.sampling.driver import stream, timed_batches
from samplerzoo.sampling.plan import Plan
from samplerzoo.system.processes import processes


@dataclass(frozen=True)
class Pace:
    """Pace of a plan: seconds of a network evaluation, and those of an image beside them, of text and decoder."""

    evaluation: float
    image: float

    def seconds(self, images: float, nfe: float) -> float:
        """Return the seconds of so many images with so many evaluations each."""
        return images * (nfe * self.evaluation + self.image)


def measure_pace(plan: Plan, size: int, *, warm: bool = False) -> Pace:
    """Time the first step of a batch of this size.

    Args:
        warm: True if the network was called before; else the step is made twice, and the second one is timed.
    """
    schedule = plan.model.schedule
    first = dataclasses.replace(plan, grid=schedule.grid_at(schedule.timesteps(plan.grid)[:1]))
    for _ in range(1 if warm else 2):
        ((batch, _, duration),) = timed_batches(first, [range(size)] * processes()[1])
    return Pace(duration.network / batch.cost.evaluations, (duration.encoding + duration.decoding) / size)


def count_cost(plan: Plan) -> Cost:
    """Count what one image costs: walk the whole grid with the stub of the network and one image of 2x2 pixels.

    Raises:
        UsageError: sampler or guidance refuse the model or the grid.
    """
    tiny = dataclasses.replace(
        plan,
        model=dataclasses.replace(plan.model, shape=(plan.model.shape[0], 2, 2)),
        num_images=1,
        clip=NO_CLIP,
        labels=None if plan.labels is None else plan.labels[:1],
    )
    everywhere = [0] * processes()[1]  # every process gets a batch, and so counts for itself
    (batch,) = stream(tiny, batch_size=1, indices=everywhere)
    return batch.cost
