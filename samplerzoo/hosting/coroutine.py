"""Coroutine that lets a sampler wait for the network.

A sampler pulls: it calls `denoise` and continues with the answer. A pipeline pushes: it calls its network itself and
passes on the answer. So the sampler runs in a greenlet, which has its own stack. It is suspended at each call of
`denoise` and resumed with the answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakSet

import torch
from greenlet import getcurrent, greenlet

from samplerzoo.core.blame import blaming
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.errors import UsageError


class Draws(Protocol):
    """Source of standard normal noise that depends on the number of the step."""

    def __call__(self) -> torch.Tensor: ...

    def start_step(self, step: int) -> None: ...


@dataclass(frozen=True, eq=False)
class Call:
    """Call of the network that a sampler waits for.

    Attributes:
        x: the state, in the sampler's own memory: the sampler continues from what is written into it.
        step: number of the current step, from 0.
    """

    x: torch.Tensor
    level: Level
    step: int


class _Ends:
    """Suspended coroutines of one thread. They end when the thread ends, since no other thread can end them."""

    def __init__(self) -> None:
        self.waiting: WeakSet[greenlet] = WeakSet()

    def __del__(self) -> None:
        for each in [*self.waiting]:
            if each:
                each.throw()


class _Here(threading.local):
    def __init__(self) -> None:
        self.ends = _Ends()


_here = _Here()


class Coroutine:
    """Walk of a sampler that can be suspended. `start` and `answer` return its next network call, or the last state.

    It belongs to the thread that made it. When the last reference to it is dropped, the suspended sampler ends, since
    nothing on the sampler's stack refers to the coroutine.
    """

    def __init__(self, sampler: Sampler, grid: Grid, schedule: Schedule, noise: Draws, first_step: int = 0) -> None:
        """Make a walk that has not begun.

        Args:
            first_step: number of the grid's first step, which is not 0 if a run starts in the middle.
        """
        self._thread = threading.get_ident()
        self._greenlet = greenlet(lambda x: _run(sampler, x, grid, schedule, noise, first_step))
        _here.ends.waiting.add(self._greenlet)

    @property
    def is_here(self) -> bool:
        """True in the thread that it belongs to."""
        return self._thread == threading.get_ident()

    def start(self, x: torch.Tensor) -> Call | torch.Tensor:
        """Start the sampler with a state. Return its first call."""
        return self._enter(x)

    def answer(self, prediction: Prediction) -> Call | torch.Tensor:
        """Resume the sampler with the network's answer. Return its next call, or the last state."""
        return self._enter(prediction)

    def _enter(self, brought: torch.Tensor | Prediction) -> Call | torch.Tensor:
        self._greenlet.parent = getcurrent()  # errors of the sampler are raised here
        found: Call | torch.Tensor = self._greenlet.switch(brought)
        return found

    def __deepcopy__(self, memo: object) -> Coroutine:
        raise UsageError(
            "this pipeline copies the state of its scheduler in the middle of a run, and a sampler that waits for the "
            "network cannot be copied; use a scheduler of diffusers here"
        )


def _run(
    sampler: Sampler, x: torch.Tensor, grid: Grid, schedule: Schedule, noise: Draws, first_step: int
) -> torch.Tensor:
    """Walk the grid, inside the coroutine, and return the last state."""
    done, shape, state = 0, x.shape, x

    def predict(x: torch.Tensor, level: Level) -> Prediction:
        if x.shape != shape:
            raise ValueError(f"denoise is given a state of shape {tuple(x.shape)}, and states are {tuple(shape)} here")
        answer: Prediction = getcurrent().parent.switch(Call(x, level, first_step + done))
        return answer

    noise.start_step(first_step + 1)
    with blaming(sampler):
        for reached in walk_from(sampler, x, grid, Denoiser(predict, schedule), noise):
            state, done = reached, done + 1
            noise.start_step(first_step + done + 1)
    return state
