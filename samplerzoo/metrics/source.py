"""Images to be measured, as batches of uint8: of a run folder, or of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from samplerzoo.errors import ZooError
from samplerzoo.metrics.evaluate import Batch

BATCH_SIZE = 500
SUBSET_SEED = 0
MANIFEST = "manifest.jsonl"


def batches(name: str, split: str, num_images: int | None = None) -> Iterator[Batch]:
    """(images (N, H, W, C), labels (N,) or None), `num_images` of them: a run's first, or a data set's at random.

    Of a data set the same ones every time. Its first would not do: data are often sorted, and the two halves of MNIST's
    test split come from different writers.

    Raises:
        ZooError: there are fewer.
    """
    if (Path(name) / MANIFEST).is_file():
        return _run_folder(Path(name), num_images)
    return _data_set(name, split, num_images)


def _run_folder(folder: Path, num_images: int | None) -> Iterator[Batch]:
    entries = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]
    count = _enough(len(entries), num_images, str(folder))
    for start in range(0, count, BATCH_SIZE):
        part = entries[start : min(start + BATCH_SIZE, count)]
        images = np.stack([np.asarray(Image.open(folder / entry["file"])) for entry in part])
        labels = [entry.get("label") for entry in part]
        yield (
            images if images.ndim == 4 else images[..., None],
            None if None in labels else np.array(labels, dtype=np.int64),
        )


def _data_set(name: str, split: str, num_images: int | None) -> Iterator[Batch]:
    from samplerzoo.training import data
    from samplerzoo.training.options import DataOptions
    from samplerzoo.training.order import keyed_generator

    found = data.load(DataOptions(dataset=name, split=split))
    count = _enough(len(found), num_images, name)
    chosen = torch.randperm(len(found), generator=keyed_generator(SUBSET_SEED))[:count].tolist()
    for start in range(0, count, BATCH_SIZE):
        images, labels = found.__getitems__(chosen[start : start + BATCH_SIZE])
        yield images.permute(0, 2, 3, 1).numpy(), labels.numpy() if found.num_classes else None


def _enough(there: int, wanted: int | None, name: str) -> int:
    if wanted is not None and wanted > there:
        raise ZooError(f"{name} has {there} images, not {wanted}")
    return there if wanted is None else wanted
