"""`samplerzoo bench`: make and measure the cells of a suite."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samplerzoo.bench.suite import RowOptions, Suite, SuiteHeader, is_gaussian, parse_suite, read_suite
from samplerzoo.cli.flags import flags, given
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.shared_flags import debug_flag, json_flag, network_flags, tuning_request
from samplerzoo.cli.sweep_flags import ROWS, SweepCommand, several
from samplerzoo.cli.terminal import show
from samplerzoo.errors import ZooError
from samplerzoo.markup import visible
from samplerzoo.models.load import title

if TYPE_CHECKING:
    from samplerzoo.bench.estimate import Remaining
    from samplerzoo.bench.harness import SuiteOutcome
    from samplerzoo.bench.results import Row

ROOT = Path("bench")
LINE = "the command line"

flags_of_bench: list[click.Parameter] = [
    click.Argument(["suite"], type=click.Path(path_type=Path), required=False, metavar="[SUITE.toml]"),
    # shown in the help alone: SweepCommand takes these words out of the line
    click.Option(
        ["--sampler", "_"],
        metavar="NAME",
        expose_value=False,
        help="sampler to compare, with its options behind it; may be repeated",
    ),
    plugin_flag,
    *several(flags(RowOptions), single=["class_labels"]),
    *flags(SuiteHeader),
    *network_flags,
    click.Option(
        ["-o", "--output"],
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="folder of cells, results and report; older ones are kept  [default: bench/SUITE or bench/MODEL]",
    ),
    click.Option(["--dry-run"], is_flag=True, help="say what would be done and how long it would take"),
    json_flag,
    debug_flag,
]


@click.command("bench", cls=SweepCommand, params=flags_of_bench)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    suite: Path | None,
    plugin: tuple[str, ...],
    batch_size: int | None,
    layout: str | None,
    device: str,
    compiled: bool,
    output: Path | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Compare samplers: draw images with each, and measure how far they are from the data and at what cost.

    A suite file, the command line or both say what is compared. A flag overrides the file, and a sampler on the command
    line is one more row. Lists of values multiply out. Options of a sampler follow it:

    \b
        samplerzoo bench --sampler ddim --eta 0,0.5,1 --sampler ddpm --steps 5,10,20 --images 500 -o DIR

    After an interruption, the same command goes on.
    """
    found = parse_suite({} if suite is None else read_suite(suite), str(suite or LINE), given(values), ctx.meta[ROWS])
    folder = output or ROOT / (suite.stem if suite else Path(title(found.model)).name.replace(":", "-"))
    asked = tuning_request(batch_size, layout, compiled=compiled)
    from samplerzoo.bench.harness import BenchOptions, Harness, run_exactly
    from samplerzoo.system.processes import processes

    line = shlex.join(["samplerzoo", *sys.argv[1:]])
    tell = _silent if as_json or processes()[0] else _tell
    try:
        if is_gaussian(found.model):
            if dry_run:
                _say_exact(found, as_json)
                return
            outcome = run_exactly(found, folder, line, tell)
        else:
            harness = Harness(found, folder, BenchOptions(asked, device, line, compiled, dry_run))
            work = harness.estimate()
            if not processes()[0] and (dry_run or not as_json):
                _say_estimate(work, dry_run, as_json)
            if dry_run:
                return
            outcome = harness.run(work, tell)
    except KeyboardInterrupt:
        if not processes()[0]:
            click.echo("samplerzoo: the same command goes on from here", err=True)
        raise
    _conclude(outcome, folder, as_json)


def _conclude(outcome: SuiteOutcome, folder: Path, as_json: bool) -> None:
    """Write the report, and raise an error if a cell has no row."""
    from samplerzoo.report.page import write_report
    from samplerzoo.system.processes import processes

    if not processes()[0] and outcome.rows:
        written = write_report(folder)
        if as_json:
            rows = [row.model_dump(mode="json") for row in outcome.rows]
            show(json.dumps({"folder": str(folder), "report": str(written), "rows": rows}))
        else:
            show(written)
    if outcome.failures:
        if processes()[0]:
            raise SystemExit(ZooError.exit_code)
        more = f" (and {len(outcome.failures) - 1} more)" if len(outcome.failures) > 1 else ""
        raise ZooError(f"no row for {outcome.failures[0]}{more}; the same command tries again")


def _silent(row: Row) -> None: ...


def _tell(row: Row) -> None:
    from tqdm.auto import tqdm

    from samplerzoo.bench.cell import cell_title

    figure = row.metrics.fd if row.metrics is not None else row.error and row.error.mean
    parts = [f"{row.protocol.metric} {'–' if figure is None else f'{figure:.5g}'}", f"NFE {row.cost.nfe:g}"]
    if row.speed is not None:
        parts.append(f"{row.speed.images_per_second:.3g} images/s")
    tqdm.write(visible("  ".join([*parts, cell_title(row.recipe)])))


def _say_exact(suite: Suite, as_json: bool) -> None:
    """Print what would be done on the exact model."""
    from samplerzoo.bench.cell import cell_title
    from samplerzoo.bench.gaussian import prepare_exact

    recipes = [recipe for recipe, _ in suite.points]
    costs = [prepare_exact(recipe)[2] for recipe in recipes]
    if as_json:
        cells = [
            {"recipe": recipe.model_dump(mode="json"), **cost.per_image()}
            for recipe, cost in zip(recipes, costs, strict=True)
        ]
        show(json.dumps({"cells": cells}))
        return
    show(f"{'NFE':>7}  what")
    for recipe, cost in zip(recipes, costs, strict=True):
        show(f"{cost.nfe:>7g}  {cell_title(recipe)}")


def _say_estimate(work: Sequence[Remaining], every: bool, as_json: bool) -> None:
    """Print what is left to do: in all, and cell by cell if `every`."""
    from samplerzoo.bench.cell import cell_title

    done, images = sum(each.done for each in work), sum(each.images for each in work)
    evaluations, seconds = sum(each.evaluations for each in work), sum(each.seconds for each in work)
    if as_json:
        cells = [
            {
                "cell": each.cell.name,
                "recipe": each.cell.recipe.model_dump(mode="json"),
                "images": each.cell.images,
                "done": each.done,
                "images_to_make": each.images,
                **each.cell.cost.per_image(),
                "seconds": round(each.seconds, 1),
            }
            for each in work
        ]
        show(json.dumps({"cells": cells, "seconds": round(seconds, 1)}))
        return
    if every:
        show(f"{'cell':18}{'to make':>9}{'of':>8}{'NFE':>7}{'time':>11}  what")
        for each in work:
            time = "done" if each.done else _duration(each.seconds)
            numbers = f"{each.images:>9,}{each.cell.images:>8,}{each.cell.cost.nfe:>7g}{time:>11}"
            show(f"{each.cell.name:18}{numbers}  {cell_title(each.cell.recipe)}")
    show(
        f"{len(work)} cells, {done} of them done; {images:,} images and {evaluations:,.0f} network evaluations "
        f"to make, about {_duration(seconds)}"
    )


def _duration(seconds: float) -> str:
    """Format seconds as 1:02:03 or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
