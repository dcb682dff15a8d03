"""Training of both classifiers, for noisy and for clean images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file, save_file
from transformers import ResNetForImageClassification

from samplerzoo.core.paths import VE, RectifiedFlow
from samplerzoo.core.schedule import Schedule
from samplerzoo.data import image_sets as data
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.classifier import LOG_SNR_SCALE, MAX_LOG_SNR, NoisyClassifier, load_classifier
from samplerzoo.models.classifier_facts import noted_levels, read_classifier_facts
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import load, save_model
from samplerzoo.training.classifier_task import ClassifierTask, shift
from samplerzoo.training.options import ClassifierOptions
from samplerzoo.training.train import _classifier_task, train_classifier

SMALL = {
    "dataset": "digits", "train_batch_size": 64, "hidden_sizes": (16, 32), "depths": (1, 1), "num_epochs": 6,
    "lr_warmup_steps": 5, "learning_rate": 5e-3, "image_size": 16, "checkpointing_steps": 1000,
}  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> dict[str, object]:
    return {**SMALL, "output_dir": str(tmp_path / "classifier")}


class Shown(torch.nn.Module):
    """Network that answers with what it is shown."""

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=x)


def test_the_noise_level_is_the_schedules(linear: Schedule) -> None:
    classifier = NoisyClassifier(Shown())
    taus = [0.0, 0.5, 1.0, 17.3, 500.0, 999.25, 1000.0]
    level, x = linear.levels(torch.tensor(taus)), torch.rand(len(taus), 1, 2, 2)
    shown = classifier(x, torch.as_tensor(level.alpha), torch.as_tensor(level.sigma))
    torch.testing.assert_close(shown[:, :1], x)
    assert (shown[:, 1:] == shown[:, 1:, :1, :1]).all()
    found = (shown[:, 1, 0, 0] * LOG_SNR_SCALE).tolist()
    expected = [min(linear.at(tau).log_snr if tau else math.inf, MAX_LOG_SNR) for tau in taus]
    assert found == pytest.approx(expected, rel=1e-3)
    assert max(map(abs, expected[2:])) < 1.1 * LOG_SNR_SCALE
    for i, tau in enumerate(taus):
        torch.testing.assert_close(classifier.at(x[i : i + 1], linear.at(tau)), shown[i : i + 1])


@pytest.mark.parametrize("path", [VE(), RectifiedFlow()], ids=lambda path: path.kind)
def test_images_are_shown_at_one_scale_on_every_path(path: Schedule) -> None:
    level, x = path.at(path.T / 2), torch.rand(2, 1, 2, 2)
    shown = NoisyClassifier(Shown()).at(x, level)
    torch.testing.assert_close(shown[:, :1], x / math.hypot(level.alpha, level.sigma))
    torch.testing.assert_close(shown[:, 1:], torch.full((2, 1, 2, 2), level.log_snr / LOG_SNR_SCALE))


def test_clean_classifier_learns_and_is_a_transformers_folder(small: dict[str, object]) -> None:
    options = ClassifierOptions(**small, clean=True)
    train_classifier(options)
    folder = Path(options.output_dir)
    net = ResNetForImageClassification.from_pretrained(folder).eval()
    assert (net.config.num_channels, net.config.image_size) == (1, 16)
    images, labels = (test := data.load_images(options, "test")).__getitems__(range(len(test)))
    with torch.no_grad():
        right = (net(images.float() / 127.5 - 1).logits.argmax(1) == labels).float().mean().item()
    assert right > 0.9
    assert f"| test accuracy | {right:.2%} |" in (folder / "README.md").read_text()


def test_noisy_classifier_learns_and_loads(
    small: dict[str, object], tmp_path: Path, tiny_unet: Callable[..., torch.nn.Module], linear: Schedule
) -> None:
    """Into the folder of the model that it is for, as the README does."""
    info = ModelInfo(num_classes=10, null_label=10)
    save_model(tmp_path / "model", tiny_unet(sample_size=16, num_class_embeds=11), DDPMScheduler(), info, "# tiny\n")
    own = {**small, "model": str(tmp_path / "model"), "output_dir": str(tmp_path / "model" / "classifier")}
    train_classifier(options := ClassifierOptions(**own))
    assert load(tmp_path / "model", device="cpu").classifier_classes == 10
    facts = read_classifier_facts(tmp_path / "model")
    assert facts is not None
    assert facts.log_snr == noted_levels(linear)
    classifier = load_classifier(options.output_dir)
    images, labels = (test := data.load_images(options, "test")).__getitems__(range(len(test)))
    clean, noise = images.float() / 127.5 - 1, torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    for tau, at_least in ((50, 0.85), (300, 0.5)):
        level = linear.at(tau)
        with torch.no_grad():
            logits = classifier(level.alpha * clean + level.sigma * noise, level)
        assert (logits.argmax(1) == labels).float().mean().item() > at_least


def test_half_precision_is_read_and_half_a_file_is_not(small: dict[str, object], linear: Schedule) -> None:
    options = ClassifierOptions(**{**small, "max_train_steps": 1})
    train_classifier(options)
    folder = Path(options.output_dir)
    x, levels = torch.zeros(1, 1, 16, 16), [linear.at(1.0), linear.at(900.0)]
    whole = load_classifier(folder)
    expected = [whole(x, level) for level in levels]
    ResNetForImageClassification.from_pretrained(folder).half().save_pretrained(folder)
    half = load_classifier(folder)
    assert not torch.equal(half(x, levels[0]), expected[0])
    assert all(torch.allclose(half(x, level), was, atol=1e-2) for level, was in zip(levels, expected, strict=True))
    weights = load_file(folder / "model.safetensors")
    save_file({name: weights[name] for name in list(weights)[1:]}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ZooError, match="weights are missing"):
        load_classifier(folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ZooError, match="not a noise-aware classifier"):
        load_classifier(folder)


def test_resuming_is_exact(small: dict[str, object], tmp_path: Path) -> None:
    """Include the running statistics of batch norm."""
    base = ClassifierOptions(**{**small, "max_train_steps": 8, "checkpointing_steps": 4, "max_shift": 1})
    train_classifier(base)
    resumed = base.model_copy(update={"resume_from_checkpoint": "checkpoint-0000004"})
    weights = (Path(base.output_dir) / "model.safetensors").read_bytes()
    train_classifier(resumed)
    assert (Path(base.output_dir) / "model.safetensors").read_bytes() == weights


def test_shifts_move_whole_images() -> None:
    images = torch.arange(25.0).reshape(1, 1, 5, 5).expand(200, 1, 5, 5)
    moved = shift(images, 1, torch.Generator().manual_seed(0))
    centres = {(int(value) // 5 - 2, int(value) % 5 - 2) for value in moved[:, 0, 2, 2]}
    assert centres == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
    for image in moved[:20, 0]:
        offset = image[2, 2] - 12
        assert torch.equal(image[1:4, 1:4], images[0, 0, 1:4, 1:4] + offset)


def test_what_cannot_be(small: dict[str, object], tmp_path: Path) -> None:
    for wrong, message in (({"classes": "3"}, "1 classes"), ({"depths": (1,)}, "has 2 stages and --depths 1")):
        options = ClassifierOptions(**{**small, **wrong})
        with pytest.raises(UsageError, match=message):
            ClassifierTask(options, data.load_images(options), None)
    with pytest.raises(ZooError, match="not a noise-aware classifier"):
        load_classifier(tmp_path)


def test_a_classifier_has_the_classes_of_the_model_that_it_guides_by_name(
    small: dict[str, object], tiny_model: Path
) -> None:
    info = json.loads((tiny_model / "samplerzoo.json").read_text())
    (tiny_model / "samplerzoo.json").write_text(json.dumps({**info, "class_names": ["2", "0", "1"]}))
    options = ClassifierOptions(**{**small, "model": str(tiny_model), "classes": "0,1,2", "image_size": 8})
    task = _classifier_task(options)
    plain = data.load_images(options)
    assert task.data.class_names == task.test.class_names == ("2", "0", "1")
    assert task.data.labels.tolist() == [(label + 1) % 3 for label in plain.labels.tolist()]
    with pytest.raises(ZooError, match=r"digits has the class 3, and .*tiny has the classes 2, 0, 1"):
        _classifier_task(options.model_copy(update={"classes": "0,1,3"}))
