"""Pictures side by side: a row a sampler, a column a number of steps, and the same noise in all of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from samplerzoo import images
from samplerzoo.images import Pixels
from samplerzoo.report.series import Axis, Line, Point, number

CELLS, TENSOR = "cells", "images"
FIRST_SHARD = re.compile(r"images-0+-\d+\.safetensors")
WIDEST = 12
"""Pictures in a row, about; of few columns each shows several."""

MOST = 4
GAP, MARGIN, FONT_SIZE = 3, 10, 14


def save(lines: Sequence[Line], axis: Axis, folder: Path, name: str) -> str | None:
    """The first images of each cell on one sheet: its name, or None if the folder holds no images.

    An earlier sheet stays where the cells are gone, as in a report that was put elsewhere.
    """
    seed = _seed(lines)
    found = {
        (line.name, x): pixels
        for line in lines
        for point in line.points
        if (x := point.place(axis)) is not None and (pixels := _first(folder, point, seed)) is not None
    }
    if not found:
        return name if (folder / name).exists() else None
    columns = sorted({x for _, x in found})
    count = min(max(WIDEST // len(columns), 1), MOST)
    rows = [line.name for line in lines if any((line.name, x) in found for x in columns)]
    heads = [_steps(x) if axis == "steps" else f"scale {number(x)}" for x in columns]
    cells = [[None if (pixels := found.get((row, x))) is None else pixels[:count] for x in columns] for row in rows]
    images.save_png(_sheet(cells, rows, heads, count), folder / name)
    return name


def _steps(count: float) -> str:
    return f"{count:g} step{'s' * (count > 1)}"


def _seed(lines: Sequence[Line]) -> int:
    """The one that most cells have."""
    found = Counter(row.recipe.seed for line in lines for point in line.points for row in point.rows)
    return min(found, key=lambda seed: (-found[seed], seed))


def _first(folder: Path, point: Point, seed: int) -> Pixels | None:
    """The first images of the cell with this seed, (n, H, W, C)."""
    from safetensors import safe_open

    cells = [row.cell for row in point.rows if row.recipe.seed == seed]
    shards = [path for cell in cells for path in (folder / CELLS / cell).glob("images-*.safetensors")]
    for path in shards:
        if FIRST_SHARD.fullmatch(path.name):
            with safe_open(path, framework="numpy") as file:
                pixels = file.get_slice(TENSOR)[:MOST]
            return np.ascontiguousarray(np.transpose(pixels, (0, 2, 3, 1)))
    return None


Cells = Sequence[Sequence[Pixels | None]]


def _sheet(cells: Cells, rows: Sequence[str], heads: Sequence[str], count: int) -> Image.Image:
    """Names at the left, the columns' heads above; what is missing stays blank."""
    shown = next(cell for row in cells for cell in row if cell is not None)
    images.check_channels(shown.shape[-1], "an image")
    side = max(round(images.CELL / shown.shape[2]), 1)
    height, width = shown.shape[1] * side, shown.shape[2] * side
    font = ImageFont.load_default(FONT_SIZE)
    left = 2 * MARGIN + round(max(font.getlength(name) for name in rows))
    top = 2 * MARGIN + FONT_SIZE
    column, line = count * (width + GAP) + MARGIN, height + GAP + MARGIN // 2
    mode = images.MODES[shown.shape[-1]]
    sheet = Image.new(mode, (left + len(heads) * column, top + len(rows) * line + MARGIN), _gray(images.PAPER, mode))
    draw = ImageDraw.Draw(sheet)
    for x, head in enumerate(heads):
        middle = left + x * column + (count * (width + GAP) - GAP) / 2
        draw.text((middle, top - MARGIN // 2), head, _gray(images.INK, mode), font, anchor="ms")
    for y, (name, row) in enumerate(zip(rows, cells, strict=True)):
        draw.text((left - MARGIN, top + y * line + height / 2), name, _gray(images.INK, mode), font, anchor="rm")
        for x, cell in enumerate(row):
            for k, pixels in enumerate(() if cell is None else cell):
                tile = images.picture(pixels).resize((width, height), Image.Resampling.NEAREST)
                sheet.paste(tile, (left + x * column + k * (width + GAP), top + y * line))
    return sheet


def _gray(level: int, mode: str) -> int | tuple[int, ...]:
    return level if mode == "L" else (level,) * 3
