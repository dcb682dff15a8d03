"""Conformance kit: it runs the checks on a plugin, and says which failed and why.

    check_sampler(MySampler())

raises if a check fails. In a test file,

    @parametrize_with_checks([MySampler(), MySampler(eta=1.0)])
    def test_my_sampler(plugin, check):
        check(plugin)

makes a test of every check. Both work without a network, data or Monte Carlo.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from unittest import SkipTest

from samplerzoo.core.architecture import NetworkArchitecture
from samplerzoo.core.blame import blame
from samplerzoo.core.features import Features
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.model import Model
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.spacing import Spacing
from samplerzoo.errors import UsageError, did_you_mean, reason
from samplerzoo.options import Options
from samplerzoo.testing.checks import (
    ARCHITECTURE_CHECKS,
    FEATURES_CHECKS,
    FIRST_CHECKS,
    GUIDANCE_CHECKS,
    LAST_CHECKS,
    ONCE_CHECKS,
    OPTIONS_CHECKS,
    SAMPLER_CHECKS,
    SLOW_CHECKS,
    SPACING_CHECKS,
    THOROUGH_CHECKS,
    WARNING_CHECKS,
    check_deterministic,
    check_global_random_state,
    check_keeps_the_protocol,
    check_runs_leave_nothing_behind,
)
from samplerzoo.testing.checks.architectures import stirred
from samplerzoo.testing.checks.independence import GUIDES_ALIKE, SAME_LEVELS, USE_NOISE, leaving_the_process
from samplerzoo.testing.checks.refusals import refusal
from samplerzoo.testing.fixtures import ON_VP, PATHS, Path

if TYPE_CHECKING:
    import pytest

Check = Callable[[Any], None]
Reasons = Mapping[str, str]
"""Names of checks that are expected to fail, with the reasons."""

Status = Literal["passed", "failed", "skipped", "expected", "warning"]

NO_REASONS: Reasons = {}

NAMES_ITS_CAUSE = check_runs_leave_nothing_behind.__name__
UNSTEADY = (check_deterministic.__name__, check_global_random_state.__name__, NAMES_ITS_CAUSE)
"""Checks of a sampler that repeat a run. If two runs differ, other comparisons fail for no cause of their own."""

REFUSES = "it refuses"
"""Beginning of the reason why checks on a refused path are skipped."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one check.

    Attributes:
        check: name of the check.
        status: "expected" is a failure that was expected. A check that passes unexpectedly is "failed". Findings that
            are about style, or that may be intended, are a "warning".
        reason: one line; empty if the check passed.
        details: more lines about a failure, such as levels and numbers.
        error: what was raised, with its traceback.
    """

    check: str
    status: Status
    reason: str = ""
    details: tuple[str, ...] = ()
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        word = {"failed": "FAILED", "expected": "fails, as expected"}.get(self.status, self.status)
        return f"{self.check}: {word}" + (f", {self.reason}" if self.reason else "")

    @property
    def whole(self) -> str:
        """Everything that is known about it, in several lines."""
        return "\n    ".join([str(self), *self.details])


def checks_of(plugin: Options, *, model: Model | None = None, thorough: bool = False) -> dict[str, Check]:
    """Return the checks of a plugin's object, by name, in the order in which they are run.

    Args:
        model: model to check a guidance on, if it needs something that the exact mixture does not have.
        thorough: add the checks of a sampler that take minutes: all exact answers with any two options at other values,
            images of a million pixels, and hundreds of thousands of steps. The checks of options and of numbers run on
            every kind of path; without it, only on the first one that the sampler accepts.

    Raises:
        UsageError: there are no checks for this kind of object, or Python leaves assertions out (-O).
    """
    if not __debug__:
        raise UsageError("the checks are assertions, and python -O leaves those out: run it without -O")
    if isinstance(plugin, Features):
        return {check.__name__: check for check in FEATURES_CHECKS}
    if isinstance(plugin, Spacing):
        return {check.__name__: leaving_the_process(check, SAME_LEVELS) for check in SPACING_CHECKS}
    own: dict[str, Check] = {check.__name__: check for check in OPTIONS_CHECKS}
    if isinstance(plugin, Sampler):
        own |= {check.__name__: check for check in FIRST_CHECKS}
        home = next((path for path in PATHS if refusal(plugin, path) is None), ON_VP)
        for path in PATHS:
            suffix = "" if path is ON_VP else f"_on_{path.kind.lower()}"
            left_out = () if thorough or path is home else SLOW_CHECKS
            checks = [check for check in SAMPLER_CHECKS if check not in left_out] + [*THOROUGH_CHECKS] * thorough
            checks += [*ONCE_CHECKS] * (thorough and path is home)
            own |= {check.__name__ + suffix: _on_path(check, path) for check in checks}
        own |= {check.__name__: check for check in LAST_CHECKS}
        return {name: leaving_the_process(check, USE_NOISE) for name, check in own.items()}
    if isinstance(plugin, Guidance):
        own |= {check.__name__: _on(model, check) for check in GUIDANCE_CHECKS}
        return {name: leaving_the_process(check, GUIDES_ALIKE) for name, check in own.items()}
    what = f"the class {plugin.__name__}; make an object of it" if isinstance(plugin, type) else repr(plugin)
    raise UsageError(f"the kit checks objects of Sampler, Guidance, Features and Spacing, not {what}")


def outcomes(
    plugin: Options,
    *,
    model: Model | None = None,
    expected_failures: Reasons | None = None,
    thorough: bool = False,
) -> Iterator[Outcome]:
    """Run the checks one by one. All of them run, also after failures.

    Raises:
        UsageError: a failure is expected of a check that does not exist.
    """
    checks = checks_of(plugin, model=model, thorough=thorough)
    expected = _known(expected_failures, checks)
    return _with_their_cause(_outcome(name, check, plugin, expected.get(name)) for name, check in checks.items())


def _with_their_cause(found: Iterable[Outcome]) -> Iterator[Outcome]:
    """Give failures after one of `UNSTEADY` the reason of that one, of which they come. Their own is in the details."""
    cause = ""
    for outcome in found:
        if outcome.status == "failed":
            if cause and not outcome.check.startswith(NAMES_ITS_CAUSE):
                outcome = dataclasses.replace(outcome, reason=cause, details=(outcome.reason, *outcome.details))
            elif outcome.check.startswith(UNSTEADY):
                cause = cause or outcome.reason
        yield outcome


def refused_paths(found: Sequence[Outcome]) -> dict[str, str]:
    """Return the kinds of path that a sampler refuses, with its reasons, from the outcomes of all checks."""
    refused: dict[str, str] = {}
    for path in PATHS:
        for outcome in found:
            if outcome.reason.startswith(f"{REFUSES} a {path.kind} path"):
                refused[path.kind] = outcome.reason
    return refused


def check_sampler(
    sampler: Sampler, *, expected_failures: Reasons | None = None, thorough: bool = False
) -> list[Outcome]:
    """Run every check on a sampler.

    Args:
        thorough: see `checks_of`.
        expected_failures: names of checks that may fail, with reasons. If such a check passes, that is a failure, so
            that outdated reasons are removed.

    Raises:
        AssertionError: checks failed. The message has the first failure in full and one line for each other.
    """
    return _checked(sampler, outcomes(sampler, expected_failures=expected_failures, thorough=thorough))


def check_guidance(
    guidance: Guidance, *, model: Model | None = None, expected_failures: Reasons | None = None
) -> list[Outcome]:
    """Run every check on a guidance; see `check_sampler`.

    Args:
        model: model to guide, with labels 0 to K - 1 and all that this guidance needs. The default is an exact mixture
            with a null label, an exact classifier and a learned variance.
    """
    return _checked(guidance, outcomes(guidance, model=model, expected_failures=expected_failures))


def check_features(features: Features, *, expected_failures: Reasons | None = None) -> list[Outcome]:
    """Run every check of a feature network, with its source.

    Raises:
        AssertionError: a check failed; names all that did.
    """
    return _checked(features, outcomes(features, expected_failures=expected_failures))


def check_spacing(spacing: Spacing, *, expected_failures: Reasons | None = None) -> list[Outcome]:
    """Run every check of a spacing, on paths of all kinds.

    Raises:
        AssertionError: a check failed; names all that did.
    """
    return _checked(spacing, outcomes(spacing, expected_failures=expected_failures))


def check_architecture(architecture: NetworkArchitecture, module: Any) -> list[Outcome]:
    """Run every check of an architecture of networks.

    Args:
        module: a network of the class that it reads, such as a small one with random weights. Copies of it are run.

    Raises:
        AssertionError: a check failed; names all that did.
    """
    checks: dict[str, Check] = {check_keeps_the_protocol.__name__: check_keeps_the_protocol}
    checks |= {check.__name__: functools.partial(check, module=stirred(module)) for check in ARCHITECTURE_CHECKS}
    return _checked(architecture, (_outcome(name, check, architecture, None) for name, check in checks.items()))


def parametrize_with_checks(
    plugins: Sequence[Options],
    *,
    model: Model | None = None,
    expected_failures: Reasons | Callable[[Any], Reasons] | None = None,
) -> pytest.MarkDecorator:
    """Return a pytest mark that makes a test of every check of every object: `def test(plugin, check)`.

    Args:
        plugins: samplers and guidances.
        model: model to check the guidances on.
        expected_failures: names of checks with reasons, or a function that returns these for an object. They become
            strict xfails.
    """
    import pytest

    params = []
    for plugin in plugins:
        checks = checks_of(plugin, model=model)
        reasons = expected_failures(plugin) if callable(expected_failures) else expected_failures
        expected = _known(reasons, checks)
        for name, check in checks.items():
            check = _warning(check) if name in {check.__name__ for check in WARNING_CHECKS} else check
            marks = [pytest.mark.xfail(reason=expected[name], strict=True)] if name in expected else []
            params.append(pytest.param(plugin, check, id=f"{plugin!r}-{name}", marks=marks))
    return pytest.mark.parametrize(("plugin", "check"), params)


def _on_path(check: Callable[..., None], path: Path) -> Check:
    """Bind a check to a kind of path. It is skipped for a sampler that refuses the path, at once and in one line."""

    def on_path(sampler: Sampler) -> None:
        reason = refusal(sampler, path)
        if reason is not None:
            raise SkipTest(f"{REFUSES} a {path.kind} path: {reason}")
        check(sampler, path)

    return on_path


def _warning(check: Check) -> Check:
    """Turn the failures of a check into warnings."""

    @functools.wraps(check)
    def warns(plugin: Any) -> None:
        try:
            check(plugin)
        except AssertionError as error:
            warnings.warn(str(error), stacklevel=2)

    return warns


def _on(model: Model | None, check: Callable[..., None]) -> Check:
    return check if model is None else functools.partial(check, model=model)


def _known(expected: Reasons | None, checks: Mapping[str, Check]) -> Reasons:
    for name in expected or NO_REASONS:
        if name not in checks:
            raise UsageError(f"there is no check {name!r} to expect a failure of{did_you_mean(name, [*checks])}")
    return expected or NO_REASONS


def _outcome(name: str, check: Check, plugin: Options, expected: str | None) -> Outcome:
    try:
        check(plugin)
    except SkipTest as why:
        return Outcome(name, "skipped", str(why))
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        said, *details = _lines(blame(error, plugin) or error)
        if isinstance(plugin, Sampler) and not plugin.needs_mean:
            details.append("networks here are exact consistency models, since needs_mean is False")
        if expected is None:
            warns = isinstance(error, AssertionError) and name in {check.__name__ for check in WARNING_CHECKS}
            return Outcome(name, "warning" if warns else "failed", said, tuple(details), error)
        return Outcome(name, "expected", expected, error=error)
    if expected is not None:
        return Outcome(
            name, "failed", f"it passes, though expected to fail ({expected}): take it out of expected_failures"
        )
    return Outcome(name, "passed")


def _lines(error: BaseException) -> list[str]:
    """Split an error into lines, the first of which is a summary. Errors other than those of a check are one line."""
    if isinstance(error, AssertionError) and str(error).strip():
        return [" ".join(line.split()) for line in str(error).strip().splitlines()]
    return [reason(error)]


def _checked(plugin: Options, found: Iterator[Outcome]) -> list[Outcome]:
    every = list(found)
    failed = [outcome for outcome in every if outcome.status == "failed"]
    if failed:
        told = [failed[0].whole, *map(str, failed[1:])]
        raise AssertionError(f"{plugin!r} fails {len(failed)} of {len(every)} checks:\n" + "\n".join(told))
    return every
