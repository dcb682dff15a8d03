"""Commands `samplerzoo train` and `samplerzoo train-classifier`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from samplerzoo.cli import INTERRUPTED, main
from samplerzoo.training.card import command_line
from samplerzoo.training.options import ClassifierOptions, TrainOptions
from samplerzoo.training.trainer import Trainer

SMALL = [
    "train", "--dataset", "digits", "--train_batch_size", "8", "--block-out-channels", "8,8",
    "--max-train-steps", "3", "--eval-images", "2", "--eval_steps", "1",
]  # fmt: skip


def test_interruption_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "--output-dir", str(tmp_path / "model")]
    stepped = Trainer._stepped

    def and_interrupt(self: Trainer, *args: object) -> None:
        stepped(self, *args)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_stepped", and_interrupt)
        assert main(words) == INTERRUPTED
    assert "stopped after step 1; go on with the same command and --resume-from-checkpoint latest" in (
        capsys.readouterr().out
    )
    assert main([*words, "--resume-from-checkpoint", "latest"]) == 0
    assert "step 3, 24 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--output-dir", "x"], "--dataset"),
        ([*SMALL, "--output-dir", "x", "--label-dropout", "2"], "less than or equal to 1"),
        ([*SMALL, "--output-dir", "x", "--lr-scheduler", "cosin"], "cosin is none of linear, cosine, constant"),
        ([*SMALL, "--output-dir", "x", "--image-size", "9"], "take --image-size 8 or 10"),
        (["train-classifier", "--dataset", "digits", "--output-dir", "x", "--model", "nobody"], "no model 'nobody'"),
    ],
)
def test_bad_requests_are_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from samplerzoo.cli import main; main(['train', '--help']); "
        "assert not {'torch', 'datasets', 'accelerate'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--gradient-accumulation-steps" in done.stdout
    assert "--use-ema / --no-use-ema" in done.stdout


def test_the_cards_command_is_the_training() -> None:
    options = TrainOptions(
        dataset="my cats", output_dir="out", block_out_channels=(8, 16), use_ema=False, resume_from_checkpoint="latest"
    )
    assert command_line("train", options) == (
        "samplerzoo train --dataset 'my cats' --output-dir out --no-use-ema --block-out-channels 8,16"
    )
    noisy = ClassifierOptions(dataset="digits", output_dir="c", clean=True)
    assert (
        command_line("train-classifier", noisy) == "samplerzoo train-classifier --dataset digits --output-dir c --clean"
    )
