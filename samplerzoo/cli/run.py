"""`samplerzoo run`: draw images into a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samplerzoo.cli.flags import flags, given, validated
from samplerzoo.cli.plugin_flags import PluginCommand, plugin_flag, refuse_two_grids, sampler_flag
from samplerzoo.cli.shared_flags import asked_pace, debug_flag, json_flag, network_flags
from samplerzoo.errors import UsageError
from samplerzoo.registry import GUIDANCE_PREFIX
from samplerzoo.sampling.recipe import Amount, Recipe, Request

if TYPE_CHECKING:
    from samplerzoo.sampling.job import Job

flags_of_run: list[click.Parameter] = [
    sampler_flag,
    click.Option(["--guidance"], metavar="NAME", help="such as cfg or classifier, with --guidance-scale"),
    plugin_flag,
    *flags(Request),
    *flags(Amount),
    *network_flags,
    click.Option(["--trajectory"], is_flag=True, help="also save the way of the first images, as a strip and a GIF"),
    click.Option(
        ["-o", "--output"],
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="[default: runs/SAMPLER-STEPS, or with a number behind it]",
    ),
    click.Option(["--resume"], is_flag=True, help="complete the interrupted run in the folder"),
    click.Option(["--overwrite"], is_flag=True, help="replace the run in the folder"),
    click.Option(["--dry-run"], is_flag=True, help="say what would be done and what it would cost"),
    json_flag,
    debug_flag,
]


@click.command("run", cls=PluginCommand, params=flags_of_run)
def command(
    num_images: int | None,
    batch_size: int | None,
    layout: str | None,
    device: str,
    compiled: bool,
    trajectory: bool,
    output: Path | None,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    debug: bool,
    **wanted: Any,
) -> None:
    """Draw images with a sampler, into a folder of their own.

    The folder holds images/, grid.png, manifest.jsonl and run.json. Every image carries what it was made with, and
    `samplerzoo rerun IMAGE` makes it again.
    """
    if resume and overwrite:
        raise UsageError("--resume keeps what is there and --overwrite removes it: give one of them")
    if (resume or overwrite) and output is None:
        raise UsageError("--resume and --overwrite need the folder: --output FOLDER")
    from samplerzoo.sampling.job import prepare

    amount = validated(Amount, {"num_images": num_images})
    asked = asked_pace({"batch_size": batch_size, "layout": layout}, compiled=compiled)
    from samplerzoo.sampling.run import GRID_FILE, Settings, default_folder, execute, like_before

    if resume and output is not None:
        asked = like_before(asked, output)
    job = prepare(
        recipe_of(wanted),
        amount.num_images,
        asked=asked,
        device=device,
        compiled=compiled,
        weights=not dry_run,
    )
    if dry_run:
        _show_plan(job, as_json)
        return
    from samplerzoo.system.processes import processes

    folder = output or default_folder(job.recipe)
    try:
        record = execute(job, folder, Settings(overwrite, resume, trajectory))
    except KeyboardInterrupt:
        if not processes()[0]:
            click.echo(f"samplerzoo: to go on, add --output {folder} --resume to the same command", err=True)
        raise
    if processes()[0]:
        return
    if as_json:
        click.echo(json.dumps({"folder": str(folder), **record}))
        return
    click.echo(folder / GRID_FILE)
    click.echo(_summary(record))


def recipe_of(wanted: dict[str, Any]) -> Recipe:
    """From the values of the flags; those that belong to no recipe are the plugins' own."""
    wanted = given(wanted)
    refuse_two_grids(wanted)
    own = {name: wanted.pop(name) for name in [*wanted] if name in Recipe.model_fields}
    wanted.pop("plugin")  # loaded by now; the recipe names the files that are used
    for_guidance = {name: wanted.pop(name) for name in [*wanted] if name.startswith(GUIDANCE_PREFIX)}
    own["guidance_options"] = {name.removeprefix(GUIDANCE_PREFIX): value for name, value in for_guidance.items()}
    return validated(Recipe, {**own, "sampler_options": wanted})


def _summary(record: dict[str, Any]) -> str:
    """One line of figures."""
    if not record["images_made"]:
        return f"all {record['num_images']} images were there already"
    gradients, second = record["classifier_gradients"], record["second_nfe"]
    parts = [
        f"{record['images_made']} images",
        f"NFE {record['nfe']:g}"
        + (f" and {gradients:g} classifier gradients" if gradients else "")
        + (f" and {second:g} of the second network" if second else ""),
        f"{record['seconds']:.1f} s",
        f"{record['images_per_second']:.2f} images/s",
    ]
    return ", ".join(parts)


def _show_plan(job: Job, as_json: bool) -> None:

    cost, levels = job.cost, job.plan.grid.levels
    options = {
        **job.recipe.model_dump(mode="json"),
        "num_images": job.plan.num_images,
        "device": job.model.device,
        **cost.per_image(),
    }
    if as_json:
        click.echo(json.dumps({**options, "grid": [level.describe() for level in levels]}))
        return
    width = max(map(len, options)) + 2
    for name, value in options.items():
        if value not in (None, {}, []):
            click.echo(f"{name:{width}}{value if isinstance(value, str) else json.dumps(value)}")
    click.echo(f"{'grid':{width}}" + " ".join("clean" if level.clean else f"{level.timestep:g}" for level in levels))
