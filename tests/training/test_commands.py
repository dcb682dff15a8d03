"""Commands `samplerzoo train` and `samplerzoo train-classifier`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from samplerzoo.cli import INTERRUPTED, main
from samplerzoo.images import read_png
from samplerzoo.training import trainer
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


@pytest.mark.parametrize("command", ["train", "train-classifier"])
@pytest.mark.parametrize(("data", "output"), [(".", "model"), ("pets", "pets"), ("pets", "pets/cat/model")])
def test_nothing_is_written_among_the_images(
    command: str,
    data: str,
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The pictures of a training would be data of the next one."""
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for index in range(2):
        Image.new("L", (8, 8), index).save(tmp_path / "pets" / "cat" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    for more in ([], ["--overwrite"]):
        assert main([command, "--dataset", data, "--output-dir", output, *more]) == 2
        assert "lies in the folder of the images" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.png", "1.png", "cat", "pets"]


@pytest.mark.parametrize("command", ["train", "train-classifier", "run"])
def test_a_refusal_leaves_nothing_among_the_files_of_the_user(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "mine.png")
    monkeypatch.chdir(tmp_path)
    words = ["run", "--steps", "2", "-o", "."] if command == "run" else [command, "--dataset", "digits"]
    assert main([*words, *(["--output-dir", "."] if command != "run" else [])]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no-use-ema", "--ema-power", "0.5"], "--ema-power has no effect: without --use-ema"),
        (["--lr-scheduler", "constant", "--lr-warmup-steps", "5"], "--lr-warmup-steps has no effect: --lr-scheduler"),
        (["--variant", "fp16"], "--variant has no effect: it says how to read the model of --init-from"),
        (["--no-conditional", "--label-dropout", "0.5"], "--label-dropout has no effect: with --no-conditional"),
        (["--classes", "3", "--label-dropout", "0.5"], "--label-dropout has no effect: the data have one class"),
        (["--sigma-data", "0.7"], "--sigma-data has no effect: it is for --objective edm"),
        (["--overwrite", "--resume-from-checkpoint", "latest"], "--overwrite has no effect: a training that goes on"),
        (["--init-from", "mnist", "--norm-num-groups", "4"], "--norm-num-groups 4: --init-from takes the network of"),
        (["--init-from", "mnist", "--layers-per-block", "3"], "--layers-per-block 3: --init-from takes the network of"),
        (["--dataset-config-name", "x"], "--dataset-config-name: digits has none"),
    ],
)  # fmt: skip
def test_flags_without_effect_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = ("--block-out-channels", "8,8") if "--init-from" in words else ()  # the old model has its own
    plain = [word for word in SMALL if word not in network]
    assert main([*plain, "--image-size", "28", "--output-dir", str(tmp_path / "m"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_clean_images_have_no_schedule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train-classifier", "--dataset", "digits", "--output-dir", str(tmp_path / "c"), "--clean"]
    assert main([*words, "--ddpm-num-steps", "10"]) == 2
    assert "--ddpm-num-steps has no effect: with --clean" in capsys.readouterr().err


def test_a_log_without_a_terminal_says_the_loss_and_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainer, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(Trainer, "_illustrate", lambda self: None)
    assert main([*SMALL, "--logging-steps", "1", "--classes", "3,1", "--output-dir", str(tmp_path / "model")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "digits: 292 images, 2 classes: 3 131, 1 161; 8x8, grey"
    assert [line.split(":")[0] for line in lines if "loss" in line][:2] == ["step 1 of 3", "step 2 of 3"]
    assert "learning rate" in lines[1]


def test_a_refused_classifier_leaves_nothing_and_an_unfinished_one_is_passed_over(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_model / "classifier"
    words = ["train-classifier", "--dataset", "digits", "--model", str(tiny_model), "--output-dir", str(folder)]
    assert main(words) == 2  # ten classes, and the model has three
    assert not folder.exists()
    run = ["run", "--model", str(tiny_model), "--steps", "1", "--num-images", "1", "-o"]
    for number, name in enumerate(["checkpoints/progress.json", "config.json"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
        assert main([*run, str(tiny_model / f"run{number}")]) == 0
    assert f"{folder} is not whole, and is passed over" in capsys.readouterr().err
    main([*words, "--overwrite"])
    assert "is not whole" not in capsys.readouterr().err  # of the classifier that is being made


def test_every_checkpoint_of_a_training_can_be_sampled_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Trainer, "_illustrate", lambda self: None)
    output = tmp_path / "model"
    words = ["--checkpointing-steps", "1", "--checkpoints-total-limit", "3", "--lr-warmup-steps", "0", "--no-use-ema"]
    assert main([*SMALL, *words, "--learning-rate", "0.02", "--output-dir", str(output)]) == 0
    pixels = []
    for step in (1, 3):
        model, run = output / "checkpoints" / f"checkpoint-{step:07d}", tmp_path / f"run{step}"
        assert main(["run", "--model", str(model), "--steps", "2", "--num-images", "1", "-o", str(run)]) == 0
        pixels.append(read_png(run / "images" / "000000.png")[0])
    assert main(["run", "--model", str(output), "--steps", "2", "--num-images", "1", "-o", str(tmp_path / "last")]) == 0
    last = read_png(tmp_path / "last" / "images" / "000000.png")[0]
    assert (pixels[1] == last).all()
    assert (pixels[0] != last).any()


def test_class_labels_are_asked_for_by_name(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = json.loads((tiny_model / "samplerzoo.json").read_text())
    names = ["tench, Tinca tinca", "cat", "dog"]
    (tiny_model / "samplerzoo.json").write_text(json.dumps({**info, "class_names": names}))
    run = ["run", "--model", str(tiny_model), "--steps", "1", "--num-images", "3", "-o"]
    assert main([*run, str(tiny_model / "run"), "--class-labels", "dog,tench, Tinca tinca,1"]) == 0
    lines = [json.loads(line) for line in (tiny_model / "run" / "manifest.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == [2, 0, 1]
    assert json.loads((tiny_model / "run" / "run.json").read_text())["class_names"] == names
    assert main([*run, str(tiny_model / "no"), "--class-labels", "cats"]) == 2
    message = "has no class 'cats' (did you mean cat?); its classes: tench, Tinca tinca, cat, dog"
    assert message in capsys.readouterr().err
