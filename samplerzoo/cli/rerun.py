"""`samplerzoo rerun IMAGE`: make an image again from its own metadata."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samplerzoo import registry
from samplerzoo.cli.paths import FILE, PATH
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.shared_flags import offload_flag
from samplerzoo.cli.terminal import show
from samplerzoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    from samplerzoo.core.model import Offload
    from samplerzoo.images import Pixels
    from samplerzoo.sampling.recipe import Recipe

ROUNDING = {"float32": 2, "bfloat16": 32, "float16": 32}
"""Largest difference of a pixel, of 255, between an image made alone and the same image made in a batch.

Seen with a U-Net for digits and 20 steps of DDIM: 0 in float32, 4 in bfloat16.
"""


@click.command("rerun", params=[plugin_flag, offload_flag])
@click.argument("image", type=PATH)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="[default: IMAGE-rerun.png, beside IMAGE]")
@click.option("--model", help="the model, if it has moved since the image was made, or is one of the hub")
@click.option("--guidance-model", help="the guidance's own model, likewise")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps")
def command(
    plugin: tuple[str, ...],
    image: Path,
    output: Path | None,
    model: str | None,
    guidance_model: str | None,
    device: str,
    offload: Offload | None,
) -> None:
    """Make IMAGE again from the recipe in its file, and say whether the pixels are the same.

    Only the file and the model are needed. The exit code is 1 if the pixels differ by more than rounding. What the file
    names is not fetched from the hub: name it yourself.
    """
    from samplerzoo.images import picture, read_png, save_png
    from samplerzoo.sampling.recipe import ImageRecord
    from samplerzoo.sampling.run import draw_image, prepare_run
    from samplerzoo.sampling.tuning import TuningRequest

    output = output or image.with_name(f"{image.stem}-rerun.png")
    if output.resolve() == image.resolve():
        raise UsageError("the output would replace the image that it is to be compared with")
    old, metadata = read_png(image)
    if metadata is None:
        raise ZooError(f"{image} carries no samplerzoo metadata: samplerzoo did not make it, or they were removed")
    record = ImageRecord.of(metadata, str(image))
    recipe, index = record.recipe, record.index
    _load_plugins(recipe, plugin)
    found = _with_models(recipe, model, guidance_model)
    if recipe.class_labels == "natural" and record.label is not None:
        # the file knows the image's class; which image has which class was another rule in earlier versions
        found = found.model_copy(update={"class_labels": str(record.label)})
    alone = TuningRequest(batch_size=1, layout="contiguous")
    run = prepare_run(found, index + 1, asked=alone, device=device, offload=offload)
    if run.recipe.fingerprint != recipe.fingerprint:
        click.echo("samplerzoo: the model is not the one that the image was made with: its weights differ", err=True)
    if run.recipe.second_fingerprint != recipe.second_fingerprint:
        click.echo("samplerzoo: the guidance's own model is not the one of the image: its weights differ", err=True)
    if {*run.recipe.plugins.values()} != {*recipe.plugins.values()}:
        click.echo("samplerzoo: the plugin is not the one that the image was made with: its code differs", err=True)
    new = draw_image(run, index)
    save_png(picture(new), output, run.recipe.metadata(index, record.label))
    show(output)
    show(_verdict(old, new, ROUNDING[run.recipe.dtype]))


def _load_plugins(recipe: Recipe, files: tuple[str, ...]) -> None:
    """Load the plugin files that the user names. An image may come from anywhere, and must not choose what is run."""
    named = [file for file in recipe.plugins if file not in registry.sources()]
    if named and not files:
        words = " ".join(f"--plugin {shlex.quote(file)}" for file in named)
        raise UsageError(f"the image was made with a plugin from a file; if you trust that file, add {words}")
    for file in files:
        registry.load_file(file)


def _with_models(recipe: Recipe, model: str | None, guidance_model: str | None) -> Recipe:
    """Put the models that the user names into the recipe. Those that the file names must be here already.

    Raises:
        UsageError: one of them is not.
    """
    second = recipe.guidance_options.get("model")
    if guidance_model is not None and second is None:
        raise UsageError("--guidance-model: the image was made without a guidance that has a model of its own")
    if model is None:
        _check_here(recipe.model, "--model")
    if second is not None and guidance_model is None:
        _check_here(str(second), "--guidance-model")
    options = (
        recipe.guidance_options if guidance_model is None else {**recipe.guidance_options, "model": guidance_model}
    )
    return recipe.model_copy(update={"model": model or recipe.model, "guidance_options": options})


def _check_here(name: str, flag: str) -> None:
    """Refuse a model that would be fetched: a file may come from anywhere, and must not choose what is fetched."""
    from samplerzoo.models.load import is_here

    if not is_here(name):
        raise UsageError(
            f"the image was made with the model {name}, which is not here, and what a file names is not fetched: "
            f"add {flag} {shlex.quote(name)} if it is one of the hub that you want, or {flag} FOLDER if it has moved"
        )


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
