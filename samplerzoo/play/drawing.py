"""Drawing of a plan that can be watched and stopped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition, Event, Thread

import torch

from samplerzoo.core.cost import Cost
from samplerzoo.core.level import Level
from samplerzoo.core.prediction import Prediction
from samplerzoo.images import Pixels
from samplerzoo.sampling.driver import timed_batches
from samplerzoo.sampling.plan import Plan
from samplerzoo.sampling.way import Recorder, Way

MOST_KEPT = 2**26
"""Most values of states that are kept of a drawing. If images are large, only the first ones keep their trajectory."""


@dataclass(frozen=True, eq=False)
class Moment:
    """Moment of a drawing: the number of the current step, and the x0 predicted there."""

    number: int
    x0: torch.Tensor


@dataclass(frozen=True, eq=False)
class Drawn:
    """Finished images of a plan.

    Attributes:
        pixels: (N, H, W, C).
        way: states and predictions of the first images.
        seconds: time of sampling, and of decoding where states are latents.
    """

    plan: Plan
    pixels: Pixels
    way: Way
    cost: Cost
    seconds: float


class _Stopped(Exception):
    """Exception that ends a drawing that is not read any more."""


def draw(plan: Plan) -> Iterator[Moment | Drawn]:
    """Draw all images of a plan at once. Yield the newest moment whenever the reader is ready, and at last the images.

    The work runs in a thread. It stops at its next step when the reader closes the iterator.

    Raises:
        ZooError: a plugin or the model fails.
    """
    latest: list[Moment | Drawn | BaseException] = []  # at most one: a newer one replaces one that was not read
    news, stopped = Condition(), Event()
    numbers = (len(plan.grid) + 1) * math.prod(plan.model.shape)
    recorder = Recorder(plan.grid, most=max(1, MOST_KEPT // numbers))
    step = 0

    def tell(found: Moment | Drawn | BaseException) -> None:
        with news:
            latest[:] = [found]
            news.notify()

    def reached(number: int, level: Level, x: torch.Tensor) -> None:
        nonlocal step
        if stopped.is_set():
            raise _Stopped
        recorder.reached(number, level, x)
        step = number + 1

    def predicted(level: Level, p: Prediction) -> None:
        recorder.predicted(level, p)
        tell(Moment(step, p.x0))

    def work() -> None:
        try:
            batches = [range(plan.num_images)]
            ((batch, pixels, duration),) = timed_batches(plan, batches, reached, predicted)
            way = Way(recorder.states(), recorder.predictions())
            tell(Drawn(plan, pixels, way, batch.cost, duration.seconds))
        except BaseException as error:  # raised again where the drawing is read
            tell(error)

    Thread(target=work, name="drawing", daemon=True).start()
    try:
        while True:
            with news:
                news.wait_for(lambda: bool(latest))
                found = latest.pop()
            if isinstance(found, BaseException):
                raise found
            yield found
            if isinstance(found, Drawn):
                return
    finally:
        stopped.set()
