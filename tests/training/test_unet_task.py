"""Loss, shape and model folder of the U-Net."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file
from torch import Tensor

import samplerzoo
from samplerzoo.core.schedule import Schedule
from samplerzoo.data import image_sets as data
from samplerzoo.errors import UsageError
from samplerzoo.models.load import ModelFolder
from samplerzoo.training import pictures
from samplerzoo.training.forward import LevelDistribution
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.train import train
from samplerzoo.training.unet_task import UNetTask

Options = Callable[..., TrainOptions]


def make_task(options: TrainOptions) -> UNetTask:
    return UNetTask(options, data.load_images(options))


OBJECTIVES = ["epsilon", "sample", "v_prediction", "flow", "edm"]


class Oracle(torch.nn.Module):
    """Network that knows the clean images, predicts exactly and records its inputs."""

    def __init__(self, task: UNetTask, clean: Tensor) -> None:
        super().__init__()
        self.task, self.clean, self.config = task, clean, task.net.config

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None) -> object:
        self.labels = class_labels
        told = {"VP": lambda: t + 1, "flow": lambda: t / 1000, "VE": lambda: (4 * t).exp()}
        level = self.task.model.schedule.levels(told[self.task.model.schedule.kind]())
        alpha, sigma = (value.float()[:, None, None, None] for value in (level.alpha, level.sigma))
        self.snr = (alpha / sigma).flatten() ** 2
        norm = (sigma**2 + 0.5**2).sqrt()  # that of Karras et al. 2022, table 1, for data of standard deviation 0.5
        x = x * norm if self.task.options.objective == "edm" else x
        eps = (x - alpha * self.clean) / sigma
        answer = {
            "epsilon": eps,
            "sample": self.clean,
            "v_prediction": alpha * eps - sigma * self.clean,
            "flow": eps - self.clean,
            "edm": (self.clean - (0.5 / norm) ** 2 * x) / (0.5 * sigma / norm),
        }
        return type("Output", (), {"sample": answer[self.task.options.objective]})


def test_a_model_folder_in_half_precision_is_computed_in_full(
    options: Options, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    chosen = options(max_train_steps=1, save_dtype="float16")
    train(chosen)
    assert "float32" not in caplog.text  # diffusers' warning of what it does not keep in float32
    weights = load_file(Path(chosen.output_dir, "unet", "diffusion_pytorch_model.safetensors"))
    assert {value.dtype for value in weights.values()} == {torch.float16}
    unet = ModelFolder.open(chosen.output_dir).load_network("cpu", "float32")
    assert unet.dtype == torch.float32
    assert all(torch.equal(value, weights[name].float()) for name, value in unet.state_dict().items())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_exact_answer_has_no_loss(options: Options, objective: str) -> None:
    task = make_task(options(objective=objective))
    clean, labels = torch.rand(6, 1, 8, 8) * 2 - 1, torch.arange(6)
    loss = task.loss(Oracle(task, clean), clean, labels, torch.Generator().manual_seed(0))
    assert loss < 1e-6


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_min_snr_weights_are_those_of_the_error_of_x0(options: Options, objective: str) -> None:
    task = make_task(options(objective=objective, snr_gamma=5.0))
    clean, labels, off = torch.rand(6, 1, 8, 8) * 2 - 1, torch.arange(6), 0.1
    oracle = Oracle(task, clean + off)
    loss = task.loss(oracle, clean, labels, torch.Generator().manual_seed(0))
    expected = oracle.snr.clamp(max=5).mean() * off**2
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)  # x0 through eps at low SNR loses float32 digits


def test_label_dropout_is_the_null_label(options: Options) -> None:
    task = make_task(options(label_dropout=0.25))
    count = 4000
    clean, labels = torch.zeros(count, 1, 8, 8), torch.full((count,), 3)
    oracle = Oracle(task, clean)
    task.loss(oracle, clean, labels, torch.Generator().manual_seed(0))
    assert set(oracle.labels.tolist()) == {3, task.null_label}
    assert (oracle.labels == task.null_label).float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_levels_are_uniform_and_spread(linear: Schedule) -> None:
    uniform, rng = LevelDistribution.of(linear), torch.Generator().manual_seed(0)
    drawn = torch.stack([torch.as_tensor(uniform.draw(10, rng).tau) for _ in range(3000)])
    draws = drawn.long()
    assert torch.equal(draws.double(), drawn)
    assert (draws.min(), draws.max()) == (1, linear.T)
    # every tenth of the schedule has exactly one level of each batch
    assert all(np.bincount((row - 1) // 100, minlength=10).tolist() == [1] * 10 for row in draws)
    first = draws[:, 0].double()
    assert first.mean().item() == pytest.approx(500.5, abs=3 * 289 / 3000**0.5)
    assert first.std().item() == pytest.approx(288.7, rel=0.03)


def test_a_trained_folder_is_everybodys(options: Options) -> None:
    made = options(max_train_steps=4)
    train(made)
    folder = Path(made.output_dir)
    assert {"loss.png", "forward.png", "real_vs_generated.png", "metrics.jsonl", "README.md", "samples"} <= {
        path.name for path in folder.iterdir()
    }
    assert "--max-train-steps 4" in (folder / "README.md").read_text()
    model = samplerzoo.load(folder)
    assert (model.num_classes, model.null_label, model.shape) == (10, 10, (1, 8, 8))
    assert sum(model.class_counts or ()) == 1438
    assert samplerzoo.sample(model, "ddim", steps=2, labels=[3]).images.shape == (1, 1, 8, 8)
    assert UNet2DModel.from_pretrained(folder / "unet").config.num_class_embeds == 11


def test_an_unconditional_folder_runs_in_diffusers(options: Options) -> None:
    made = options(max_train_steps=2, conditional=False)
    train(made)
    assert samplerzoo.load(made.output_dir).num_classes is None
    pipeline = DDPMPipeline.from_pretrained(made.output_dir)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline(num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 1)


def test_one_class_is_unconditional_unless_asked(options: Options) -> None:
    assert make_task(options(classes="7")).null_label is None
    assert make_task(options(classes="7", conditional=True)).null_label == 1
    assert make_task(options(label_dropout=0.0)).null_label is None


def test_fine_tuning_starts_from_the_weights(options: Options, tiny_model: Path) -> None:
    old = UNet2DModel.from_pretrained(tiny_model / "unet").state_dict()
    net = make_task(options(init_from=str(tiny_model))).net  # ten classes in place of three
    assert net.config.num_class_embeds == 11
    assert str(tiny_model) not in net.to_json_string()
    assert all(torch.equal(value, old[name]) for name, value in net.state_dict().items() if "class_embed" not in name)
    same = make_task(options(init_from=str(tiny_model), classes="0,1,2")).net.state_dict()
    assert all(torch.equal(value, old[name]) for name, value in same.items())
    with pytest.raises(UsageError, match="trained with num_train_timesteps 1000: leave out --ddpm-num-steps"):
        make_task(options(init_from=str(tiny_model), ddpm_num_steps=300))
    with pytest.raises(UsageError, match="trained on a path without sigma_data: leave out --sigma-data"):
        make_task(options(init_from=str(tiny_model), sigma_data=0.7))
    with pytest.raises(UsageError, match="1 channels and the data 3"):
        make_task(options(init_from=str(tiny_model), channels=3))


@pytest.mark.parametrize(
    ("objective", "path", "config"),
    [
        ("v_prediction", "VP", {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"}),
        ("flow", "flow", {"num_train_timesteps": 1000}),
        ("edm", "VE", {"sigma_data": 0.5}),
    ],
)
def test_the_weights_are_a_start_for_another_objective(
    options: Options, objective: str, path: str, config: dict[str, object], tmp_path: Path, tiny_model: Path
) -> None:
    """A path of betas keeps its betas; flow and edm bring a path of their own."""
    cosine = shutil.copytree(tiny_model, tmp_path / "cosine")
    DDPMScheduler(beta_schedule="squaredcos_cap_v2").save_pretrained(cosine / "scheduler")
    task = make_task(options(init_from=str(cosine), classes="0,1,2", objective=objective))
    old = UNet2DModel.from_pretrained(cosine / "unet").state_dict()
    assert all(torch.equal(value, old[name]) for name, value in task.net.state_dict().items())
    assert (task.model.parametrization.name, task.model.schedule.kind) == (objective, path)
    assert config.items() <= dict(task.scheduler.config).items()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"image_size": 10, "block_out_channels": (8, 8, 8)},
            r"images of 10 pixels cannot be halved 2 times: take --image-size 8 or 12, or a U-Net of 2 levels: "
            r"--block-out-channels 8,8$",
        ),
        ({"norm_num_groups": 3}, "--norm-num-groups 3 does not divide 8"),
        ({"attention_levels": 3}, "the U-Net has 2 levels"),
        ({"attention_head_dim": 3}, "--attention-head-dim 3 does not divide 8"),
        ({"rescale_betas_zero_snr": True}, "--objective v_prediction"),
        ({"classes": "zero"}, "no class named 'zero'"),
    ],
)
def test_shapes_that_cannot_be(options: Options, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_task(options(**wrong))


def test_more_images_than_there_are(options: Options) -> None:
    with pytest.raises(UsageError, match="265 images do not fill one batch of 500"):
        train(options(classes="8,9", train_batch_size=500))


def test_a_loss_that_is_no_number_stops(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UNetTask, "loss", lambda self, net, images, labels, rng: net(
        images, labels, class_labels=labels).sample.mean() * float("nan"))  # fmt: skip
    with pytest.raises(samplerzoo.ZooError, match="not a number at step 1: lower --learning-rate"):
        train(options())


def test_a_folder_with_other_things_is_left_alone(options: Options) -> None:
    made = options(max_train_steps=1)
    Path(made.output_dir).mkdir()
    (Path(made.output_dir) / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        train(made)
    train(made.model_copy(update={"overwrite": True}))
    assert (Path(made.output_dir) / "thesis.txt").read_text() == "mine"


def test_a_folder_in_use(options: Options) -> None:
    from filelock import FileLock

    made = options()
    Path(made.output_dir).mkdir()
    with FileLock(Path(made.output_dir) / ".lock"), pytest.raises(samplerzoo.ZooError, match="in use by another"):
        train(made)


def test_fine_tuning_matches_classes_by_name(options: Options, tiny_model: Path) -> None:
    info = json.loads((tiny_model / "samplerzoo.json").read_text())
    (tiny_model / "samplerzoo.json").write_text(json.dumps({**info, "class_names": ["1", "0", "x"]}))
    table = "class_embedding.weight"
    old = UNet2DModel.from_pretrained(tiny_model / "unet").state_dict()[table]
    new = make_task(options(init_from=str(tiny_model), classes="0,1,2")).net.state_dict()[table]
    assert torch.equal(new[[0, 1, 3]], old[[1, 0, 3]])
    assert not torch.equal(new[2], old[2])


def test_a_grid_of_training_names_the_classes(tmp_path: Path) -> None:
    x, labels = torch.zeros(3, 1, 8, 8), [0, 1, 2]
    for name, classes in (("named", ["cat", "dog", "owl"]), ("again", ["cat", "dog", "owl"]), ("numbers", ())):
        pictures.save_sheet(x, labels, classes, tmp_path / f"{name}.png")
    found = [(tmp_path / f"{name}.png").read_bytes() for name in ("named", "again", "numbers")]
    assert found[0] == found[1] != found[2]


def test_the_smoothed_loss_starts_at_the_loss() -> None:
    """An exponential mean from 0 would lie far below, or one without correction above, what it averages."""
    assert pictures._smooth([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])
    assert pictures._smooth([1.0, 2.0])[1] == pytest.approx((0.8 * 1 + 2) / 1.8)


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"learning_rate": 5e-4}, []),
        ({"ddpm_beta_end": 0.1}, ["classifier"]),
        ({"objective": "edm"}, ["classifier"]),  # whose folder has no index, so that every folder in it may be a part
        ({"classes": "0,1,2"}, ["classifier", "features"]),
        ({"image_size": 12}, ["classifier", "features"]),
    ],
    ids=str,
)
def test_networks_that_go_with_the_older_model_of_a_folder_are_set_aside(
    options: Options, change: dict[str, object], gone: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_networks(options)
    train(options(max_train_steps=2, checkpointing_steps=1, overwrite=True, **change))
    kept = {"classifier", "features"} - {*gone}
    assert all((folder / name).is_dir() for name in kept)
    assert {path.name for path in folder.glob("*-replaced*")} == {f"{name}-replaced" for name in gone}
    said = capsys.readouterr().out
    for name in gone:
        assert said.count(f"{folder / name} was trained for the older model of this folder, and is now") == 1
    assert not any((folder / name).exists() for name in gone)
    assert ModelFolder.open(folder).stub.classifier is None


def test_what_was_set_aside_before_stays(options: Options) -> None:
    folder = with_networks(options)
    train(options(max_train_steps=1, overwrite=True, image_size=12))
    (folder / "features").mkdir()
    train(options(max_train_steps=1, overwrite=True))
    assert {path.name for path in folder.glob("*-replaced*")} == {
        "classifier-replaced", "features-replaced", "features-replaced-2"
    }  # fmt: skip


def with_networks(options: Options) -> Path:
    """Train a model, and put the configs of a classifier and of a feature network beside it."""
    train(first := options(max_train_steps=1))
    folder = Path(first.output_dir)
    for name in ("classifier", "features"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({"architectures": ["ResNetForImageClassification"]}))
    return folder
