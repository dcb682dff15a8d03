"""Convergence of solutions of the probability flow: how near they have to come, and in how many steps."""

from __future__ import annotations

FIRST_STEPS, MOST_STEPS = 128, 2048
"""Steps that the doubling begins and ends with."""
TOLERANCE = 1e-3
"""Root mean square by which an image in [-1, 1] may still move when steps are doubled: an eighth of a grey level."""
METHOD = f"ab4, {FIRST_STEPS} steps doubled to {TOLERANCE:g}"
"""Name of the method in records: solutions of another one are made anew."""


def steps_in_all(last: float) -> float:
    """Return how many steps an image takes in all, whose last solution is of so many: 128 and 256, and so on."""
    return 2 * last - FIRST_STEPS


LEAST_STEPS = steps_in_all(2 * FIRST_STEPS)
"""Steps of an image whose first doubling shows that it has converged."""
SLOWNESS = steps_in_all(MOST_STEPS) / LEAST_STEPS
"""Ratio of the steps of an image that does not converge to those of one that does at once."""
