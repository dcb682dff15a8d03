"""`samplerzoo eval`: how far the images of a run, or of a data set, are from the data."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("eval")
@click.argument("images")
@click.option("--model", default="mnist", show_default=True, help="model whose feature network and statistics to use")
@click.option("--reference", default="train", show_default=True, help="statistics to compare with")
@click.option("--split", default="test", show_default=True, help="split, where IMAGES is a data set")
@click.option("--num-images", type=click.IntRange(min=2), help="that many; all by default")
@click.option("--json", "as_json", is_flag=True, help="for machines")
def command(images: str, model: str, reference: str, split: str, num_images: int | None, as_json: bool) -> None:
    """Fréchet distance and label accuracy of IMAGES, in the features of the model's own classifier of clean images.

    IMAGES is a run folder, or a data set as `train --dataset` takes it. Real images give the floor of the distance.
    """
    from samplerzoo import models
    from samplerzoo.metrics import reference as statistics
    from samplerzoo.metrics import source
    from samplerzoo.metrics.evaluate import evaluate
    from samplerzoo.metrics.features import FeatureNetwork

    features = FeatureNetwork(models.find(model))
    found = evaluate(source.batches(images, split, num_images), features, statistics.load(features, reference))
    if as_json:
        click.echo(json.dumps({"name": found.name, "reference": reference, **asdict(found)}))
        return
    click.echo(f"{found.name} against {reference}: {found.frechet_distance:.4f}")
    if found.label_accuracy is not None:
        click.echo(f"label accuracy: {found.label_accuracy:.2%}")
