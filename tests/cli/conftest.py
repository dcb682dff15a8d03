"""Fixtures of the command line, run in process, and models small enough to run it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from samplerzoo.cli import main


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a command line."""

    code: int
    out: str
    err: str

    def refuses(self, code: int, *parts: str) -> None:
        """Assert one line on stderr, without a traceback, that has all of `parts` in it."""
        assert self.code == code, self
        assert self.err.startswith("samplerzoo: error: "), self
        assert self.err.count("\n") == 1, self
        assert not self.out, self
        for part in parts:
            assert part in self.err, self


Cli = Callable[..., Answer]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Return a function that runs a command line in an empty directory."""
    directory = tmp_path / "cwd"
    directory.mkdir()
    monkeypatch.chdir(directory)

    def run(*words: object) -> Answer:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture
def plain_model(tmp_path: Path, tiny_unet: Callable) -> Path:
    """Save an unconditional model folder, as diffusers itself does."""
    from diffusers import DDPMPipeline, DDPMScheduler

    DDPMPipeline(tiny_unet(), DDPMScheduler(clip_sample=False)).save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def classifier_model(tiny_model: Path) -> Path:
    """Return the conditional model with a noise-aware classifier."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(num_channels=2, embedding_size=4, hidden_sizes=[4], depths=[1], num_labels=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ResNetForImageClassification(config)
    net.save_pretrained(tiny_model / "classifier")
    return tiny_model
