"""Undecided columns, in which some rows are not significantly different from the best: they need more images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from samplerzoo.bench.evidence import Evidence, collect
from samplerzoo.bench.results import Row, read_rows
from samplerzoo.report.decide import Judge
from samplerzoo.report.errors import error_tables
from samplerzoo.report.scores import score_tables
from samplerzoo.report.series import along, average, by_protocol

Columns = dict[float, set[str]]
"""Cells of each column that may be the best, by the column's number of evaluations."""


def deciding_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that rank samplers: those with distances if there are any, else with errors, else with scores."""
    distances = [row for row in rows if row.metrics is not None]
    errors = [row for row in rows if row.error is not None and row.error.mean is not None]
    return distances or errors or [row for row in rows if row.score is not None]


def undecided(folder: Path, rows: Sequence[Row], level: float) -> Columns:
    """Return the columns that are not decided.

    Args:
        folder: benchmark folder that the rows are from.
        rows: rows of one measure and number of images.
        level: probability that any difference of a column is called significant by chance.
    """
    found: Columns = {}
    for columns in _of_measure(folder, rows, level):
        for work, cells in columns.items():
            found.setdefault(work, set()).update(cells)
    return found


def _of_measure(folder: Path, rows: Sequence[Row], level: float) -> list[Columns]:
    if all(row.error is not None for row in rows):
        return [table.undecided(level) for table in error_tables(folder, rows)]
    evidence = collect(folder, read_rows(folder))
    if all(row.score is not None for row in rows):
        return [table.undecided(level) for table in score_tables(rows, evidence)]
    return [
        _of_distances(Judge(protocol, average(own), evidence.get(protocol, Evidence()), level))
        for protocol, own in by_protocol(along(rows, "steps")).items()
    ]


def _of_distances(judge: Judge) -> Columns:
    found = {}
    for verdict in judge.verdicts():
        ties = [tie.point for tie in verdict.ties if tie.difference.value != 0]  # others do not differ at all
        if ties:
            points = [verdict.best, *ties]
            found[verdict.budget] = {row.cell for it in points for row in judge.points.at[it, "rows"].values()}
    return found
