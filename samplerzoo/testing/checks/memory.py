"""Check of the weights of old predictions, which a test of the declared order does not cover."""

from __future__ import annotations

import itertools

from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.checks.refusals import refusal
from samplerzoo.testing.fixtures import ON_FLOW, ON_VE, ON_VP
from samplerzoo.testing.memory import Memory, memory
from samplerzoo.testing.settings import difference, neighbours

TOLERANCE = 0.25
"""Allowed distance of a measured order from the true one, due to the next terms of the error."""

MOST = 24
"""Most settings that are tried."""


def check_memory_adds_order(sampler: Sampler) -> None:
    """Check that each old prediction that a step builds on raises the order by one, for given predictions.

    The predictions are given functions of lambda. With correct weights, those of a polynomial in lambda, in
    sigma / alpha or in time, k of them give order k. One kind of path is enough, since a mean over time is correct only
    if time is sigma. Noise plays no part. A finding is only a warning: a method with other weights still has the order
    that it declares, and may be intended, as methods that damp or extrapolate are.
    """
    for other in _settings(sampler):
        best = _best_memory(other)
        assert best is None or best.order >= best.count - TOLERANCE, (
            f"a step builds on {best.count} predictions{difference(sampler, other)}, and where {best.given} is a given "
            f"function of lambda, order {best.order:.2f} was measured on the kind of path that suits it best: with "
            f"weights that are right for all of them it is {best.count}"
        )


def _settings(sampler: Sampler) -> list[Sampler]:
    """List the sampler and settings that differ from it in up to two options, evenly thinned to about MOST."""
    around = [sampler, *neighbours(sampler)]
    found: list[Sampler] = []
    for other in itertools.chain(around, *map(neighbours, around)):
        if other not in found:
            found.append(other)
    return found[:: -(-len(found) // MOST)]


def _best_memory(sampler: Sampler) -> Memory | None:
    """Measure the memory on the kind of path where it works best; None without memory, or if all paths are refused."""
    best: Memory | None = None
    for path in (ON_VE, ON_FLOW, ON_VP):
        if refusal(sampler, path) is not None:
            continue
        found = memory(sampler, path.schedule)
        if found is None or found.order >= found.count - TOLERANCE:
            return found
        best = found if best is None or found.order > best.order else best
    return best
