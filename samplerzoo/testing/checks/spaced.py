"""Checks of a spacing: levels that decrease from the top to the clean end, as many as there are steps, on any path."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.spacing import Spacing
from samplerzoo.errors import UsageError
from samplerzoo.testing.checks.independence import kept_random_state, random_state, seed_everything
from samplerzoo.testing.fixtures import COSINE, LINEAR, ZERO_SNR
from samplerzoo.testing.settings import difference, settings, values_apart, with_value

ROUNDING = 1e-9
"""Relative distance from the top of a path that is no other level: of a grid that is computed in logarithms."""

STEPS = (*range(1, 17), 33, 50, 99, 333, 1000)
"""Numbers of steps to look at: all small ones, and large ones that divide the timesteps or do not."""

FEW = 10
"""Steps that a spacing takes on every path that it takes at all."""


def _with_grid(schedule: Schedule) -> Schedule:
    """Give a path a grid of its own, as that of a model's scheduler: the levels between T and the cleanest one."""
    span = schedule.T - schedule.low
    schedule.own = lambda steps: [schedule.T - span * k / max(steps - 1, 1) for k in range(steps)]
    return schedule


SCHEDULES = {
    "a linear VP path": LINEAR,
    "a cosine VP path": COSINE,
    "a VP path that ends in noise": ZERO_SNR,
    "a VP path of 16 timesteps": VP.from_config({"num_train_timesteps": 16}),
    "a VE path": VE(),
    "a flow path": RectifiedFlow(),
    "a VP path with a grid of its own": _with_grid(VP.from_config({})),
    "a flow path with a grid of its own": _with_grid(RectifiedFlow()),
}


Run = tuple[str, Schedule, int, list[float]]
"""Path in words, path, number of steps, and times tau."""


def check_some_path_is_taken(spacing: Spacing) -> None:
    """Check that there is a path that the spacing does not refuse, and that it refuses in one line."""
    reasons = [refusal(spacing, schedule) for schedule in SCHEDULES.values()]
    assert None in reasons, f"it refuses every path: {reasons[0]}"


def check_there_is_a_level_a_step(spacing: Spacing) -> None:
    """Check that a run of any number of steps has as many levels, all on the path, each cleaner than the one before."""
    for run in _all_runs(spacing):
        _check_levels(spacing, run)


def check_runs_start_at_the_top(spacing: Spacing) -> None:
    """Check that every run starts at T, unless the spacing says that it does not."""
    for run in _all_runs(spacing):
        _check_top(spacing, run)


def check_no_level_is_cleaner_than_those_of_training(spacing: Spacing) -> None:
    """Check that the last noisy level is one that networks know: the cleanest of training, or a noisier one."""
    for run in _all_runs(spacing):
        _check_bottom(spacing, run)


def check_spacing_is_repeatable(spacing: Spacing) -> None:
    """Check that the same steps have the same levels again: after other runs, and with another random state."""
    expected = [(where, steps, taus) for where, _, steps, taus in _runs(spacing, (2, FEW))]
    with kept_random_state():
        for seed in (1, 2):
            seed_everything(seed)
            before = random_state()
            for (where, steps, taus), (_, _, _, again) in zip(expected, _runs(spacing, (2, FEW)), strict=True):
                assert again == taus, f"the levels of {steps} steps differ at a second call, on {where}"
            for library, state in random_state().items():
                assert state == before[library], f"it draws from the global random state of {library}"


def check_options_move_levels(spacing: Spacing) -> None:
    """Check that every option moves a level of some path, and that all checks of levels hold at its other values."""
    own = [taus for *_, taus in _runs(spacing, (FEW,))]
    still = set(type(spacing).model_fields)
    for other in settings(spacing):
        changed = {name for name, value in dict(other).items() if value != getattr(spacing, name)}
        if [taus for *_, taus in _runs(other, (FEW,))] != own:
            still -= changed
        try:
            check_there_is_a_level_a_step(other)
            check_runs_start_at_the_top(other)
            check_no_level_is_cleaner_than_those_of_training(other)
        except AssertionError as error:
            raise AssertionError(f"{error!s}{difference(spacing, other)}") from error
    assert not still, f"the option {min(still)} moves no level: is it forgotten?"
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


def _check_levels(spacing: Spacing, run: Run, setting: str = "") -> None:
    where, schedule, steps, taus = run
    assert len(taus) == steps, f"{len(taus)} levels for {steps} steps of {where}{setting}"
    for number, tau in enumerate(taus):
        assert 0 < tau <= schedule.T, (
            f"level {number} of {steps} is at tau {tau:g} of {where}{setting}, where tau is above 0 and at most "
            f"{schedule.T:g}"
        )
    for number, (t, s) in enumerate(itertools.pairwise(taus), 1):
        rounded = t == s == round(s) and not spacing.rounds
        assert t > s, (
            f"level {number} of {steps} is at tau {s:.10g} of {where}{setting}, which is not below the {t:.10g} before "
            f"it{': where times are rounded, say rounds = True' if rounded else ''}"
        )


def _check_top(spacing: Spacing, run: Run, setting: str = "") -> None:
    where, schedule, steps, taus = run
    assert not spacing.starts_at_top or abs(taus[0] - schedule.T) <= ROUNDING * schedule.T, (
        f"a run of {steps} steps starts at tau {taus[0]:.10g} of {where}{setting}, and its noise is that of "
        f"{schedule.T:g}: start there, or say starts_at_top = False"
    )


def _check_bottom(spacing: Spacing, run: Run, setting: str = "") -> None:
    where, schedule, steps, taus = run
    assert taus[-1] >= schedule.low * (1 - 1e-9), (
        f"the last noisy level of {steps} steps is at tau {taus[-1]:.3g} of {where}{setting}, and networks know those "
        f"from {schedule.low:g} (schedule.low) on"
    )


def refusal(spacing: Spacing, schedule: Schedule) -> str | None:
    """Return the reason for which a spacing refuses a path; None if it takes it."""
    try:
        spacing.spread(schedule, FEW)
    except UsageError as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=4)
def _all_runs(spacing: Spacing) -> list[Run]:
    """Make the runs of all numbers of steps, once."""
    return [*_runs(spacing, STEPS)]


def _runs(spacing: Spacing, numbers: Sequence[int]) -> Iterator[Run]:
    """Yield every run that the spacing does not refuse."""
    for name, schedule in SCHEDULES.items():
        if refusal(spacing, schedule) is None:
            for steps in numbers:
                try:
                    taus = spacing.spread(schedule, steps)
                except UsageError:
                    if steps <= FEW:  # a path that is taken has room for a few
                        raise
                    continue
                yield name, schedule, steps, taus
