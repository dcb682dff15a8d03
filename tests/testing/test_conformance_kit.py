"""Tests of the kit itself: its checks, its messages, and expected failures."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import torch
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance
from samplerzoo_plugins.classifier_guidance import ClassifierGuidance
from samplerzoo_plugins.ddim import DDIM

from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import FLOW
from samplerzoo.core.paths import VE, RectifiedFlow
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.testing import (
    check_guidance,
    check_sampler,
    checks_of,
    conformance,
    conjugate,
    convergence,
    draws,
    outcomes,
    parametrize_with_checks,
)
from samplerzoo.testing.checks import (
    FIRST_CHECKS,
    GUIDANCE_CHECKS,
    LAST_CHECKS,
    ONCE_CHECKS,
    OPTIONS_CHECKS,
    SAMPLER_CHECKS,
    SLOW_CHECKS,
    THOROUGH_CHECKS,
)
from samplerzoo.testing.fixtures import three_classes


class TwoDegrees(DDIM):
    """Sampler that declares second order, and cites nobody."""

    order = property(lambda self: 2)


class Crashing(DDIM):
    """Sampler that fails with another error than an assertion (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        raise KeyError("nothing\nof that name")


class Secretive(DDIM):
    """Sampler that wrongly declares itself deterministic, as old plugins do (Song, Meng, Ermon 2021)."""

    stochastic = property(lambda self: False)


class Boastful(DDIM):
    """Sampler that wrongly declares itself stochastic (Song, Meng, Ermon 2021)."""

    stochastic = property(lambda self: True)


class OnOnePath(DDIM):
    """Sampler that refuses what is not variance-preserving (Song, Meng, Ermon 2021)."""

    def grid(self, schedule, steps, spacing):
        if schedule.kind != "VP":
            raise UsageError("betas are needed")
        return super().grid(schedule, steps, spacing)


REASONS = {"check_order": "it is\na joke", "check_order_on_ve": "of", "check_order_on_flow": "course"}


# -- outcomes


@pytest.mark.usefixtures("quick_kit")
def test_a_sampler_that_is_right_passes_all_that_applies_to_it() -> None:
    found = check_sampler(DDIM())
    assert [outcome.check for outcome in found] == list(checks_of(DDIM()))
    assert {outcome.status for outcome in found} == {"passed"}


def test_checks_are_made_on_all_kinds_of_path() -> None:
    first = len(OPTIONS_CHECKS) + len(FIRST_CHECKS)
    last = [check.__name__ for check in LAST_CHECKS]
    names, thorough = [*checks_of(DDIM())][first:], [*checks_of(DDIM(), thorough=True)][first:]
    quick = [check.__name__ for check in SAMPLER_CHECKS if check not in SLOW_CHECKS]
    every = [check.__name__ for check in (*SAMPLER_CHECKS, *THOROUGH_CHECKS)]
    once = [check.__name__ for check in ONCE_CHECKS]
    assert names == [
        *(check.__name__ for check in SAMPLER_CHECKS),
        *(f"{name}_on_{path}" for path in ("ve", "flow") for name in quick),
        *last,
    ]
    assert thorough == [*every, *once, *(name + path for path in ("_on_ve", "_on_flow") for name in every), *last]


@pytest.mark.parametrize("kind", ["VE", "flow"])
def test_a_path_that_a_sampler_refuses_is_skipped_with_its_reason(kind: str) -> None:
    checks = checks_of(OnOnePath())
    checks["check_moments"](OnOnePath())
    with pytest.raises(SkipTest, match=f"^it refuses a {kind} path: betas are needed$"):
        checks[f"check_moments_on_{kind.lower()}"](OnOnePath())


@pytest.mark.usefixtures("quick_kit")
@pytest.mark.parametrize("sampler", [Secretive(eta=1.0), Boastful()], ids=repr)
def test_whether_noise_is_drawn_is_measured_and_what_an_old_plugin_declares_is_ignored(sampler: Sampler) -> None:
    plain = DDIM(eta=sampler.eta)
    assert convergence(sampler) == convergence(plain)
    assert draws(sampler) == draws(plain)
    check_sampler(sampler)


@pytest.mark.usefixtures("quick_kit")
def test_the_first_failure_is_told_whole_and_the_others_in_a_line_each() -> None:
    with pytest.raises(AssertionError) as caught:
        check_sampler(TwoDegrees())
    title, first, details, *rest = str(caught.value).splitlines()
    assert title == f"TwoDegrees(eta=0.0) fails 3 of {len(checks_of(DDIM()))} checks:"
    assert re.fullmatch(r"check_order: FAILED, it declares order 2, and 1\.0\d was measured", first)
    assert details.strip().startswith(
        "between log-SNR -4 and 2, in steps that are long and short in turn, its errors are"
    )
    assert [line.partition(":")[0] for line in rest] == ["check_order_on_ve", "check_order_on_flow"]


@pytest.mark.usefixtures("quick_kit")
def test_a_missing_citation_is_a_warning() -> None:
    (found,) = [outcome for outcome in outcomes(TwoDegrees()) if outcome.check == "check_cites_its_source"]
    assert str(found).startswith("check_cites_its_source: warning, the docstring of TwoDegrees cites no source")
    _, params = parametrize_with_checks([TwoDegrees()]).args
    (check,) = [param.values[1] for param in params if param.id.endswith("check_cites_its_source")]
    with pytest.warns(UserWarning, match="cites no source"):
        check(TwoDegrees())


@pytest.mark.usefixtures("quick_kit")
def test_an_error_that_no_check_foresaw_is_told_in_one_line_and_stops_nothing() -> None:
    found = {outcome.check: outcome for outcome in outcomes(Crashing())}
    assert found["check_order"].status == "failed"
    assert found["check_order"].reason.startswith("sampler Crashing fails: KeyError: ")
    assert re.search(r"test_conformance_kit\.py, line \d+, in step\)", found["check_order"].reason)
    assert "\n" not in str(found["check_order"])
    assert found["check_options_survive"].status == "passed"
    assert len(found) == len(checks_of(Crashing()))


def test_outcomes_come_one_by_one() -> None:
    first = next(iter(outcomes(DDIM())))
    assert (first.check, first.status, first.reason) == ("check_keeps_the_protocol", "passed", "")


def test_each_check_is_a_function_of_its_own_that_says_what_it_protects() -> None:
    for check in (*OPTIONS_CHECKS, *SAMPLER_CHECKS, *GUIDANCE_CHECKS):
        assert check.__doc__, check
    SAMPLER_CHECKS[0](DDIM())
    with pytest.raises(AssertionError, match="declares order 2"):
        checks_of(TwoDegrees())["check_order"](TwoDegrees())


@pytest.mark.parametrize("wrong", [DDIM, 3, "ddim"])
def test_what_is_no_plugin_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="objects of Sampler, Guidance, Features and Spacing, not"):
        check_sampler(wrong)


# -- expected failures


@pytest.mark.usefixtures("quick_kit")
def test_expected_failures_are_told_and_do_not_count() -> None:
    found = {outcome.check: outcome for outcome in check_sampler(TwoDegrees(), expected_failures=REASONS)}
    assert str(found["check_order_on_ve"]) == "check_order_on_ve: fails, as expected, of"


@pytest.mark.usefixtures("quick_kit")
def test_an_expected_failure_that_passes_is_one() -> None:
    with pytest.raises(AssertionError, match=r"check_moments: FAILED, it passes, though expected to fail \(never\)"):
        check_sampler(DDIM(), expected_failures={"check_moments": "never"})


def test_an_unknown_check_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no check 'check_ordr' .*did you mean check_order\?"):
        check_sampler(DDIM(), expected_failures={"check_ordr": "?"})
    with pytest.raises(UsageError, match="no check 'check_scale_guides'"):
        check_sampler(DDIM(), expected_failures={"check_scale_guides": "of a guidance"})


# -- the pytest form


def test_the_pytest_form_has_a_test_for_every_check_by_a_readable_name() -> None:
    mark = parametrize_with_checks([DDIM(eta=0.5), ClassifierFreeGuidance()])
    names, params = mark.args
    assert names == ("plugin", "check")
    ids = [param.id for param in params]
    assert len(ids) == len(set(ids)) == len(checks_of(DDIM())) + len(checks_of(ClassifierFreeGuidance()))
    assert "DDIM(eta=0.5)-check_order" in ids
    assert any(name.endswith("-check_scale_guides") for name in ids)


def test_the_pytest_form_expects_failures_strictly() -> None:
    def reasons(plugin: Sampler) -> dict[str, str]:
        return REASONS if isinstance(plugin, TwoDegrees) else {}

    for expected, plugins in ((REASONS, [TwoDegrees()]), (reasons, [TwoDegrees(), DDIM()])):
        _, params = parametrize_with_checks(plugins, expected_failures=expected).args
        marked = {param.id: param.marks[0] for param in params if param.marks}
        assert set(marked) == {f"TwoDegrees(eta=0.0)-{name}" for name in REASONS}
        assert all(mark.name == "xfail" and mark.kwargs["strict"] for mark in marked.values())


@pytest.mark.filterwarnings("ignore:the docstring of TwoDegrees cites no source")
@parametrize_with_checks([TwoDegrees()], expected_failures=REASONS)
def test_the_pytest_form_in_use(plugin: Sampler, check) -> None:
    check(plugin)


# -- models of one's own


def test_a_guidance_on_a_model_of_ones_own(linear: Schedule) -> None:
    """Check a guidance on an unconditional model of one dimension, with a classifier of two classes."""
    found = {outcome.check: outcome for outcome in check_guidance(
        ClassifierGuidance(scale=2.0),
        model=conjugate(linear),
        expected_failures={"check_scale_1_is_conditional": "the model has no conditional prediction"},
    )}  # fmt: skip
    assert found["check_guided_shape"].status == "skipped"
    assert found["check_learned_variance_is_kept"].status == "skipped"


@pytest.mark.parametrize("schedule", [VE(), RectifiedFlow()], ids=lambda schedule: schedule.kind)
def test_a_guidance_on_a_model_of_another_path_is_checked_at_all_noises(schedule: Schedule) -> None:
    levels = set()
    exact = three_classes(parametrization=FLOW, schedule=schedule)

    def net(x, tau, condition):
        levels.add(float(tau[0]) / schedule.T)
        return exact.net(x, tau, condition)

    check_guidance(ClassifierFreeGuidance(scale=2.0), model=dataclasses.replace(exact, net=net))
    assert sum(0.001 < level < 0.9 for level in levels) >= 6


def test_a_guidance_on_a_model_that_it_does_not_fit(linear: Schedule) -> None:
    without = dataclasses.replace(conjugate(linear), classifier=None, classifier_classes=None)
    with pytest.raises(AssertionError, match="check_scale_guides: FAILED, classifier guidance needs"):
        check_guidance(ClassifierGuidance(), model=without)


def test_a_network_in_float32(linear: Schedule) -> None:
    """Allow for the rounding of a network, which depends on the batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer, table = torch.nn.Linear(3, 3), torch.nn.Embedding(4, 3)

    def net(x, tau, condition):
        return layer(x + table(condition.inputs["class_labels"])).tanh()

    model = Model(net, linear, shape=(3,), num_classes=3, null_label=3)
    check_guidance(ClassifierFreeGuidance(scale=2.0), model=model)


# -- without


def test_pytest_is_imported_for_its_own_form_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    kit = executed(optimize=0)
    assert {it.status for it in itertools.islice(kit["outcomes"](DDIM()), 10)} == {"passed"}
    with pytest.raises(ImportError):
        kit["parametrize_with_checks"]([DDIM()])


def test_without_assertions_nothing_is_said_to_be_right() -> None:
    with pytest.raises(UsageError, match="run it without -O"):
        executed(optimize=1)["check_sampler"](DDIM())


def executed(*, optimize: int) -> dict[str, Any]:
    """Run the kit's module again, as it is or as under -O."""
    names: dict[str, Any] = {"__name__": conformance.__name__}
    exec(compile(Path(conformance.__file__).read_text(), conformance.__file__, "exec", optimize=optimize), names)
    return names
