"""Make what comes from the cells of the tutorial: its figures, its printed outputs, and the notebook.

`python docs/make.py` runs the cells of docs/tutorial.md in docs/, which saves the figures in docs/tutorial/. It writes
what they print into the ```text blocks behind them, there and in docs/zh/tutorial.md, whose cells are the same. After a
change of words alone, `python docs/make.py --words` writes the notebook and runs nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
TUTORIAL, CHINESE, NOTEBOOK = DOCS / "tutorial.md", DOCS / "zh" / "tutorial.md", DOCS / "tutorial.ipynb"

CELL = re.compile(r"^```python\n(?P<source>.*?)^```$(?:\n\n^```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)
"""Cell of a page, with the block behind it that shows what it prints."""


@dataclass(frozen=True)
class Cell:
    """Python source of a cell, and what the page says that it prints; None if it prints nothing."""

    source: str
    output: str | None


def cells(text: str) -> list[Cell]:
    """List the cells of a page."""
    return [Cell(match["source"], match["output"]) for match in CELL.finditer(text)]


def outputs(sources: Sequence[str], folder: Path) -> Iterator[str]:
    """Run cells one after the other in a folder, and yield what each prints."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    for source in sources:
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            exec(compile(source, "tutorial.md", "exec"), scope)
        yield printed.getvalue()


def filled(text: str, printed: Sequence[str]) -> str:
    """Return a page with new outputs behind its cells."""
    new = iter(printed)

    def cell(match: re.Match[str]) -> str:
        output = next(new)
        return f"```python\n{match['source']}```" + (f"\n\n```text\n{output}```" if output else "")

    return CELL.sub(cell, text)


def in_dollars(text: str) -> str:
    """Write formulas as notebooks know them. A page has blocks, in which GitHub changes no backslash."""
    return re.sub(r"^```math\n(.*?)\n```$", r"$$\n\1\n$$", text, flags=re.MULTILINE | re.DOTALL)


def notebook(text: str) -> str:
    """Return a page as a notebook. Its outputs are those of the page, so that both always say the same."""
    parts: list[dict[str, Any]] = []
    end = 0

    def words(markdown: str) -> None:
        if markdown.strip():
            parts.append({"cell_type": "markdown", "metadata": {}, "source": _lines(in_dollars(markdown.strip()))})

    for match in CELL.finditer(text):
        words(text[end : match.start()])
        stream = {"name": "stdout", "output_type": "stream", "text": _lines(match["output"] or "")}
        printed, source = [stream] if match["output"] else [], _lines(match["source"].rstrip())
        parts.append(
            {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": printed, "source": source}
        )
        end = match.end()
    words(text[end:])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": [{"id": f"cell-{number}", **part} for number, part in enumerate(parts)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main(*flags: str) -> None:
    """Run the tutorial and write outputs and notebook; with --words, the notebook alone."""
    if "--words" not in flags:
        os.environ.setdefault("MPLBACKEND", "Agg")
        printed = list(outputs([cell.source for cell in cells(TUTORIAL.read_text())], DOCS))
        for page in (TUTORIAL, CHINESE):
            page.write_text(filled(page.read_text(), printed))
    NOTEBOOK.write_text(notebook(TUTORIAL.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
