"""Model that comes with samplerzoo: complete, small, loadable by diffusers, and good at its task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import samplerzoo as zoo
from samplerzoo.images import to_uint8
from samplerzoo.metrics import reference
from samplerzoo.metrics.embed import Embedder
from samplerzoo.metrics.frechet import frechet_distance
from samplerzoo.metrics.names import parse_features
from samplerzoo.models.folder import PRETRAINED
from samplerzoo.sampling.labels import parse_class_labels

MNIST = PRETRAINED / "mnist"


@pytest.fixture(scope="module")
def model() -> zoo.Model:
    return zoo.load("mnist", device="cpu")


@pytest.fixture(scope="module")
def features() -> Embedder:
    return Embedder(parse_features("classifier:mnist"))


def recognised(result: zoo.Result, features: Embedder) -> float:
    pixels = to_uint8(result.images).transpose(0, 3, 1, 2)
    _, classes = features(pixels, [""] * len(pixels))
    return (classes == result.labels).mean()


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in MNIST.rglob("*") if path.is_file()) <= 12e6


def test_it_is_what_it_says(model: zoo.Model) -> None:
    assert (model.shape, model.num_classes, model.null_label, model.schedule.T) == ((1, 28, 28), 10, 10, 1000)
    assert model.class_names == tuple("0123456789")
    assert sum(model.class_counts or ()) == 60_000


def test_diffusers_loads_its_network() -> None:
    from diffusers import UNet2DModel

    unet = UNet2DModel.from_pretrained(MNIST / "unet")
    with torch.no_grad():
        assert unet(torch.zeros(1, 1, 28, 28), 999, class_labels=torch.tensor([10])).sample.shape == (1, 1, 28, 28)


def test_its_digits_are_recognised(model: zoo.Model, features: Embedder) -> None:
    """Far below the share that the model card gives, for so few images in so few steps, and far above chance."""
    assert recognised(zoo.sample(model, "ddim", steps=10, num_images=40), features) >= 0.8


@pytest.mark.parametrize("guidance", ["cfg", "classifier"])
def test_guidance_turns_noise_into_the_class_that_is_asked_for(
    model: zoo.Model, features: Embedder, guidance: str
) -> None:
    """Scale 0 is unconditional, right one time in ten; with guidance most are right."""
    at = {
        scale: zoo.sample(model, "ddim", steps=10, num_images=30, guidance=guidance, guidance_scale=scale)
        for scale in (0.0, 3.0)
    }
    assert recognised(at[0.0], features) <= 0.4
    assert recognised(at[3.0], features) >= 0.7


def test_its_references_are_of_its_feature_network_and_of_its_classes(model: zoo.Model, features: Embedder) -> None:
    train, test = (reference.load_reference(split, features.features) for split in ("train", "test"))
    assert (train.count, test.count) == (60_000, 10_000)
    assert train.class_counts == model.class_counts
    assert 0 < frechet_distance(train, test) < 1
    assert train.sample is not None
    assert train.sample.shape == (4000, 128)


def test_its_references_tell_the_floor_with_the_labels_of_a_run(model: zoo.Model, features: Embedder) -> None:
    """As many real images as a benchmark has at most, in the proportion of its labels."""
    train, test = (reference.load_reference(split, features.features) for split in ("train", "test"))
    labels = parse_class_labels("natural", model, 5000, seed=0)
    natural = reference.floor(test, train, labels, 5000)
    assert natural.jackknifed is not None
    assert natural.error is not None
    assert 0 < natural.jackknifed < natural.plain < 0.2
    assert natural.error < 0.05
    balanced = parse_class_labels("balanced", model, 5000, seed=0)
    assert reference.floor(test, train, balanced, 5000).plain > 1.3 * natural.plain


def test_the_first_command_of_the_readme_needs_no_network(tmp_path: Path) -> None:
    """With every socket refused and an empty cache; a few images in place of 64."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise OSError('the network was reached for')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from samplerzoo.cli import main\n"
        "sys.exit(main(['run', '--sampler', 'ddim', '--eta', '0', '--steps', '2', '--num-images', '2']))\n"
    )
    environment = {"PATH": "", "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "ddim-2" / "grid.png").is_file()
    assert not (tmp_path / "hub").exists() or not any((tmp_path / "hub").rglob("*.safetensors"))
