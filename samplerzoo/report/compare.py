"""Several benchmarks beside each other: rows of one protocol in one table, and in words what tells protocols apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from samplerzoo.bench.results import Protocol, Row, by_protocol, read
from samplerzoo.errors import UsageError
from samplerzoo.report.series import Lines, Point, common_seeds, compared
from samplerzoo.report.tables import NOTHING, markdown, measured

Place = tuple[str, int]
"""A line of a table: sampler with its settings, and steps."""


def compare(folders: Sequence[Path]) -> str:
    """As markdown.

    Raises:
        UsageError: a folder holds no rows.
    """
    found = {str(folder): read(folder) for folder in folders}
    for name, rows in found.items():
        if not rows:
            raise UsageError(f"{name} holds no rows of a benchmark; `samplerzoo bench -o {name}` makes them")
    everything = [row for rows in found.values() for row in rows]
    protocols, lines = list(by_protocol(everything)), Lines(everything)
    parts = [part for protocol in protocols for part in _table(protocol, protocols, lines, found)]
    return "\n\n".join([*parts, *_differences(protocols)])


def _table(
    protocol: Protocol, protocols: Sequence[Protocol], lines: Lines, found: Mapping[str, Sequence[Row]]
) -> Iterator[str]:
    """The rows of one protocol, a folder a column."""
    columns = {name: _places(lines, by_protocol(rows).get(protocol, [])) for name, rows in found.items()}
    columns = {name: places for name, places in columns.items() if places}
    yield f"{_title(protocol, protocols)}{protocol.model}, {protocol.metric}"
    places = dict.fromkeys(place for column in columns.values() for place in column)
    body = [[name, str(steps), *_figures((name, steps), list(columns.values()))] for name, steps in places]
    change = ["change"] if len(columns) == 2 else []
    yield markdown(["", "steps", *columns, *change], body)


def _places(lines: Lines, rows: Sequence[Row]) -> dict[Place, Point]:
    return {(line.name, point.steps): point for line in lines.of(rows) for point in line.points}


def _figures(place: Place, columns: Sequence[Mapping[Place, Point]]) -> list[str]:
    """The mean distance in every folder, at the seeds that all have, ± the deviation over all that a folder has.

    Of two folders, also how much the second is above the first.
    """
    points = _same_seeds([column.get(place) for column in columns])
    texts = [NOTHING if point is None else measured(point.fd) for point in points]
    if len(points) == 2:
        old, new = points
        known = old is not None and new is not None and old.fd.mean > 0
        texts.append(f"{new.fd.mean / old.fd.mean - 1:+.1%}" if known and old and new else NOTHING)
    return texts


def _same_seeds(points: Sequence[Point | None]) -> list[Point | None]:
    """A seed moves all rows alike, so the mean over other seeds is another figure."""
    common = common_seeds(point.every for point in points if point is not None)
    return [point and compared(point.every, common) for point in points]


def _differences(protocols: Sequence[Protocol]) -> list[str]:
    """Each protocol against the one before it that it is nearest to."""
    found = []
    for number, protocol in enumerate(protocols[1:], 1):
        nearest = min(protocols[:number], key=lambda other: len(protocol.differences(other)))
        first, words = protocols.index(nearest) + 1, "; ".join(protocol.differences(nearest))
        found.append(f"Protocol {number + 1} cannot be compared with protocol {first}: {words}.")
    return found


def _title(protocol: Protocol, protocols: Sequence[Protocol]) -> str:
    return f"Protocol {protocols.index(protocol) + 1}: " if len(protocols) > 1 else ""
