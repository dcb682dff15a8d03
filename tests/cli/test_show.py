"""`samplerzoo show`: rows, columns, labels, ways, and what is refused."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import samplerzoo as zoo
from samplerzoo.images import to_uint8
from samplerzoo.report import gallery, show
from samplerzoo.report.line_names import place
from samplerzoo.sampling.recipe import Recipe

MODEL = "exact:digits:bandwidth=0.2"
WORDS = ("show", "--model", MODEL, "--device", "cpu")


def test_rows_are_settings_and_columns_steps(cli) -> None:
    answer = cli(
        *WORDS, "--sampler", "ddim", "--eta", "0,1", "--sampler", "ddpm", "--steps", "2,4,6", "--labels", "3,8"
    )
    assert answer.out == "show.png\n"
    with Image.open("show.png") as picture:
        sheet = np.asarray(picture)
    side = 80 + gallery.GAP
    column, line = 2 * side + gallery.MARGIN, side + gallery.MARGIN // 2
    model = zoo.load(MODEL, device="cpu")
    for row, (sampler, options) in enumerate((("ddim", {"eta": 0.0}), ("ddim", {"eta": 1.0}), ("ddpm", {}))):
        for column_of, steps in enumerate((2, 4, 6)):
            pixels = to_uint8(zoo.sample(model, sampler, steps=steps, labels=[3, 8], **options).images)
            for image in range(2):
                x = sheet.shape[1] - 3 * column + column_of * column + image * side
                y = 2 * gallery.MARGIN + gallery.FONT_SIZE + row * line
                found = sheet[y + 5 : y + 80 : 10, x + 5 : x + 80 : 10]
                np.testing.assert_array_equal(found, pixels[image, ..., 0])


def test_any_option_makes_the_columns(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    monkeypatch.setattr(show, "blocks", lambda cells, names, heads: drawn.update(names=names, heads=heads, cells=cells))
    monkeypatch.setattr(show.images, "save_png", lambda image, path: None)
    cli(*WORDS, "--sampler", "ddim", "--eta", "0,0.5", "--steps", "2,3", "--columns", "eta", "--images", 1)
    assert drawn["heads"] == ["eta 0", "eta 0.5"]
    assert drawn["names"] == ["ddim, 2 steps", "ddim, 3 steps"]
    assert {*drawn["cells"]} == {(row, column) for row in range(2) for column in range(2)}


def test_an_option_that_changes_no_picture_is_told(cli) -> None:
    words = (*WORDS, "--sampler", "heun", "--steps", "2,3", "--images", 1)
    assert cli(*words, "--s-min", "5").err == (
        "samplerzoo: s_min=5.0 of sampler heun changes nothing in any of the 2 settings with it: its default does the "
        "same there\n"
    )
    assert not cli(*words, "--s-churn", "1", "--s-noise", "1.01").err


def test_ways_stand_below_each_other(cli) -> None:
    cli(
        *WORDS,
        "--sampler",
        "ddim",
        "--sampler",
        "heun",
        "--steps",
        3,
        "--labels",
        "3",
        "--trajectory",
        "-o",
        "ways.png",
    )
    cli(*WORDS, "--sampler", "ddim", "--steps", 3, "--labels", "3", "--trajectory", "-o", "way.png")
    with Image.open("ways.png") as both, Image.open("way.png") as one:
        assert both.height == 2 * one.height


def test_what_cannot_be_shown_is_one_line(cli, tmp_path: Path) -> None:
    cli(*WORDS, "--steps", 3).refuses(2, "add --sampler NAME")
    cli(*WORDS, "--sampler", "ddim", "--steps", 3, "--columns", "colour").refuses(2, "--columns colour")
    cli(*WORDS, "--sampler", "ddim", "--steps", 3, "--labels", "11").refuses(2, "11")
    assert not [*tmp_path.glob("*.png")]


def test_points_of_a_plane_move_in_one_file(cli) -> None:
    answer = cli(
        "show", "--model", MODEL, "--sampler", "ddim", "--eta", "0,1", "--steps", "3,40", "--plane", "flow", "--seed", 5
    )  # fmt: skip
    *said, name = answer.out.splitlines()
    assert name == "show.svg"
    assert [line.partition(": ")[0] for line in said] == [
        f"ddim eta {eta}, {n} steps" for eta in (0, 1) for n in (3, 40)
    ]
    near = [float(line.partition("evaluations a point. ")[2].partition("%")[0]) for line in said]
    assert near[1] > 95 > near[0]
    assert "away, on average, from where the flow takes the same noise" in said[0]
    assert "draws noise on the way" in said[2]
    sheet = ElementTree.parse("show.svg").getroot()
    titles = [text.text for text in sheet.iter("{http://www.w3.org/2000/svg}text") if "steps" in (text.text or "")]
    assert titles == [line.partition(": ")[0] for line in said]


def test_points_are_no_images(cli, tmp_path: Path) -> None:
    words = ("show", "--sampler", "ddim", "--steps", 3, "--plane", "own")
    cli(*words, "--images", 4).refuses(2, "--images is for images, and --plane moves points")
    cli(*words, "--trajectory").refuses(2, "--trajectory is for images")
    cli(*words, "--labels", 3).refuses(2, "labels")
    cli(*words, "-o", "show.png").refuses(
        2, "show.png: a picture that moves, as of --plane, is a .svg file: give a name that ends in .svg"
    )
    cli("show", "--sampler", "ddim", "--plane", "nowhere").refuses(2, "nowhere")
    assert not [*tmp_path.glob("show.*")]


def test_a_list_where_none_is_taken_names_the_commands_that_take_it(cli) -> None:
    cli("run", "--steps", "5,10").refuses(2, "`samplerzoo show` and `samplerzoo bench` make every")


@pytest.mark.parametrize(
    ("labels", "count"), [("3,8", 2), ("0-9", 10), ("1,3,5-7", 5), ("balanced", None), (None, None)]
)
def test_labels_say_how_many_images(labels: str | None, count: int | None) -> None:
    assert show._listed(labels) == count


def test_the_place_of_a_recipe() -> None:
    recipe = Recipe(sampler="ddim", sampler_options={"eta": 0.5}, guidance="cfg", guidance_options={"scale": 2.0})
    assert [place(recipe, axis) for axis in ("steps", "eta", "scale", "nothing")] == [50, 0.5, 2.0, None]
