"""Checks of refused paths, which must be refused at once, in one line, and not all of them; and of spacings."""

from __future__ import annotations

from types import TracebackType

from samplerzoo.core.level import Grid
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.errors import UsageError
from samplerzoo.testing.checks.process import kept_settings
from samplerzoo.testing.fixtures import PATHS, Path, given_noise, made_for, states

STEPS = 3
SPACED = 9
"""Steps of grids that must differ between spacings."""
LOOKED_UP = ("at", "at_log_snr")
"""Methods of a schedule whose errors are about an invalid level of the sampler, and not a refusal of the path."""


def refusal(sampler: Sampler, path: Path) -> str | None:
    """Return the reason why a sampler refuses a kind of path, from a run of a few steps; None if it accepts it."""
    model = made_for(sampler, 0.5, 0.5, path.schedule)
    try:
        with kept_settings():
            list(states(sampler, model, grid_of(sampler, path.schedule, STEPS), given_noise(2, (1,))))
    except UsageError as error:
        return None if _innermost(error.__traceback__) in LOOKED_UP else str(error)
    except (Exception, SystemExit):  # not a refusal; the checks report it
        return None
    return None


def check_takes_some_path(sampler: Sampler) -> None:
    """Check that the sampler accepts at least one kind of path."""
    reasons = [refusal(sampler, path) for path in PATHS]
    assert None in reasons, f"it refuses every kind of path: {'; '.join(filter(None, reasons))}"


def check_spacing_is_heeded(sampler: Sampler) -> None:
    """Check that another spacing gives other levels. This is only a warning, since a method may have its own levels."""
    for path in PATHS:
        if refusal(sampler, path) is None:
            first, second = (grid_of(sampler, path.schedule, SPACED, spacing) for spacing in path.spacings)
            assert type(first) is not Grid or first.levels != second.levels, (
                f"its grid of {SPACED} steps is the same on the spacings {' and '.join(path.spacings)} of a "
                f"{path.kind} path: --spacing does nothing"
            )


def _innermost(traceback: TracebackType | None) -> str:
    """Return the name of the function that raised."""
    name = ""
    while traceback is not None:
        name, traceback = traceback.tb_frame.f_code.co_name, traceback.tb_next
    return name
