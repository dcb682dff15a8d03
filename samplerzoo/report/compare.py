"""Comparison of several benchmarks: rows of one protocol in one table, and what sets protocols apart in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pandas import DataFrame, Series

from samplerzoo.bench.evidence import Evidence, gather
from samplerzoo.bench.results import Protocol, read_some
from samplerzoo.errors import UsageError
from samplerzoo.report.decide import difference
from samplerzoo.report.line_names import number
from samplerzoo.report.series import POINT, along, average, by_protocol
from samplerzoo.report.tables import NOTHING, interval, markdown, signed
from samplerzoo.trust.markup import plain


def compare(folders: Sequence[Path]) -> str:
    """Compare benchmark folders, as markdown.

    Raises:
        UsageError: a folder holds no rows.
    """
    folders = [*{folder.resolve(): folder for folder in folders}.values()]
    found = [(str(folder), row) for folder in folders for row in read_some(folder) if row.metrics is not None]
    if not found:
        raise UsageError("these folders hold errors of images alone: `samplerzoo report FOLDER` shows those of each")
    rows = along([row for _, row in found], "steps").assign(folder=[folder for folder, _ in found])
    tables = by_protocol(rows)
    evidence = gather((Path(folder), row) for folder, row in found)
    parts = [part for protocol, own in tables.items() for part in _table(protocol, own, [*tables], evidence)]
    return "\n\n".join([*parts, *_differences([*tables])])


def _table(
    protocol: Protocol, rows: DataFrame, protocols: Sequence[Protocol], evidence: Mapping[Protocol, Evidence]
) -> Iterator[str]:
    """Compare the rows of one protocol, a folder a column.

    A figure is that of the folder's report, with its 95% interval. Of two folders, the last column is how much the
    second is above the first: image by image where both folders hold the cells, else as if rows were independent.
    """
    title = f"Protocol {protocols.index(protocol) + 1}: " if len(protocols) > 1 else ""
    yield f"{title}{plain(protocol.model)}, {plain(protocol.metric)}"
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
    """Write how much a figure is above an older one."""
    if math.isnan(old["distance"]) or math.isnan(new["distance"]):
        return NOTHING
    if [row.cell for row in old["rows"].values()] == [row.cell for row in new["rows"].values()]:
        return signed(new["distance"] - old["distance"])  # the same images: chance has no part in it
    paired = difference(new["rows"], old["rows"], evidence)
    if not math.isnan(paired.error):
        return signed(paired.value, paired.error)
    return signed(new["distance"] - old["distance"], math.hypot(old["error"], new["error"]))


def _differences(protocols: Sequence[Protocol]) -> list[str]:
    """Compare each protocol with the one before it that it is nearest to."""
    found = []
    for index, protocol in enumerate(protocols[1:], 1):
        nearest = min(protocols[:index], key=lambda other: len(protocol.differences(other)))
        first, words = protocols.index(nearest) + 1, plain("; ".join(protocol.differences(nearest)))
        found.append(f"Protocol {index + 1} cannot be compared with protocol {first}: {words}.")
    return found
