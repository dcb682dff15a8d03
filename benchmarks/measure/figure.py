"""Figures of speed: the median ratio of two works that are timed in turn in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """Line of the report.

    Attributes:
        what: description of what was measured.
        values: one value per round.
        bar: requirement on the median, such as "<= 1.02" or ">= 1"; empty if there is none.
        unit: unit of the values, or "ratio".
        facts: further measurements, by name.
    """

    what: str
    values: Sequence[float]
    bar: str = ""
    unit: str = "ratio"
    facts: dict[str, float | str] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """True if the median meets the bar; None if there is no bar."""
        if not self.bar:
            return None
        sign, bound = self.bar.split()
        return self.median <= float(bound) if sign == "<=" else self.median >= float(bound)


def seconds(work: Work) -> float:
    """Return the time in seconds of one call of the work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(works: Sequence[Work], rounds: int) -> list[list[float]]:
    """Time the works in turn. Return one list of seconds per round, after a warm-up call of each work.

    The order changes from round to round, so that a machine that slows down favours none.
    """
    for work in works:
        work()
    found = []
    for number in range(rounds):
        order = range(len(works)) if number % 2 == 0 else reversed(range(len(works)))
        took = {which: seconds(works[which]) for which in order}
        found.append([took[which] for which in range(len(works))])
    return found


def paired(first: Work, second: Work, rounds: int) -> list[tuple[float, float]]:
    """Time two works in turn. Return one pair of seconds per round."""
    return [(a, b) for a, b in in_turn([first, second], rounds)]


def ratio(what: str, first: Work, second: Work, rounds: int, bar: str = "") -> Figure:
    """Return the figure of the time of the first work divided by that of the second."""
    pairs = paired(first, second, rounds)
    own, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Figure(what, [a / b for a, b in pairs], bar, facts={"seconds": own, "seconds of the other": other})
