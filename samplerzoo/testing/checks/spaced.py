"""Checks of a spacing: levels decrease from the top to the clean end, one per step, on any path."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence

from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.spacing import Spacing
from samplerzoo.errors import UsageError
from samplerzoo.testing.alike import ALIKE, at_the_place_of
from samplerzoo.testing.checks import numbers
from samplerzoo.testing.checks.independence import SAME_LEVELS, kept_random_state, seed_everything, undrawn
from samplerzoo.testing.fixtures import COSINE, LINEAR, ZERO_SNR, with_own_grid
from samplerzoo.testing.settings import (
    difference,
    neighbours,
    settings,
    takes_zero_for_none,
    values_apart,
    with_near,
    with_value,
    zero_for_none,
)

ROUNDING = 1e-9
"""Relative distance from the top within which a level is the top, since a grid may be computed in logarithms."""

MOST_STEPS = 1000
"""Largest number of steps. With more, the last level of some spacings is cleaner than the first of 1000 timesteps."""

STEPS = tuple(sorted(n for n in {*numbers.STEPS, *numbers.MORE_STEPS} if n <= MOST_STEPS))
"""Numbers of steps to try: all small ones, and common large ones."""

FEWER_STEPS = (*range(1, 17), 33, 50, 99, 333, 1000)
"""Numbers of steps at other values of an option."""

FEW, MANY = 10, (30, 60, 250)
"""Number of steps that must work on every accepted path, and further numbers at which options are tried."""


SCHEDULES = {
    "a linear VP path": LINEAR,
    "a cosine VP path": COSINE,
    "a VP path that ends in noise": ZERO_SNR,
    "a VP path of 16 timesteps": VP.from_config({"num_train_timesteps": 16}),
    "a VP path of 100 timesteps": VP.from_config({"num_train_timesteps": 100}),
    "a VP path of 4000 timesteps": VP.from_config({"num_train_timesteps": 4000}),
    "a VE path": VE(),
    "a VE path up to 700": VE(high=700.0),
    "a flow path": RectifiedFlow(),
    "a flow path with a shift of 3": RectifiedFlow(shift=3.0),
    "a VP path with a grid of its own": with_own_grid(VP.from_config({})),
    "a flow path with a grid of its own": with_own_grid(RectifiedFlow()),
}


VERY_MANY = 100_000
"""Number of steps of a run without wide gaps."""

GAP, FAR_APART = 0.1, 1.0
"""Width of a wide gap, as a share of T, and in log-SNR."""

STEPS_ALIKE = 13
"""Number of steps on such paths. When it is asked for, no path has been asked about it before."""

NEARLY = 0.01
"""Largest difference of a level, as a share of T, that one timestep more or less makes."""

AGAIN = (2, FEW, 47)
"""Numbers of steps that are requested twice."""

FROM_STEPS = 5
"""Number of steps from which a spacing should follow one rule. With fewer it may follow another."""
RULE = 20
"""Successive numbers of steps after which a property is considered a rule, and not chance."""
FORGOTTEN = 0.01
"""Relative distance from the cleanest level of training above which the last level is a different one."""

Run = tuple[str, Schedule, int, list[float]]
"""Path in words, path, number of steps, and times tau."""


def check_some_path_is_taken(spacing: Spacing) -> None:
    """Check that the spacing accepts some path, and that it refuses others in one line."""
    reasons = [refusal(spacing, schedule) for schedule in SCHEDULES.values()]
    assert None in reasons, f"it refuses every path: {reasons[0]}"


def check_there_is_a_level_a_step(spacing: Spacing) -> None:
    """Check that a run of any number of steps has one level per step, on the path and each cleaner than the last."""
    for run in _all_runs(spacing):
        _check_levels(spacing, run)


def check_runs_start_at_the_top(spacing: Spacing) -> None:
    """Check that every run starts at T, unless the spacing says that it does not."""
    for run in _all_runs(spacing):
        _check_top(spacing, run)


def check_no_level_is_cleaner_than_those_of_training(spacing: Spacing) -> None:
    """Check that the last noisy level is not cleaner than the cleanest level of training."""
    for run in _all_runs(spacing):
        _check_bottom(spacing, run)


def check_spacing_is_repeatable(spacing: Spacing) -> None:
    """Check that equal numbers of steps give equal levels, after other runs and with another random state."""
    expected = [(where, steps, taus) for where, _, steps, taus in _runs(spacing, AGAIN)]
    with kept_random_state():
        for seed in (1, 2):
            seed_everything(seed)
            with undrawn(SAME_LEVELS):
                for (where, steps, taus), (_, _, _, again) in zip(expected, _runs(spacing, AGAIN), strict=True):
                    assert again == taus, f"the levels of {steps} steps differ at a second call, on {where}"


def check_levels_fill_the_path(spacing: Spacing) -> None:
    """Check that no wide gap stays open when steps are many, in which errors would not become smaller.

    A gap is wide if it is long in time and in log-SNR. It may close slowly, as with Karras's levels of a small rho, so
    that very many steps are asked for. A spacing of whole timesteps has not so many.
    """
    for name in ("a linear VP path", "a flow path"):
        schedule = SCHEDULES[name]
        try:
            taus = spacing.spread(schedule, VERY_MANY)
        except UsageError:
            continue
        for t, s in itertools.pairwise(taus):
            wide = t - s > GAP * schedule.T and schedule.at(s).log_snr - schedule.at(t).log_snr > FAR_APART
            assert not wide, (
                f"a run of {VERY_MANY} steps goes from tau {t:.6g} to {s:.6g} of {name} in one step: with more steps "
                "it does not get better"
            )


def check_spacing_is_that_of_the_path(spacing: Spacing) -> None:
    """Check that the levels of a path do not depend on which path was asked for before it.

    Two paths of one kind and one number of timesteps are asked in turn, and then two that have one timestep more, in
    the other order: a path that is taken for another one has other levels than its like. And paths are asked that lie
    at one place in memory, one after the other.
    """
    for kind, pair in ALIKE.items():
        if not all(_takes(spacing, [*like.values()]) for like in pair):
            continue
        asked: list[dict[str, list[float]]] = []
        for like, names in zip(pair, (sorted(pair[0]), sorted(pair[1], reverse=True)), strict=True):
            asked.append({name: _shares(spacing, like[name]) for name in names})
        for name in asked[0]:
            off = max(abs(a - b) for a, b in zip(asked[0][name], asked[1][name], strict=True))
            assert off <= NEARLY, (
                f"on {kind} that is {name}, levels are off by {off:.2g} of T when another path of as many timesteps "
                "was asked for before: what is kept forgets the path"
            )
    for gone, schedule in itertools.permutations((LINEAR, COSINE)):
        if _takes(spacing, (gone, schedule)):
            found = at_the_place_of(gone, schedule, functools.partial(_shares, spacing))
            assert found in (None, _shares(spacing, schedule)), (
                "levels are those of another path, which is gone and had the same id: an id is used again once its "
                "object is gone, so that nothing can be kept by it"
            )


def _takes(spacing: Spacing, schedules: Sequence[Schedule]) -> bool:
    return not any(refusal(spacing, schedule) for schedule in schedules)


def _shares(spacing: Spacing, schedule: Schedule) -> list[float]:
    """Return the levels of a run as shares of T."""
    return [tau / schedule.T for tau in spacing.spread(schedule, STEPS_ALIKE)]


def check_options_move_levels(spacing: Spacing) -> None:
    """Check that every option changes a level of some path, and that all checks of levels pass at its other values."""
    own = [taus for *_, taus in _runs(spacing, (FEW,))]
    still = set(type(spacing).model_fields)
    for other in settings(spacing):
        changed = {name for name, value in dict(other).items() if value != getattr(spacing, name)}
        if [taus for *_, taus in _runs(other, (FEW,))] != own:
            still -= changed
        try:
            for run in _all_runs(spacing) if other == spacing else _runs(other, FEWER_STEPS):
                _check_levels(other, run)
                _check_top(other, run)
                _check_bottom(other, run)
        except AssertionError as error:
            raise AssertionError(f"{error!s}{difference(spacing, other)}") from error
    assert not still, f"the option {min(still)} moves no level: is it forgotten?"
    for name in type(spacing).model_fields:
        assert not takes_zero_for_none(spacing, name, _distance), zero_for_none(name)
    for name, value in dict(spacing).items():
        for other in with_near(spacing, name):
            first, second = ([taus for *_, taus in _runs(it, (FEW, MANY[0]))] for it in (spacing, other))
            assert first != second, (
                f"the option {name} gives the same levels at {value!r} as at {getattr(other, name)!r}: is it rounded, "
                "as in a key of what is kept?"
            )
    for name in type(spacing).model_fields:
        for a, b in values_apart(spacing, name):
            x, y = (
                [taus for other in with_value(spacing, name, value) for *_, taus in _runs(other, (FEW,))]
                for value in (a, b)
            )
            assert x != y, (
                f"the option {name} gives the same levels at {a!r} as at {b!r}: a value that is not taken as it "
                "is belongs out of its bounds, which its Field says"
            )


def _distance(one: Spacing, other: Spacing) -> float:
    """Return the largest difference of the levels of two spacings, on all paths."""
    pairs = zip(_runs(one, (FEW,)), _runs(other, (FEW,)), strict=False)
    return max(
        (abs(a - b) for (*_, first), (*_, second) in pairs for a, b in zip(first, second, strict=True)), default=0
    )


def check_numbers_of_steps_are_alike(spacing: Spacing) -> None:
    """Check that a spacing follows its rule at every number of steps, if it has a recognisable rule.

    Most spacings end at the cleanest level of training. And in most, the levels of n steps are among those of 2n - 1 or
    2n steps. If this holds at many numbers in a row, it should hold at all later ones. And an option that changes
    levels at few steps should change some at many. A finding is only a warning, since any decreasing levels are valid,
    and a table for some numbers of steps may be intended.
    """
    for other in neighbours(spacing):
        moves = {
            steps: [taus for *_, taus in _runs(other, (steps,))] != [taus for *_, taus in _runs(spacing, (steps,))]
            for steps in (FEW, *MANY)
        }
        at, still = ([steps for steps, moved in moves.items() if moved is it] for it in (True, False))
        assert not (at and still), (
            f"it moves levels at {at[0]} steps{difference(spacing, other)}, and none at {still[0]}: is it lost there?"
        )
    for where, runs in itertools.groupby(_all_runs(spacing), key=lambda run: run[0]):
        by_number = {steps: (schedule, taus) for _, schedule, steps, taus in runs if steps >= FROM_STEPS}
        ends = {steps: taus[-1] <= schedule.low * (1 + FORGOTTEN) for steps, (schedule, taus) in by_number.items()}
        for steps in _exceptions(ends):
            schedule, taus = by_number[steps]
            raise AssertionError(
                f"the last noisy level of {steps} steps is at tau {taus[-1]:.6g} of {where}, where at many numbers "
                f"of steps it is the cleanest one, {schedule.low:g}"
            )
        for more in (-1, 0):
            pairs = {n: 2 * n + more for n in by_number if 2 * n + more in by_number}
            found = {n: _is_among(spacing, by_number[n], by_number[twice][1]) for n, twice in pairs.items()}
            for steps in _exceptions(found):
                raise AssertionError(
                    f"the levels of {steps} steps are not among those of {pairs[steps]} on {where}, as they are at "
                    "many numbers"
                )


def _exceptions(found: Mapping[int, bool]) -> list[int]:
    """Return the numbers of steps at which a property fails, if it holds for at least RULE successive numbers.

    Numbers below the first one at which it holds are left out, since it may not hold yet at few steps.

    Args:
        found: whether the property holds, by number of steps in ascending order.
    """
    longest = max((len([*row]) for so, row in itertools.groupby(found.values()) if so), default=0)
    since = itertools.dropwhile(lambda steps: not found[steps], found)
    return [steps for steps in since if not found[steps]] if longest >= RULE else []


def _is_among(spacing: Spacing, few: tuple[Schedule, list[float]], many: list[float]) -> bool:
    """Tell whether levels are every second one of the finer levels, but for rounding."""
    schedule, taus = few
    allowed = 1.0 if spacing.rounds and schedule.whole is not None else 1e-6 * schedule.T
    return all(abs(a - b) <= allowed for a, b in zip(taus, many[::2], strict=True))


def _check_levels(spacing: Spacing, run: Run) -> None:
    where, schedule, steps, taus = run
    assert len(taus) == steps, f"{len(taus)} levels for {steps} steps of {where}"
    for number, tau in enumerate(taus):
        assert 0 < tau <= schedule.T, (
            f"level {number} of {steps} is at tau {tau:.17g} of {where}, where tau is above 0 and at most "
            f"{schedule.T:.17g}"
        )
    for number, (t, s) in enumerate(itertools.pairwise(taus), 1):
        rounded = t == s == round(s) and not spacing.rounds
        assert t > s, (
            f"level {number} of {steps} is at tau {s:.10g} of {where}, which is not below the {t:.10g} before "
            f"it{': where times are rounded, say rounds = True' if rounded else ''}"
        )


def _check_top(spacing: Spacing, run: Run) -> None:
    where, schedule, steps, taus = run
    assert not spacing.starts_at_top or abs(taus[0] - schedule.T) <= ROUNDING * schedule.T, (
        f"a run of {steps} steps starts at tau {taus[0]:.10g} of {where}, and its noise is that of "
        f"{schedule.T:g}: start there, or say starts_at_top = False"
    )


def _check_bottom(spacing: Spacing, run: Run) -> None:
    where, schedule, steps, taus = run
    assert taus[-1] >= schedule.low * (1 - 1e-9), (
        f"the last noisy level of {steps} steps is at tau {taus[-1]:.3g} of {where}, and networks know those "
        f"from {schedule.low:g} (schedule.low) on"
    )


def refusal(spacing: Spacing, schedule: Schedule) -> str | None:
    """Return the reason why a spacing refuses a path; None if it accepts it."""
    try:
        spacing.spread(schedule, FEW)
    except UsageError as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=4)
def _all_runs(spacing: Spacing) -> list[Run]:
    """Return the runs of all numbers of steps, from a cache."""
    return [*_runs(spacing, STEPS)]


def _runs(spacing: Spacing, numbers_of_steps: Sequence[int]) -> Iterator[Run]:
    """Yield every run that the spacing does not refuse."""
    for name, schedule in SCHEDULES.items():
        if refusal(spacing, schedule) is None:
            for steps in numbers_of_steps:
                try:
                    taus = spacing.spread(schedule, steps)
                except UsageError:
                    if steps <= FEW:  # an accepted path has room for a few steps
                        raise
                    continue
                yield name, schedule, steps, taus
