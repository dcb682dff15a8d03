"""Feature network with random weights, and references of both splits of the digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from samplerzoo.cli import main


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model folder with only a feature network, of 6 features, and its references train and test."""
    root = tmp_path_factory.mktemp("models") / "toy"
    config = ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic",
        id2label=dict(enumerate("0123456789")),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ResNetForImageClassification(config).save_pretrained(root / "features")
    for split in ("train", "test"):
        target = root / "features" / f"{split}.safetensors"
        assert (
            main(["ref", "make", "digits", "--features", f"classifier:{root}", "--split", split, "-o", str(target)])
            == 0
        )
    return root


Figures = Callable[..., dict[str, Any]]


@pytest.fixture
def figures(toy: Path, capsys: pytest.CaptureFixture[str]) -> Figures:
    """Return a function that runs `eval --json`, by default with the toy network, and returns its answer."""

    def evaluate(*words: object, features: str = f"classifier:{toy}") -> dict[str, Any]:
        capsys.readouterr()
        assert main(["eval", *map(str, words), "--features", features, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return evaluate
