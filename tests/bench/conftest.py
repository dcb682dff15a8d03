"""Fixtures of a benchmark: a network of three layers on 8x8 pixels, measured by the pixels themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplerzoo.bench.harness import BenchOptions, Harness, SuiteOutcome
from samplerzoo.bench.suite import Suite, parse_suite
from samplerzoo.metrics import reference
from samplerzoo.metrics.names import parse_features
from samplerzoo.sampling.tuning import TuningRequest

Bench = Callable[..., SuiteOutcome]


def noise(path: Path, seed: int) -> Path:
    """Save statistics of 400 images of noise in 3 classes."""
    images, labels = np.random.default_rng(seed).random((400, 64), dtype=np.float32), np.arange(400) % 3
    reference.save_reference(reference.make_reference([(images, labels)], parse_features("pixels").id, path.stem), path)
    return path


@pytest.fixture
def suite(tiny_model: Path, tmp_path: Path) -> Callable[..., Suite]:
    """Return a function that makes a suite of the tiny model; by default ddim in 3 steps."""
    train, test = noise(tmp_path / "noise.safetensors", 0), noise(tmp_path / "more-noise.safetensors", 1)

    def make(*rows: dict[str, Any], **keys: Any) -> Suite:
        base = {
            "model": str(tiny_model), "features": "pixels", "reference": str(train), "floor": str(test),
            "images": 20, "steps": 3, "dtype": "float32",
        }  # fmt: skip
        return parse_suite({**base, **keys, "rows": list(rows) or [{"sampler": "ddim"}]}, "a test")

    return make


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a function that runs a suite to its end."""

    def run(suite: Suite, folder: str = "out", batch_size: int = 8) -> SuiteOutcome:
        asked = TuningRequest(batch_size=batch_size, layout="contiguous")
        harness = Harness(suite, tmp_path / folder, BenchOptions(asked, "cpu", "samplerzoo bench"))
        return harness.run(harness.estimate(), lambda row: None)

    return run
