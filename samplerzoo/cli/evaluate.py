"""`samplerzoo eval`: measure how far images are from real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.shared_flags import device_flag, json_flag
from samplerzoo.cli.terminal import show

if TYPE_CHECKING:
    from samplerzoo.metrics.embed import Embedder
    from samplerzoo.metrics.reference import Reference

features_flag = click.Option(
    ["--features"],
    default="classifier:mnist",
    show_default=True,
    metavar="NAME[:SOURCE]",
    help="feature network in which images are measured: one of `samplerzoo list`",
)

flags: list[click.Parameter] = [
    click.Option(["--fake"], required=True, metavar="DATA", help="images to be measured"),
    click.Option(["--real"], default="train", show_default=True, metavar="DATA|REF", help="what to compare with"),
    click.Option(
        ["--floor"],
        metavar="REF",
        help="other real images, whose distance is the floor  [default: test, if --real comes with the features]",
    ),
    features_flag,
    click.Option(["--num-images"], type=click.IntRange(min=2), help="how many to measure; by default all"),
    click.Option(["--fake-split"], default="test", show_default=True, help="split, where --fake has splits"),
    click.Option(["--split"], default="train", show_default=True, help="split, where --real has splits"),
    plugin_flag,
    device_flag,
    json_flag,
]


@click.command("eval", cls=TellsRepeated, params=flags)
def command(
    fake: str,
    real: str,
    floor: str | None,
    features: str,
    num_images: int | None,
    fake_split: str,
    split: str,
    plugin: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Measure images: Fréchet and kernel distance, precision and recall, and label accuracy where images have labels.

    DATA is a run folder, a folder of images that any program made, or a data set as `train --dataset` takes it. REF is
    a reference that `samplerzoo ref make` wrote (or pytorch-fid's .npz), or the name of one that comes with the
    features, such as train.

    Cost: one evaluation of the feature network per image, which is seconds for thousands of digits and far more with
    Inception. A reference made once by `samplerzoo ref make` saves that of the real images.
    """
    from tempfile import TemporaryDirectory

    from samplerzoo import registry
    from samplerzoo.data import sources as source
    from samplerzoo.metrics.embed import Embedder, check_size, embed_to_files
    from samplerzoo.metrics.evaluate import compute_metrics
    from samplerzoo.metrics.names import metric_name, parse_features
    from samplerzoo.metrics.reference_store import obtain_reference
    from samplerzoo.system.environment import choose_device

    for file in plugin:
        registry.load_file(file)
    embedder = Embedder(parse_features(features), choose_device(device))
    images = source.image_batches(fake, fake_split, num_images)
    check_size(embedder.features, images.shape)
    against = obtain_reference(real, split, embedder.features, embedder.device)
    test = _test(floor, real, embedder)
    with TemporaryDirectory() as folder:
        found = embed_to_files(images, embedder, Path(folder))
        metrics, warnings, _ = compute_metrics(
            found.files, found.predicted, found.labels, against, test,
            label_names=images.class_names, predicted_names=embedder.class_names,
        )  # fmt: skip
    record = {
        "metric": metric_name(embedder.features.name, embedder.features.id, found.count),
        "images": found.count,
        "features": embedder.features.name,
        "features_id": embedder.features.id,
        "reference": against.name,
        "reference_id": against.id,
        "reference_images": against.count,
        **metrics.model_dump(exclude={"order", "kid_sd"}),
        "warnings": warnings,
    }
    show(json.dumps(record) if as_json else _text(record))


def _test(name: str | None, real: str, embedder: Embedder) -> Reference | None:
    """Load the reference that the floor is drawn from, or return None if there is none.

    By default it is the test images that come with the features, if `real` comes with them, too: both are of one data
    set.
    """
    from samplerzoo.metrics import reference

    there = reference.named_references(embedder.features)
    if name is None and (real not in there or reference.TEST not in there):
        return None
    return reference.load_reference(name or reference.TEST, embedder.features)


def _text(record: dict[str, Any]) -> str:
    from samplerzoo.report.tables import recall, share

    lines = [f"{record['metric']} against {record['reference']}: {record['fd']:.4f}"]
    if record["floor"] is not None:
        lines.append(f"of as many real images: {record['floor']:.4f}")
    if record["fd_jackknifed"] is not None:
        lines.append(f"without its bias: {_interval(record['fd_jackknifed'], record['fd_se'])}")
    if record["floor_jackknifed"] is not None:
        lines.append(f"of real images, without its bias: {_interval(record['floor_jackknifed'], record['floor_se'])}")
    if record["kid"] is not None:
        lines.append(f"kernel distance: {_interval(record['kid'], record['kid_se'])}")
    if record["precision"] is not None:
        lines.append(f"precision: {share(record['precision'], record['images'])}")
        lines.append(f"recall: {recall(record['recall'], record['recall_se'])}")
    if record["label_accuracy"] is not None:
        lines.append(f"label accuracy: {share(record['label_accuracy'], record['images'])}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in record["warnings"])])


def _interval(value: float, error: float) -> str:
    """Format a value with its 95% interval."""
    from samplerzoo.metrics.influence import NORMAL_95

    return f"{value:.5f} ± {NORMAL_95 * error:.5f} (95%)"
