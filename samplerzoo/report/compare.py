"""Comparison of several benchmarks: a table for each protocol, and sentences on how protocols differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pandas import DataFrame, Series

from samplerzoo.bench.evidence import Evidence, gather_folders, of_folder
from samplerzoo.bench.results import Protocol, Row, read_some
from samplerzoo.errors import UsageError
from samplerzoo.report.difference import difference
from samplerzoo.report.errors import compared_errors
from samplerzoo.report.line_names import number
from samplerzoo.report.series import POINT, along, average, by_protocol
from samplerzoo.report.tables import NOTHING, interval, markdown, signed
from samplerzoo.trust.markup import plain


def compare(folders: Sequence[Path]) -> str:
    """Compare benchmark folders, and return the comparison as markdown.

    Raises:
        UsageError: a folder holds no rows, or all rows are scores.
    """
    folders = distinct(folders)
    every = [(folder, row) for folder in folders for row in read_some(folder)]
    places = [(folder, row) for folder, row in every if row.metrics is not None]
    measured = [(str(folder), of_folder(folder, row)) for folder, row in places]
    by_error: dict[Protocol, list[tuple[Path, Row]]] = {}
    for folder, row in every:
        if row.error is not None:
            by_error.setdefault(row.protocol, []).append((folder, row))
    tables: dict[Protocol, DataFrame] = {}
    if measured:
        rows = along([row for _, row in measured], "steps").assign(folder=[folder for folder, _ in measured])
        tables = by_protocol(rows)
    protocols = [*tables, *by_error]
    if not protocols:
        raise UsageError("these folders hold scores of images alone: `samplerzoo report FOLDER` shows those of each")
    evidence = gather_folders(places)
    parts = [part for protocol, own in tables.items() for part in _table(protocol, own, protocols, evidence)]
    for protocol, found in by_error.items():
        parts += [_title(protocol, protocols), *compared_errors(found, folders)]
    return "\n\n".join([*parts, *_differences([*tables]), *_differences([*by_error], len(tables))])


def distinct(folders: Sequence[Path]) -> list[Path]:
    """Return the folders in their order, each once."""
    return [*{folder.resolve(): folder for folder in folders}.values()]


def _title(protocol: Protocol, protocols: Sequence[Protocol]) -> str:
    number = f"Protocol {protocols.index(protocol) + 1}: " if len(protocols) > 1 else ""
    return f"{number}{plain(protocol.model)}, {plain(protocol.measure)}"


def _table(
    protocol: Protocol, rows: DataFrame, protocols: Sequence[Protocol], evidence: Mapping[Protocol, Evidence]
) -> Iterator[str]:
    """Compare the rows of one protocol in a table with one column per folder.

    Figures are those of each folder's report, with 95% intervals. For two folders, the last column is the second
    figure minus the first: image by image if both folders hold the cells, otherwise as if rows were independent.
    """
    yield _title(protocol, protocols)
    folders = [*rows["folder"].unique()]
    body = []
    points = average(rows, [*POINT, "folder"])
    for (line, steps), place in points.groupby(level=POINT, observed=True):
        found = place.droplevel(POINT).reindex(folders)
        texts = [*map(interval, found["distance"], found["error"])]
        if len(folders) == 2:
            old, new = (found.loc[folder] for folder in folders)
            texts.append(_change(old, new, evidence.get(protocol, Evidence())))
        body.append([plain(line), number(steps), f"{place['work'].iloc[0]:g}", *texts])
    yield markdown(["", "steps", "NFE", *map(plain, folders), *["change"][: len(folders) == 2]], body)


def _change(old: Series, new: Series, evidence: Evidence) -> str:
    """Write the difference of two figures, new minus old; a dash if either is missing."""
    if math.isnan(old["distance"]) or math.isnan(new["distance"]):
        return NOTHING
    if [row.metrics for row in old["rows"].values()] == [row.metrics for row in new["rows"].values()]:
        return signed(0.0)  # the same images, as in a copy of a folder
    found = difference(new["rows"], old["rows"], evidence)
    return signed(found.value, found.error)


def _differences(protocols: Sequence[Protocol], before: int = 0) -> list[str]:
    """Say how each protocol but the first differs from the most similar one before it.

    Args:
        before: number of protocols that are listed before these.
    """
    found = []
    for index, protocol in enumerate(protocols[1:], 1):
        nearest = min(protocols[:index], key=lambda other: len(protocol.differences(other)))
        first, words = before + protocols.index(nearest) + 1, plain("; ".join(protocol.differences(nearest)))
        found.append(f"Protocol {before + index + 1} cannot be compared with protocol {first}: {words}.")
    return found
