"""Checks of the weights of old predictions, which a test of the declared order does not cover."""

from __future__ import annotations

import functools
import itertools

from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.checks.refusals import refusal
from samplerzoo.testing.fixtures import ON_FLOW, ON_VE, ON_VP
from samplerzoo.testing.memory import SHORT, Memory, memory
from samplerzoo.testing.settings import difference, neighbours

TOLERANCE = 0.25
"""Allowed distance of a measured order from the true one, due to the next terms of the error."""

MOST = 24
"""Most settings that are tried."""

NOT_BETTER = 1.25
"""Ratio of errors above which a message tells that memory makes them larger."""


def check_memory_keeps_the_order(sampler: Sampler) -> None:
    """Check that a step which builds on old predictions has the order that is declared, for given predictions.

    A run whose predictions are given functions is the simplest one. The weights are looked at where up to two options
    differ, since formulas of several terms often have one for a pair alone, and in short runs, too.
    """
    for other, best in _measured(type(sampler), sampler.model_dump_json()):
        assert best.order >= min(other.order, best.count) - TOLERANCE, (
            f"it declares order {other.order}{difference(sampler, other)}, and where {best.given} is a given function "
            f"of lambda, {_found(best)}: a weight of one of the {best.count} predictions that a step builds on is wrong"
        )


def check_memory_adds_order(sampler: Sampler) -> None:
    """Check that each old prediction that a step builds on raises the order by one, for given predictions.

    The predictions are given functions of lambda. With correct weights, those of a polynomial in lambda, in
    sigma / alpha or in time, k of them give order k. One kind of path is enough, since a mean over time is correct only
    if time is sigma. Noise plays no part. A finding is only a warning: a method with other weights still has the order
    that it declares, and may be intended, as methods that damp or extrapolate are.
    """
    for other, best in _measured(type(sampler), sampler.model_dump_json()):
        assert best.order >= best.count - TOLERANCE, (
            f"a step builds on {best.count} predictions{difference(sampler, other)}, and where {best.given} is a given "
            f"function of lambda, {_found(best)}: with weights that are right for all of them it is {best.count}"
        )


def _found(best: Memory) -> str:
    """Say which order was measured, where, and by how much the memory makes results worse, if it does."""
    where = f" in runs of {best.steps} steps" if best.steps in SHORT else ""
    worse = 1 / best.gain
    loss = f", with {worse:.1f} times the error of DDIM, which keeps none" if worse > NOT_BETTER else ""
    return f"order {best.order:.2f} was measured{where} on the kind of path that suits it best{loss}"


@functools.lru_cache(maxsize=8)  # two checks ask for it, of the settings of one plugin after the other
def _measured(cls: type[Sampler], options: str) -> list[tuple[Sampler, Memory]]:
    """Measure the memory of a sampler and of its settings, where it has one.

    Settings of order 0 are left out: a corrector moves their states by more than an error of the weights.
    """
    found: list[tuple[Sampler, Memory]] = []
    for other in _settings(cls.model_validate_json(options)):
        best = _best_memory(other) if other.order else None
        found += [] if best is None else [(other, best)]
    return found


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
