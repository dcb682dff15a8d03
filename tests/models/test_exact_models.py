"""Exact models by name: what a name may contain, what is refused, and which model results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from samplerzoo import SamplerPipeline, load, sample
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.exact import ExactModel, ExactOptions
from samplerzoo.models.load import lasting, open_model, title
from samplerzoo.models.options import ReadingOptions
from samplerzoo.sampling.plan import fill_defaults, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.tuning import TuningRequest, choose_tuning


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a folder of images of two classes, sorted by class."""
    for name, value in (("dark", 20), ("light", 220)):
        (tmp_path / "data" / "train" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((6, 6), value, np.uint8)
            pixels[number, :2] = 128
            Image.fromarray(pixels).save(tmp_path / "data" / "train" / name / f"{number}.png")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exact:digits", {}),
        ("exact:digits:channels=3", {"channels": 3}),
        ("exact:digits:vp", {}),
        ("exact:digits:flow", {"path": "flow"}),
        ("exact:digits:bandwidth=0.1:ve", {"path": "ve", "bandwidth": 0.1}),
        ("exact:digits:path=cosine:images=50", {"path": "cosine", "images": 50}),
        ("exact:digits:image-size=4:classes=0,1,7", {"image_size": 4, "classes": "0,1,7"}),
        ("exact:owner/name:split=test", {"dataset": "owner/name", "split": "test"}),
        ("exact:digits:random_flip=true", {"random_flip": True}),
    ],
)
def test_a_name_says_data_path_and_options(name: str, expected: dict[str, object]) -> None:
    found = ExactOptions.parse(name)
    assert found == ExactOptions(**{"dataset": "digits", **expected})
    assert ExactOptions.parse(found.name(found.dataset)) == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exact:", "names no data set"),
        ("exact:digits:cosin", "'cosin' .did you mean cosine"),
        ("exact:digits:bandwith=1", "'bandwith' .did you mean bandwidth"),
        ("exact:digits:images=0", "images: .*greater than 0"),
        ("exact:digits:bandwidth=-1", "bandwidth: "),
        ("exact:digits:bandwidth=nan", "bandwidth: "),
        ("exact:digits:path=vx", "no path 'vx'; there are: vp, cosine, ve, flow"),
        ("exact:digits:dataset=other", "no option 'dataset'"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        open_model(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exact:digits:images=9999", "has 1438 images, not 9999"),
        ("exact:digits:images=3", "no image of class .*classes="),
        ("exact:digits:split=nowhere", "splits train and test"),
        ("exact:/nowhere", "no such file or folder"),
    ],
)
def test_data_that_cannot_be_are_one_line(name: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        _ = open_model(name).stub


def test_sizes_are_asked_for_in_the_words_of_the_name(folder: Path) -> None:
    Image.new("L", (9, 9)).save(folder / "train" / "dark" / "big.png")
    with pytest.raises(UsageError, match=r":image_size=") as raised:
        _ = open_model(f"exact:{folder}").stub
    assert "--" not in str(raised.value)
    assert open_model(f"exact:{folder}:image_size=6").stub.shape == (1, 6, 6)


def test_digits() -> None:
    model = load("exact:digits:flow", device="cpu")
    assert (model.shape, model.num_classes, model.null_label, model.schedule.kind) == ((1, 8, 8), 10, 10, "flow")
    assert sum(model.class_counts or ()) == 1438
    assert model.dtype == "float32"
    assert model.clip.mode == "off"
    drawn = sample(model, "unipc", steps=20, labels="balanced", num_images=10).images
    known = ExactModel.open("exact:digits")._data[0].float() / 127.5 - 1
    assert torch.cdist(drawn.flatten(1), known.flatten(1)).min(1).values.max() < 0.01  # each is one of the images


def test_classes_of_a_folder_are_kept_apart(folder: Path) -> None:
    model = load(f"exact:{folder}", device="cpu")
    assert model.class_names == ("dark", "light")
    assert model.class_counts == (6, 6)
    drawn = sample(model, "ddim", steps=10, labels=[0, 1, 1, 0]).images.flatten(1).median(1).values
    torch.testing.assert_close(drawn, torch.tensor([20, 220, 220, 20]) / 127.5 - 1, rtol=0, atol=1e-3)


def test_data_without_classes(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "plain" / "train").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number * 100, 0, 0)).save(tmp_path / "plain" / "train" / f"{number}.png")
    model = load(f"exact:{tmp_path / 'plain'}", device="cpu")
    assert (model.num_classes, model.classifier, model.shape) == (None, None, (3, 4, 4))
    with pytest.raises(UsageError, match="unconditional"):
        sample(model, "ddim", guidance="cfg", steps=2, num_images=1)


@pytest.mark.parametrize("name", ["exact:digits:conditional=false", "exact:digits:classes=3"])
def test_labels_may_be_left_out_and_one_class_has_none(name: str) -> None:
    model = load(name, device="cpu")
    assert (model.num_classes, model.class_names, model.classifier) == (None, None, None)


def test_some_images_are_a_fixed_choice_that_grows(folder: Path) -> None:
    few, more = (set(map(bytes, ExactModel.open(f"exact:{folder}:images={n}")._data[0].numpy())) for n in (6, 9))
    assert len(few) == 6
    assert few < more


def test_flipped_images_are_there_beside_the_others(folder: Path) -> None:
    images, counts, _ = ExactModel.open(f"exact:{folder}:random_flip=true")._data
    assert counts == (12, 12)
    assert {bytes(image) for image in images.numpy()} == {bytes(image) for image in images.flip(-1).numpy()}


def test_the_fingerprint_is_that_of_data_and_options(folder: Path) -> None:
    names = [f"exact:{folder}{tail}" for tail in ("", ":flow", ":bandwidth=0.1", ":images=8", ":random_flip=true")]
    found = [open_model(name).fingerprint for name in names]
    assert len({*found}) == len(names)
    assert open_model(f"exact:{folder}:vp").fingerprint == found[0]
    pixels = np.array(Image.open(folder / "train" / "dark" / "0.png"))
    Image.fromarray(pixels ^ 1).save(folder / "train" / "dark" / "0.png")
    assert open_model(names[0]).fingerprint != found[0]


def test_what_is_asked_of_networks_is_refused() -> None:
    found = open_model("exact:digits")
    for request, message in (({"dtype": "bfloat16"}, "--dtype"), ({"compiled": True}, "--compile")):
        with pytest.raises(UsageError, match=f"leave {message} out"):
            found.load(device="cpu", **request)
    with pytest.raises(UsageError, match="leave --variant out"):
        open_model("exact:digits", ReadingOptions(variant="fp16"))
    with pytest.raises(UsageError, match="has no folder"):
        SamplerPipeline.from_pretrained("exact:digits")


def test_a_recipe_works_from_any_directory_and_a_report_has_no_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    name = "exact:data:flow:images=8"
    found = open_model(name)
    plan = make_plan(Recipe(sampler="ddim", model=name), found.stub, 2)
    recipe = fill_defaults(Recipe(sampler="ddim", model=name), plan, found.fingerprint)
    assert recipe.model == f"exact:{folder}:flow:images=8"
    assert title(recipe.model) == "exact:data:flow:images=8"
    assert lasting("exact:digits:ve") == title("exact:digits:ve") == "exact:digits:ve"


def test_another_exact_model_may_guide(folder: Path) -> None:
    model = load("exact:digits", device="cpu")
    recipe = Recipe.of("ddim", "autoguidance", {"guidance_model": "exact:digits:bandwidth=0.5"})
    plan = make_plan(recipe, model, 2)
    assert plan.second is not None
    assert plan.with_weights(model).model.second is not None
    with pytest.raises(UsageError, match="another noise schedule"):
        make_plan(Recipe.of("ddim", "autoguidance", {"guidance_model": "exact:digits:flow"}), model, 2)


def test_batches_are_tuned_and_layouts_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("samplerzoo.sampling.tuning.CPU_BATCHES", (2, 4))
    found = choose_tuning(open_model("exact:digits:images=200"), "cpu", "float32", 1e9, TuningRequest())
    assert found.layout == "contiguous"
    assert found.batch_size in (2, 4)
