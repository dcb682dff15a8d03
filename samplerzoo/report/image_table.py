"""Tables of figures that each single image has, such as its error or score, by line and number of evaluations."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samplerzoo.bench.results import Protocol, Row
from samplerzoo.report.decide import LEVEL, SAME_NOISE, bonferroni, holm, images_needed, lowest, pairings
from samplerzoo.report.difference import Difference
from samplerzoo.report.series import columns

FEW = 64
"""Least number of images for which intervals are given, and differences may be significant."""

ROUNDING = 1e-6
"""Largest relative difference of two means that counts as none: float32 alone makes as much."""

Lines = Mapping[tuple[str, float], Sequence[Row]]
"""Rows by line and number of evaluations; rows that differ in their seeds alone are kept together."""


@dataclass(frozen=True, eq=False)
class ImageTable:
    """Table of the rows of one protocol.

    Attributes:
        rows: rows by line and column (see `series.columns`).
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
        """True if there are too few images for intervals and for significant differences."""
        return (self.protocol.images or 0) < FEW

    @property
    def over(self) -> str:
        """Sentence that says over how many images the means are, and whether they have intervals."""
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

    @property
    def unit(self) -> str:
        """What a number of images is of: a row, or each seed of one."""
        return "of each seed" if max(map(len, self.rows.values()), default=1) > 1 else "a row"

    def beside(self, work: float) -> list[str]:
        """Return the lines of a column."""
        return [line for line, own in self.rows if own == work]

    def cost(self, rows: Sequence[Row]) -> float:
        """Return the figure by which rows that differ in their seeds alone are ranked; the lowest is the best."""
        raise NotImplementedError

    def excess(self, line: str, other: str, work: float) -> Difference:
        """Return the difference of the `cost` of two lines of a column, `line - other`."""
        raise NotImplementedError

    @property
    def least(self) -> float:
        """Smallest difference that may be significant."""
        return 0.0

    def best(self, work: float) -> str:
        """Return the best line of a column, over all seeds of each; see `decide.lowest`."""
        return self._judged(work, LEVEL)[0]

    def where(self, work: float) -> str:
        """Return SAME_NOISE if another line of a column has a better figure than the best one, else an empty text."""
        return SAME_NOISE * (self.best(work) != self._ranked(work)[0])

    def told(self, work: float, level: float = LEVEL) -> set[str]:
        """Return the lines of a column that are significantly worse than the best one, by Holm's correction over it.

        Args:
            level: probability that any of them is called worse by chance.
        """
        return {line for line, excess, apart in self._judged(work, level)[1] if apart and excess.value > 0}

    @functools.cache  # noqa: B019  the table lives only while its report is written
    def _judged(self, work: float, level: float) -> tuple[str, list[tuple[str, Difference, bool]]]:
        best, others = lowest(self._ranked(work), lambda one, other: self.excess(one, other, work))
        corrected = holm([1.0 if self.few else it.p for _, it in others], pairings(len(self.beside(work))))
        return best, [
            (line, it, p < level and abs(it.value) > self.least)
            for (line, it), p in zip(others, corrected, strict=True)
        ]

    def _ranked(self, work: float) -> list[str]:
        return sorted(self.beside(work), key=lambda line: self.cost(self.rows[line, work]))

    def needed(self, work: float) -> str:
        """Name the line that the fewest images would tell from the best one of a column, and say how many that are.

        Return an empty text if that is not known.
        """
        careful = bonferroni(LEVEL, pairings(len(self.beside(work))))
        known = [(images_needed(self.protocol.images, it, careful), line)
                 for line, it, _ in self._judged(work, LEVEL)[1] if abs(it.value) > self.least]  # fmt: skip
        images, line = min(((images, line) for images, line in known if images is not None), default=(0, ""))
        return f"; about {images:,} images {self.unit} tell {line} from it, if it stays as far" if images else ""

    @functools.cached_property
    def usual_baseline(self) -> str:
        """Line that is better than the most others, over all columns: each line that it is the best of counts once."""
        beaten = dict.fromkeys(self.lines, 0)
        for work in self.budgets:
            beaten[self.best(work)] += len(self.beside(work)) - 1
        return max(self.lines, key=lambda line: (beaten[line], len([name for name, _ in self.rows if name == line])))

    def undecided(self, level: float) -> dict[float, set[str]]:
        """Return the columns in which not every other line is significantly worse than the best.

        Each column comes with the cells that may be the best. Lines that do not differ from it at all are left out.
        """
        found = {}
        for work in self.budgets:
            best, told = self.best(work), self.told(work, level)
            rivals = [it for it in self.beside(work) if it not in {best, *told} and not self._same(it, best, work)]
            if rivals:
                found[work] = {row.cell for line in (best, *rivals) for row in self.rows[line, work]}
        return found

    def _same(self, line: str, other: str, work: float) -> bool:
        """Tell whether two lines of a column differ by rounding alone."""
        return abs(self.excess(line, other, work).value) <= ROUNDING * abs(self.cost(self.rows[other, work]))


def in_columns(rows: Lines) -> Lines:
    """Replace the number of evaluations of each row by its column; see `series.columns`."""
    lines_at: dict[float, set[str]] = {}
    for line, work in rows:
        lines_at.setdefault(work, set()).add(line)
    column = columns(lines_at)
    return {(line, column[work]): there for (line, work), there in rows.items()}
