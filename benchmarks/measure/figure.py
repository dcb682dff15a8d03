"""A figure of speed: the median of the ratios of two works that were timed in turn, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Attributes:
        what: that was measured, in words.
        values: one a round.
        bar: what the median is to be: "<= 1.02", ">= 1"; empty where nothing is asked.
        unit: "ratio", or what else the values are.
        facts: what else was counted on the way.
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
        """Whether the bar is reached; None if there is none."""
        if not self.bar:
            return None
        sign, bound = self.bar.split()
        return self.median <= float(bound) if sign == "<=" else self.median >= float(bound)


def seconds(work: Work) -> float:
    """That one go takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(works: Sequence[Work], rounds: int) -> list[list[float]]:
    """Seconds of each, one list a round, after a go of each that is not counted.

    Which goes first changes from round to round, so that a machine that slows down favours none.
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
    """Seconds of both, one pair a round."""
    return [(a, b) for a, b in in_turn([first, second], rounds)]


def ratio(what: str, first: Work, second: Work, rounds: int, bar: str = "") -> Figure:
    """Seconds of the first for one of the second."""
    pairs = paired(first, second, rounds)
    own, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Figure(what, [a / b for a, b in pairs], bar, facts={"seconds": own, "seconds of the other": other})
