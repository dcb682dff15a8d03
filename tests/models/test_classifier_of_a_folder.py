"""The noise-aware classifier of a model's folder: it is of the model's classes, by name, and of its noise path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from samplerzoo.core.paths import VP
from samplerzoo.errors import ZooError
from samplerzoo.models.classifier_facts import noted_levels
from samplerzoo.models.load import ModelFolder, load
from samplerzoo.sampling.sample import sample

GUIDED = {"guidance": "classifier", "guidance_scale": 30.0, "labels": [0, 1, 2, 2], "steps": 3}


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def put_classifier(model: Path, names: list[str] | None, order: list[int], **notes: Any) -> Path:
    """Write a classifier, of always the same weights, whose classes stand in this order."""
    from transformers import ResNetConfig, ResNetForImageClassification

    labels = {} if names is None else {"id2label": dict(enumerate(names))}
    config = ResNetConfig(
        num_channels=2, embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic", num_labels=len(order),
        **labels, **notes,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ResNetForImageClassification(config).eval()
    with torch.no_grad():
        for values in net.classifier.parameters():
            values.copy_(values[order])
    shutil.rmtree(model / "classifier", ignore_errors=True)
    net.save_pretrained(model / "classifier")
    return model


def named(model: Path, *names: str) -> Path:
    edit(model / "samplerzoo.json", class_names=list(names))
    return model


def guided(model: Path) -> torch.Tensor:
    return sample(load(model, device="cpu", dtype="float32"), "ddim", **GUIDED).images


def test_its_classes_are_matched_by_name(tiny_model: Path) -> None:
    named(tiny_model, "x", "y", "z")
    straight = guided(put_classifier(tiny_model, ["x", "y", "z"], [0, 1, 2]))
    moved = guided(put_classifier(tiny_model, ["z", "x", "y"], [2, 0, 1]))
    torch.testing.assert_close(moved, straight, rtol=1e-4, atol=1e-2)  # of values up to 300, in float32
    wrong = guided(put_classifier(tiny_model, ["x", "y", "z"], [2, 0, 1]))
    assert not torch.allclose(wrong, straight, rtol=1e-2, atol=1.0)


@pytest.mark.parametrize("unnamed", ["model", "classifier"])
def test_where_one_has_no_names_their_numbers_are_the_same(tiny_model: Path, unnamed: str) -> None:
    names = None if unnamed == "classifier" else ["z", "x", "y"]
    straight = guided(put_classifier(tiny_model, ["0", "1", "2"], [0, 1, 2]))
    if unnamed == "classifier":
        named(tiny_model, "x", "y", "z")
    assert torch.equal(guided(put_classifier(tiny_model, names, [0, 1, 2])), straight)


@pytest.mark.parametrize(
    ("model", "names", "order", "said"),
    [
        (["x", "y", "z"], ["cat", "dog", "cow"], [0, 1, 2], r"other classes \(cat, dog, cow\) than .* \(x, y, z\)"),
        (["x", "y", "z"], ["x", "y"], [0, 1], r"other classes \(x, y\) than .* has \(x, y, z\)"),
        (["x", "y", "z"], None, [0, 1], r"other classes \(2\) than .* has \(3 classes\)"),
        (None, ["x", "y", "z", "w"], [0, 1, 2, 0], r"other classes \(4\) than .* has \(3 classes\)"),
        (["x", "x", "z"], ["x", "z", "x"], [0, 1, 2], r"other classes \(x \(0\), z, .*\) than .* x \(1\), z\)"),
    ],
)
def test_one_of_other_classes_is_refused_where_it_is_asked(
    tiny_model: Path, model: list[str] | None, names: list[str] | None, order: list[int], said: str
) -> None:
    if model is not None:
        named(tiny_model, *model)
    put_classifier(tiny_model, names, order)
    again = (
        "train one again, .*: samplerzoo train-classifier --model .*/tiny --dataset DATA --output-dir .* --overwrite"
    )
    for loaded in (load(tiny_model, device="cpu"), ModelFolder.open(tiny_model).stub):
        with pytest.raises(ZooError, match=f"classifier in .* was trained for {said}: {again}"):
            sample(loaded, "ddim", **GUIDED)
    assert sample(load(tiny_model, device="cpu"), "ddim", labels=[0], steps=2).images.isfinite().all()


def test_one_of_another_noise_path_is_refused_where_it_is_asked(tiny_model: Path) -> None:
    own, other = VP.from_config({}), VP.from_config({"beta_end": 0.1, "num_train_timesteps": 200})
    assert guided(put_classifier(tiny_model, None, [0, 1, 2], log_snr=noted_levels(own))).isfinite().all()
    put_classifier(tiny_model, None, [0, 1, 2], log_snr=noted_levels(other))
    with pytest.raises(ZooError, match=r"was trained on another noise path than that of .*/tiny: train one again"):
        guided(tiny_model)
