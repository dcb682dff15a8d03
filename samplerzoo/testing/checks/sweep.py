"""Checks of every option over the values that its bounds allow: each has an effect, and none makes a method wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.testing.checks.answers import (
    check_kinds_of_network_agree,
    check_lands_on_the_point,
    check_moments,
    check_order_of,
    has_order,
)
from samplerzoo.testing.checks.devices import device_is_kept
from samplerzoo.testing.checks.digits import (
    check_coefficients_have_all_digits,
    check_draws_keep_their_digits,
    check_dtype_is_kept,
    check_float32_is_enough,
    check_half_precision_is_near,
)
from samplerzoo.testing.checks.fresh_noise import check_noise_is_as_predicted, check_runs_heed_their_answers
from samplerzoo.testing.checks.grids import check_grids_are_as_asked, check_levels_are_those_of_training
from samplerzoo.testing.checks.independence import (
    check_batch_is_not_mixed,
    check_runs_leave_nothing_behind,
)
from samplerzoo.testing.checks.refusals import refusal
from samplerzoo.testing.checks.shapes import check_any_shape, check_pixels_are_independent
from samplerzoo.testing.checks.steps import check_every_step, check_long_runs, check_steps
from samplerzoo.testing.checks.unit import unit_is_free
from samplerzoo.testing.checks.walk import (
    check_answers_are_used,
    check_draws_are_used,
    check_irregular_grids,
    check_nothing_is_changed_in_place,
    check_one_state_a_step,
)
from samplerzoo.testing.fixtures import ON_VP, PATHS, Path, bimodal, farthest, given_noise, shifted, states
from samplerzoo.testing.settings import (
    in_pairs,
    neighbours,
    takes_zero_for_none,
    values_apart,
    with_value,
    zero_for_none,
)
from samplerzoo.testing.steps import coarse_grids, fine_grids

EXACT_CHECKS = (
    check_every_step,
    check_answers_are_used,
    check_noise_is_as_predicted,
    check_runs_heed_their_answers,
    unit_is_free,
    check_float32_is_enough,
    check_lands_on_the_point,
    check_irregular_grids,
    check_kinds_of_network_agree,
    check_moments,
)

PLAIN_CHECKS = (
    check_grids_are_as_asked,
    check_levels_are_those_of_training,
    check_one_state_a_step,
    check_runs_leave_nothing_behind,
    check_batch_is_not_mixed,
    check_any_shape,
    check_pixels_are_independent,
    check_nothing_is_changed_in_place,
    check_draws_are_used,
    device_is_kept,
    check_dtype_is_kept,
    check_draws_keep_their_digits,
    check_coefficients_have_all_digits,
    check_lands_on_the_point,
    check_long_runs,
    check_float32_is_enough,
    check_half_precision_is_near,
)
"""Checks that must pass for any method: independent images, precision, and long runs."""

MANY = 25
RUNS = ((10, (2,)), (MANY, (2,)), (10, (3, 4, 5)), (300, (2,)))
"""Steps and shapes of runs in which options should have an effect, cheap runs first.

From the second run on, any two values must differ. With fewer steps, some methods limit a value.
"""

FEWER_STEPS, MORE_STEPS = (64, 128), (256, 512)
"""Numbers of steps for measuring the order at many settings."""

SOME = 5
"""Number of settings for which `PLAIN_CHECKS` are made."""

PAIRS = 8
"""Number of settings with two other options that are tried."""

LONG = 4
"""Number of those that are tried in long runs, too."""

MOST = 24
"""Most settings that a thorough sweep tries on each kind of path."""


def check_options_act(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that any two values of an option give different states in some run, with the others as they are or varied.

    An option without any effect was forgotten in the code. One without effect beyond some value is silently limited. An
    option may have an effect only in long runs, or only on pictures, so several runs are tried.
    """
    around, ways = [sampler, *neighbours(sampler)], [_Ways(path, steps, shape) for steps, shape in RUNS]
    for name in type(sampler).model_fields:
        settings = [(base, other) for base in around for other in neighbours(base, name)]
        acts = any(way.differ(*pair) for way in ways for pair in settings) or _differ_elsewhere(settings)
        assert acts, f"the option {name} changes no state, whatever it and the other options are set to"
        assert not any(takes_zero_for_none(base, name, ways[0].distance) for base in around), zero_for_none(name)
        for a, b in values_apart(sampler, name):
            pairs = [(x, y) for it in around for x in with_value(it, name, a) for y in with_value(it, name, b)]
            if any(way.differ(x, y) for way in ways[1:] for x, y in pairs):
                continue
            refusals = (way.refusal(one) for way in ways[1:] for one in itertools.chain(*pairs))
            refused = next(filter(None, refusals), None)
            if refused is None and _differ_elsewhere(pairs, a, b):
                continue
            raise AssertionError(
                f"the option {name} gives the same states at {a!r} as at {b!r}"
                + (
                    f" in the runs that it takes, and other runs it refuses: {refused}"
                    if refused
                    else ": a value that is not taken as it is belongs out of its bounds, which its Field says"
                )
            )


def _differ_elsewhere(pairs: Sequence[tuple[Sampler, Sampler]], *values: Any) -> bool:
    """Tell whether two settings differ on another schedule, or in a run of about as many steps as an option says.

    Bounds on the noise may lie beyond the top of one schedule, and numbers of steps between those of other runs.
    """
    near = {value + more for value in values if type(value) is int for more in (-1, 0, 1)}
    steps = [MANY, *sorted(count for count in near if 0 < count <= RUNS[-1][0])]
    paths = [
        Path({name: schedule}, path.timesteps)
        for path in PATHS
        if any(refusal(one, path) is None for one, _ in pairs[:1])
        for name, schedule in path.schedules.items()
    ]
    every = (_Ways(path, count, spacing=spacing) for path in paths for count in steps for spacing in path.spacings)
    return any(way.differ(*pair) for way in every for pair in pairs)


def check_settings_hold(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check the steps and the order of the sampler with each option at further values within its bounds.

    One option at a time is varied. If it has no effect with the others as they are, one of those is changed, too. With
    two options at other values, a few settings are tried in runs of small steps, and on VP paths in long ones.
    """
    for other in _settings_that_act(sampler, path):
        if refusal(other, path) is not None:
            continue
        try:
            for name, schedule in path.schedules.items():
                grids = fine_grids(schedule)
                chosen = [*grids][:: 2 if schedule is path.schedule else len(grids) - 1]
                exact = check_steps(other, schedule, {what: grids[what] for what in chosen}, name)
                if schedule is path.schedule:
                    check_steps(other, schedule, coarse_grids(other, schedule, path.spacings), name, exact=exact)
            check_answers_are_used(other, path)
            check_noise_is_as_predicted(other, path)
            check_runs_heed_their_answers(other, path)
            unit_is_free(other, path)
            if other.order:
                _check_order(other, sampler, path)
        except AssertionError as error:
            raise AssertionError(f"as {other!r}: {error}") from error
    for number, other in enumerate(in_pairs(sampler, PAIRS)):
        if refusal(other, path) is None:
            long = path is ON_VP and number < LONG
            _check_each([_check_fine_steps, *[check_long_runs] * long], other, path)


def _check_fine_steps(sampler: Sampler, path: Path) -> None:
    """Check the steps of two runs of small steps, one from the top and one from less noise."""
    grids = fine_grids(path.schedule)
    check_steps(sampler, path.schedule, {what: grids[what] for what in [*grids][:: len(grids) - 1]}, path.kind)


def check_settings_are_sound(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check independence, precision and long runs with each option at further values, too.

    Code that an option turns on may mix images, write into its input, or work for one shape only. If there are many
    settings, a few are checked.
    """
    acting = [other for other in _settings_that_act(sampler, path) if refusal(other, path) is None]
    for other in acting[:: -(-len(acting) // SOME) or 1]:
        _check_each(PLAIN_CHECKS, other, path)


def _check_each(checks: Sequence[Callable[[Sampler, Path], object]], other: Sampler, path: Path) -> None:
    try:
        for check in checks:
            check(other, path)
    except (AssertionError, ZooError) as error:
        raise AssertionError(f"as {other!r}: {error}") from error


def _check_order(other: Sampler, sampler: Sampler, path: Path) -> None:
    """Check the order with few steps, and if that fails with more, since at a bound it may only show for small steps.

    If the sampler misses the order at its own setting, `check_order` reports it instead.
    """
    for steps in (FEWER_STEPS, MORE_STEPS):
        if has_order(other, path, steps) or (other.order == sampler.order and not has_order(sampler, path, steps)):
            return
    check_order_of(other, path, MORE_STEPS)


def _settings_that_act(sampler: Sampler, path: Path) -> list[Sampler]:
    """List settings that differ from the sampler in one option, or in two if one has an effect only with the other."""
    around, ways = [sampler, *neighbours(sampler)], [_Ways(path, steps, shape) for steps, shape in RUNS[1:]]
    found: list[Sampler] = []
    for name in type(sampler).model_fields:
        acting = (
            base for way in ways for base in around if any(way.differ(base, other) for other in neighbours(base, name))
        )
        base = next(acting, None)
        found += [] if base is None else neighbours(base, name)
    return [other for n, other in enumerate(found) if other != sampler and other not in found[:n]]


def check_all_settings(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check all exact answers with any two options at further values within their bounds.

    A third option is changed if they need it to have an effect. Of settings with the same states, one is checked.
    """
    for other in _settings_in_pairs(sampler, path):
        _check_each((*PLAIN_CHECKS, *EXACT_CHECKS), other, path)
        if other.order:
            _check_each([lambda it, way: _check_order(it, sampler, way)], other, path)


def _settings_in_pairs(sampler: Sampler, path: Path) -> list[Sampler]:
    """List the settings that are one option away from those that differ in one, evenly thinned to about MOST."""
    ways, found = _Ways(path), [sampler]
    acting = _settings_that_act(sampler, path)
    for other in itertools.chain(acting, *map(neighbours, acting)):
        if refusal(other, path) is None and all(ways.differ(other, one) for one in found):
            found.append(other)
    return found[:: -(-len(found) // MOST)]


class _Ways:
    """Runs of settings on one path, to tell whether two settings make the same states."""

    def __init__(self, path: Path, steps: int = MANY, shape: tuple[int, ...] = (2,), spacing: str = "logsnr") -> None:
        self._path, self._steps, self._shape, self._spacing = path, steps, shape, spacing
        self._known: dict[str, list[torch.Tensor] | str] = {}

    def differ(self, a: Sampler, b: Sampler) -> bool:
        """Tell whether two settings make different states. A refused setting differs from none."""
        x, y = self._way(a), self._way(b)
        if isinstance(x, str) or isinstance(y, str):
            return False
        return len(x) != len(y) or not all(torch.equal(p, q) for p, q in zip(x, y, strict=True))

    def distance(self, a: Sampler, b: Sampler) -> float:
        """Return the largest difference of the states of two settings; NaN if one is refused."""
        x, y = self._way(a), self._way(b)
        if isinstance(x, str) or isinstance(y, str):
            return math.nan
        return max(map(farthest, x, y)) if len(x) == len(y) else math.inf

    def refusal(self, sampler: Sampler) -> str | None:
        """Return the reason for which a run of a setting is refused; None if it is taken."""
        way = self._way(sampler)
        return way if isinstance(way, str) else None

    def _way(self, sampler: Sampler) -> list[torch.Tensor] | str:
        """Return the states of a run, or the reason for which the sampler refuses it."""
        key = sampler.model_dump_json()
        if key not in self._known:
            schedule = self._path.schedule
            try:
                grid = grid_of(sampler, schedule, self._steps, self._spacing)
                model, draw = bimodal(self._shape, schedule), given_noise(2, self._shape)
                model = shifted(model) if sampler.takes_shift else model
                self._known[key] = list(states(sampler, model, grid, draw))
            except UsageError as error:
                self._known[key] = str(error)
        return self._known[key]
