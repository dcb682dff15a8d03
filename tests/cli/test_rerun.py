"""An image is made again from its own file."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from samplerzoo import images


@pytest.fixture
def image(cli, tiny_model: Path) -> Path:
    words = ["--sampler", "ddpm", "--seed", 5, "--steps", 3, "--num-images", 5, "--batch-size", 5]
    assert cli("run", "--model", tiny_model, *words, "-o", "out").code == 0
    return Path("out/images/000003.png")


def test_the_image_comes_again_with_its_metadata(cli, image: Path) -> None:
    answer = cli("rerun", image)
    assert answer.code == 0, answer
    path, verdict = answer.out.splitlines()
    assert path == "000003-rerun.png"
    assert verdict.startswith(("identical", "the same but for rounding"))
    (old, metadata), (new, again) = images.read_png(image), images.read_png(Path(path))
    assert metadata == again
    assert np.abs(old.astype(int) - new.astype(int)).max() <= 1


def test_a_folder_that_was_moved_can_be_named(cli, image: Path, tiny_model: Path) -> None:
    shutil.move(tiny_model, "moved")
    cli("rerun", image).refuses(2, "tiny")
    assert cli("rerun", image, "--model", "moved", "-o", "again.png").code == 0
    assert Path("again.png").is_file()


def test_other_weights_are_noticed(cli, image: Path, tiny_model: Path, tiny_unet) -> None:
    import torch

    unet = tiny_unet(num_class_embeds=4)
    with torch.no_grad():
        unet.conv_out.bias += 0.5
    unet.save_pretrained(tiny_model / "unet")
    answer = cli("rerun", image)
    assert answer.code == 1
    assert "its weights differ" in answer.err
    assert "not the same image" in answer.err


def test_other_names_of_classes_are_noticed(cli, tiny_model: Path) -> None:
    """The names are no part of the weights, and say which class a name of --class-labels means."""

    def name(*names: str) -> None:
        file = tiny_model / "samplerzoo.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "class_names": names or None}))

    words = ["run", "--model", tiny_model, "--steps", 2]
    asked, all_of_them = ["-o", "out", "--class-labels", "y,z"], ["-o", "all"]
    name("x", "y", "z")
    for more in (asked, all_of_them):
        assert cli(*words, *more, "--num-images", 2).code == 0
    before = Path("all/run.json").read_text()
    for names, said in ((("z", "x", "y"), "now calls them z, x, y"), ((), "has none now")):
        name(*names)
        answer = cli(*words, *all_of_them, "--num-images", 3, "--resume")
        answer.refuses(2, f"all holds images of classes with the names x, y, z, and {tiny_model} {said}")
        assert Path("all/run.json").read_text() == before
    name("z", "x", "y")
    answer = cli("rerun", "out/images/000001.png")
    assert "the image is of class 2, and --class-labels y,z means class 0 of the model now: the names" in answer.err
    name("y", "x", "y")  # of a version that drew the first class of that name
    again = cli("rerun", "out/images/000001.png")
    assert "identical" in again.out
    name("x", "y", "z")
    assert cli("rerun", "out/images/000001.png").err == ""
    assert cli(*words, *asked, "--num-images", 3, "--resume").code == 0


def test_what_cannot_be_made_again(cli, image: Path) -> None:
    cli("rerun", "nowhere.png").refuses(2, "nowhere.png")
    cli("rerun", "out").refuses(2, "out is a folder; give a file")
    cli("rerun", "out/grid.png").refuses(1, "no samplerzoo metadata")
    cli("rerun", "out/run.json").refuses(1, "not an image")
    cli("rerun", image, "-o", image).refuses(2, "replace the image")
    pixels, metadata = images.read_png(image)
    assert metadata is not None
    recipe = metadata["recipe"]
    for change in ({"recipe": {**recipe, "later": 1}}, {"recipe": {"steps": 3}}, {"index": -1}, {"index": 10**12}):
        images.save_png(images.picture(pixels), Path("changed.png"), {**metadata, **change})
        cli("rerun", "changed.png").refuses(1, "changed.png", "metadata")


def test_the_text_in_the_file_is_plain_json(image: Path) -> None:
    from PIL import Image

    with Image.open(image) as file:
        assert json.loads(file.info["samplerzoo"])["index"] == 3


def test_an_image_whose_label_was_drawn_has_it_again(cli, tiny_model: Path) -> None:
    """Earlier versions drew natural labels by another rule; the label in the file is the image's."""
    words = ["--steps", 2, "--num-images", 2, "--class-labels", 2, "--batch-size", 1]
    assert cli("run", "--model", tiny_model, *words, "-o", "drawn").code == 0
    for index in range(2):  # in proportion, one of the first two images has another class
        file = Path(f"drawn/images/00000{index}.png")
        pixels, metadata = images.read_png(file)
        assert metadata is not None
        metadata["recipe"]["class_labels"] = "natural"
        images.save_png(images.picture(pixels), file, metadata)
        answer = cli("rerun", file)
        assert answer.code == 0, answer
        assert "identical" in answer.out


def test_what_a_file_says_is_quoted_in_the_command_to_paste(cli, image: Path) -> None:
    pixels, metadata = images.read_png(image)
    metadata["recipe"]["plugins"] = {"a; rm -rf ~": "0" * 64}
    images.save_png(images.picture(pixels), Path("evil.png"), metadata)
    cli("rerun", "evil.png").refuses(2, "samplerzoo rerun evil.png --plugin 'a; rm -rf ~'")


def test_pictures_beside_the_images_of_a_run_are_not_written_unasked(cli, image: Path, monkeypatch) -> None:
    """They would be counted by whoever reads the folder. What is asked for with -o stays where it is asked for."""
    there, path = sorted(Path("out/images").iterdir()), image.resolve()
    for folder in (".", "out", "out/images"):
        with monkeypatch.context() as inside:
            inside.chdir(folder)
            assert cli("rerun", path).code == 0
            assert cli("show", "--model", "exact:digits", "--sampler", "ddim", "--steps", 1).code == 0
            assert cli("run", "--model", "exact:digits", "--num-images", 1, "--steps", 1).code == 0
    assert sorted(Path("out/images").iterdir()) == there
    for name in ("000003-rerun.png", "show.png", "runs/ddim-1/grid.png"):
        assert Path(name).is_file()
        assert Path("out", name).is_file()
    assert cli("rerun", image, "-o", "out/images/other.png").code == 0
    assert Path("out/images/other.png").is_file()


def test_data_that_a_picture_names_are_not_read_unasked(cli, image: Path, monkeypatch) -> None:
    from samplerzoo.data import tables

    Path("my pics; ls").mkdir()
    for index in range(4):
        images.save_png(images.picture(np.full((8, 8, 1), 60 * index, np.uint8)), Path(f"my pics; ls/{index}.png"))
    pixels, metadata = images.read_png(image)
    assert metadata is not None
    second = {"guidance": "autoguidance", "guidance_options": {"model": "exact:/usr"}, "class_labels": None}
    for change in (
        {"model": "exact:my pics; ls"},
        {"model": "exact:/usr:image_size=8"},
        {"model": "exact:owner/data"},
        second,
    ):
        recipe = {**metadata["recipe"], "fingerprint": None, "sampler": "ddim", "sampler_options": {}, **change}
        images.save_png(images.picture(pixels), Path("his.png"), {**metadata, "recipe": recipe, "label": None})
        with monkeypatch.context() as nothing:
            nothing.setattr(tables, "_open", lambda *_, **__: pytest.fail("the data are read"))
            answer = cli("rerun", "his.png", "-o", "again.png")
        name = change.get("model", "exact:/usr")
        answer.refuses(2, "his.png", name, "not run, read or fetched unasked", shlex.quote(name))
    recipe = {**metadata["recipe"], "fingerprint": None, "model": "exact:my pics; ls", "class_labels": None}
    images.save_png(images.picture(pixels), Path("his.png"), {**metadata, "recipe": recipe, "label": None})
    command = cli("rerun", "his.png", "-o", "again.png").err.partition("if you trust it: samplerzoo ")[2]
    assert cli(*shlex.split(command)).out.startswith("again.png")


def test_all_that_a_picture_names_stands_in_one_command(cli, image: Path) -> None:
    pixels, metadata = images.read_png(image)
    assert metadata is not None
    named = {"plugins": {"mine.py": "0" * 64}, "guidance": "autoguidance", "guidance_options": {"model": "/gone/away"}}
    recipe = {**metadata["recipe"], "model": "owner/repo", **named}
    images.save_png(images.picture(pixels), Path("his.png"), {**metadata, "recipe": recipe})
    words = "--plugin mine.py --model owner/repo --guidance-model FOLDER, with the FOLDER in which /gone/away lies now"
    cli("rerun", "his.png", "--device", "cpu").refuses(2, f"samplerzoo rerun his.png --device cpu {words}")


def test_images_of_the_digits_come_again_beside_a_folder_of_that_name(cli) -> None:
    """The name means the data of scikit-learn wherever it is read, and a run of them may lie in a folder digits."""
    words = ["--model", "exact:digits:images=50", "--steps", 2, "-o", "digits"]
    assert cli("run", *words, "--num-images", 2).code == 0
    assert cli("run", *words, "--num-images", 3, "--resume").code == 0
    assert "identical" in cli("rerun", "digits/images/000001.png").out
    assert images.read_png(Path("000001-rerun.png"))[1]["recipe"]["model"] == "exact:digits:images=50"


def test_a_model_of_other_pictures_is_refused_before_memory_is_taken(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("run", "--model", "exact:digits:images=50", "--steps", 1, "--num-images", 1, "-o", "out")
    pixels, metadata = images.read_png(Path("out/images/000000.png"))
    assert metadata is not None
    huge = {**metadata["recipe"], "model": "exact:digits:image_size=770"}
    images.save_png(images.picture(pixels), Path("huge.png"), {**metadata, "recipe": huge})
    with monkeypatch.context() as patched:
        patched.setattr("samplerzoo.data.image_sets.load_images", None)
        cli("rerun", "huge.png").refuses(
            1, "not the same image: exact:digits:image_size=770 makes pictures of 770x770x1"
        )
    images.save_png(images.picture(pixels[:4]), Path("cut.png"), metadata)
    cli("rerun", "cut.png").refuses(1, "makes pictures of 8x8x1 (width, height, channels), and this one has 8x4x1")
    assert not [*Path().glob("*-rerun.png")]
