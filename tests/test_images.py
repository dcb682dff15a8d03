"""Pictures: conversion, sheets, GIFs and PNG files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from samplerzoo import images
from samplerzoo.errors import UsageError, ZooError


def test_to_uint8_rounds_and_clamps() -> None:
    values = torch.tensor([-9.0, -1.0, -1 + 0.9 / 127.5, -1 + 1.1 / 127.5, 0.0, 1.0, 1.5])
    pixels = images.to_uint8(values.reshape(1, 1, 1, -1))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, 1, 7, 1)
    assert pixels.ravel().tolist() == [0, 0, 1, 1, 128, 255, 255]


def test_to_uint8_undoes_the_scaling_of_any_8_bit_image() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    scaled = images.from_uint8(levels)
    assert scaled.dtype == torch.float32
    assert (scaled.min(), scaled.max()) == (-1, 1)
    assert images.to_uint8(scaled.reshape(1, 1, 16, 16)).ravel().tolist() == list(range(256))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_every_pixel(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, channels), dtype=np.uint8)
    sheet = np.asarray(images.grid(pixels))
    factor, step, margin = 10, 10 * 8 + images.GAP, images.MARGIN
    sheet = sheet[..., None] if channels == 1 else sheet
    for index in range(7):
        row, column = divmod(index, 3)
        top, left = margin + row * step, margin + column * step
        cell = sheet[top : top + 80, left : left + 80]
        np.testing.assert_array_equal(cell[::factor, ::factor], pixels[index])
        np.testing.assert_array_equal(cell[factor - 1 :: factor, factor - 1 :: factor], pixels[index])


def test_classes_in_turn_get_a_column_each() -> None:
    x = torch.zeros(25, 1, 28, 28)
    in_turn = images.grid(x, [i % 10 for i in range(25)])
    mixed = images.grid(x, [i * i % 10 for i in range(25)])
    cell = 84 + images.GAP
    assert in_turn.width == 2 * images.MARGIN + 10 * cell - images.GAP
    assert mixed.width == 2 * images.MARGIN + 5 * cell - images.GAP
    assert mixed.height - 5 * cell > in_turn.height - 3 * cell  # a caption above each image instead of each column


def test_captions_are_drawn_and_cut_to_their_cell() -> None:
    x = torch.ones(4, 1, 8, 8)
    plain, named = images.grid(x, [0, 0, 0, 0]), images.grid(x, [0, 0, 0, 0], ["a name much longer than its picture"])
    assert plain.size == named.size
    assert (np.asarray(named) < 200).sum() > (np.asarray(plain) < 200).sum() > 0


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UsageError, match="4 channels"):
        images.grid(torch.zeros(1, 4, 8, 8))


def test_a_film_plays_for_ever_and_rests_at_its_end() -> None:
    frames = [np.full((2, 8, 8, 3), 50 * k, np.uint8) for k in range(4)]
    with Image.open(io.BytesIO(images.gif(frames, 2, seconds=2, rest=1))) as film:
        assert film.n_frames == 4
        assert film.info["loop"] == 0
        assert film.info["duration"] == 500
        film.seek(3)
        assert film.info["duration"] == 1000


def test_metadata_come_back(tmp_path: Path) -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    wanted = {"index": 3, "name": "é", "recipe": {"eta": 0.1, "seed": 2**64 - 1}}
    images.save_png(images.picture(pixels), tmp_path / "a.png", wanted)
    found, metadata = images.read_png(tmp_path / "a.png")
    np.testing.assert_array_equal(found, pixels)
    assert metadata == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_files_that_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        images.read_png(tmp_path / "nowhere.png")
    path = tmp_path / "a.png"
    images.save_png(Image.effect_noise((32, 32), 50), path)
    assert images.read_png(path)[1] is None
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ZooError, match=r"a\.png"):
        images.read_png(path)


def test_class_names_of_any_script_are_told_apart_or_replaced_by_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Take a font of this machine that has the characters. Without one draw numbers, and say so."""
    black, labels = np.zeros((3, 8, 8, 1), np.uint8), [0, 1, 2]
    greek = [np.asarray(images.grid(black, labels, names)) for names in (["α", "β", "γ"], ["γ", "β", "α"])]
    assert images.is_drawable(["α"]) is not np.array_equal(*greek)
    images._font.cache_clear()
    images._say_once.cache_clear()
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    found = np.asarray(images.grid(black, labels, ["猫", "犬", "鳥"]))
    np.testing.assert_array_equal(found, np.asarray(images.grid(black, labels)))
    images.grid(black, labels, ["# plain", "b", "鳥"])
    assert capsys.readouterr().err.splitlines() == [
        f"class numbers are drawn: no font here has {it!r} and the like; install fonts-noto-cjk, say" for it in "猫鳥"
    ]
    images._font.cache_clear()
