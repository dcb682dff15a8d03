"""Small trainings on scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from samplerzoo.training.options import TrainOptions

SMALL = {
    "dataset": "digits", "train_batch_size": 8, "block_out_channels": (8, 8), "layers_per_block": 1,
    "lr_warmup_steps": 2, "learning_rate": 1e-3, "eval_images": 4, "eval_steps": 2, "logging_steps": 4,
}  # fmt: skip


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., TrainOptions]:
    """Return a function that makes options of a training of a few seconds."""

    def make(output: str = "model", **others: object) -> TrainOptions:
        return TrainOptions(**{**SMALL, "output_dir": str(tmp_path / output), **others})

    return make
