"""`samplerzoo show`: one picture of several settings, from the same noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samplerzoo.bench.suite import RowOptions, SuiteHeader, parse_suite
from samplerzoo.cli.flags import flags, given
from samplerzoo.cli.paths import FILE, check_suffix
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.shared_flags import argument_flag, debug_flag, device_flag, offload_flag, prompt_flags
from samplerzoo.cli.sweep_flags import ROWS, SweepCommand, several
from samplerzoo.cli.terminal import show
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.errors import UsageError
from samplerzoo.models.options import ReadingOptions

if TYPE_CHECKING:
    from samplerzoo.core.model import Offload

SHOWN, MOST = 2, 64
"""Default and largest number of images of each setting."""

OWN = ("images", "class_labels")
"""Flags of rows that this command defines in its own words."""

MODEL_FLAGS = ("model", *ReadingOptions.model_fields)

flags_of_rows = several(flags(RowOptions), single=["negative_prompt"])
next(flag for flag in flags_of_rows if flag.name == "seeds").opts.append("--seed")  # as `run` calls it

flags_of_show: list[click.Parameter] = [
    click.Option(
        ["--sampler", "_"],
        metavar="NAME",
        expose_value=False,
        help="sampler to show, with its options behind it; may be repeated",
    ),
    plugin_flag,
    *(flag for flag in flags_of_rows if flag.name not in OWN),
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
    click.Option(
        ["--plane"],
        type=click.Choice(["own", *NAMED_PATHS]),
        metavar="PATH",
        help="move points of a plane with exact data instead, on the model's own path, by the word own, or on "
        f"{', '.join(NAMED_PATHS)}; the picture is an SVG file that moves in a browser",
    ),
    device_flag,
    offload_flag,
    click.Option(
        ["-o", "--output"],
        type=FILE,
        metavar="FILE",
        help="the picture  [default: show.png, or show.svg of a plane]",
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
    plane: str | None,
    device: str,
    offload: Offload | None,
    output: Path | None,
    debug: bool,
    **values: Any,
) -> None:
    """Show what settings make of the same noise: a row a setting, a column a number of steps. Nothing is measured.

    Lists of values multiply out, as in `bench`, and options of a sampler follow it:

    \b
        samplerzoo show --sampler ddim --eta 0,1 --sampler ddpm --steps 5,10,50 --labels 3,8
        samplerzoo show --sampler ddim,heun --steps 5,20 --plane flow
    """
    if not ctx.meta[ROWS]:
        raise UsageError("there is nothing to show: add --sampler NAME")
    from samplerzoo.sampling.run import outside_images

    suite = parse_suite({}, "the command line", given(values), ctx.meta[ROWS])
    recipes, axis = [recipe for recipe, _ in suite.points], columns.replace("-", "_")
    output = output or outside_images(Path()) / ("show.png" if plane is None else "show.svg")
    kind, what = (".png", "the picture") if plane is None else (".svg", "a picture that moves, as of --plane,")
    check_suffix(output, kind, what)
    if plane is None:
        from samplerzoo.report.show import save_picture, save_ways

        draw = save_ways if trajectory else save_picture
        draw(recipes, suite.reading, images, axis, device, output, offload)
    else:
        from samplerzoo.report.show import save_plane

        _check_plane({"--images": images is not None, "--trajectory": trajectory, "--offload": offload is not None})
        for line in save_plane(recipes, suite.reading, plane, axis, output):
            show(line)
    show(output)


def _check_plane(others: Mapping[str, bool]) -> None:
    """Refuse requests that do not go with --plane, which draws a moving picture of points.

    Args:
        others: flags that are about images; True if the user typed the flag.
    """
    for flag, typed in others.items():
        if typed:
            raise UsageError(f"{flag} is for images, and --plane moves points: leave one of them out")
