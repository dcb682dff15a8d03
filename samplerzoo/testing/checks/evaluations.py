"""Check that additional evaluations of the network have a use."""

from __future__ import annotations

import itertools
import statistics

from samplerzoo.core.exact import draws
from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.checks.refusals import refusal
from samplerzoo.testing.convergence import convergence
from samplerzoo.testing.fixtures import PATHS, Watched, given_noise, made_for
from samplerzoo.testing.settings import difference, neighbours

ADDED = 1.5
"""Order above which additional evaluations of a sampler that draws noise have a use, whatever order it declares."""


def check_evaluations_add_order(sampler: Sampler) -> None:
    """Check that a step that calls the network more than once has an order above 1.

    One evaluation per step is enough for order 1. A finding is only a warning: a method is correct with any weights
    that sum to 1, and it may use the second answer in another way. A sampler that draws noise often declares less than
    the order of its mean and variance, so that this is measured. Each option is tried at other values, too.
    """
    for other in (sampler, *neighbours(sampler)):
        if other.order == 1:
            _check_evaluations(other, difference(sampler, other))


def _check_evaluations(sampler: Sampler, where: str) -> None:
    for path in PATHS:
        if refusal(sampler, path) is not None:
            continue
        watched = Watched(made_for(sampler, 0.5, 0.5, path.schedule))
        asked = []
        for _ in watched.states(sampler, path.uneven, given_noise(1, (1,))):
            asked.append(len(watched.asked))
        evaluations = statistics.median(after - before for before, after in itertools.pairwise(asked))
        if evaluations > 1:
            order = convergence(sampler, path=path.kind, uneven=True).order
            useful = order > ADDED and draws(sampler, path.uneven, path.schedule)
            assert useful, (
                f"a step asks the network {evaluations:g} times{where}, and it declares order 1, where {order:.2f} was "
                f"measured on the {path.kind} path: one evaluation a step is enough for order 1"
            )
