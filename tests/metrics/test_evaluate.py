"""`ref` and `eval` as a user types them, with a feature network of random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from samplerzoo.cli import main
from samplerzoo.errors import UsageError
from samplerzoo.metrics import reference, source
from samplerzoo.metrics.features import FeatureNetwork
from samplerzoo.metrics.frechet import RunningMoments

CLASSES = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a feature network alone, and the statistics of both splits of the digits."""
    root = tmp_path_factory.mktemp("models") / "toy"
    config = ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic",
        id2label=dict(enumerate("0123456789")),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ResNetForImageClassification(config).save_pretrained(root / "features")
    for split in ("train", "test"):
        assert main(["ref", "digits", "--model", str(root), "--split", split]) == 0
    return root


def figures(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    capsys.readouterr()
    assert main(["eval", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_set_is_at_no_distance_from_its_own_statistics(folder: Path, capsys) -> None:
    found = figures(capsys, "digits", "--model", str(folder), "--reference", "test")
    assert found["name"] == "fd_toy@359"
    assert found["frechet_distance"] == pytest.approx(0, abs=1e-6)  # roots of eigenvalues that are rounded at 1e-16


def test_train_against_test_is_the_distance_of_their_moments(folder: Path, capsys) -> None:
    found = figures(capsys, "digits", "--model", str(folder))
    features = FeatureNetwork(folder)
    train, test = (reference.load(features, split) for split in ("train", "test"))
    assert (train.count, test.count) == (1438, 359)
    assert found["frechet_distance"] > 0
    images = np.concatenate([images for images, _ in source.batches("digits", "test")])
    values, classes = features(images)
    running = RunningMoments()
    running.add(values)
    np.testing.assert_allclose(running.moments().mean, test.mean, rtol=1e-9)
    labels = np.concatenate([labels for _, labels in source.batches("digits", "test")])
    assert found["label_accuracy"] == pytest.approx((classes == labels).mean())


def test_a_count_is_in_the_name_and_too_large_a_one_is_refused(folder: Path, capsys) -> None:
    assert figures(capsys, "digits", "--model", str(folder), "--num-images", "50")["name"] == "fd_toy@50"
    assert main(["eval", "digits", "--model", str(folder), "--num-images", "1000"]) == 1
    assert "digits has 359 images, not 1000" in capsys.readouterr().err


def test_a_run_folder_is_read_by_its_manifest(tiny_model: Path, folder: Path, tmp_path: Path, capsys) -> None:
    run = str(tmp_path / "run")
    arguments = ["--model", str(tiny_model), "--steps", "1", "--num-images", "12", "--class-labels", "2"]
    assert main(["run", *arguments, "-o", run]) == 0
    found = figures(capsys, run, "--model", str(folder))
    features = FeatureNetwork(folder)
    ((images, labels),) = source.batches(run, "test")
    assert (found["name"], len(images)) == ("fd_toy@12", 12)
    assert found["label_accuracy"] == pytest.approx((features(images)[1] == labels).mean())


def test_statistics_of_another_feature_network_are_refused(folder: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    net = ResNetForImageClassification.from_pretrained(other / "features")
    with torch.no_grad():
        net.classifier[1].bias += 1
    net.save_pretrained(other / "features")
    assert main(["eval", "digits", "--model", str(other)]) == 1
    assert "another feature network" in capsys.readouterr().err


def test_images_of_other_channels_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="images of 1 channel, and these have 3"):
        FeatureNetwork(folder)(np.zeros((2, 8, 8, 3), dtype=np.uint8))


def test_what_is_missing_is_named_with_the_way_out(folder: Path, tiny_model: Path, capsys) -> None:
    assert main(["eval", "digits", "--model", str(folder), "--reference", "trian"]) == 2
    assert "it has: test, train" in capsys.readouterr().err
    assert main(["eval", "digits", "--model", str(tiny_model)]) == 2
    assert "train-classifier --clean" in capsys.readouterr().err
