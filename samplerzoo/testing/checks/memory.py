"""Check of the weights of old predictions, which the declared order alone does not tell."""

from __future__ import annotations

import itertools

from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.checks.refusals import refusal
from samplerzoo.testing.fixtures import ON_FLOW, ON_VE, ON_VP
from samplerzoo.testing.memory import Memory, memory
from samplerzoo.testing.settings import difference, neighbours

TOLERANCE = 0.25
"""Distance of a measured order from the true one that is allowed, for the next terms of the error."""

MOST = 24
"""Settings that are tried."""


def check_memory_adds_order(sampler: Sampler) -> None:
    """Check that each old prediction that a step builds on raises the order by one, where predictions are given.

    The predictions are functions of lambda. Then k of them give order k, with weights that are right: those of a
    polynomial in lambda, in sigma / alpha or in time. It has to be so on one kind of path, since a mean over time is
    right where time is sigma. Noise has no part in it. What is found is a warning: a method with other weights has the
    order that it declares all the same, and may be meant so, as those are that damp or extrapolate.
    """
    for other in _settings(sampler):
        best = _best_memory(other)
        assert best is None or best.order >= best.count - TOLERANCE, (
            f"a step builds on {best.count} predictions{difference(sampler, other)}, and where {best.given} is a given "
            f"function of lambda, order {best.order:.2f} was measured on the kind of path that suits it best: with "
            f"weights that are right for all of them it is {best.count}"
        )


def _settings(sampler: Sampler) -> list[Sampler]:
    """List the sampler and what differs from it in up to two options, evenly thinned to about MOST."""
    around = [sampler, *neighbours(sampler)]
    found: list[Sampler] = []
    for other in itertools.chain(around, *map(neighbours, around)):
        if other not in found:
            found.append(other)
    return found[:: -(-len(found) // MOST)]


def _best_memory(sampler: Sampler) -> Memory | None:
    """Measure the memory on the kind of path where it serves best; None if there is none, or no path is taken."""
    best: Memory | None = None
    for path in (ON_VE, ON_FLOW, ON_VP):
        if refusal(sampler, path) is not None:
            continue
        found = memory(sampler, path.schedule)
        if found is None or found.order >= found.count - TOLERANCE:
            return found
        best = found if best is None or found.order > best.order else best
    return best
