"""Images of any folder, read unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samplerzoo.data import sources as source
from samplerzoo.errors import ZooError

PIXELS = np.random.default_rng(0).integers(0, 256, size=(6, 8, 8, 3), dtype=np.uint8)


def put(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)


def read(folder: Path, split: str = "test", count: int | None = None) -> source.ImageBatch:
    (batch,) = source.image_batches(str(folder), split, count)
    return batch


def by_name(batch: source.ImageBatch) -> dict[str, np.ndarray]:
    return {Path(name).name: image for name, image in zip(batch.names, batch.images, strict=True)}


def test_a_folder_of_any_program_nested_or_not(tmp_path: Path) -> None:
    for index, pixels in enumerate(PIXELS):
        put(tmp_path / f"{index % 2:06d}" / f"{index:03d}.png", pixels)
    (tmp_path / "notes.txt").write_text("hello")
    found = read(tmp_path)
    assert (found.images.shape, found.images.dtype, found.labels) == ((6, 3, 8, 8), np.uint8, None)
    images = by_name(found)
    for index, pixels in enumerate(PIXELS):
        np.testing.assert_array_equal(images[f"{index:03d}.png"], pixels.transpose(2, 0, 1))


def test_grey_bits_and_palettes_are_read_without_loss(tmp_path: Path) -> None:
    grey = PIXELS[0, :, :, 0]
    put(tmp_path / "grey" / "0.png", grey)
    put(tmp_path / "grey" / "1.png", np.where(grey > 127, 255, 0).astype(np.uint8), "1")
    found = by_name(read(tmp_path / "grey"))
    np.testing.assert_array_equal(found["0.png"], grey[None])
    np.testing.assert_array_equal(found["1.png"], np.where(grey > 127, 255, 0)[None])
    few = (PIXELS[0] // 128) * 128
    put(tmp_path / "palette" / "0.png", few, "P")
    indexed = Image.open(tmp_path / "palette" / "0.png")
    assert indexed.mode == "P"
    expected = np.asarray(indexed.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(read(tmp_path / "palette").images[0], expected)


def test_one_that_is_not_like_the_others_is_named(tmp_path: Path) -> None:
    for index in range(3):
        put(tmp_path / f"{index}.png", PIXELS[index])
    for odd, reason in [(PIXELS[0, :4], "8x4 in colour"), (PIXELS[0, :, :, 0], "8x8 in grey")]:
        put(tmp_path / "odd.png", odd)
        with pytest.raises(ZooError, match=f"odd.png .*{reason}|{reason}.*odd.png"):
            read(tmp_path)


def test_a_broken_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(ZooError, match=r"broken\.png: cannot be read"):
        read(tmp_path)


def test_a_split_is_a_folder_whose_folders_are_classes(tmp_path: Path) -> None:
    for index, pixels in enumerate(PIXELS):
        put(tmp_path / "train" / "cat dog".split()[index % 2] / f"{index}.png", pixels)
    put(tmp_path / "test" / "cat" / "9.png", PIXELS[0])
    found = read(tmp_path, "train")
    assert {Path(name).stem: label for name, label in zip(found.names, found.labels, strict=True)} == {
        str(index): index % 2 for index in range(6)
    }
    assert len(read(tmp_path, "test").images) == 1


def test_a_part_of_a_folder_is_random_and_always_the_same(tmp_path: Path) -> None:
    for index in range(30):
        put(tmp_path / f"{index:02d}.png", PIXELS[index % 6])
    first, again = read(tmp_path, count=10), read(tmp_path, count=10)
    assert first.names == again.names
    assert max(int(Path(name).stem) for name in first.names) > 15
    with pytest.raises(ZooError, match="has 30 images, not 31"):
        read(tmp_path, count=31)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="has no images"):
        read(tmp_path)


def test_many_images_come_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH_SIZE", 4)
    for index, pixels in enumerate(PIXELS):
        put(tmp_path / f"{index}.png", pixels)
    assert [len(batch.images) for batch in source.image_batches(str(tmp_path), "test")] == [4, 2]
