"""Data sets of every kind that --dataset takes, and errors about broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from samplerzoo.data import image_sets as data
from samplerzoo.data.options import DataOptions
from samplerzoo.errors import UsageError, ZooError

SIZE = 6


def picture(value: int, mode: str = "L", size: tuple[int, int] = (SIZE, SIZE)) -> Image.Image:
    return Image.new(mode, size, (value,) * 3 if mode == "RGB" else value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write three grey cats and two grey dogs, with pixels of value 10, 20, ... in order."""
    values = iter(range(10, 60, 10))
    for name, count in (("cat", 3), ("dog", 2)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(count):
            picture(next(values)).save(tmp_path / "pets" / name / f"{index}.png")
    return tmp_path / "pets"


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """Write a folder with train.parquet (5 rows) and test.parquet (2 rows), with classes a and b."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    (tmp_path / "set").mkdir()
    for split, count in (("train", 5), ("test", 2)):
        rows = {"image": [picture(10 * k) for k in range(count)], "label": [k % 2 for k in range(count)]}
        datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "set" / f"{split}.parquet")
    return tmp_path / "set"


def load(dataset: Path | str, split: str | None = None, **options: object) -> data.ImageData:
    return data.load_images(DataOptions(dataset=str(dataset), **options), split)


def first_pixels(images: data.ImageData) -> list[int]:
    pixels, _ = images.__getitems__(range(len(images)))
    return pixels[:, 0, 0, 0].tolist()


def test_image_folder(folder: Path) -> None:
    found = load(folder)
    assert (found.channels, found.image_size, found.class_names, found.class_counts) == (
        1,
        SIZE,
        ("cat", "dog"),
        [3, 2],
    )
    assert sorted(zip(first_pixels(found), found.labels.tolist(), strict=True)) == [
        (10, 0), (20, 0), (30, 0), (40, 1), (50, 1)
    ]  # fmt: skip
    image, label = found[0]
    assert image.shape == (1, SIZE, SIZE)
    assert image.dtype == torch.uint8
    assert label.ndim == 0


def test_parquet_folder_and_file(parquet: Path) -> None:
    assert first_pixels(load(parquet)) == [0, 10, 20, 30, 40]
    assert len(load(parquet, "test")) == 2
    assert first_pixels(load(parquet / "train.parquet")) == [0, 10, 20, 30, 40]
    with pytest.raises(UsageError, match="no split 'test': give the folder"):
        load(parquet / "train.parquet", "test")


def test_large_sets_are_decoded_as_they_are_read(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(parquet)
    monkeypatch.setattr(data, "IN_MEMORY_BYTES", 0)
    lazy = load(parquet)
    assert isinstance(lazy.source, data.LazyImages)
    for found, expected in zip(lazy.__getitems__([4, 0]), whole.__getitems__([4, 0]), strict=True):
        assert torch.equal(found, expected)
    assert first_pixels(load(parquet, classes="b")) == [10, 30]


def test_classes_by_name_are_numbered_anew(parquet: Path) -> None:
    found = load(parquet, classes="b, a")
    assert found.class_names == ("b", "a")
    assert found.labels.tolist() == [1, 0, 1, 0, 1]
    assert load(parquet, classes="b").labels.tolist() == [0, 0]
    with pytest.raises(UsageError, match="no class named 'c'; the data's classes: a, b"):
        load(parquet, classes="c")


def test_broken_images_are_counted_and_named(folder: Path) -> None:
    (folder / "cat" / "1.png").write_bytes(b"not a picture")
    whole = (folder / "dog" / "0.png").read_bytes()
    (folder / "dog" / "0.png").write_bytes(whole[:45])
    with pytest.raises(ZooError, match=r"2 of 5 images cannot be read: .*cat/1.png .*dog/0.png") as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_sizes_and_channels(folder: Path) -> None:
    assert load(folder, image_size=4).image_size == 4
    assert load(folder, channels=3).channels == 3
    picture(9, size=(SIZE, 2 * SIZE)).save(folder / "cat" / "tall.png")
    with pytest.raises(UsageError, match=r"6x12.*--image-size"):
        load(folder)
    assert 9 in first_pixels(load(folder, image_size=SIZE))
    picture(200, "RGB").save(folder / "cat" / "colour.png")
    assert load(folder, image_size=SIZE).channels == 3


def test_the_centre_is_kept() -> None:
    wide = np.zeros((4, 8), dtype=np.uint8)
    wide[:, 2:6] = 255
    assert (data.to_tensor(Image.fromarray(wide), 1, 4) == 255).all()


def test_digits() -> None:
    train, test = load("digits"), load("digits", "test")
    assert (len(train), len(test)) == (1438, 359)
    assert (train.channels, train.image_size, train.num_classes) == (1, 8, 10)
    assert int(train.source.max()) == 255
    assert not set(map(bytes, train.source.numpy())) & set(map(bytes, test.source.numpy()))


@pytest.mark.parametrize(
    ("name", "message"),
    [("./nowhere", "no such file or folder"), ("nobody/nothing", "cannot load nobody/nothing")],
)
def test_missing(name: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        load(name)


def test_columns(parquet: Path) -> None:
    with pytest.raises(UsageError, match="no column 'img'; its columns: image, label"):
        load(parquet, image_column="img")
    with pytest.raises(UsageError, match="no label column 'kind'; the columns: image, label"):
        load(parquet, label_column="kind")


# -- the fingerprint


@pytest.mark.parametrize("memory", [data.IN_MEMORY_BYTES, 0], ids=["in memory", "on demand"])
@pytest.mark.parametrize("kind", ["folder", "parquet", "digits"])
def test_a_fingerprint_is_that_of_the_rows_in_order(
    kind: str, memory: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "IN_MEMORY_BYTES", memory)
    name = kind if kind == "digits" else request.getfixturevalue(kind)
    both = "0,1" if kind == "digits" else ",".join(load(name).class_names)
    one, other = both.split(",")
    found = [load(name, classes=classes).fingerprint for classes in (both, f"{other},{one}", one, other)]
    assert len({*found}) == 4
    assert load(name, classes=both).fingerprint == found[0]


def test_a_fingerprint_knows_the_content_of_some_and_the_names_and_sizes_of_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "HASHED_ROWS", 2)  # the first and the last one
    before = load(folder).fingerprint
    first, second, last = folder / "cat" / "0.png", folder / "cat" / "1.png", folder / "dog" / "1.png"
    for path in (first, last):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
        assert load(folder).fingerprint != before
        path.write_bytes(content)
    assert load(folder).fingerprint == before
    second.write_bytes(second.read_bytes()[:-1] + b"x")  # is not read, so that large data cost no time
    assert load(folder).fingerprint == before
    with second.open("ab") as file:
        file.write(b"more")
    longer = load(folder).fingerprint
    assert longer != before
    second.rename(folder / "cat" / "1b.png")
    assert load(folder).fingerprint != longer
