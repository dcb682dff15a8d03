"""The gate that a sampler passes before it is believed: it gets better with more steps, as fast as it says."""

from __future__ import annotations

import pytest

from samplerzoo import registry
from samplerzoo.bench.gaussian import rows
from samplerzoo.recipe import Recipe
from samplerzoo.sampler import Sampler
from samplerzoo.testing import TOLERANCE, convergence

INSTALLED = [plugin.name for plugin in registry.plugins("sampler")]


def test_the_order_is_the_declared_one(sampler: Sampler) -> None:
    assert convergence(sampler).order == pytest.approx(sampler.order, abs=TOLERANCE)


@pytest.mark.parametrize("name", INSTALLED)
def test_more_steps_are_better_for_every_installed_sampler(name: str) -> None:
    """Even in log-SNR down to the last timestep, so that what the clean step leaves out makes up for no other error."""
    recipes = [Recipe(model="gaussian", sampler=name, steps=steps, spacing="logsnr") for steps in (10, 50, 200)]
    few, some, many = rows(recipes, warn=pytest.fail)
    assert few.metrics.fd > some.metrics.fd > many.metrics.fd
    assert some.metrics.fd < 0.005  # the distance of a standard deviation that is wrong by a seventh
    assert not few.warnings
