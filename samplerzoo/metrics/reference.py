"""Reference statistics: the moments of the data's features, in a file that says what they are of."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from samplerzoo.atomic import replacing
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.metrics.features import FeatureNetwork
from samplerzoo.metrics.frechet import Moments


def path(features: FeatureNetwork, split: str) -> Path:
    return features.folder / f"{split}.safetensors"


def save(features: FeatureNetwork, split: str, data: str, moments: Moments) -> Path:
    """Writes the statistics beside the feature network that they were made with."""
    target = path(features, split)
    record = {"count": str(moments.count), "data": data, "features": features.digest}
    with replacing(target) as partial:
        save_file({"mean": moments.mean, "covariance": moments.covariance}, partial, record)
    return target


def load(features: FeatureNetwork, split: str) -> Moments:
    """The statistics of a split.

    Raises:
        UsageError: there are none.
        ZooError: they were made with another feature network.
    """
    file = path(features, split)
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in features.folder.glob("*.safetensors") if each.stem != "model"))
        raise UsageError(f"{features.folder.parent} has no reference {split!r}; it has: {known or 'none'}")
    try:
        with safe_open(file, framework="numpy") as content:
            record = content.metadata()
            moments = Moments(int(record["count"]), content.get_tensor("mean"), content.get_tensor("covariance"))
            digest = record["features"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{file}: cannot be read: {error}") from error
    if digest != features.digest:
        raise ZooError(f"{file} was made with another feature network ({digest}, not {features.digest}); make it again")
    return moments
