"""Timesteps of a hosted run: the calls of the network that a sampler will make, known before the first one.

A pipeline asks its scheduler for a list of timesteps, and calls its network once for each. So a sampler walks its grid
beforehand, on a tiny state, and each of its calls becomes an entry of the list.
"""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from samplerzoo.core.blame import plugin_title
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import Model
from samplerzoo.core.noise import Noise
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import ZooError
from samplerzoo.hosting.coroutine import Call, Coroutine
from samplerzoo.trust.limits import MOST_STEPS

MOST_CALLS = 4 * MOST_STEPS
"""Number of calls of the network above which a run is considered endless."""


@dataclass(frozen=True)
class Entry:
    """One entry of a pipeline's timesteps.

    Attributes:
        level: level at which the network is called, and of the state that the pipeline holds then.
        step: number of the step, from 0.
        begins: True for the first call of a step, at which a run may start.
        idle: True for a call that the sampler does not need.
    """

    level: Level
    step: int
    begins: bool
    idle: bool = False


def plan_entries(sampler: Sampler, grid: Grid, model: Model) -> tuple[list[Entry], int]:
    """Return the entries of a whole run, and the number of entries per step.

    Pipelines that start in the middle of a run, from an image, expect the same number of entries in each step but the
    last. So a step with fewer calls than the others is filled up with idle entries.

    Args:
        model: model with a stub instead of its network.

    Raises:
        ZooError: the sampler fails, does not come to an end, or has a first step without a call.
    """
    calls = _calls(sampler, grid, model)
    counts = Counter(call.step for call in calls)
    if not counts[0]:
        raise ZooError(f"{plugin_title(sampler)} does not call the network in its first step, and a pipeline does")
    order = max(statistics.multimode(counts[step] for step in range(max(len(grid) - 1, 1))))
    entries: list[Entry] = []
    for call, following in itertools.pairwise([*calls, None]):
        assert call is not None
        begins = not entries or entries[-1].step < call.step
        entries.append(Entry(call.level, call.step, begins))
        if following is None:
            break
        for step in range(call.step, following.step):
            entries += [Entry(following.level, step, begins=False, idle=True)] * (order - counts[step])
    return entries, max(order, 1)


def _calls(sampler: Sampler, grid: Grid, model: Model) -> list[Call]:
    """Walk the grid with the stub, and note where it is called."""
    noise = Noise(0, [0], model.shape)
    run = Coroutine(sampler, grid, model.schedule, noise)
    found, calls = run.start(model.schedule.prior_std * noise()), []
    while isinstance(found, Call):
        calls.append(found)
        if len(calls) > MOST_CALLS:
            raise ZooError(f"{plugin_title(sampler)} calls the network more than {MOST_CALLS} times")
        found = run.answer(model.denoise(found.x, found.level))
    return calls


def start_of(entries: Sequence[Entry], index: int) -> int:
    """Return the first entry from `index` on at which a run can start and whose state is at the same level.

    Raises:
        ZooError: there is none.
    """
    for start in range(index, len(entries)):
        if entries[start].begins and entries[start].level == entries[index].level:
            return start
    raise ZooError(
        f"a run cannot start at entry {index} of {len(entries)}, in the middle of step {entries[index].step + 1}: take "
        "another strength or another number of steps, or a sampler with one call of the network a step"
    )
