"""Feature networks by name, and the names of their metrics."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from samplerzoo import registry
from samplerzoo.core.features import Features
from samplerzoo.errors import UsageError
from samplerzoo.models.folder import has_features, pretrained
from samplerzoo.system.files import DIGITS

PUBLISHED_INCEPTION = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""SHA-256 of the TorchScript port of TensorFlow's Inception of 2015, with which published FIDs are computed."""


def parse_features(spec: str) -> Features:
    """Return the features that a spec names: `pixels`, `classifier:mnist`, `hf:FOLDER`.

    `distribution:name:source` chooses between plugins of the same name.

    Raises:
        UsageError: there is no such plugin, or it has no such source.
    """
    name, _, source = spec.partition(":")
    known = registry.plugins("features")
    if name not in {plugin.name for plugin in known} and name in {plugin.source for plugin in known}:
        short, _, source = source.partition(":")
        name = f"{name}:{short}"
    if name not in {plugin.name for plugin in known} and _is_here(spec):
        raise UsageError(f"no features {spec!r}; those of the model's own network are --features classifier:{spec}")
    return cast(Features, registry.make("features", name, {"source": source}))


def _is_here(model: str) -> bool:
    """Tell whether a name is that of a model on this machine which has features."""
    return (model in pretrained() or Path(model).expanduser().is_dir()) and has_features(model)


def spec_of(features: Features) -> str:
    """Return the spec that a user would type for these features."""
    cls = type(features)
    targets = {plugin.name: plugin.target for plugin in registry.plugins("features")}
    entry = f"{cls.__module__}:{cls.__qualname__}"
    known = (name for name, target in targets.items() if target is cls or getattr(target, "value", None) == entry)
    name = next(known, features.name)
    return f"{name}:{features.source}" if features.source else name


def metric_name(features: str, features_id: str, images: int | None) -> str:
    """Return the name of a Fréchet distance, such as fd_mnist@5000.

    It is fid@5000 for the published Inception network only.

    Args:
        images: number of images; None for exact moments, whose name has no count.
    """
    published = features_id.startswith(PUBLISHED_INCEPTION[:DIGITS])
    name = "fid" if published else f"fd_{features}"
    return name if images is None else f"{name}@{images}"
