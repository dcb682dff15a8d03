"""Incomplete checkpoints: `latest` is the newest complete one, and never part of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from samplerzoo.errors import ZooError
from samplerzoo.training import checkpoint
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.train import train

Options = Callable[..., TrainOptions]


@pytest.fixture
def trained(options: Options) -> TrainOptions:
    made = options(max_train_steps=3, checkpointing_steps=1, checkpoints_total_limit=2, mixed_precision="no")
    train(made)
    return made


def folders(options: TrainOptions) -> list[str]:
    return sorted(path.name for path in (Path(options.output_dir) / "checkpoints").iterdir())


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


NAMES = ["optimizer.bin", "model.safetensors", "ema.safetensors", "options.json", "progress.json", "files.json"]


@pytest.mark.parametrize("spoil", [empty, cut, flip, os.remove])
def test_the_older_whole_one_is_the_latest(
    trained: TrainOptions, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    output = Path(trained.output_dir)
    kept = output.with_name("kept")
    shutil.copytree(output / "checkpoints", kept)
    assert folders(trained) == ["checkpoint-0000002", "checkpoint-0000003"]
    for name in NAMES:
        shutil.rmtree(output / "checkpoints")
        shutil.copytree(kept, output / "checkpoints")
        spoil(output / "checkpoints" / "checkpoint-0000003" / name)
        assert checkpoint.find_checkpoint(output, "latest").name == "checkpoint-0000002", name
        said = capsys.readouterr().err
        assert said.count("\n") == 1, name
        assert "checkpoint-0000003 is passed over: " in said, name
        assert name in said
    report = train(trained.model_copy(update={"resume_from_checkpoint": "latest"}))
    assert report.step == 3
    assert folders(trained) == ["checkpoint-0000002", "checkpoint-0000003"]


def test_none_is_whole(trained: TrainOptions) -> None:
    for folder in checkpoint.existing(Path(trained.output_dir)):
        empty(folder / "optimizer.bin")
    with pytest.raises(ZooError, match=r"no checkpoint in .* is whole: name one, .*--overwrite"):
        train(trained.model_copy(update={"resume_from_checkpoint": "latest"}))
    named = str(checkpoint.existing(Path(trained.output_dir))[-1])
    with pytest.raises(ZooError, match="cannot resume from"):
        train(trained.model_copy(update={"resume_from_checkpoint": named}))


@pytest.mark.parametrize(
    "text", ["[]", '{"step": -1}', '{"step": "x"}', '{"step": NaN}', '{"losses": [[]]}', "[" * 3000, "\x00"]
)
def test_progress_that_another_hand_wrote(trained: TrainOptions, text: str) -> None:
    folder = checkpoint.existing(Path(trained.output_dir))[-1]
    (folder / "progress.json").write_text(text)
    with pytest.raises(ZooError, match=r"progress\.json"):
        train(trained.model_copy(update={"resume_from_checkpoint": str(folder)}))


def test_a_checkpoint_being_replaced_is_found_under_its_other_name(trained: TrainOptions) -> None:
    output = Path(trained.output_dir)
    newest = checkpoint.existing(output)[-1]
    newest.rename(replaced := newest.with_name(f"{newest.name}-replaced"))  # as a kill at the worst moment leaves it
    assert checkpoint.find_checkpoint(output, "latest") == replaced
    train(trained.model_copy(update={"resume_from_checkpoint": "latest"}))
    assert folders(trained) == ["checkpoint-0000002", "checkpoint-0000003"]


def test_another_way_from_an_older_checkpoint_leaves_the_newer_ones_behind(trained: TrainOptions) -> None:
    """Else `latest` would be of the way that was left, and the new one the first to be removed."""
    named = str(checkpoint.existing(Path(trained.output_dir))[0])
    again = {"resume_from_checkpoint": named, "max_train_steps": 5, "checkpointing_steps": 100}
    train(trained.model_copy(update={**again, "checkpoints_total_limit": 1}))
    assert folders(trained) == ["checkpoint-0000005"]


def test_overwriting_removes_nothing_before_the_data_are_read(trained: TrainOptions) -> None:
    with pytest.raises(ZooError):
        train(trained.model_copy(update={"overwrite": True, "classes": "no such class"}))
    assert folders(trained) == ["checkpoint-0000002", "checkpoint-0000003"]
