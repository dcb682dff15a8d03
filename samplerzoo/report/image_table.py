"""Tables of figures that every image has one of, as its error or its score: by line and number of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samplerzoo.bench.results import Protocol, Row
from samplerzoo.report.decide import LEVEL
from samplerzoo.report.series import columns

FEW = 64
"""Fewest images with which intervals are given and differences told."""

Lines = Mapping[tuple[str, float], Sequence[Row]]
"""Rows by line and number of evaluations; those of several seeds stand together."""


@dataclass(frozen=True, eq=False)
class ImageTable:
    """Rows of one protocol.

    Attributes:
        rows: by line and column (see `series.columns`).
    """

    protocol: Protocol
    rows: Lines

    @property
    def lines(self) -> list[str]:
        return [*dict.fromkeys(line for line, _ in self.rows)]

    @property
    def budgets(self) -> list[float]:
        """Numbers of evaluations, the columns."""
        return sorted({work for _, work in self.rows})

    @property
    def few(self) -> bool:
        """True if there are too few images for an interval, or for a difference to be told."""
        return (self.protocol.images or 0) < FEW

    @property
    def over(self) -> str:
        """Say over how many images the means are, and whether they have intervals."""
        seeds = max((len(there) for there in self.rows.values()), default=1)
        images = f"{self.protocol.images} images" + (
            f" of each seed, of which rows have up to {seeds}" if seeds > 1 else ""
        )
        sure = (
            f"without intervals: those need {FEW} images"
            if self.few
            else "with 95% intervals by a bootstrap-t over them"
        )
        return f"Means over {images}, {sure}."

    def beside(self, work: float) -> list[str]:
        """Return the lines of a column."""
        return [line for line, own in self.rows if own == work]

    def best(self, work: float) -> str:
        """Return the best line of a column."""
        raise NotImplementedError

    def told(self, work: float, level: float = LEVEL) -> set[str]:
        """Return the lines of a column that are told to be worse than the best one.

        Args:
            level: probability that any of them is not.
        """
        raise NotImplementedError

    def undecided(self, level: float) -> dict[float, set[str]]:
        """Return the columns whose best line is not told from all others, with the cells that may be the best."""
        found = {}
        for work in self.budgets:
            equal = set(self.beside(work)) - self.told(work, level)
            if len(equal) > 1:
                found[work] = {row.cell for line in equal for row in self.rows[line, work]}
        return found


def in_columns(rows: Lines) -> Lines:
    """Return rows by line and column, in place of the number of evaluations of each."""
    lines_at: dict[float, set[str]] = {}
    for line, work in rows:
        lines_at.setdefault(work, set()).add(line)
    column = columns(lines_at)
    return {(line, column[work]): there for (line, work), there in rows.items()}
