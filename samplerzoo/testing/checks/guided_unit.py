"""Check that guidances have consistent units; see `unit`."""

from __future__ import annotations

import dataclasses
from unittest import SkipTest

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.model import Model
from samplerzoo.testing.checks.unit import InUnits
from samplerzoo.testing.fixtures import ON_VP, farthest, three_classes
from samplerzoo.testing.guiding import SHAPE, Bench, eps, guiding_settings
from samplerzoo.testing.settings import difference


def check_guided_unit_is_free(guidance: Guidance, model: Model | None = None) -> None:
    """Check that where alpha, sigma and states are twice as large, guided eps is the same.

    A gradient in x is half as large then, so that sigma times it is right, and no other power of sigma. This is only a
    warning: a strength may be meant to change with sigma.
    """
    if model is not None:
        raise SkipTest("a model of one's own has one unit")
    bench = Bench.of(None)
    twice = dataclasses.replace(bench, model=three_classes(SHAPE, schedule=InUnits(ON_VP.schedule, 2.0)))
    if twice.refuses(guidance):
        raise SkipTest("it refuses a path whose alpha and sigma are twice as large")
    for made in guiding_settings(guidance, None):
        for t, x in bench.states():
            one, other = eps(bench.guide(made)(x, t)), eps(twice.guide(made)(2 * x, twice.model.schedule.at(t.tau)))
            off = farthest(one, other)
            assert off <= bench.tolerance * max(1.0, float(one.abs().max())), (
                f"where alpha and sigma are twice as large, eps is off by {off:.2g}{difference(guidance, made)}, "
                f"{bench.place(t)}: of a gradient in x, sigma times it is a shift of eps, and of one in x0, sigma / "
                "alpha times it; or is the strength meant to change with sigma?"
            )
