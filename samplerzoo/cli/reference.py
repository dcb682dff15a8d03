"""`samplerzoo ref`: reference statistics of a data set, beside the feature network that they are made with."""

from __future__ import annotations

import click


@click.command("ref")
@click.argument("dataset")
@click.option("--model", default="mnist", show_default=True, help="model folder whose feature network to use")
@click.option("--split", default="train", show_default=True, help="split, and name of the statistics")
def command(dataset: str, model: str, split: str) -> None:
    """Mean and covariance of the features of a DATASET, as `train --dataset` takes it, for `samplerzoo eval`."""
    from pathlib import Path

    from samplerzoo import models
    from samplerzoo.metrics import reference, source
    from samplerzoo.metrics.evaluate import moments
    from samplerzoo.metrics.features import FeatureNetwork

    features = FeatureNetwork(models.find(model))
    found, accuracy = moments(source.batches(dataset, split), features)
    path = reference.save(features, split, f"{Path(dataset).name} {split}", found)
    click.echo(f"{path}: {found.count} images" + ("" if accuracy is None else f", label accuracy {accuracy:.2%}"))
