"""Convergence of solutions of the probability flow: how near they have to come, and in how many steps."""

from __future__ import annotations

FIRST_STEPS, MOST_STEPS = 128, 2048
"""Steps that the doubling begins and ends with."""
LEAST_STEPS = FIRST_STEPS + 2 * FIRST_STEPS
"""Steps that an image takes whose first doubling shows that it has converged."""
TOLERANCE = 1e-3
"""Root mean square by which an image in [-1, 1] may still move when steps are doubled: an eighth of a grey level."""
METHOD = f"ab4, {FIRST_STEPS} steps doubled to {TOLERANCE:g}"
"""Name of the method in records: solutions of another one are made anew."""
