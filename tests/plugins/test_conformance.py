"""Conformance kit on the built-in samplers and guidances, and further rules for them."""

from __future__ import annotations

from typing import Any

import pytest
from samplerzoo_plugins.autoguidance import Autoguidance
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance
from samplerzoo_plugins.classifier_guidance import ClassifierGuidance
from samplerzoo_plugins.ddpm import DDPM

from samplerzoo import registry
from samplerzoo.core.kinds import Kind
from samplerzoo.core.sampler import Sampler
from samplerzoo.options import Options
from samplerzoo.testing import TOLERANCE, checks_of, convergence, parametrize_with_checks
from samplerzoo.testing.checks import check_all_settings
from samplerzoo.testing.fixtures import PATHS, Path

GUIDANCES = [
    ClassifierFreeGuidance(scale=3.0),
    ClassifierFreeGuidance(scale=3.0, low=0.1, high=2.0),
    ClassifierGuidance(),
    Autoguidance(scale=2.0),
]
MORE_GUIDANCES = [
    ClassifierFreeGuidance(scale=3.0, rescale=0.7),
    ClassifierGuidance(form="mean", scale=3.0),
    ClassifierFreeGuidance(scale=1e4, rescale=1.0),
    ClassifierFreeGuidance(scale=0.5, channels=1),
    ClassifierFreeGuidance(high=0.0),
    ClassifierGuidance(temperature=2.0),
    ClassifierGuidance(form="mean", scale=1e4, temperature=0.01),
    ClassifierGuidance(scale=0.5, temperature=100.0),
    Autoguidance(scale=1e4, low=0.5),
]
"""Guidances at bounds, with two options at once, or with one that the kit varies by itself."""
CHECKS = checks_of(DDPM())
"""Checks of every sampler, by name."""

VARIANTS = ("dpm-solver++-3m-sde", "unipc-3-bh1", "predictor-corrector-ddim")
"""Samplers that differ from the defaults of their class in two options; all others are among the settings of those."""

BUILT_IN = [plugin.name for plugin in registry.plugins("sampler") if plugin.source == "samplerzoo"]

SWEEPS = ("check_options_act", "check_what_is_set_stays", "check_settings", "check_long_runs")
"""Beginnings of the names of checks that vary the options, or take long."""

QUICK = [name for name in CHECKS if not name.startswith(SWEEPS)]

BY_NAME = ("check_settings_are_sound", "check_settings_hold_on_ve", "check_settings_hold_on_flow")
"""Sweeps that are run by name, but for one sampler. The others are sampled on the first kind of path for all."""
SAMPLED = "dpm-solver++"
"""Sampler of those sweeps in every run: one with fresh noise, memory, and options that depend on each other."""


def by_name(name: str, check: str) -> Any:
    """Return the parameters of a test, which is slow if it is a sweep that is run by name."""
    slow = check in BY_NAME and name != SAMPLED
    return pytest.param(name, check, id=f"{name}-{check}", marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize(("name", "check"), [by_name(name, check) for name in BUILT_IN for check in CHECKS])
def test_samplers(name: str, check: str) -> None:
    CHECKS[check](registry.make("sampler", name, {}))


@pytest.mark.parametrize("check", [check for check in QUICK if not check.endswith(("_on_ve", "_on_flow"))])
@pytest.mark.parametrize(
    "sampler", [VARIANTS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS[1:])], indirect=True
)
def test_samplers_with_two_other_options(sampler: Sampler, check: str) -> None:
    CHECKS[check](sampler)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check for check in QUICK if check.endswith(("_on_ve", "_on_flow"))])
@pytest.mark.parametrize("sampler", VARIANTS, indirect=True)
def test_samplers_with_two_other_options_on_other_paths(sampler: Sampler, check: str) -> None:
    CHECKS[check](sampler)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.kind)
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_setting_that_the_bounds_admit_passes(name: str, path: Path) -> None:
    check_all_settings(registry.make("sampler", name, {}), path)


@parametrize_with_checks([DDPM(variance="learned"), *GUIDANCES])
def test_guidances_and_the_learned_variance(plugin: Options, check: Any) -> None:
    check(plugin)


@pytest.mark.slow
@parametrize_with_checks(MORE_GUIDANCES)
def test_guidances_with_more_options(plugin: Options, check: Any) -> None:
    check(plugin)


def test_none_that_is_installed_is_left_out(samplers: dict[str, Sampler]) -> None:
    def built_in(kind: Kind) -> set[type]:
        return {plugin.load() for plugin in registry.plugins(kind) if plugin.source == "samplerzoo"}

    assert built_in("sampler") == set(map(type, samplers.values()))
    assert built_in("guidance") == set(map(type, GUIDANCES))


def test_methods_of_first_order_are_no_better_than_they_say(sampler: Sampler) -> None:
    """Check methods that declare first order. A multistep method may be better: its first steps have small errors."""
    if sampler.order == 1:
        assert convergence(sampler).order == pytest.approx(1, abs=TOLERANCE)


def test_only_the_ancestral_sampler_takes_a_mean_shift(sampler: Sampler) -> None:
    assert sampler.takes_shift == isinstance(sampler, DDPM)
