"""Pictures side by side: one row per line of the plot, one column per place, and the same noise in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pandas import DataFrame
from PIL import Image, ImageFont

from samplerzoo import images
from samplerzoo.bench import shards
from samplerzoo.errors import ZooError
from samplerzoo.images import Pixels
from samplerzoo.report.line_names import Axis, number
from samplerzoo.report.series import POINT, SEED

WIDEST = 12
"""Approximate maximum of pictures in a row. If there are few places, each of them shows several pictures."""

MOST = 4
"""Maximum number of pictures of a place."""

ROWS = "rows"
"""Key for the number of rows that a sheet shows, in its metadata."""

GAP, MARGIN, FONT_SIZE = 3, 10, 14
"""Pixels between pictures, pixels around blocks of pictures, and height of letters in pixels."""


def save_gallery(rows: DataFrame, axis: Axis, folder: Path, name: str) -> tuple[int, int] | None:
    """Save the first images of each cell as one sheet, `folder / name`. All have the seed that most rows have.

    An earlier sheet is kept if it shows at least as many rows, since images may be deleted while rows are kept.

    Returns:
        The number of rows that the sheet shows, and the number that it would show if no images were missing. None if
        there is no sheet.
    """
    found: dict[tuple[str, float], Pixels] = {}
    same_noise = rows[rows[SEED] == rows[SEED].mode()[0]].sort_values(POINT, kind="stable")
    for line, place, cell in same_noise[[*POINT, "cell"]].itertuples(index=False):
        pixels = None if (line, place) in found else shards.first_images(folder / shards.CELLS / cell, MOST)
        if pixels is not None:
            found[line, place] = pixels
    every = len(same_noise[POINT].drop_duplicates())
    shown = _rows_of(folder / name)
    if shown is not None and shown >= len(found):
        return shown, max(every, shown)
    if not found:
        return None
    places = sorted({place for _, place in found})
    heads = [f"{place:g} step{'s' * (place > 1)}" if axis == "steps" else f"scale {number(place)}" for place in places]
    lines = [*dict.fromkeys(line for line, _ in found)]
    count = min(max(WIDEST // len(places), 1), MOST)
    cells = {(lines.index(line), places.index(place)): found[line, place][:count] for line, place in found}
    images.save_png(blocks(cells, lines, heads), folder / name, {ROWS: len(found)})
    return len(found), every


def _rows_of(path: Path) -> int | None:
    """Return how many rows a sheet shows: 0 if its metadata do not say it, None if there is no readable sheet."""
    if not path.exists():
        return None
    try:
        count = (images.read_png(path)[1] or {}).get(ROWS)
    except ZooError:
        return None
    return count if isinstance(count, int) else 0


def blocks(cells: Mapping[tuple[int, int], Pixels], names: Sequence[str], heads: Sequence[str]) -> Image.Image:
    """Lay out a block of images for each (row, column), with names of rows at the left and heads of columns above."""
    count = max(map(len, cells.values()))
    width, height = images.tile_size(next(iter(cells.values())))
    font = ImageFont.load_default(FONT_SIZE)
    left, top = 2 * MARGIN + round(max(font.getlength(name) for name in names)), 2 * MARGIN + FONT_SIZE
    column, line = count * (width + GAP) + MARGIN, height + GAP + MARGIN // 2
    middle = (count * (width + GAP) - GAP) / 2
    tiles = [
        ((left + x * column + k * (width + GAP), top + y * line), tile)
        for (y, x), block in cells.items()
        for k, tile in enumerate(block)
    ]
    texts = [((left + x * column + middle, float(top - MARGIN // 2)), head, "ms") for x, head in enumerate(heads)]
    texts += [((left - MARGIN, top + y * line + height / 2), name, "rm") for y, name in enumerate(names)]
    size = left + len(heads) * column, top + len(names) * line + MARGIN
    return images.sheet(size, tiles, texts, FONT_SIZE)
