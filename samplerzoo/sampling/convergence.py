"""Convergence of solutions of the probability flow: the tolerance, and the numbers of steps."""

from __future__ import annotations

FIRST_STEPS, MOST_STEPS = 128, 2048
"""Smallest and largest number of steps; each number is twice the one before."""
TOLERANCE = 1e-3
"""Root mean square by which an image in [-1, 1] may still move when steps are doubled: an eighth of a grey level."""
METHOD = f"ab4, {FIRST_STEPS} steps doubled to {TOLERANCE:g}"
"""Name of the method in records. Solutions by another method are computed anew."""


def steps_in_all(last: float) -> float:
    """Return the total steps of an image whose last solution has `last` steps, such as 128 + 256 + 512 for 512."""
    return 2 * last - FIRST_STEPS


LEAST_STEPS = steps_in_all(2 * FIRST_STEPS)
"""Total steps of an image whose first doubling shows that it has converged."""
SLOWNESS = steps_in_all(MOST_STEPS) / LEAST_STEPS
"""Ratio of the most total steps of an image to the least."""
