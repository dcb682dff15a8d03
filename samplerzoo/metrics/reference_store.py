"""References made from images on first use, and cached under a hash of the images."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from samplerzoo.core.features import Features
from samplerzoo.data import sources
from samplerzoo.errors import ZooError
from samplerzoo.metrics import reference
from samplerzoo.metrics.embed import Embedder, check_size, embed_stream
from samplerzoo.metrics.reference import Reference
from samplerzoo.system.files import cache_folder, digest, digest_text
from samplerzoo.system.processes import on_main


def obtain_reference(
    name: str,
    split: str,
    features: Features,
    device: str,
) -> Reference:
    """Load a reference by its name or file, or make one from images.

    In a multi-process run every process calls this, and the main one makes the reference. Its id is a hash of the
    images, their labels and the features, so that it is the same on every machine.

    Args:
        name: a reference that comes with the features, a file of `samplerzoo ref make` or of pytorch-fid, or images:
            a run folder, a folder of images, a parquet file's folder, or a data set as `train --dataset` takes it.
        split: split of a data set or of a folder of images.
        device: where the features are computed.

    Raises:
        UsageError: there is nothing of this name.
    """
    if reference.is_reference(name, features) or not sources.names_images(name):
        return reference.load_reference(name, features)

    def make() -> tuple[str, Path]:
        images = sources.image_batches(name, split)
        check_size(features, images.shape)
        key = digest_text(f"{_content(name, split)} {features.id} {reference.SAMPLE_SIZE}")
        path = cache_folder("references") / f"{key}.safetensors"
        with suppress(OSError):  # a home that may not be read keeps none
            if path.exists():
                return key, path
        batches = embed_stream(images, Embedder(features, device), note="features are computed once, and kept")
        made = reference.make_reference(batches, features.id, name, class_names=images.class_names)
        try:
            reference.save_reference(made, path)
        except (OSError, ZooError):  # a home that is read-only costs the reference each time
            path = Path(_folder_of_this_process().name) / path.name
            reference.save_reference(made, path)
        return key, path

    key, path = on_main(make)
    return dataclasses.replace(reference.load_reference(str(path), features), name=_short(name), id=key)


@functools.cache
def _folder_of_this_process() -> TemporaryDirectory[str]:
    """Return a folder that lasts as long as this process."""
    return TemporaryDirectory()


def _short(name: str) -> str:
    """Shorten a path to its last part, since reports contain no paths of this machine; keep the name of a data set."""
    path = Path(name).expanduser()
    return path.resolve().name if path.exists() else name


def _content(name: str, split: str) -> str:
    """Hash the images that a name stands for: their files, or for a data set their pixels and labels."""
    root = Path(name).expanduser()
    if root.exists():
        files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        names = [str(path.relative_to(root)) for path in files]
        return digest_text("\n".join([split, *names, *map(digest, files)]))
    found = hashlib.sha256()
    for batch in sources.image_batches(name, split):
        found.update(str(batch.images.shape).encode() + batch.images.tobytes())
        found.update(b"" if batch.labels is None else batch.labels.tobytes())
    return found.hexdigest()
