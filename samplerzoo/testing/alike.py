"""Paths and things that a cache takes for each other: of one kind and length, or at one place in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

from samplerzoo.core.betas import betas_of
from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.schedule import Schedule

Found = TypeVar("Found")
Thing = TypeVar("Thing")

MOST_COPIES = 200
"""Number of copies of a thing that are made until one lies at a given place in memory."""

TRIES = 5
"""Number of places that are tried."""


def _alike(more: int) -> dict[str, dict[str, Schedule]]:
    """Make pairs of paths of one kind and one number of timesteps, which nothing else uses."""
    vp = {"num_train_timesteps": 905 + more, "beta_start": 1e-4 * (1 + more / 100)}
    flow, T = 905 + more, 80.0 + more / 100
    linear, scaled, cosine = (betas_of({**vp, "beta_schedule": name}) for name in SCHEDULES_OF_BETAS)
    return {
        "a VP path": {"linear": VP(linear), "cosine": VP(cosine)},
        "a zero-SNR VP path": {  # with the same ends as its like
            name: VP([*betas[:-1], 1.0]) for name, betas in (("linear", linear), ("scaled", scaled))
        },
        "a VE path": {"from 0.02 on": VE(0.02, T), "from 0.002 on": VE(0.002, T)},
        "a flow path": {"plain": RectifiedFlow(flow), "shifted": RectifiedFlow(flow, shift=3.0)},
    }


SCHEDULES_OF_BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
ALIKE = {kind: (pair, _alike(1)[kind]) for kind, pair in _alike(0).items()}
"""Two such pairs of every kind, one with a timestep more, and with other ends."""


def at_the_place_of(
    gone: Thing, thing: Thing, act: Callable[[Thing], Found], before: Callable[[Thing], object] | None = None
) -> Found | None:
    """Act on a copy of a thing that lies in memory where a copy of another one was, which is gone.

    Whatever is kept by an id takes one for the other.

    Args:
        before: what is done with the other one; `act` by default.

    Returns:
        None if no copy comes to lie there, as when something holds on to the first, such as a cache by the thing.
    """
    for _ in range(TRIES):
        elsewhere: list[Thing | None] = [None] * MOST_COPIES  # made now, since what is made later may take the place
        it = copy.copy(gone)
        (before or act)(it)
        place = id(it)
        del it
        for number in range(MOST_COPIES):
            it = copy.copy(thing)
            if id(it) == place:
                return act(it)
            elsewhere[number] = it
    return None
