"""`samplerzoo rerun IMAGE`: make an image again from its own metadata."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samplerzoo import registry
from samplerzoo.cli.paths import FILE, check_suffix
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.shared_flags import offload_flag
from samplerzoo.cli.terminal import show
from samplerzoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    from samplerzoo.core.model import Offload
    from samplerzoo.images import Pixels
    from samplerzoo.sampling.recipe import ImageRecord, Recipe
    from samplerzoo.sampling.run import Run

PLUGIN, MODEL, SECOND = "--plugin", "--model", "--guidance-model"
"""Flags for what an image's recipe may name, but only the user may choose."""
ROUNDING = {"float32": 2, "bfloat16": 32, "float16": 32}
"""Largest difference of a pixel (0 to 255) between an image made alone and the same image made in a batch, by dtype.

With a U-Net for digits and 20 steps of DDIM the difference was 0 in float32 and 4 in bfloat16.
"""


@click.command("rerun", cls=TellsRepeated, params=[plugin_flag, offload_flag])
@click.argument("image", type=FILE)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="[default: IMAGE-rerun.png, in the current folder]")
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

    Only the file and the model are needed. The exit code is 1 if the pixels differ by more than rounding. Plugins, data
    and models of the hub are not taken because the file names them: name them yourself, as the error says.
    """
    from samplerzoo.images import read_png
    from samplerzoo.sampling.recipe import ImageRecord
    from samplerzoo.sampling.run import draw_image, outside_images, prepare_run, save_image
    from samplerzoo.sampling.tuning import TuningRequest

    target = output or outside_images(Path()) / f"{image.stem}-rerun.png"
    check_suffix(target, ".png", "the image")
    if target.resolve() == image.resolve():
        raise UsageError("the output would replace the image that it is to be compared with")
    old, metadata = read_png(image)
    if metadata is None:
        raise ZooError(f"{image} carries no samplerzoo metadata: samplerzoo did not make it, or they were removed")
    record = ImageRecord.of(metadata, str(image))
    recipe, index = record.recipe, record.index
    found = _with_models(recipe, model, guidance_model)
    own_device = None if device == "auto" else device
    flags = {MODEL: model, SECOND: guidance_model, "-o": output, "--device": own_device, "--offload": offload}
    typed = {flag: [str(value)] for flag, value in flags.items() if value is not None}
    _check_asked(recipe, image, {PLUGIN: [*plugin], **typed})
    for file in plugin:
        registry.load_file(file)
    if recipe.class_labels == "natural" and record.label is not None:
        # take the class from the file, since earlier versions assigned natural labels by another rule
        found = found.model_copy(update={"class_labels": str(record.label)})
    alone = TuningRequest(batch_size=1, layout="contiguous")
    height, width, channels = old.shape
    prepare = functools.partial(
        prepare_run, asked=alone, device=device, offload=offload, shape=(channels, height, width)
    )
    try:
        run = prepare(found, index + 1)
    except UsageError:  # a name that two classes had is none of the model now; the class is in the file, too
        if record.label is None or recipe.class_labels is None:
            raise
        run = prepare(found.model_copy(update={"class_labels": str(record.label)}), index + 1)
    _tell_changes(record, run)
    new = draw_image(run, index)
    save_image(run.recipe, index, record.label, new, target)
    show(target)
    show(_verdict(old, new, ROUNDING[run.recipe.dtype]))


def _tell_changes(record: ImageRecord, run: Run) -> None:
    """Say on stderr what is not as it was when the image was made, so that its pixels may differ."""
    old, new = record.recipe, run.recipe
    changes = []
    if new.fingerprint != old.fingerprint:
        changes.append("the model is not the one that the image was made with: its weights differ")
    if new.second_fingerprint != old.second_fingerprint:
        changes.append("the guidance's own model is not the one of the image: its weights differ")
    if {*new.plugins.values()} != {*old.plugins.values()}:
        changes.append("the plugin is not the one that the image was made with: its code differs")
    label = None if run.plan.labels is None else run.plan.labels[record.index]
    if label != record.label:
        changes.append(
            f"the image is of class {record.label}, and --class-labels {new.class_labels} means class {label} of the "
            "model now: the names of its classes have changed"
        )
    for change in changes:
        click.echo(f"samplerzoo: {change}", err=True)


def _check_asked(recipe: Recipe, image: Path, typed: Mapping[str, list[str]]) -> None:
    """Refuse plugins, data and remote models that the image's file names and the user does not.

    An image may come from anywhere, and must not choose which code runs or which files are read or downloaded.

    Args:
        typed: values that the user gave, by flag.

    Raises:
        UsageError: says what the file names, and the command that takes it.
    """
    from samplerzoo.models.folder import is_exact, is_hub_id
    from samplerzoo.models.load import is_unasked

    found = [(PLUGIN, file) for file in recipe.plugins if file not in registry.sources()]
    second = recipe.guidance_options.get("model")
    models = [(MODEL, recipe.model), *([] if second is None else [(SECOND, str(second))])]
    found += [(flag, name) for flag, name in models if not is_unasked(name)]
    named = [(flag, name) for flag, name in found if not typed.get(flag)]
    if not named:
        return
    moved = [name for flag, name in named if flag != PLUGIN and not is_exact(name) and not is_hub_id(name)]
    words = [word for flag, values in typed.items() for value in values for word in (flag, value)]
    words += [word for flag, name in named for word in (flag, "FOLDER" if name in moved else name)]
    asked = shlex.join(["samplerzoo", "rerun", str(image), *words])
    where = f", with the FOLDER in which {' and '.join(moved)} lies now" if moved else ""
    raise UsageError(
        f"{image} names {' and '.join(name for _, name in named)}, and what a file names is not run, read or fetched "
        f"unasked; if you trust it: {asked}{where}"
    )


def _with_models(recipe: Recipe, model: str | None, second: str | None) -> Recipe:
    """Replace the models of the recipe by those that the user names.

    Raises:
        UsageError: a second model is named, and the recipe's guidance takes none.
    """
    options = recipe.guidance_options
    if second is not None:
        if options.get("model") is None:
            raise UsageError(f"{SECOND}: the image was made without a guidance that has a model of its own")
        options = {**options, "model": second}
    return recipe.model_copy(update={"model": model or recipe.model, "guidance_options": options})


def _verdict(old: Pixels, new: Pixels, rounding: int) -> str:
    difference = abs(old.astype(int) - new.astype(int))
    if not difference.any():
        return "identical: every pixel is the same"
    text = f"{(difference > 0).sum()} of {difference.size} values differ, by {difference.max()} of 255 at most"
    if difference.max() > rounding:
        raise ZooError(f"not the same image: {text}")
    return f"the same but for rounding: {text}"
