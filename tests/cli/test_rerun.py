"""An image is made again from its own file."""

from __future__ import annotations

import json
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
    assert path == "out/images/000003-rerun.png"
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


def test_what_cannot_be_made_again(cli, image: Path) -> None:
    cli("rerun", "nowhere.png").refuses(2, "nowhere.png")
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
    cli("rerun", "evil.png").refuses(2, "add --plugin 'a; rm -rf ~'")
