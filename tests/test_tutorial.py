"""Tutorial notebook: its cells run, and print and show the output that is stored in it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pages import DOCS, TUTORIAL

sys.path.insert(0, str(DOCS))
import make

SMALL = {"IMAGES, LONG = 2000, 1000": "IMAGES, LONG = 70, 20", 'zoo.load("mnist")': 'zoo.load("exact:digits")'}
"""Sizes, and a network that is done in a moment, for the run without `slow`."""

CELLS = make.cells(TUTORIAL.read_text())
FIGURES = sorted(re.findall(r"\]\((tutorial/[\w-]+\.png)\)", TUTORIAL.read_text()))


def run(folder: Path, changes: dict[str, str]) -> list[str]:
    """Run the cells with some words changed, and return what they print."""
    sources = [cell.source for cell in CELLS]
    for old, new in changes.items():
        assert sum(source.count(old) for source in sources) == 1, old
        sources = [source.replace(old, new) for source in sources]
    try:
        return list(make.outputs(sources, folder))
    finally:
        plt.close("all")


def test_the_cells_run_at_small_sizes(tmp_path: Path) -> None:
    printed = run(tmp_path, SMALL)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")) == FIGURES
    for cell, output in zip(CELLS, printed, strict=True):
        assert shape(output) == shape(cell.output or "")


def shape(output: str) -> list[str]:
    """Return an output without the values of its numbers."""
    return [" ".join(re.sub(r"[-+]?\d[\d.e+-]*%?", "0", line).split()) for line in output.splitlines()]


@pytest.mark.slow
def test_the_cells_print_what_the_page_says(tmp_path: Path) -> None:
    """Tell numbers apart by more than rounding: libraries round differently, and a few images then end elsewhere."""
    for cell, output in zip(CELLS, run(tmp_path, {}), strict=True):
        np.testing.assert_allclose(numbers(output), numbers(cell.output or ""), rtol=0.05, atol=0.005)


def numbers(output: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e[-+]\d+)?", output)]


def test_the_figures_are_there_and_small() -> None:
    assert sorted(f"tutorial/{path.name}" for path in (DOCS / "tutorial").iterdir()) == FIGURES
    assert sum((DOCS / figure).stat().st_size for figure in FIGURES) < 1.5 * 2**20


def test_the_notebook_is_made_from_the_page() -> None:
    assert make.NOTEBOOK.read_text() == make.notebook(TUTORIAL.read_text()), "python docs/make.py --words"


def test_the_notebook_has_all_words_and_cells() -> None:
    cells = json.loads(make.NOTEBOOK.read_text())["cells"]
    assert ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"] == [
        cell.source.rstrip() for cell in CELLS
    ]
    whole = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    words = make.in_dollars(make.CELL.sub("", TUTORIAL.read_text()))
    assert re.sub(r"\s", "", whole) == re.sub(r"\s", "", words)
