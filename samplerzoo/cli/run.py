"""`samplerzoo run`: draw images into a folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samplerzoo.cli.flags import flags, given, validated
from samplerzoo.cli.paths import PATH
from samplerzoo.cli.plugin_flags import PluginCommand, plugin_flag, sampler_flag
from samplerzoo.cli.shared_flags import (
    argument_flag,
    debug_flag,
    json_flag,
    network_flags,
    prompt_flags,
    tuning_request,
)
from samplerzoo.cli.terminal import show
from samplerzoo.data.prompts import read_prompts
from samplerzoo.errors import UsageError
from samplerzoo.registry import split_options
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.trust.limits import MOST_IMAGES

if TYPE_CHECKING:
    from samplerzoo.core.model import Offload
    from samplerzoo.sampling.run import Run

flags_of_run: list[click.Parameter] = [
    sampler_flag,
    click.Option(
        ["--guidance"],
        metavar="NAME",
        help="cfg, classifier or another guidance of `samplerzoo list`, with --guidance-scale",
    ),
    plugin_flag,
    *flags(Recipe),
    *prompt_flags,
    argument_flag,
    click.Option(
        ["--num-images"],
        type=click.IntRange(1, MOST_IMAGES),
        default=64,
        metavar="INTEGER",
        help="number of images  [default: 64]",
    ),
    *network_flags,
    click.Option(
        ["--trajectory"],
        is_flag=True,
        help="also save how the first images come out of the noise, as a strip and a GIF",
    ),
    click.Option(
        ["-o", "--output"],
        type=PATH,
        metavar="FOLDER",
        help="folder of the run  [default: runs/SAMPLER-STEPS, with a number behind it if that is taken]",
    ),
    click.Option(["--resume"], is_flag=True, help="complete the interrupted run in the folder"),
    click.Option(["--overwrite"], is_flag=True, help="replace the run in the folder"),
    click.Option(["--dry-run"], is_flag=True, help="say what would be done and what it would cost"),
    json_flag,
    debug_flag,
]


@click.command("run", cls=PluginCommand, params=flags_of_run)
def command(
    num_images: int,
    batch_size: int | None,
    layout: str | None,
    device: str,
    compiled: bool,
    offload: Offload | None,
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

    The folder holds images/, grid.png, manifest.jsonl and run.json. Every image carries its recipe, from which
    `samplerzoo rerun IMAGE` makes it again.

    Cost: an evaluation of the network per image and step, two with cfg. 64 images in 50 steps of the embedded model
    take seconds on two cores; --dry-run says how long a run takes here.
    """
    if resume and overwrite:
        raise UsageError("--resume keeps what is there and --overwrite removes it: give one of them")
    if (resume or overwrite) and output is None:
        raise UsageError("--resume and --overwrite need the folder: --output FOLDER")
    asked = tuning_request(batch_size, layout, compiled=compiled)
    from samplerzoo.sampling.run import (
        GRID_FILE,
        IMAGE_FOLDER,
        MANIFEST_FILE,
        RECORD_FILE,
        RunOptions,
        default_folder,
        execute_run,
        like_before,
        prepare_run,
    )
    from samplerzoo.sampling.trajectory import FILM_FILE, STRIP_FILE

    if resume and output is not None:
        asked = like_before(asked, output)
    run = prepare_run(
        recipe_of(wanted),
        num_images,
        asked=asked,
        device=device,
        compiled=compiled,
        offload=offload,
    )
    if dry_run:
        _show(run, as_json)
        return
    from samplerzoo.system.processes import processes

    folder = output or default_folder(run.recipe)
    try:
        record = execute_run(run, folder, RunOptions(overwrite, resume, trajectory))
    except KeyboardInterrupt:
        if not processes()[0]:
            words = shlex.join(["--output", str(folder), "--resume"])
            click.echo(f"samplerzoo: to go on, add {words} to the same command", err=True)
        raise
    if processes()[0]:
        return
    if as_json:
        show(json.dumps({"folder": str(folder), **record}))
        return
    show(folder / GRID_FILE)
    beside = [f"{IMAGE_FOLDER}/", MANIFEST_FILE, RECORD_FILE, *((STRIP_FILE, FILM_FILE) if trajectory else ())]
    show(f"{_summary(record)}; beside the picture: {', '.join(beside)}")


def recipe_of(wanted: dict[str, Any]) -> Recipe:
    """Make a recipe from the values of the flags. Flags that are not fields of a recipe are options of plugins."""
    wanted = given(wanted)
    wanted.pop("plugin", None)  # loaded already; the recipe itself records the files that it uses
    given_prompts, column = wanted.pop("prompts", ()), wanted.pop("prompt_column", None)
    if given_prompts or column is not None:
        wanted["prompts"] = read_prompts(given_prompts, column)
    own = {name: wanted.pop(name) for name in [*wanted] if name in Recipe.model_fields}
    for_sampler, for_guidance = split_options(wanted)
    return validated(Recipe, {**own, "sampler_options": for_sampler, "guidance_options": for_guidance})


def _summary(record: dict[str, Any]) -> str:
    """Return the figures of a run in one line."""
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


def _show(run: Run, as_json: bool) -> None:
    """Print what the run would do, and what it would cost."""
    from samplerzoo.sampling.pace import measure_pace
    from samplerzoo.system.processes import processes

    cost, levels, schedule = run.cost, run.plan.grid.levels, run.plan.model.schedule
    count = run.plan.num_images
    seconds = measure_pace(run.plan, min(count, run.batch_size)).seconds(count, cost.nfe) / processes()[1]
    options = {
        **run.recipe.model_dump(mode="json"),
        "num_images": count,
        "device": run.plan.model.device,
        **cost.per_image(),
        "seconds": float(f"{seconds:.2g}"),
    }
    if as_json:
        show(json.dumps({**options, "grid": [*map(schedule.describe, levels)]}))
        return
    width = max(map(len, options)) + 2
    for name, value in options.items():
        if value not in (None, {}, []):
            show(f"{name:{width}}{value if isinstance(value, str) else json.dumps(value)}")
    names = ("clean" if level.clean else f"{schedule.timestep(level.tau):g}" for level in levels)
    show(f"{'grid':{width}}" + " ".join(names))
