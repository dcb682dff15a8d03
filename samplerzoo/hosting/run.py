"""Run of a hosted sampler: it takes answers of the network, and returns states for the next calls."""

from __future__ import annotations

import torch

from samplerzoo.core.blame import place_of, plugin_title
from samplerzoo.core.level import Grid
from samplerzoo.core.prediction import Prediction
from samplerzoo.core.walk import FiniteCheck
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.hosting.coroutine import Call, Coroutine, Draws
from samplerzoo.hosting.entries import plan_entries, start_of
from samplerzoo.hosting.timetable import Timetable

SAME_STATE = 1e-3
"""Largest difference, relative to the largest value, of two states that are the same but for rounding."""
ADVICE = "; its weights, its guidance, or float16 with its largest number of 65504 may be why"


class Run:
    """Run of a sampler through the entries of a timetable, from one of them on.

    Attributes:
        next: entry whose answer comes next.
    """

    def __init__(self, timetable: Timetable, start: int, noise: Draws, sample: torch.Tensor) -> None:
        """Start the sampler with a state, up to its first call.

        Raises:
            ZooError: the sampler cannot start at this entry.
        """
        grid = timetable.grid
        assert grid is not None
        self.next = start
        self._sampler, self._model, self._entries = timetable.sampler, timetable.model, timetable.entries
        self._first = start_of(self._entries, start)
        self._elsewhere: list[torch.Tensor] = []
        step = self._entries[self._first].step
        rest = grid if step == 0 else self._rest(grid, step)
        self._check = FiniteCheck(len(grid), at_once=sample.device.type == "cpu", advice=ADVICE)
        self._coroutine = Coroutine(self._sampler, rest, self._model.schedule, noise, step)
        x = sample.to(torch.float32, copy=True)
        self._call = self._begun(self._coroutine.start(x), x)

    @property
    def is_here(self) -> bool:
        """True in the thread that made it, to which the sampler's stack belongs."""
        return self._coroutine.is_here

    def advance(
        self, output: torch.Tensor, sample: torch.Tensor, elsewhere: torch.Tensor | bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the network's answer for an entry. Return the state for the next one, and the predicted clean image.

        Args:
            elsewhere: true if the pipeline is at another entry. A tensor is read only at the end of the run.
        """
        index, x = self.next, self._call.x
        entry = self._entries[index]
        if sample.shape != x.shape:
            raise UsageError(
                f"the pipeline turned the state from {tuple(x.shape)} into {tuple(sample.shape)} in the middle of a "
                "run, which no sampler of samplerzoo can follow"
            )
        _take_over(x, sample)
        answer = output.clone()  # a compiled network may reuse the memory for its next answer
        p = self._model.clip(self._model.read(x, entry.level, answer))
        self._check.step = entry.step + 1
        self._check(p.eps, "the network", entry.level)
        self.next += 1
        if isinstance(elsewhere, torch.Tensor):
            self._elsewhere.append(elsewhere)
        if index < self._first or entry.idle:
            return sample, p.x0.to(sample.dtype)
        return self._answered(p, index).to(sample.dtype), p.x0.to(sample.dtype)

    def _answered(self, p: Prediction, index: int) -> torch.Tensor:
        found = self._coroutine.answer(p)
        following = next((i for i in range(index + 1, len(self._entries)) if not self._entries[i].idle), None)
        if following is None and not isinstance(found, Call):
            state = found
        else:
            self._call = self._waiting(found, following)
            state = self._call.x
        self._check(state, plugin_title(self._sampler), p.level)
        if self.next == len(self._entries):
            self._check.read()
            if self._elsewhere and torch.stack(self._elsewhere).any():
                raise UsageError("the pipeline has not gone through the timesteps one after the other")
        return state

    def _rest(self, grid: Grid, step: int) -> Grid:
        """Return the levels from a step on. Refuse a sampler that would make other calls when it begins there."""
        rest = Grid(grid.levels[step:])
        alone, _ = plan_entries(self._sampler, rest, self._model)
        planned = [entry.level for entry in self._entries[self._first :] if not entry.idle]
        if [entry.level for entry in alone if not entry.idle] != planned:
            raise UsageError(
                f"{plugin_title(self._sampler)} calls the network at other levels if it begins at step {step + 1} of "
                f"{len(grid)}: such a run has to start at the top (strength 1), and heun in the middle has s_churn=0"
            )
        return rest

    def _begun(self, found: Call | torch.Tensor, x: torch.Tensor) -> Call:
        """Return the first call, which must be about the state with which the pipeline called the network."""
        planned = self._entries[self._first].level.tau
        if isinstance(found, Call) and found.level.tau == planned and _nearly(found.x, x):
            return found
        raise UsageError(
            f"{plugin_title(self._sampler)} changes state or level before its first call of the network, at tau "
            f"{planned:g}, and the pipeline makes this call before the sampler begins"
        )

    def _waiting(self, found: Call | torch.Tensor, index: int | None) -> Call:
        """Return the call that the sampler waits for, which must be the planned one."""
        if index is not None and isinstance(found, Call) and found.level.tau == self._entries[index].level.tau:
            return found
        asked = f"the network at tau {found.level.tau:g}" if isinstance(found, Call) else "for nothing more"
        planned = "no more calls" if index is None else f"tau {self._entries[index].level.tau:g}"
        raise ZooError(
            f"{plugin_title(self._sampler)} asks {asked}, where a walk on other numbers had {planned}: its calls "
            "depend on the image, and a pipeline has to know its timesteps beforehand "
            f"({place_of(type(self._sampler), 'walk')})"
        )


def _nearly(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a is b or bool((a - b).abs().max() <= SAME_STATE * b.abs().max())


def _take_over(x: torch.Tensor, sample: torch.Tensor) -> None:
    """Write the pipeline's version of the state into the sampler's own state.

    Values that are equal in the pipeline's precision keep the additional digits of the sampler. No value is read from
    the device, so nothing waits for it.
    """
    if sample is x:
        return
    if sample.dtype == x.dtype:
        x.copy_(sample)
    else:
        x.copy_(torch.where(sample == x.to(sample.dtype), x, sample.to(x.dtype)))
