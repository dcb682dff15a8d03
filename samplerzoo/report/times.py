"""Time per image, divided into the network's, the text encoder's and the decoder's."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from pandas import DataFrame

from samplerzoo.bench.results import Speed
from samplerzoo.report.line_names import number
from samplerzoo.report.series import with_seconds
from samplerzoo.report.tables import figure, markdown
from samplerzoo.trust.markup import plain

DIGITS = 3
"""Significant digits of seconds."""


def time_section(rows: DataFrame) -> Iterator[str]:
    """Write the part of a report on the time per image, if text encoders or decoders take a part of it.

    Args:
        rows: all rows, along their steps. A cell counts once even if several rows measure it, since its images were
            made once.
    """
    _, machine = with_seconds(rows)
    timed: dict[tuple[str, float], dict[str, Speed]] = {}
    for line, steps, row in zip(rows["line"], rows["place"], rows["row"], strict=True):
        if row.speed is not None and row.speed.machine == machine:
            timed.setdefault((line, steps), {})[row.cell] = row.speed
    speeds = [speed for cells in timed.values() for speed in cells.values()]
    if not any(speed.encoding_seconds or speed.decoding_seconds for speed in speeds):
        return
    order = {line: place for place, line in enumerate(rows["line"].cat.categories)}
    yield "## Time of an image"
    yield (
        f"Seconds of an image on {plain(str(machine))}. A sampler is responsible for those of the network alone; the "
        "others are the same for all."
    )
    body = [
        [plain(line), number(steps), *(figure(seconds, DIGITS) for seconds in _parts([*cells.values()]))]
        for (line, steps), cells in sorted(timed.items(), key=lambda each: (order[each[0][0]], each[0][1]))
    ]
    yield markdown(["", "steps", "network", "text encoder", "decoder", "all"], body)


def _parts(speeds: list[Speed]) -> tuple[float, float, float, float]:
    """Return the seconds per image of network, text encoder, decoder, and all together, as means over seeds."""
    every = fmean(1 / speed.images_per_second for speed in speeds)
    encoding = fmean(speed.encoding_seconds for speed in speeds)
    decoding = fmean(speed.decoding_seconds for speed in speeds)
    return every - encoding - decoding, encoding, decoding, every
