"""Settings of a launcher, which training follows or refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from samplerzoo.errors import UsageError
from samplerzoo.system import environment
from samplerzoo.training import launch
from samplerzoo.training.options import TrainOptions

Options = Callable[..., TrainOptions]


@pytest.mark.parametrize(
    ("launched", "asked", "device", "expected"),
    [
        (None, {}, "cpu", "no"),  # by the fixture of all tests
        (None, {}, "native", "bf16"),
        ("bf16", {}, "cpu", "bf16"),
        ("no", {}, "native", "no"),
        ("fp16", {}, "cuda", "fp16"),
        ("bf16", {"mixed_precision": "auto"}, "cpu", "bf16"),
        ("bf16", {"mixed_precision": "no"}, "cpu", "no"),
        ("no", {"mixed_precision": "bf16"}, "cpu", "bf16"),
    ],
)
def test_precision(
    options: Options, monkeypatch: pytest.MonkeyPatch, launched: str | None, asked: dict[str, str], device: str,
    expected: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(launch, "_device", lambda: device)
    monkeypatch.setattr(environment, "native_bfloat16", lambda device: device == "native")
    if launched is not None:
        monkeypatch.setenv(launch.PRECISION, launched)
    assert launch.with_launcher(options(**asked)).mixed_precision == expected


@pytest.mark.parametrize(
    ("variables", "asked", "message"),
    [
        (
            {launch.PRECISION: "fp8"},
            {},
            "asks for the precision fp8 .*: accelerate launch --mixed_precision bf16",
        ),
        ({launch.PRECISION: "fp16"}, {}, "ACCELERATE_MIXED_PRECISION: fp16 is for a GPU"),
        ({}, {"mixed_precision": "fp16"}, "--mixed-precision: fp16 is for a GPU"),
        ({launch.ACCUMULATION: "4"}, {"gradient_accumulation_steps": 2}, "--gradient-accumulation-steps 2, .* says 4"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, {}, "the launcher asks for DeepSpeed"),
        ({"ACCELERATE_USE_FSDP": "true"}, {}, "the launcher asks for FSDP"),
    ],
)
def test_what_is_not_done_is_refused(
    options: Options, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], asked: dict[str, object], message: str
) -> None:
    monkeypatch.setattr(launch, "_device", lambda: "cpu")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        launch.with_launcher(options(**asked))


def test_accumulation_is_the_launchers(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(launch.ACCUMULATION, "3")
    assert launch.with_launcher(options()).gradient_accumulation_steps == 3


def test_accelerate_launch_is_heard_and_put_down(options: Options, tmp_path: Path) -> None:
    words = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--mixed_precision", "bf16"]
    train = [
        "-m",
        "samplerzoo",
        "train",
        "--dataset",
        "digits",
        "--block-out-channels",
        "8,8",
        "--max-train-steps",
        "1",
    ]
    train += ["--eval-images", "2", "--eval-steps", "1", "--output-dir", str(tmp_path / "model")]
    done = subprocess.run(
        [sys.executable, "-m", *words, *train], capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HOME": str(tmp_path)},  # without the user's own config of accelerate
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mixed precision bf16, as the launcher says" in done.stdout
    assert "digits: 1,438 images, 10 classes: 0 151, " in done.stdout
    assert "--mixed-precision bf16" in (tmp_path / "model" / "README.md").read_text()
