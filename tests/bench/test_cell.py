"""Name of a cell: the settings that it depends on, and those that it does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from samplerzoo import registry
from samplerzoo.bench.cell import Cell, make_cells
from samplerzoo.bench.suite import Suite
from samplerzoo.models import load as models
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import ModelFolder, read_info

Suites = Callable[..., Suite]

PLUGIN = """
from samplerzoo import Sampler

class Halver(Sampler):
    def step(self, x, t, s, denoise, noise):
        return {factor} * denoise(x, t).x0
"""


def cells_of(suite: Suite, class_counts: Sequence[int] = ()) -> list[Cell]:
    return make_cells(suite, ModelFolder.open(suite.model), "cpu", class_counts)


def name(suite: Suite) -> str:
    [cell] = cells_of(suite)
    return cell.name


@pytest.mark.parametrize(
    "change",
    [
        {"sampler": "probability-flow"},
        {"eta": 0.5},
        {"steps": 4},
        {"spacing": "leading"},
        {"timesteps": [900, 500, 100]},
        {"guidance": "cfg"},
        {"guidance": "cfg", "guidance_scale": 2.0},
        {"guidance": "cfg", "guidance_scale": 2.0, "guidance_rescale": 0.7},
        {"guidance": "cfg", "guidance_scale": 2.0, "guidance_high": 2.0},
        {"class_labels": "balanced"},
        {"class_labels": "0-1"},
        {"clip_x0": "static"},
        {"clip_x0": "static:0.9"},
        {"dtype": "bfloat16"},
        {"seeds": 1},
    ],
    ids=str,
)
def test_what_moves_an_image_moves_the_name(suite: Suites, change: dict[str, Any]) -> None:
    assert name(suite({"sampler": "ddim", **change})) != name(suite({"sampler": "ddim"}))


@pytest.mark.parametrize(
    "change",
    [
        {"images": 7},
        {"eta": 0.0},
        {"spacing": "trailing"},
        {"timesteps": [999, 666, 332]},
        {"class_labels": "natural"},
        {"clip_x0": "off"},
        {"sampler": "samplerzoo:ddim"},
    ],
    ids=str,
)
def test_what_moves_none_does_not(suite: Suites, change: dict[str, Any]) -> None:
    assert name(suite({"sampler": "ddim", **change})) == name(suite({"sampler": "ddim"}))


def test_nor_does_how_images_are_measured(suite: Suites, tmp_path: Path) -> None:
    assert name(suite(reference="elsewhere", floor="none", features="inception:file")) == name(suite())


def test_nor_where_the_model_lies(suite: Suites, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "copy")
    assert name(suite(model=str(tmp_path / "copy"))) == name(suite())


def test_weights_move_the_name(suite: Suites, tiny_model: Path) -> None:
    old = name(suite())
    with (tiny_model / "unet/diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert name(suite()) != old


@pytest.mark.parametrize("change", [{"class_counts": [1, 1, 1]}, {"null_label": None}], ids=str)
def test_labels_move_the_name(suite: Suites, tiny_model: Path, change: dict[str, Any]) -> None:
    """The frequencies of the data matter where labels are drawn with them, the null label everywhere."""
    fixed = {"sampler": "ddim", "class_labels": "0-1"}
    old, old_fixed = name(suite()), name(suite(fixed))
    info = read_info(tiny_model).model_dump() | change
    (tiny_model / "samplerzoo.json").write_text(ModelInfo(**info).model_dump_json())
    assert name(suite()) != old
    assert (name(suite(fixed)) == old_fixed) == ("class_counts" in change)


def test_the_weights_of_a_second_model_move_the_name_and_its_place_does_not(
    suite: Suites, tiny_model: Path, tmp_path: Path
) -> None:
    def of(second: Path) -> str:
        return name(suite({"sampler": "ddim", "guidance": "autoguidance", "guidance_model": str(second)}))

    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    assert of(copy) == of(tiny_model)
    with (copy / "unet/diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert of(copy) != of(tiny_model)


def test_the_code_of_a_plugin_moves_the_name_and_the_name_of_its_file_does_not(
    suite: Suites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {}
    for stem, factor in [("one", 0.5), ("two", 0.5), ("three", 0.25)]:
        file = tmp_path / f"{stem}.py"
        file.write_text(PLUGIN.format(factor=factor))
        monkeypatch.setattr(registry, "_files", {})
        registry.load_file(file)
        names[stem] = name(suite({"sampler": "halver"}))
    assert names["one"] == names["two"] != names["three"]


def test_labels_are_as_frequent_as_in_the_data(suite: Suites) -> None:
    [cell] = cells_of(suite(images=4000))
    assert cell.recipe.class_labels == "natural"
    assert cell.plan.labels is not None
    assert cell.plan.labels.count(1) == 2000


@pytest.mark.parametrize(
    ("of_reference", "expected"),
    [((0, 0, 7), {2}), ((5,), {0}), ((1, 0, 1), {0, 2}), ((1, 1, 1, 1), {0, 1, 2}), ((), {0, 1, 2})],
    ids=str,
)
def test_labels_are_as_frequent_as_in_the_reference(
    suite: Suites, of_reference: tuple[int, ...], expected: set[int]
) -> None:
    """One without labels, or with other classes than the model's, leaves it to the model's training data."""
    [cell] = cells_of(suite(images=100), of_reference)
    assert cell.plan.labels is not None
    assert {*cell.plan.labels} == expected
    foreign = expected != {0, 1, 2}
    assert (cell.name != name(suite(images=100))) == foreign


def test_cheap_cells_come_first(suite: Suites) -> None:
    cells = cells_of(suite({"sampler": ["ddim", "ddpm"], "steps": [5, 2]}, {"sampler": "ddim", "images": 2}))
    assert [(cell.recipe.sampler, cell.recipe.steps, cell.images) for cell in cells] == [
        ("ddim", 3, 2), ("ddim", 2, 20), ("ddpm", 2, 20), ("ddim", 5, 20), ("ddpm", 5, 20),
    ]  # fmt: skip


def test_two_rows_of_one_cell_are_one(suite: Suites) -> None:
    cells = cells_of(suite({"sampler": "ddim", "eta": [0.0, 0]}, {"sampler": "ddim"}))
    assert len(cells) == 1


def test_everything_is_filled_in(suite: Suites, tiny_model: Path) -> None:
    [cell] = cells_of(suite({"sampler": "ddim", "guidance": "cfg", "guidance_scale": 2}))
    assert isinstance(cell, Cell)
    assert cell.recipe.sampler_options == {"eta": 0.0}
    assert cell.recipe.fingerprint == ModelFolder.open(tiny_model).fingerprint
    assert cell.recipe.clip_x0 == "off"
    assert (cell.cost.nfe, cell.cost.calls_per_image) == (6, 3)
    assert cell.images == 20


def test_weights_are_hashed_once(suite: Suites, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed, fingerprint = [], models.fingerprint
    monkeypatch.setattr(models, "fingerprint", lambda *of: hashed.append(of) or fingerprint(*of))
    assert len(cells_of(suite({"sampler": "ddim", "steps": [1, 2, 3]}))) == 3
    assert len(hashed) == 1


def test_options_that_change_nothing_in_any_row_are_told_once(
    suite: Suites, capsys: pytest.CaptureFixture[str]
) -> None:
    """Check options that act at one value of another, in long runs alone, on one spacing alone, and never."""
    for row, keys in (
        ({"sampler": "heun", "s_churn": [0.0, 5.0], "s_min": 5.0}, {"steps": [2, 3]}),
        ({"sampler": "deis", "solver_order": 2}, {"steps": [1, 2, 10]}),
        (
            {"sampler": "heun", "s_churn": 5.0, "s_max": 58.0},
            {"steps": 10, "spacing": ["linspace", "karras", "logsnr"]},
        ),
    ):
        cells_of(suite(row, **keys))
        assert not capsys.readouterr().err, row
    cells_of(suite({"sampler": "heun", "s_min": [0.0, 5.0]}, steps=[2, 3]))
    cells_of(suite({"sampler": "ddim", "guidance": "cfg", "guidance_rescale": 0.7}))
    assert capsys.readouterr().err.splitlines() == [
        "samplerzoo: s_min=5.0 of sampler heun changes nothing in any of the 2 rows with it: its default does the same "
        "there",
        "samplerzoo: guidance_rescale=0.7 of guidance cfg changes nothing in the row with it: its default does the "
        "same there",
    ]
