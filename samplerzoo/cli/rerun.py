"""`samplerzoo rerun IMAGE`: make an image again from its own metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from samplerzoo import registry
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    from samplerzoo.images import Pixels
    from samplerzoo.sampling.recipe import Recipe

ROUNDING = {"float32": 2, "bfloat16": 32, "float16": 32}
"""Largest difference of a pixel, of 255, between an image made alone and the same image made in a batch.

Seen with a U-Net for digits and 20 steps of DDIM: 0 in float32, 4 in bfloat16.
"""


@click.command("rerun", params=[plugin_flag])
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: IMAGE-rerun.png, beside IMAGE]"
)
@click.option("--model", help="the model, if it has moved since the image was made")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps")
def command(plugin: tuple[str, ...], image: Path, output: Path | None, model: str | None, device: str) -> None:
    """Make IMAGE again from the recipe in its file, and say whether the pixels are the same.

    Only the file and the model are needed. The exit code is 1 if the pixels differ by more than rounding.
    """
    from samplerzoo.images import picture, read_png, save_png
    from samplerzoo.sampling.recipe import Recipe
    from samplerzoo.sampling.run import draw_image, prepare_run
    from samplerzoo.sampling.tuning import TuningRequest

    output = output or image.with_name(f"{image.stem}-rerun.png")
    if output.resolve() == image.resolve():
        raise UsageError("the output would replace the image that it is to be compared with")
    old, metadata = read_png(image)
    if metadata is None:
        raise ZooError(f"{image} carries no samplerzoo metadata: samplerzoo did not make it, or they were removed")
    recipe, index = Recipe.from_metadata(metadata, str(image))
    _load_plugins(recipe, plugin)
    found = recipe if model is None else recipe.model_copy(update={"model": model})
    alone = TuningRequest(batch_size=1, layout="contiguous")
    run = prepare_run(found, index + 1, asked=alone, device=device)
    if run.recipe.fingerprint != recipe.fingerprint:
        click.echo("samplerzoo: the model is not the one that the image was made with: its weights differ", err=True)
    if run.recipe.second_fingerprint != recipe.second_fingerprint:
        click.echo("samplerzoo: the guidance's own model is not the one of the image: its weights differ", err=True)
    if {*run.recipe.plugins.values()} != {*recipe.plugins.values()}:
        click.echo("samplerzoo: the plugin is not the one that the image was made with: its code differs", err=True)
    new = draw_image(run, index)
    save_png(picture(new), output, run.recipe.metadata(index, metadata.get("label")))
    click.echo(output)
    click.echo(_verdict(old, new, ROUNDING[run.recipe.dtype]))


def _load_plugins(recipe: Recipe, files: tuple[str, ...]) -> None:
    """Load the plugin files that the user names. An image may come from anywhere, and must not choose what is run."""
    named = [file for file in recipe.plugins if file not in registry.sources()]
    if named and not files:
        words = " ".join(f"--plugin {file}" for file in named)
        raise UsageError(f"the image was made with a plugin from a file; if you trust that file, add {words}")
    for file in files:
        registry.load_file(file)


def _verdict(old: Pixels, new: Pixels, rounding: int) -> str:
    if old.shape != new.shape:
        raise ZooError(f"not the same image: {new.shape} where {old.shape} was")
    difference = abs(old.astype(int) - new.astype(int))
    if not difference.any():
        return "identical: every pixel is the same"
    text = f"{(difference > 0).sum()} of {difference.size} values differ, by {difference.max()} of 255 at most"
    if difference.max() > rounding:
        raise ZooError(f"not the same image: {text}")
    return f"the same but for rounding: {text}"
