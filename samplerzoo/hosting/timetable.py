"""Timetable of a hosted run: the calls of the network, and their timesteps for a pipeline."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import Model
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError
from samplerzoo.hosting.entries import Entry, plan_entries
from samplerzoo.hosting.levels import level_told, same_timestep, sigma_of


@dataclass(frozen=True, eq=False)
class Timetable:
    """Calls of the network in a run, one for each entry of the pipeline's timesteps.

    Attributes:
        sampler: sampler with the defaults for the model.
        model: path and parametrization of the network, with a stub instead of the network.
        grid: levels of the steps; None before a pipeline has asked for a run.
        order: number of entries per step.
    """

    sampler: Sampler
    model: Model
    grid: Grid | None = None
    entries: Sequence[Entry] = ()
    order: int = 1

    @classmethod
    def of(cls, sampler: Sampler, model: Model, grid: Grid) -> Self:
        """Plan a run.

        Raises:
            ZooError: the sampler cannot be planned; see `plan_entries`.
        """
        return cls(sampler, model, grid, *plan_entries(sampler, grid, model))

    def is_of(self, sampler: Sampler, model: Model, grid: Grid) -> bool:
        """Tell whether this is the timetable of such a run."""
        return self.model is model and (self.sampler, self.grid) == (sampler, grid)

    @functools.cached_property
    def timesteps(self) -> torch.Tensor:
        """Time inputs of the network at the entries, in int64 if all are whole and the path has whole timesteps."""
        times = [float(self.model.parametrization.c_noise(entry.level)) for entry in self.entries]
        whole = self.model.schedule.whole is not None and all(time.is_integer() for time in times)
        return torch.tensor(times, dtype=torch.int64 if whole else torch.float32)

    @functools.cached_property
    def times(self) -> list[float]:
        """Timesteps as numbers, rounded as a pipeline reads them."""
        return self.timesteps.tolist()

    @property
    def sigmas(self) -> torch.Tensor:
        """Noise levels of the entries as diffusers counts them, and a 0 at the end."""
        return torch.tensor([*(sigma_of(self.model.schedule, entry.level) for entry in self.entries), 0.0])

    @property
    def initial_std(self) -> float:
        """Standard deviation of the state at the first level."""
        schedule = self.model.schedule
        if self.grid is None or schedule.kind != "VE":
            return schedule.prior_std
        return schedule.prior_std * self.grid.levels[0].sigma / schedule.at(schedule.T).sigma

    @functools.cached_property
    def scales(self) -> bool:
        """True if the network's input is the state times a factor."""
        schedule = self.model.schedule
        return self.model.parametrization.c_in(schedule.at(schedule.T)) != 1.0

    def scale(self, index: int) -> float:
        """Return the factor between the state of an entry and the network's input."""
        return self.model.parametrization.c_in(self.entries[index].level)

    def position(self, timestep: float | torch.Tensor | None, expected: int | None) -> int:
        """Return the entry that a pipeline means by a timestep.

        It is the expected entry, unless the timestep is that of another one. A timestep on another device is not read
        here, since this would wait for the device at every step; it is checked at the end of the run.

        Raises:
            UsageError: no entry has this timestep.
        """
        if not self.entries:
            raise UsageError("set_timesteps has to be called before a run")
        if expected is not None and expected >= len(self.entries):
            expected = None
        if expected is not None and (timestep is None or is_far(timestep)):
            return expected
        if timestep is None:
            return 0
        value = float(timestep)
        if expected is not None and same_timestep(self.times[expected], value):
            return expected
        found = self._entry_at(value)
        if found is None:
            raise UsageError(f"timestep {value:g} is none of this run: set_timesteps lists them as `timesteps`")
        return found

    def state_at(self, timestep: float) -> Level:
        """Return the level of the state at a timestep, which need not be one of this run."""
        found = self._entry_at(timestep)
        return level_told(self.model, timestep) if found is None else self.entries[found].level

    def _entry_at(self, timestep: float) -> int | None:
        """Return the entry with a timestep. If there are several, prefer one at which a step begins."""
        found = [index for index, time in enumerate(self.times) if same_timestep(time, timestep)]
        return next((index for index in found if self.entries[index].begins), found[0] if found else None)


def is_far(timestep: float | torch.Tensor | None) -> bool:
    """Tell whether a timestep is on a device that would have to be waited for."""
    return isinstance(timestep, torch.Tensor) and timestep.device.type != "cpu"
