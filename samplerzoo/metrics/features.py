"""Feature networks by name, and how their metrics are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from samplerzoo import registry
from samplerzoo.core.features import Features
from samplerzoo.system.files import DIGITS

if TYPE_CHECKING:
    pass

PUBLISHED_INCEPTION = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""SHA-256 of the port of TensorFlow's Inception of 2015 to TorchScript by which FIDs are published."""


def parse_features(spec: str) -> Features:
    """`pixels`, `classifier:mnist`, `hf:FOLDER`; `distribution:name:source` tells two of one name apart.

    Raises:
        UsageError: there is no such plugin, or not of this source.
    """
    name, _, source = spec.partition(":")
    known = registry.plugins("features")
    if name not in {plugin.name for plugin in known} and name in {plugin.source for plugin in known}:
        short, _, source = source.partition(":")
        name = f"{name}:{short}"
    return cast(Features, registry.make("features", name, {"source": source}))


def metric_name(features: str, features_id: str, images: int | None) -> str:
    """fd_mnist@5000; fid@5000 for the published Inception network, and for no others. No count for exact moments."""
    published = features_id.startswith(PUBLISHED_INCEPTION[:DIGITS])
    name = "fid" if published else f"fd_{features}"
    return name if images is None else f"{name}@{images}"
