"""Comparison of several benchmarks: rows of one protocol in one table, and what sets protocols apart in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pandas import DataFrame

from samplerzoo.bench.results import Protocol, read_some
from samplerzoo.errors import UsageError
from samplerzoo.markup import plain
from samplerzoo.report.line_names import number
from samplerzoo.report.series import FD, POINT, along, average, by_protocol
from samplerzoo.report.tables import NOTHING, markdown, measured


def compare(folders: Sequence[Path]) -> str:
    """Compare benchmark folders, as markdown.

    Raises:
        UsageError: a folder holds no rows.
    """
    found = [(str(folder), row) for folder in folders for row in read_some(folder) if row.metrics is not None]
    if not found:
        raise UsageError("these folders hold errors of images alone: `samplerzoo report FOLDER` shows those of each")
    rows = along([row for _, row in found], "steps").assign(folder=[folder for folder, _ in found])
    tables = by_protocol(rows)
    parts = [part for protocol, own in tables.items() for part in _table(protocol, own, [*tables])]
    return "\n\n".join([*parts, *_differences([*tables])])


def _table(protocol: Protocol, rows: DataFrame, protocols: Sequence[Protocol]) -> Iterator[str]:
    """Compare the rows of one protocol, a folder a column.

    Figures are means over the seeds that all folders have of a row, ± the deviation over all seeds of a folder's. Of
    two folders, the last column is how much the second is above the first.
    """
    title = f"Protocol {protocols.index(protocol) + 1}: " if len(protocols) > 1 else ""
    yield f"{title}{plain(protocol.model)}, {plain(protocol.metric)}"
    folders = [*rows["folder"].unique()]
    body = []
    for (line, steps), place in rows.groupby(POINT, observed=True):
        found = average(place, ["folder"]).reindex(folders)
        texts = [*map(measured, found[FD], found[f"{FD} sd"])]
        if len(folders) == 2:
            old, new = found[FD]
            change = new / old - 1 if old > 0 else math.nan
            texts.append(NOTHING if math.isnan(change) else f"{change:+.1%}")
        body.append([plain(line), number(steps), *texts])
    yield markdown(["", "steps", *map(plain, folders), *["change"][: len(folders) == 2]], body)


def _differences(protocols: Sequence[Protocol]) -> list[str]:
    """Compare each protocol with the one before it that it is nearest to."""
    found = []
    for index, protocol in enumerate(protocols[1:], 1):
        nearest = min(protocols[:index], key=lambda other: len(protocol.differences(other)))
        first, words = protocols.index(nearest) + 1, plain("; ".join(protocol.differences(nearest)))
        found.append(f"Protocol {index + 1} cannot be compared with protocol {first}: {words}.")
    return found
