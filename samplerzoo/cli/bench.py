"""`samplerzoo bench`: make and measure the cells of a suite."""

from __future__ import annotations

import functools
import json
import math
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samplerzoo.bench.suite import RowOptions, Suite, SuiteHeader, parse_suite, read_suite
from samplerzoo.cli.estimate import say_estimate
from samplerzoo.cli.flags import flags, given
from samplerzoo.cli.paths import PATH
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.shared_flags import (
    argument_flag,
    baseline_flag,
    debug_flag,
    json_flag,
    network_flags,
    prompt_flags,
    tuning_request,
)
from samplerzoo.cli.sweep_flags import ROWS, SweepCommand, several
from samplerzoo.cli.terminal import show
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.folder import is_gaussian
from samplerzoo.models.load import title
from samplerzoo.trust.markup import visible

if TYPE_CHECKING:
    from samplerzoo.bench.harness import Harness, SuiteOutcome
    from samplerzoo.bench.results import Row
    from samplerzoo.core.model import Offload
    from samplerzoo.sampling.recipe import Recipe

ROOT = Path("bench")
LINE = "the command line"

flags_of_bench: list[click.Parameter] = [
    click.Argument(["suite"], type=PATH, required=False, metavar="[SUITE.toml]"),
    # only for the help: SweepCommand takes these words out of the command line
    click.Option(
        ["--sampler", "_"],
        metavar="NAME",
        expose_value=False,
        help="sampler to compare, with its options behind it; may be repeated",
    ),
    plugin_flag,
    *several(flags(RowOptions), single=["class_labels", "negative_prompt"]),
    *prompt_flags,
    argument_flag,
    *flags(SuiteHeader),
    *network_flags,
    click.Option(
        ["-o", "--output"],
        type=PATH,
        metavar="FOLDER",
        help="folder of cells, results and report; older ones are kept  [default: bench/SUITE or bench/MODEL]",
    ),
    baseline_flag,
    click.Option(
        ["--until-decided"],
        is_flag=True,
        help="add images to the rows that may be the best of as many evaluations, until one is told from all others",
    ),
    click.Option(
        ["--budget"],
        type=click.IntRange(min=1),
        metavar="IMAGES",
        help="with --until-decided: most images of a row  [default: ten times --images]",
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
    offload: Offload | None,
    output: Path | None,
    baseline: str | None,
    until_decided: bool,
    budget: int | None,
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

    Cost: rows x images x steps evaluations of the network, minutes to hours on two cores; --dry-run says how long it
    takes here. `gaussian` and `exact:DATASET` have no network, and take seconds to minutes.
    """
    if budget is not None and not until_decided:
        raise UsageError("--budget is how far --until-decided goes: add that")
    found = parse_suite({} if suite is None else read_suite(suite), str(suite or LINE), given(values), ctx.meta[ROWS])
    first = max(images for _, images in found.points)
    if budget is not None and budget < first:
        raise UsageError(
            f"--budget {budget} is the most images of a row, which has {first} at first: add --images FEWER"
        )
    asked = tuning_request(batch_size, layout, compiled=compiled)
    from samplerzoo.bench.harness import BenchOptions, Harness, run_exactly
    from samplerzoo.bench.results import read_rows
    from samplerzoo.report.decide import check_baseline
    from samplerzoo.sampling.run import outside_images
    from samplerzoo.system.processes import processes

    name = suite.stem if suite else Path(title(found.model)).name.replace(":", "-")
    folder = output or outside_images(Path()) / ROOT / name
    line = shlex.join(["samplerzoo", *sys.argv[1:]])
    tell = _silent if as_json or processes()[0] else _tell
    there = [] if baseline is None else [(row.recipe, row.cost.work) for row in read_rows(folder)]
    try:
        if is_gaussian(found.model):
            _refuse_without_images(found.model, ctx)
            if dry_run:
                _say_exact(found, as_json)
                return
            if baseline is not None:
                check_baseline(baseline, [*there, *_planned_exactly(found)])
            outcome = run_exactly(found, folder, line, tell)
        else:
            harness = Harness(found, folder, BenchOptions(asked, device, line, compiled, offload, dry_run))
            if baseline is not None:
                check_baseline(baseline, [*there, *harness.planned])
            work = harness.estimate()
            if not processes()[0] and (dry_run or not as_json):
                say_estimate(work, dry_run, as_json)
            if dry_run:
                return
            outcome = harness.run(work, tell)
            if until_decided:
                outcome = _until_decided(harness, folder, outcome, budget, tell)
    except KeyboardInterrupt:
        if not processes()[0]:
            click.echo("samplerzoo: the same command goes on from here", err=True)
        raise
    _conclude(outcome, folder, baseline, as_json)


def _planned_exactly(suite: Suite) -> list[tuple[Recipe, float]]:
    """Return the recipes that an exact model accepts, each with its evaluations."""
    from samplerzoo.bench.gaussian import prepare_exact

    found: list[tuple[Recipe, float]] = []
    for recipe, _ in suite.points:
        with suppress(ZooError):  # left out here; `run_exactly` says why
            filled, _, cost = prepare_exact(recipe)
            found.append((filled, cost.work))
    return found


def _refuse_without_images(model: str, ctx: click.Context) -> None:
    """Refuse flags that have no effect on a benchmark without images.

    Raises:
        UsageError: names the flags.
    """
    about_images = {"until_decided", "budget"}.union(flag.name for flag in network_flags if flag.name)
    typed = [flag for flag in flags_of_bench if flag.name in about_images and _is_typed(ctx, flag.name)]
    if typed:
        names = ", ".join(flag.opts[0] for flag in typed)
        raise UsageError(f"{model} is measured without images: leave out {names}")


def _is_typed(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _until_decided(
    harness: Harness, folder: Path, outcome: SuiteOutcome, budget: int | None, tell: Callable[[Row], None]
) -> SuiteOutcome:
    """Double the images of all rows that may still be the best at their number of evaluations.

    It ends when every column has one best row, or at the budget. Each look at the figures is a chance of error, so the
    significance level is divided by the largest possible number of looks.
    """
    from samplerzoo.report.decide import LEVEL
    from samplerzoo.report.undecided import deciding_rows, undecided
    from samplerzoo.system.processes import on_main, processes

    images = max((row.protocol.images or 0 for row in deciding_rows(outcome.rows)), default=0)
    most = budget or 10 * images
    looks = max(math.ceil(math.log2(most / images)), 0) + 1 if images else 1
    while images and not outcome.failures:
        rows = [row for row in deciding_rows(outcome.rows) if row.protocol.images == images]
        columns = on_main(functools.partial(undecided, folder, rows, LEVEL / looks))
        if not columns:
            break
        where, cells = ", ".join(f"{column:g}" for column in sorted(columns)), set().union(*columns.values())
        following = min(2 * images, most)
        if not processes()[0]:
            reached = following == images
            text = f"not decided with {images:,} images: the best of {where} evaluations"
            last = "that is the budget"
            if looks > 1:
                last += f" (at {LEVEL / looks:.2g}, as each of {looks} looks may be wrong; the report is at {LEVEL:g})"
            click.echo(f"{text}; {last if reached else f'{len(cells)} rows go on'}", err=True)
        if following == images:
            break
        images = following
        harness.extend(cells, images)
        outcome = harness.run(harness.estimate(), tell)
    return outcome


def _conclude(outcome: SuiteOutcome, folder: Path, baseline: str | None, as_json: bool) -> None:
    """Write the report, print its findings, and raise an error if a cell has no row."""
    from samplerzoo.report.page import make_report
    from samplerzoo.system.processes import processes

    if not processes()[0] and outcome.rows:
        report = make_report(folder, baseline)
        if as_json:
            rows = [row.model_dump(mode="json") for row in outcome.rows]
            findings = [sentence for found in report.findings.values() for sentence in found]
            answer = {"folder": str(folder), "report": str(report.path), "findings": findings, "rows": rows}
            show(json.dumps(answer))
        else:
            show(report)
    if outcome.failures:
        if processes()[0]:
            raise SystemExit(ZooError.exit_code)
        more = f" (and {len(outcome.failures) - 1} more)" if len(outcome.failures) > 1 else ""
        raise ZooError(f"no row for {outcome.failures[0]}{more}; the same command tries again")


def _silent(row: Row) -> None: ...


def _tell(row: Row) -> None:
    from tqdm.auto import tqdm

    from samplerzoo.bench.cell import cell_title

    single = row.error or row.score
    figure = row.metrics.fd if row.metrics is not None else single and single.mean
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
