"""`samplerzoo ref make`: statistics of real images, for `samplerzoo eval` and `samplerzoo bench`."""

from __future__ import annotations

from pathlib import Path

import click

from samplerzoo.cli.evaluate import features_flag
from samplerzoo.cli.paths import FILE
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.shared_flags import device_flag
from samplerzoo.cli.terminal import show
from samplerzoo.errors import UsageError


@click.group("ref")
def command() -> None:
    """Make references: statistics of real images that others are measured against."""


flags: list[click.Parameter] = [
    click.Argument(["data"]),
    click.Option(
        ["-o", "--output"],
        required=True,
        type=FILE,
        help=".safetensors, or .npz in pytorch-fid's form: mu and sigma alone",
    ),
    features_flag,
    click.Option(["--split"], default="train", show_default=True, help="split, where DATA is divided into splits"),
    click.Option(["--image-column"], metavar="TEXT", help="column with the images, where DATA is a table"),
    click.Option(["--label-column"], metavar="TEXT", help="column with the labels, where DATA is a table"),
    click.Option(
        ["--sample-size"],
        type=click.IntRange(min=0),
        help="number of features to keep, at random, for metrics that need more than mean and covariance; default: "
        "10000, and none in .npz",
    ),
    plugin_flag,
    device_flag,
]


@command.command("make", cls=TellsRepeated, params=flags)
def keep_reference(
    data: str,
    output: Path,
    features: str,
    split: str,
    image_column: str | None,
    label_column: str | None,
    sample_size: int | None,
    plugin: tuple[str, ...],
    device: str,
) -> None:
    """Keep mean, covariance and a sample of the features of DATA: images as `samplerzoo eval` takes them.

    A .safetensors file in the features/ folder of a model is known by its name, as train.safetensors by train.
    """
    from samplerzoo import registry
    from samplerzoo.data import sources as source
    from samplerzoo.metrics import reference
    from samplerzoo.metrics.embed import Embedder, embed_stream
    from samplerzoo.metrics.names import parse_features
    from samplerzoo.system.environment import choose_device
    from samplerzoo.system.files import remove_partials_of

    reference.check_suffix(output)
    if output.suffix.lower() == reference.NPZ and sample_size is not None:
        raise UsageError(f"{output}: .npz holds mean and covariance alone: leave --sample-size out")
    remove_partials_of(output)
    for file in plugin:
        registry.load_file(file)
    embedder = Embedder(parse_features(features), choose_device(device))
    images = source.image_batches(data, split, image_column=image_column, label_column=label_column)
    found = reference.make_reference(
        embed_stream(images, embedder),
        embedder.features.id,
        data,
        reference.SAMPLE_SIZE if sample_size is None else sample_size,
        class_names=images.class_names,
    )
    reference.save_reference(found, output)
    show(f"{output}: {found.count} images, {found.dimensions} features")
