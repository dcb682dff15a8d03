"""Suites: which rows their lists make, which setting wins over which, and one-line errors for impossible ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samplerzoo.bench.suite import parse_suite, read_suite
from samplerzoo.errors import UsageError
from samplerzoo.sampling.recipe import Recipe

SUITES = Path(__file__).parents[2] / "benchmarks"


def points(content: dict[str, Any], **others: Any) -> list[tuple[Recipe, int]]:
    return parse_suite(content, "it", **others).points


def test_lists_multiply_out() -> None:
    row = {"sampler": "ddim", "eta": [0.0, 0.5, 1.0], "steps": [10, 20], "seeds": [0, 7], "images": 5}
    found = points({"rows": [row]})
    assert len(found) == 12
    assert {(recipe.sampler_options["eta"], recipe.steps, recipe.seed, images) for recipe, images in found} == {
        (eta, steps, seed, 5) for eta in (0.0, 0.5, 1.0) for steps in (10, 20) for seed in (0, 7)
    }


def test_timesteps_are_one_list_and_lists_of_them_multiply_out() -> None:
    [(recipe, _)] = points({"rows": [{"sampler": "ddim", "timesteps": [900, 500.5]}]})
    assert recipe.timesteps == (900, 500.5)
    found = points({"rows": [{"sampler": "ddim", "timesteps": [[900, 500], [400]]}]})
    assert [recipe.timesteps for recipe, _ in found] == [(900, 500), (400,)]


def test_samplers_and_guidances_multiply_out() -> None:
    row = {"sampler": ["ddim", "ddpm"], "guidance": ["cfg", "classifier"], "guidance_scale": [1, 2], "steps": 5}
    found = points({"rows": [row]})
    assert len(found) == 8
    assert {recipe.guidance_options["scale"] for recipe, _ in found} == {1, 2}


def test_the_top_speaks_for_all_rows_and_a_flag_goes_before_both() -> None:
    content = {"steps": 7, "images": 10, "rows": [{"sampler": "ddim"}, {"sampler": "ddpm", "steps": 9, "images": 3}]}
    assert [(recipe.steps, images) for recipe, images in points(content)] == [(7, 10), (9, 3)]
    found = points(content, flags={"steps": [4], "model": "elsewhere"})
    assert [(recipe.steps, images, recipe.model) for recipe, images in found] == [
        (4, 10, "elsewhere"), (4, 3, "elsewhere"),
    ]  # fmt: skip
    assert [recipe.timesteps for recipe, _ in points(content, flags={"timesteps": (5, 1)})] == [(5, 1), (5, 1)]


def test_rows_of_the_line_are_rows_more() -> None:
    found = points({"rows": [{"sampler": "ddim"}]}, more_rows=[{"sampler": "ddpm", "variance": ["large"]}])
    assert [(recipe.sampler, recipe.sampler_options) for recipe, _ in found] == [
        ("ddim", {}), ("ddpm", {"variance": "large"}),
    ]  # fmt: skip


def test_of_the_exact_model_every_sampler_is_a_row() -> None:
    found = points({"model": "gaussian"}, flags={"steps": [5, 10]})
    assert {"ddim", "ddpm", "reverse-sde"} <= {recipe.sampler for recipe, _ in found}
    assert {recipe.steps for recipe, _ in found} == {5, 10}
    assert len({recipe.steps for recipe, _ in points({"model": "gaussian"})}) > 4


ROW = {"sampler": "ddim"}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"imags": 5, "rows": [ROW]}, ["no key 'imags'", "did you mean images?"]),
        ({"eta": 0.5, "rows": [ROW]}, ["'eta'", "belongs in a row, with ddim"]),
        ({"images": 0, "rows": [ROW]}, ["row 1", "images", "greater than 0"]),
        ({"rows": [ROW, {"sampler": "ddim", "etaa": 1}]}, ["row 2", "'etaa'", "did you mean eta?", "ddim has: eta"]),
        ({"rows": [{"sampler": "ddim", "stps": 1}]}, ["row 1", "did you mean steps?"]),
        ({"rows": [{"sampler": "ddpm", "eta": 1}]}, ["row 1", "ddpm has no option 'eta'", "belongs to: ddim"]),
        ({"rows": [{"sampler": ["ddim", "ddpm"], "eta": 1}]}, ["ddpm has no option 'eta'"]),
        ({"rows": [{"sampler": "dddim"}]}, ["row 1", "no sampler 'dddim'", "did you mean ddim?"]),
        ({"rows": [{"sampler": "cfg"}]}, ["cfg is a guidance"]),
        ({"rows": [{"steps": 5}]}, ["row 1", "names no sampler"]),
        ({"rows": [{**ROW, "guidance_low": 2}]}, ["guidance_low", "add guidance", "or cfg"]),
        ({"rows": [{**ROW, "guidance_scale": "much"}]}, ["row 1", "guidance_scale is a number, not 'much'"]),
        ({"rows": [{**ROW, "guidance": "cfg", "guidance_form": "mean"}]}, ["'form'", "belongs to: classifier"]),
        (
            {"rows": [{**ROW, "guidance": "cfg", "guidance_scal": 1}]},
            ["'guidance_scal'", "did you mean guidance_scale?"],
        ),
        ({"rows": [{**ROW, "features": "pixels"}]}, ["features", "at the top"]),
        ({"rows": [{**ROW, "steps": []}]}, ["steps is an empty list"]),
        ({"rows": [{**ROW, "steps": "many"}]}, ["row 1", "steps", "integer"]),
        ({"rows": [{**ROW, "steps": 3, "timesteps": [3]}]}, ["timesteps take the place of steps"]),
        ({"rows": [{**ROW, "seeds": -1}]}, ["seeds", "greater than or equal to 0"]),
        ({"rows": {"sampler": "ddim"}}, ["[[rows]]"]),
        ({"model": 3, "rows": [ROW]}, ["model", "string"]),
        ({}, ["no rows", "--sampler NAME"]),
        ({"rows": []}, ["no rows"]),
    ],
)
def test_what_cannot_be_is_one_line(content: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_suite(content, "suite.toml")
    message = str(caught.value)
    assert message.startswith("suite.toml: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no suite file .*missing\.toml"):
        read_suite(tmp_path / "missing.toml")
    (tmp_path / "broken.toml").write_text("rows = [")
    with pytest.raises(UsageError, match=r"broken\.toml: not a TOML file"):
        read_suite(tmp_path / "broken.toml")


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_suites_that_come_along(path: Path) -> None:
    assert points(read_suite(path))


def test_steps_against_distance_has_the_cells_of_its_plan() -> None:
    found = points(read_suite(SUITES / "steps_vs_fd.toml"))
    papers, used, seeds = (
        9 * 7,
        7 * 5 + 2 * 5,
        (3 * 2 * 3 + 2 + 2 + 2 + 1 + 1 + 2 * 4 + 1 + 2 + 1 + 2 + 1 + 1 + 3 + 2 + 2) * 2,
    )
    assert len(found) == papers + used + seeds
    assert {images for _, images in found} == {5000}  # one protocol, and so one table
    every_step = points(read_suite(SUITES / "all_steps.toml"))
    assert {recipe.sampler for recipe, _ in every_step if recipe.steps == 1000} == {"ddpm", "ddim"}
    assert len({images for _, images in every_step}) == 1
    assert {recipe.seed for recipe, _ in found} == {0, 1, 2}


@pytest.mark.parametrize("row", [{"steps": True}, {"steps": 5, "seeds": True}, {"steps": 5, "images": False}])
def test_a_truth_value_is_no_number(row: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="stands where no truth value can"):
        points(parse_suite({"rows": [{"sampler": "ddim", **row}]}, "suite.toml"))


@pytest.mark.parametrize("kind", ["sampler", "guidance"])
@pytest.mark.parametrize("wrong", [{}, {"name": "ddim"}, 0, 5, False, 0.0, "", [{}], [[]], ["ddim", 0]])
def test_a_plugin_is_named_by_a_text(kind: str, wrong: Any) -> None:
    row = {"sampler": "ddim", "eta": 0.5, "guidance_scale": 2.0, kind: wrong}
    with pytest.raises(UsageError, match=r"row 1: "):
        points(parse_suite({"rows": [row]}, "suite.toml"))
