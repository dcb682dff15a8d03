"""Tab of two options as axes: a picture for every pair of their values, all from the same noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from samplerzoo.errors import UsageError, reason
from samplerzoo.fields import split
from samplerzoo.images import Pixels
from samplerzoo.play.controls import (
    INTERACTIVE,
    Control,
    Setting,
    commands,
    laid_out,
    picture,
    stoppable,
    subject,
    told,
    values,
)
from samplerzoo.play.drawing import Drawn, draw
from samplerzoo.play.studio import IMAGES, Studio, fitting_options
from samplerzoo.report.gallery import blocks
from samplerzoo.report.line_names import option_text

MOST_CELLS = 100


def tab(studio: Studio) -> None:
    """Lay out the tab."""
    with gr.Row():
        with gr.Column(scale=2):
            setting = Setting("grid", "ddim", 10)
            options = gr.Column()
            asked = subject(studio, "grid", 2)
        with gr.Column(scale=3):
            with gr.Row():
                start, stop = gr.Button("Draw", variant="primary"), gr.Button("Stop")
            status = gr.Markdown()
            grid = picture("grid")
            lines = commands("the commands of its cells, row by row")

    def go(controls: list[Control], given: dict[str, Any], axes: Sequence[tuple[str, str]]) -> Iterator[dict[Any, Any]]:
        (row, rows), (column, columns) = (read_axis(controls, *axis) for axis in axes)
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
                    yield {grid: blocks(cells, names, heads)}
                else:
                    steps = len(request.plan.grid)
                    yield {status: f"cell {number} of {len(wanted)}: step {drawn.number} of {steps}"}
        yield {status: f"{len(wanted)} cells of {given[IMAGES]} images"}

    def lay_out(*chosen: str) -> None:
        controls = [*setting.controls(*chosen), *asked]
        listed = [control.name for control in controls if control.name not in ("prompts", IMAGES)]
        axes = [
            axis("rows", listed, "sampler", "ddim, ddpm"),
            axis("columns", listed, "steps", "5, 10, 50"),
        ]
        every = [*controls, *(control for pair in axes for control in pair)]

        def run(*given: Any) -> Iterator[dict[Any, Any]]:
            with told():
                found = values(every, given)
                chosen_axes = [tuple(found.pop(control.name, "") for control in pair) for pair in axes]
                yield from go(controls, found, chosen_axes)

        stoppable(start, stop, run, every, [grid, status, lines])

    laid_out(options, setting.inputs, lay_out)


def axis(name: str, options: list[str], option: str, listed: str) -> tuple[Control, Control]:
    """Make the two controls of an axis: an option, and its values."""
    choice = gr.Dropdown(options, value=option, label=name, key=f"grid {name}", **INTERACTIVE)
    about = {"label": f"values of the {name}", "key": f"grid {name} values", **INTERACTIVE}
    words = gr.Textbox(listed, info="with commas between them", **about)
    return Control(name, choice), Control(f"{name} values", words)


def read_axis(controls: Sequence[Control], option: str, text: str) -> tuple[str, list[Any]]:
    """Return an axis's option and its values.

    Raises:
        UsageError: there are no values.
    """
    found = [control for control in controls if control.name == option]
    parts = [part for part in split(text) if part]
    if not found or not parts:
        raise UsageError("an axis needs an option and values of it, such as steps and 5, 10, 50")
    try:
        return option, [found[0].parse(part) for part in parts]
    except ValueError as error:
        raise UsageError(f"{option}: {reason(error).partition(',')[0]}; the values are {text}") from error


def head(option: str, value: Any) -> str:
    """Write the head of a row or a column."""
    return option_text(option.replace("_", " "), value) or f"no {option}"
