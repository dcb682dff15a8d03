"""Commands `ref` and `eval` with a feature network of random weights, and `compute_metrics` itself."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ResNetForImageClassification

import samplerzoo as zoo
from samplerzoo.cli import main
from samplerzoo.core.features import Features
from samplerzoo.data import sources as source
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.images import to_uint8
from samplerzoo.metrics import feature_files, reference
from samplerzoo.metrics.embed import Embedder
from samplerzoo.metrics.evaluate import compute_metrics
from samplerzoo.metrics.feature_files import write_features
from samplerzoo.metrics.frechet import FeatureMoments, frechet_distance
from samplerzoo.metrics.names import parse_features


def table(seed: int, count: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def reference_of(values: np.ndarray, labels: np.ndarray | None = None) -> reference.Reference:
    return reference.make_reference([(values, labels)], "id", "real")


# -- eval and ref


def test_a_set_is_at_no_distance_from_its_own_statistics(figures) -> None:
    found = figures("--fake", "digits", "--real", "test")
    assert (found["metric"], found["images"]) == ("fd_toy@359", 359)
    assert found["fd"] == pytest.approx(0, abs=1e-9)
    assert (found["precision"], found["recall"]) == (1, 1)
    itself = "the images are those of test itself: it has no distance to itself"
    assert found["warnings"] == [itself, "no floor: test is the reference itself"]


def test_figures_are_those_of_the_features(figures, toy: Path) -> None:
    found = figures("--fake", "digits")
    embedder = Embedder(parse_features(f"classifier:{toy}"))
    train, test = (reference.load_reference(split, embedder.features) for split in ("train", "test"))
    assert (train.count, test.count, train.dimensions) == (1438, 359, 6)
    batches = list(source.image_batches("digits", "test"))
    parts = [embedder(batch.images, batch.names) for batch in batches]
    values = np.concatenate([features for features, _ in parts])
    right = np.concatenate([classes == batch.labels for (_, classes), batch in zip(parts, batches, strict=True)])
    assert found["fd"] == pytest.approx(frechet_distance(FeatureMoments.of(values), train), rel=1e-6)
    assert found["fd"] > 0
    assert found["label_accuracy"] == pytest.approx(right.mean())
    assert (found["reference"], found["reference_id"], found["reference_images"]) == ("train", train.id, 1438)
    assert found["features_id"] == embedder.features.id


def test_the_floor_of_all_test_images_is_their_own_distance(figures) -> None:
    """Choose all images of the test split, which is the only choice with these labels."""
    found = figures("--fake", "digits")
    assert found["floor"] == pytest.approx(found["fd"], rel=1e-3)  # the sample is kept in half precision


def test_a_count_is_in_the_name_and_too_large_a_one_is_refused(figures, toy: Path, capsys) -> None:
    assert figures("--fake", "digits", "--num-images", 50)["metric"] == "fd_toy@50"
    assert main(["eval", "--fake", "digits", "--features", f"classifier:{toy}", "--num-images", "1000"]) == 1
    assert "digits has 359 images, not 1000" in capsys.readouterr().err


def test_a_run_from_memory_equals_its_files(figures, tiny_model: Path, toy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["--model", str(tiny_model), "--steps", "1", "--num-images", "12", "--class-labels", "2"]
    assert main(["run", *arguments, "-o", str(run)]) == 0
    found = figures("--fake", run)
    model = zoo.load(tiny_model, device="cpu")
    result = zoo.sample(model, "ddim", steps=1, num_images=12, labels="2")
    embedder = Embedder(parse_features(f"classifier:{toy}"))
    pixels = to_uint8(result.images).transpose(0, 3, 1, 2)
    features, predicted = embedder(pixels, [""] * 12)
    train, test = (reference.load_reference(split, embedder.features) for split in ("train", "test"))
    metrics, _, _ = compute_metrics([features], predicted, result.labels, train, test)
    for name, value in metrics.model_dump(exclude_none=True).items():
        assert found[name] == pytest.approx(value, rel=1e-9), name
    assert found["metric"] == "fd_toy@12"


def test_folders_that_others_made_on_both_sides(figures, tmp_path: Path) -> None:
    """Compare image files in parts with the data set itself. Only the labels are missing in files."""
    for split in ("train", "test"):
        for batch in source.image_batches("digits", split):
            for index, image in enumerate(batch.images):
                path = tmp_path / split / f"{index % 3:06d}" / f"{batch.names[index].replace(' ', '-')}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image[0]).save(path)
    found = figures(
        "--fake", tmp_path / "test", "--real", tmp_path / "train", "--fake-split", "none", "--split", "none"
    )
    expected = figures("--fake", "digits")
    assert found["fd"] == pytest.approx(expected["fd"], rel=1e-4)
    assert found["label_accuracy"] is None
    assert found["reference_images"] == 1438
    assert found["floor"] is None  # nothing says which data the references are from
    assert found["precision"] == pytest.approx(expected["precision"], abs=0.01)  # of a sample in full precision


def test_a_reference_is_made_and_used_in_both_forms(figures, toy: Path, tmp_path: Path, capsys) -> None:
    expected = figures("--fake", "digits")
    for suffix in ("safetensors", "npz"):
        path = tmp_path / f"mine.{suffix}"
        assert main(["ref", "make", "digits", "--features", f"classifier:{toy}", "-o", str(path)]) == 0
        assert "1438 images, 6 features" in capsys.readouterr().out
        found = figures("--fake", "digits", "--real", path, "--floor", "test")
        assert found["floor"] == pytest.approx(expected["floor"], rel=1e-12)
        assert found["fd"] == pytest.approx(expected["fd"], rel=1e-12)
        assert found["reference"] == path.name
    assert found["kid"] is None
    assert found["warnings"] == ["mine.npz does not say what features it was made with"]


def test_a_sample_is_not_asked_of_a_file_that_holds_none(tmp_path: Path, capsys) -> None:
    make = ["ref", "make", "digits", "--features", "pixels", "--sample-size", "5", "-o"]
    assert main([*make, str(tmp_path / "mine.npz")]) == 2
    assert "mine.npz: .npz holds mean and covariance alone: leave --sample-size out" in capsys.readouterr().err
    assert not (tmp_path / "mine.npz").exists()
    assert main([*make, str(tmp_path / "mine.safetensors")]) == 0


def test_the_text_says_what_the_json_says(toy: Path, capsys) -> None:
    assert main(["eval", "--fake", "digits", "--features", f"classifier:{toy}"]) == 0
    out = capsys.readouterr().out
    for part in (
        "fd_toy@359 against train: ",
        "of as many real images: ",
        "without its bias: ",
        "kernel distance: ",
        "precision: ",
        "recall: ",
        "label accuracy: ",
    ):
        assert part in out
    assert [line.partition(":")[0] for line in out.splitlines() if "±" not in line] == [
        "fd_toy@359 against train",
        "of as many real images",
    ]


def test_references_of_another_feature_network_are_refused(toy: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / "other"
    shutil.copytree(toy, other)
    net = ResNetForImageClassification.from_pretrained(other / "features")
    with torch.no_grad():
        net.classifier[1].bias += 1
    net.save_pretrained(other / "features")
    assert main(["eval", "--fake", "digits", "--features", f"classifier:{other}"]) == 1
    assert "made with other features" in capsys.readouterr().err


def test_what_is_missing_is_named_with_the_way_out(toy: Path, tiny_model: Path, capsys) -> None:
    assert main(["eval", "--fake", "digits", "--features", f"classifier:{toy}", "--real", "trian"]) == 2
    assert "they have: test, train" in capsys.readouterr().err
    assert main(["eval", "--fake", "digits", "--features", f"classifier:{tiny_model}"]) == 2
    assert "train-classifier --clean" in capsys.readouterr().err
    assert main(["ref", "make", "digits", "-o", "x.pt"]) == 2
    assert "a reference is a .safetensors file" in capsys.readouterr().err


# -- compute_metrics


def test_figures_do_not_depend_on_how_features_are_spread_over_files(
    tmp_path: Path,
) -> None:
    values = table(0, 1500)
    for number, part in enumerate(np.split(values, [13, 700, 1450])):
        write_features(tmp_path / f"{number}.safetensors", part)
    real = reference_of(table(1, 1200))
    files = sorted(tmp_path.iterdir())
    spread, whole = (compute_metrics(parts, None, None, real, None) for parts in (files, [values]))
    assert spread.metrics == whole.metrics
    assert {*spread.influence} == {"fd", "kid"}
    for figure, of_images in spread.influence.items():
        np.testing.assert_array_equal(of_images, whole.influence[figure])


def test_ten_times_the_images_need_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "BLOCK", 100)
    real = reference_of(table(1, 200, 32))
    files = []
    for number in range(40):
        files.append(tmp_path / f"{number}.safetensors")
        write_features(files[-1], table(number, 100, 32))

    def peak(parts: list[Path]) -> int:
        tracemalloc.start()
        compute_metrics(parts, None, None, real, None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(files[:4])  # imports and caches
    assert peak(files) < 1.2 * peak(files[:4])  # 4,000 features alone would be 512 kB more


def test_too_few_images_for_the_dimensions_are_warned_of() -> None:
    real = reference_of(table(1, 5))
    _, warnings, _ = compute_metrics([table(0, 3)], None, None, real, None)
    assert warnings == ["3 images are fewer than the 4 features: their covariance is not of full rank"]
    _, warnings, _ = compute_metrics([table(0, 30)], None, None, reference_of(table(1, 3)), None)
    assert "3 images in the reference real are fewer" in warnings[0]
    assert compute_metrics([table(0, 5)], None, None, real, None)[1] == []


@pytest.mark.parametrize("count", [2, 3])
def test_tiny_sets_have_figures_but_for_precision_and_recall(count: int) -> None:
    found, _, _ = compute_metrics([table(0, count)], None, None, reference_of(table(1, 20)), None)
    assert found.fd > 0
    assert found.kid is not None
    assert (found.precision, found.recall) == (None, None)


def test_one_image_is_no_set_and_none_neither() -> None:
    for count, reason in ((1, "at least 2 images"), (0, "no images")):
        with pytest.raises(ZooError, match=reason):
            compute_metrics([table(0, count)], None, None, reference_of(table(1, 20)), None)


def test_features_that_are_no_numbers_are_named() -> None:
    broken = table(0, 1300)
    broken[[3, 1100], 2] = np.nan, np.inf
    with pytest.raises(ZooError, match=r"image 3$"):
        compute_metrics([broken], None, None, reference_of(table(1, 20)), None)
    with pytest.raises(ZooError, match=r"image 1097$"):
        compute_metrics([broken[4:5], broken[4:]], None, None, reference_of(table(1, 20)), None)


def test_a_missing_floor_is_a_warning() -> None:
    real = reference_of(table(1, 20), np.zeros(20, dtype=np.int64))
    found, warnings, _ = compute_metrics(
        [table(0, 9)], None, [1] * 9, real, reference_of(table(2, 20), np.zeros(20, np.int64))
    )
    assert found.floor is None
    assert warnings == ["no floor: real keeps 0 images of class 1, not 9"]


# -- extraction


class _Broken(Features):
    """Feature network that divides by the first pixel."""

    id = property(lambda self: "broken")

    def load(self, device: str = "cpu"):
        return lambda images: images.flatten(1)[:, :2].float() / images.flatten(1)[:, :1]


def test_files_whose_features_are_no_numbers_are_named() -> None:
    images = np.ones((4, 1, 2, 2), dtype=np.uint8)
    images[2] = 0
    with pytest.raises(ZooError, match=r"NaN or infinity in the features of 1 of 4 images: c\.png"):
        Embedder(_Broken())(images, ["a.png", "b.png", "c.png", "d.png"])


def test_a_network_that_gives_no_vector_an_image_is_refused() -> None:
    class Map(_Broken):
        def load(self, device: str = "cpu"):
            return lambda images: images.float()

    with pytest.raises(
        ZooError, match=r"load's function gives a Tensor .* of shape \(2, 1, 3, 3\), and has to give a tensor \(2, D\)"
    ):
        Embedder(Map())(np.zeros((2, 1, 3, 3), dtype=np.uint8), ["", ""])


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("load", lambda self, device: None, "load gives None, and has to give a function of images"),
        ("load_head", lambda self, device: 3, "load_head gives a int, and has to give None or a function of features"),
        ("load_head", lambda self, device: lambda x: x, r"load_head's function gives a Tensor .* a tensor \(2,\)"),
        ("id", property(lambda self: 7), "id gives a int, and has to give a text"),
        ("image_size", property(lambda self: 28), r"image_size gives a int, and has to give None or \(height, width\)"),
    ],
)
def test_what_is_no_feature_network_is_refused(member: str, value: Any, said: str) -> None:
    own = {"load": lambda self, device: lambda images: images.flatten(1).float(), member: value}
    plugin = type("Odd", (_Broken,), own)()
    with pytest.raises(ZooError, match=f"^features Odd: {said}"):
        Embedder(plugin)(np.zeros((2, 1, 3, 3), dtype=np.uint8), ["", ""])


def test_images_of_other_channels_are_refused(toy: Path) -> None:
    with pytest.raises(UsageError, match="images of 1 channel, and these have 3"):
        Embedder(parse_features(f"classifier:{toy}"))(np.zeros((2, 3, 8, 8), dtype=np.uint8), ["", ""])


def test_images_of_another_size_than_the_network_is_for_are_refused(
    toy: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """A network of convolutions computes with images of any size, and what it says of another one means nothing."""
    shutil.copytree(toy, tmp_path / "toy")
    config = tmp_path / "toy/features/config.json"
    assert main(["eval", "--fake", "digits", "--real", "digits", "--features", f"classifier:{tmp_path / 'toy'}"]) == 0
    known, features = json.loads(config.read_text()), f"classifier:{tmp_path / 'toy'}"
    for size in (8, [8, 8]):
        config.write_text(json.dumps({**known, "image_size": size}))
        assert main(["eval", "--fake", "digits", "--features", features]) == 0
    config.write_text(json.dumps({**known, "image_size": [28, 20]}))
    monkeypatch.setattr("samplerzoo.cli.evaluate._test", None)  # it would fail: the images are refused before
    for words in (
        ["eval", "--fake", "digits"], ["eval", "--fake", "digits", "--real", "digits"],
        ["ref", "make", "digits", "-o", str(tmp_path / "x.safetensors")],
        ["bench", "--model", str(tiny_model), "--sampler", "ddim", "--images", "2", "-o", str(tmp_path / "bench")],
    ):  # fmt: skip
        capsys.readouterr()
        assert main([*words, "--features", features]) == 2
        said = f"images of 8x8; the network of {features} is for 20x28: give images of that size, or other features"
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()
    config.write_text(json.dumps({**known, "image_size": "large"}))
    assert main(["eval", "--fake", "digits", "--features", features]) == 1
    assert f"{config}: image_size is 'large', and no size" in capsys.readouterr().err


def test_labels_of_a_folder_are_matched_with_the_classes_of_the_features_by_name(
    figures, toy: Path, tmp_path: Path
) -> None:
    """Give the classes other names than numbers, so that their order in the folder is another one."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    config = json.loads((toy / "features" / "config.json").read_text())
    named = {str(number): word for number, word in enumerate(words)}
    shutil.copytree(toy, tmp_path / "toy")
    (tmp_path / "toy" / "features" / "config.json").write_text(json.dumps({**config, "id2label": named}))
    for batch in source.image_batches("digits", "test"):
        for index, (image, label) in enumerate(zip(batch.images, batch.labels, strict=True)):
            path = tmp_path / "set" / words[label] / f"{batch.names[index]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(path)
    features = f"classifier:{tmp_path / 'toy'}"
    found, expected = figures("--fake", tmp_path / "set", features=features), figures("--fake", "digits")
    assert found["label_accuracy"] == expected["label_accuracy"]
    (tmp_path / "set" / "nine").rename(tmp_path / "set" / "ten")
    found = figures("--fake", tmp_path / "set", features=features)
    assert found["label_accuracy"] is None
    assert "no label accuracy: the feature network knows no class ten" in found["warnings"]


def test_eval_and_ref_say_what_they_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("train", 2), ("bus", 3)):
        for index in range(count):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), index).save(tmp_path / "set" / name / f"{index}.png")
    line = f"{tmp_path / 'set'}: 5 images, 2 classes: bus 3, train 2; labels: the names of folders\n"
    made = str(tmp_path / "ref.safetensors")
    assert main(["ref", "make", str(tmp_path / "set"), "--features", "pixels", "-o", made]) == 0
    assert capsys.readouterr().err == line
    assert main(["eval", "--fake", str(tmp_path / "set"), "--real", made, "--features", "pixels"]) == 0
    captured = capsys.readouterr()
    assert captured.err == line
    assert captured.out.startswith("fd_pixels@5 against ref.safetensors: ")
