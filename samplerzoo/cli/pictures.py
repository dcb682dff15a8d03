"""`samplerzoo show`: one picture of several settings, from the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samplerzoo.bench.suite import RowOptions, SuiteHeader, parse_suite
from samplerzoo.cli.flags import flags, given
from samplerzoo.cli.paths import FILE
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.shared_flags import argument_flag, debug_flag, device_flag, offload_flag, prompt_flags
from samplerzoo.cli.sweep_flags import ROWS, SweepCommand, several
from samplerzoo.cli.terminal import show
from samplerzoo.errors import UsageError
from samplerzoo.models.options import ReadingOptions

if TYPE_CHECKING:
    from samplerzoo.core.model import Offload

SHOWN, MOST = 2, 64
"""Images of each setting, and the most of them."""

OWN = ("images", "class_labels")
"""Flags of rows that have other words here."""

MODEL_FLAGS = ("model", *ReadingOptions.model_fields)

flags_of_show: list[click.Parameter] = [
    click.Option(
        ["--sampler", "_"],
        metavar="NAME",
        expose_value=False,
        help="sampler to show, with its options behind it; may be repeated",
    ),
    plugin_flag,
    *(flag for flag in several(flags(RowOptions), single=["negative_prompt"]) if flag.name not in OWN),
    *prompt_flags,
    argument_flag,
    click.Option(
        ["--labels", "--class-labels", "class_labels"],
        metavar="TEXT",
        help="3,8 or 0-9 or balanced: labels of the images of each setting  [default: balanced]",
    ),
    click.Option(
        ["--images"],
        type=click.IntRange(1, MOST),
        metavar="INTEGER",
        help=f"images of each setting  [default: as many as --labels or --prompts lists, else {SHOWN}]",
    ),
    *(flag for flag in flags(SuiteHeader) if flag.name in MODEL_FLAGS),
    click.Option(
        ["--columns"],
        default="steps",
        metavar="OPTION",
        help="option whose values stand beside each other; what else varies are the rows  [default: steps]",
    ),
    click.Option(["--trajectory"], is_flag=True, help="show the way of each instead: states, and predictions of x0"),
    device_flag,
    offload_flag,
    click.Option(
        ["-o", "--output"],
        type=FILE,
        default=Path("show.png"),
        metavar="FILE",
        help="the picture  [default: show.png]",
    ),
    debug_flag,
]


@click.command("show", cls=SweepCommand, params=flags_of_show)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    plugin: tuple[str, ...],
    images: int | None,
    columns: str,
    trajectory: bool,
    device: str,
    offload: Offload | None,
    output: Path,
    debug: bool,
    **values: Any,
) -> None:
    """Show what settings make of the same noise: a row a setting, a column a number of steps. Nothing is measured.

    Lists of values multiply out, as in `bench`, and options of a sampler follow it:

    \b
        samplerzoo show --sampler ddim --eta 0,1 --sampler ddpm --steps 5,10,50 --labels 3,8
    """
    if not ctx.meta[ROWS]:
        raise UsageError("there is nothing to show: add --sampler NAME")
    suite = parse_suite({}, "the command line", given(values), ctx.meta[ROWS])
    from samplerzoo.report.show import save_picture, save_ways

    recipes = [recipe for recipe, _ in suite.points]
    draw = save_ways if trajectory else save_picture
    draw(recipes, suite.reading, images, columns.replace("-", "_"), device, output, offload)
    show(output)
