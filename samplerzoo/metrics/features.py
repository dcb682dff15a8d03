"""Feature networks by name, and how their metrics are called."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from samplerzoo import registry
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.features import Features
from samplerzoo.folder import first_line

if TYPE_CHECKING:
    import torch

PUBLISHED_INCEPTION = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""SHA-256 of the port of TensorFlow's Inception of 2015 to TorchScript by which FIDs are published."""
DIGITS = 16
"""Of a SHA-256 in hexadecimal, where it names a thing."""


def parse(spec: str) -> Features:
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


def digest(*files: Path) -> str:
    """The first 16 hex digits of a file's SHA-256; of several files, those of their digests in this order.

    Raises:
        ZooError: a file cannot be read.
    """
    try:
        found = [_sha256(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    except OSError as error:
        raise ZooError(f"{error.filename}: cannot be read: {first_line(error)}") from error
    return (found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest())[:DIGITS]


@functools.lru_cache
def _sha256(path: Path, modified: int, size: int) -> str:
    """A file is read once for as long as it stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_channels(images: torch.Tensor, channels: int, what: str) -> None:
    """For networks that take images of so many channels and no others."""
    if images.shape[1] != channels:
        raise UsageError(
            f"{what} is for images of {channels} channel{'s' * (channels > 1)}, and these have {images.shape[1]}"
        )
