"""Tab of two options as axes: a picture for every pair of their values, all from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from samplerzoo.errors import UsageError, reason
from samplerzoo.fields import split
from samplerzoo.images import Pixels
from samplerzoo.play.controls import INTERACTIVE, Control, Setting, commands, marked, picture, subject
from samplerzoo.play.drawing import Drawn, draw
from samplerzoo.play.panel import Shown, panel
from samplerzoo.play.studio import IMAGES, Studio, fitting_options
from samplerzoo.report.gallery import blocks
from samplerzoo.report.line_names import option_text

MOST_CELLS = 100

AXES = {"rows": ("sampler", "ddim, ddpm"), "columns": ("steps", "5, 10, 50")}
"""Option and values of each axis when the page opens."""


def tab(studio: Studio) -> None:
    """Lay out the tab."""
    gr.Markdown("A picture for every pair of values of two options, all from the same noise; all else is as set here.")
    with panel("Draw", lambda: Setting("grid", "ddim", 10), lambda: subject(studio, "grid", 2)) as own:
        status = gr.Markdown()
        grid = picture("grid")
        lines = commands("the commands of its cells, row by row")

    def go(controls: Sequence[Control], given: dict[str, Any]) -> Shown:
        (row, rows), (column, columns) = (read_axis(controls, axis, given) for axis in AXES)
        if row == column:
            raise UsageError(f"rows and columns are both {row}: choose two options")
        if len(rows) * len(columns) > MOST_CELLS:
            raise UsageError(f"{len(rows)} x {len(columns)} cells: at most {MOST_CELLS} are drawn")
        wanted = {
            (y, x): studio.ask(fitting_options({**given, row: rows[y], column: columns[x]}))
            for y in range(len(rows))
            for x in range(len(columns))
        }
        yield {lines: "\n".join(request.command for request in wanted.values())}
        names, heads = ([head(name, value) for value in each] for name, each in ((row, rows), (column, columns)))
        cells: dict[tuple[int, int], Pixels] = {}
        for number, (place, request) in enumerate(wanted.items(), 1):
            for drawn in draw(request.plan):
                if isinstance(drawn, Drawn):
                    cells[place] = drawn.pixels
                    yield {grid: marked(blocks(cells, names, heads))}
                else:
                    steps = len(request.plan.grid)
                    yield {status: f"cell {number} of {len(wanted)}: step {drawn.number} of {steps}"}
        yield {status: f"{len(wanted)} cells of {given[IMAGES]} images"}

    def axes(controls: Sequence[Control]) -> list[Control]:
        listed = [control.name for control in controls if control.name not in ("prompts", IMAGES)]
        return [control for name, first in AXES.items() for control in axis(name, listed, *first)]

    own.starts(go, [grid, status, lines], axes)


def axis(name: str, options: list[str], option: str, listed: str) -> tuple[Control, Control]:
    """Make the two controls of an axis: an option, and its values."""
    choice = gr.Dropdown(options, value=option, label=name, key=f"grid {name}", **INTERACTIVE)
    about = {"label": f"values of the {name}", "key": f"grid {name} values", **INTERACTIVE}
    words = gr.Textbox(listed, info="with commas between them", **about)
    return Control(name, choice), Control(f"{name} values", words)


def read_axis(controls: Sequence[Control], name: str, given: dict[str, Any]) -> tuple[str, list[Any]]:
    """Remove an axis from the values of a panel. Return its option and its values.

    Raises:
        UsageError: there are no values.
    """
    option, text = given.pop(name, ""), given.pop(f"{name} values", "")
    found = [control for control in controls if control.name == option]
    parts = [part for part in split(text) if part]
    if not found or not parts:
        raise UsageError("an axis needs an option and values of it, such as steps and 5, 10, 50")
    try:
        return option, [found[0].parse(part) for part in parts]
    except ValueError as error:
        raise UsageError(f"{option}: {reason(error).partition(',')[0]}; the values are {text}") from error


def head(option: str, value: Any) -> str:
    """Return the heading of a row or a column."""
    return option_text(option.replace("_", " "), value) or f"no {option}"
