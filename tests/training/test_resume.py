"""Resumption: an interrupted training ends with the same bits as an uninterrupted one."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from accelerate.utils.other import load as load_state
from children import run_code, run_commands
from PIL import Image
from safetensors.torch import load_file

from samplerzoo.data.image_sets import ImageData, load_images
from samplerzoo.data.order import EpochSampler
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.load import load
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.task import Report
from samplerzoo.training.train import train
from samplerzoo.training.trainer import Trainer

Options = Callable[..., TrainOptions]

# flips and accumulation are included; 2 classes of digits have 39 batches per epoch, so 22 steps cross into the next;
# the process that is killed is not under the fixture by which "auto" is float32 here
RUN = {
    "max_train_steps": 27, "checkpointing_steps": 7, "random_flip": True, "gradient_accumulation_steps": 2,
    "classes": "0,1", "mixed_precision": "no",
}  # fmt: skip

KILLED = """
import json, os, signal, sys
from samplerzoo.training import train
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.unet_task import UNetTask

options, calls = TrainOptions(**json.loads(sys.argv[1])), []

class Dying(UNetTask):
    def loss(self, *batch):
        calls.append(1)
        if len(calls) == 17:  # after the checkpoint of step 7, in the middle of an accumulation
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(*batch)

train.UNetTask = Dying
train.train(options)
"""


def final_state(folder: Path, step: int) -> dict[str, object]:
    checkpoint = folder / "checkpoints" / f"checkpoint-{step:07d}"
    return {
        "weights": load_file(checkpoint / "model.safetensors"),
        "ema": load_file(checkpoint / "ema.safetensors"),
        "optimizer": load_state(checkpoint / "optimizer.bin")["state"],
        "scheduler": load_state(checkpoint / "scheduler.bin"),
        "progress": {**json.loads((checkpoint / "progress.json").read_text()), "seconds": None},
        "saved model": load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"),
        "metrics": [
            {**json.loads(line), "seconds": None} for line in (folder / "metrics.jsonl").read_text().splitlines()
        ],
    }


def assert_equal(found: object, expected: object, where: str = "") -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_equal(found[key], value, f"{where}/{key}")
    elif isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor)
        assert torch.equal(found, expected), where
    else:
        assert found == expected, where


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Send the signal to this process once, right after that optimizer step."""
    stepped = Trainer._stepped

    def and_signal(self: Trainer, *args: object) -> None:
        stepped(self, *args)
        if self.progress.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Trainer, "_stepped", and_signal)


def test_killed_and_interrupted_equals_uninterrupted(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = options("whole", **RUN)
    train(whole)
    torch.manual_seed(123)  # the global random state must not matter
    cut = options("cut", **RUN)
    killed = run_code(KILLED, cut.model_dump_json())
    assert killed.codes == [-signal.SIGKILL], killed.err
    output = Path(cut.output_dir)
    assert [path.name for path in (output / "checkpoints").glob("checkpoint-*")] == ["checkpoint-0000007"]
    assert load(output).null_label == 2

    latest = cut.model_copy(update={"resume_from_checkpoint": "latest"})
    with monkeypatch.context() as patch:
        interrupt_at(22, patch, signal.SIGTERM)
        report = train(latest)
    assert report.interrupted
    assert report.step == 22
    assert train(latest).step == 27
    assert_equal(final_state(output, 27), final_state(Path(whole.output_dir), 27))


def test_old_checkpoints_go(options: Options) -> None:
    made = options(max_train_steps=8, checkpointing_steps=2, checkpoints_total_limit=3)
    train(made)
    kept = sorted(path.name for path in (Path(made.output_dir) / "checkpoints").iterdir())
    assert kept == ["checkpoint-0000004", "checkpoint-0000006", "checkpoint-0000008"]


def test_a_full_disk_keeps_the_older_checkpoint(options: Options) -> None:
    constant = {"lr_scheduler": "constant_with_warmup", "checkpointing_steps": 2}
    train(options(max_train_steps=2, **constant))
    go_on = options(max_train_steps=4, resume_from_checkpoint="latest", **constant)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (100_000, limits[1])
    )  # a limit on file size raises the same error as a full disk
    try:
        with pytest.raises(ZooError, match=r"checkpoint at step 4: .*; the last whole one is .*checkpoint-0000002"):
            train(go_on)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (Path(go_on.output_dir) / "checkpoints").iterdir()] == ["checkpoint-0000002"]
    assert load(go_on.output_dir).null_label == 10
    assert train(go_on).step == 4


def test_the_card_tells_what_was_changed_on_the_way(options: Options) -> None:
    train(options(max_train_steps=2))
    train(options(max_train_steps=3, resume_from_checkpoint="latest", learning_rate=2e-3))
    card = (Path(options().output_dir) / "README.md").read_text()
    changes = "from step 2, max_train_steps 3 in place of 2; from step 2, learning_rate 0.002 in place of 0.001"
    assert f"| changed on the way | {changes} |" in card


def test_a_checkpoint_of_another_network_is_refused(options: Options) -> None:
    train(options(max_train_steps=1))
    with pytest.raises(ZooError, match=r"cannot resume from .*checkpoint-0000001"):
        train(options(max_train_steps=2, resume_from_checkpoint="latest", block_out_channels=(8, 16)))


def test_tensorboard(options: Options) -> None:
    made = options(max_train_steps=4, logger="tensorboard")
    train(made)
    assert list(Path(made.output_dir).rglob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("wanted", "message"), [("latest", "no checkpoint in"), ("checkpoint-0000009", "is not a checkpoint")]
)
def test_nothing_to_resume_from(options: Options, wanted: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        train(options(resume_from_checkpoint=wanted))


def test_two_processes_train_one_model(options: Options, tmp_path: Path) -> None:
    words = ["train"]
    shared = options(max_train_steps=4, checkpointing_steps=3)
    for name in shared.model_fields_set:
        value = getattr(shared, name)
        words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    done = run_commands(words, tmp_path, processes=2)
    assert done.codes == [0, 0], done.err
    assert "".join(done.out).count("64 images") == 1, done.out  # 4 steps x 2 processes x 8
    output = tmp_path / "model"
    assert (output / "checkpoints" / "checkpoint-0000003" / "random_states_1.pkl").exists()
    assert (output / "real_vs_generated.png").exists()
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4]
    alone = train(options(max_train_steps=6, checkpointing_steps=3, resume_from_checkpoint="checkpoint-0000003"))
    assert (alone.step, alone.images) == (6, 3 * 2 * 8 + 3 * 8)
    assert "from step 3, num_processes 1 in place of 2" in (output / "README.md").read_text()
    optimizer = load_state(output / "checkpoints" / "checkpoint-0000006" / "optimizer.bin")
    assert optimizer["param_groups"][0]["lr"] == 0.0  # the cosine ends with the steps, whoever does them


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save time."""
    monkeypatch.setattr(Trainer, "_illustrate", lambda self: None)


def order_of_images(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that collects the index of every image that is trained on from now on."""
    seen: list[int] = []
    fetch = ImageData.__getitems__

    def spy(self: ImageData, indices: Sequence[int]) -> object:
        seen.extend(indices if len(indices) in (5, 8, 16) else [])
        return fetch(self, indices)

    monkeypatch.setattr(ImageData, "__getitems__", spy)
    return seen


@pytest.mark.parametrize(("before", "after"), [(8, 16), (16, 8), (8, 5)])
def test_another_batch_size_goes_on_in_the_epoch(
    options: Options, no_pictures: None, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    """The images that come after are those that would have come: none twice, and none left out but the last few."""
    small = {"classes": "0,1,2", "eval_images": 2, "mixed_precision": "no"}
    seen = order_of_images(monkeypatch)
    train(options(train_batch_size=before, max_train_steps=9, **small))
    del seen[9 * before :]  # Accelerate fetches one batch ahead
    report = train(
        options(
            train_batch_size=after,
            num_epochs=1,
            resume_from_checkpoint="latest",
            gradient_accumulation_steps=2,
            **small,
        )
    )
    size = len(load_images(options(**small)))
    whole = 9 * before + (size - 9 * before) // after * after
    shuffled = EpochSampler(size, 0)
    shuffled.start(0, 0)
    assert seen == [*shuffled][:whole]
    assert report.images == whole


def test_the_optimizer_has_the_options_of_today(options: Options, no_pictures: None) -> None:
    constant = {"lr_scheduler": "constant_with_warmup", "checkpointing_steps": 2}
    train(options(max_train_steps=2, **constant))
    today = {
        "learning_rate": 1e-5,
        "adam_weight_decay": 0.5,
        "adam_beta1": 0.5,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-3,
    }
    train(options(max_train_steps=4, resume_from_checkpoint="latest", **constant, **today))
    checkpoint = Path(options().output_dir) / "checkpoints" / "checkpoint-0000004"
    group = load_state(checkpoint / "optimizer.bin")["param_groups"][0]
    assert {name: group[name] for name in ("lr", "betas", "weight_decay", "eps")} == {
        "lr": 1e-5, "betas": (0.5, 0.9), "weight_decay": 0.5, "eps": 1e-3
    }  # fmt: skip


@pytest.mark.parametrize("schedule", ["linear", "constant_with_warmup"])
def test_the_learning_rate_is_that_of_an_undisturbed_training(
    options: Options, no_pictures: None, schedule: str
) -> None:
    rates = {"lr_scheduler": schedule, "lr_warmup_steps": 4, "logging_steps": 1, "checkpointing_steps": 3}
    train(options("whole", max_train_steps=8, **rates))
    train(options("cut", max_train_steps=3, learning_rate=0.5, lr_scheduler="linear", logging_steps=1))
    train(options("cut", max_train_steps=8, resume_from_checkpoint="latest", train_batch_size=4, **rates))
    whole, cut = (
        [json.loads(line)["lr"] for line in (Path(options(name).output_dir) / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "cut")
    )
    assert cut[3:] == whole[3:]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "--seed 1: it was trained with 0, and this cannot be changed on the way: give --seed 0"),
        ({"objective": "sample"}, "--objective sample: it was trained with epsilon"),
        ({"block_out_channels": (8, 16)}, "--block-out-channels 8,16: it was trained with 8,8"),
        ({"norm_num_groups": 4}, "--norm-num-groups 4: it was trained with 8"),
        ({"ddpm_num_steps": 10}, "--ddpm-num-steps 10: it was trained with 1000"),
        ({"conditional": False}, "--no-conditional: it was trained without it, and this .*: leave it out"),
        ({"classes": "0,1"}, "--classes: it was trained on other data .1,438 images of 0, .*; these: 312 images"),
        ({"split": "test"}, "--split: it was trained on other data"),
        ({"image_size": 16}, "--image-size 16: it was trained with 8, and this .*: give --image-size 8"),
        ({"channels": 3}, "--channels 3: it was trained without it, and this .*: leave it out"),
    ],
)  # fmt: skip
def test_what_cannot_change_on_the_way_is_refused(
    options: Options, no_pictures: None, changed: dict[str, object], message: str
) -> None:
    train(options(max_train_steps=1))
    with pytest.raises(UsageError, match=f"cannot resume from .*checkpoint-0000001: {message}"):
        train(options(max_train_steps=2, resume_from_checkpoint="latest", **changed))


def test_an_end_that_lies_behind_is_refused(options: Options, no_pictures: None) -> None:
    """Its record would say that the weights are of fewer steps than they are. The same end may be asked for again."""
    large = {"train_batch_size": 719}  # two batches hold the data
    train(options(max_train_steps=None, num_epochs=2, **large))
    for end, named in (
        ({"max_train_steps": 3}, "--max-train-steps 3: it has 4 already: give as many or more"),
        ({"max_train_steps": None, "num_epochs": 1}, "--num-epochs 1: it has 2 already"),
    ):
        with pytest.raises(UsageError, match=f"checkpoint-0000004: {named}"):
            train(options(resume_from_checkpoint="latest", **large, **end))
    assert train(options(max_train_steps=4, resume_from_checkpoint="latest", **large)).step == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("classes exchanged", ", 16 of them, such as .*/cat/0.bmp"),
        ("pictures exchanged", ", 2 of them, such as .*/cat/3.bmp"),
        ("another picture", ": .*/dog/7.bmp"),
        ("another name", ": .*/dog/10.bmp"),
        ("saved anew", ": .*/cat/2.bmp"),
        ("an older checkpoint", ""),
        ("none, but moved", None),
    ],
)
def test_data_of_other_content_are_refused(
    options: Options, no_pictures: None, tmp_path: Path, change: str, named: str | None
) -> None:
    """As many pictures of the same names and sizes in the same classes are other data all the same.

    One that differs is named.
    """
    pets = tmp_path / "pets"
    for number, name in enumerate(("cat", "dog")):
        (pets / name).mkdir(parents=True)
        for index in range(8):
            Image.new("L", (8, 8), 100 * number + index).save(pets / name / f"{index}.bmp")
    train(options(dataset=str(pets), max_train_steps=1))
    given = pets
    if change == "classes exchanged":
        for old, new in (("cat", "other"), ("dog", "cat"), ("other", "dog")):
            (pets / old).rename(pets / new)
    elif change == "pictures exchanged":
        one, other = pets / "cat" / "3.bmp", pets / "dog" / "5.bmp"
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    elif change == "another picture":
        Image.new("L", (8, 8), 77).save(pets / "dog" / "7.bmp")
    elif change == "another name":
        (pets / "dog" / "4.bmp").rename(pets / "dog" / "10.bmp")
    elif change == "saved anew":
        Image.open(pets / "cat" / "2.bmp").convert("RGB").save(pets / "cat" / "2.bmp")
    elif change == "an older checkpoint":
        (pets / "dog" / "4.bmp").rename(pets / "dog" / "10.bmp")
        written = Path(options().output_dir) / "checkpoints" / "checkpoint-0000001"
        (written / "pictures.safetensors").unlink()
        listed = json.loads((written / "files.json").read_text())
        del listed["pictures.safetensors"]
        (written / "files.json").write_text(json.dumps(listed))
    else:
        given = pets.rename(tmp_path / "moved")
    again = options(dataset=str(given), max_train_steps=2, resume_from_checkpoint="latest")
    if named is None:
        assert train(again).step == 2
        return
    message = rf"--dataset: it was trained on other data \(as many pictures .* or contents{named}\); .*--init-from"
    with pytest.raises(UsageError, match=message):
        train(again)


def test_a_moving_average_can_be_ended_and_not_begun(options: Options, no_pictures: None) -> None:
    train(options(max_train_steps=1))
    train(options(max_train_steps=2, use_ema=False, resume_from_checkpoint="latest"))
    with pytest.raises(UsageError, match="--use-ema: it was trained without it"):
        train(options(max_train_steps=3, resume_from_checkpoint="latest"))


def test_images_are_counted_where_an_accumulation_ends_with_the_epoch(options: Options, no_pictures: None) -> None:
    made = options(num_epochs=2, classes="0,1", train_batch_size=64, gradient_accumulation_steps=3)  # 4 batches
    assert (train(made).step, train(made.model_copy(update={"overwrite": True})).images) == (4, 2 * 4 * 64)


def test_alone_among_many_is_refused(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ZooError, match="torchrun"):
        train(options())


def test_report_of_a_finished_run(options: Options) -> None:
    report = train(options(max_train_steps=2, gradient_accumulation_steps=3))
    assert isinstance(report, Report)
    assert (report.step, report.images, report.interrupted) == (2, 48, False)
