"""Folders and tables as people have them: which images are read, of which split, and of which classes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from samplerzoo.data.image_sets import ImageData, load_images
from samplerzoo.data.options import DataOptions
from samplerzoo.data.sources import image_batches
from samplerzoo.errors import UsageError, ZooError


def png(value: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def put(root: Path, *names: str) -> None:
    for value, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(value))


def load(path: Path, split: str | None = None, **options: object) -> ImageData:
    return load_images(DataOptions(dataset=str(path), **options), split)


def by_class(data: ImageData) -> dict[str, list[int]]:
    """Return the grey values of each class."""
    images, labels = data.__getitems__(range(len(data)))
    names = np.array(data.class_names or ("none",))[labels]
    return {name: sorted(images[names == name, 0, 0, 0].tolist()) for name in data.class_names}


@pytest.mark.parametrize(
    ("files", "images", "classes"),
    [
        pytest.param(["apple/0", "bus/0", "train/0", "train/1"], 4, ["apple", "bus", "train"], id="a class train"),
        pytest.param(["control/0", "test/0"], 2, ["control", "test"], id="a class test"),
        pytest.param(["dev/0", "ops/0", "val/0", "test/0"], 4, ["dev", "ops", "test", "val"], id="many such classes"),
        pytest.param(["0", "1", "train"], 3, [], id="a file train"),
        pytest.param(["apple-0", "test-0", "train-1"], 3, [], id="files train and test"),
        pytest.param(["train/cat/0", "train/dog/1", "test/cat/2"], 2, ["cat", "dog"], id="splits"),
        pytest.param(["Train/cat/0", "Val/cat/1", "Train/dog/1"], 2, ["cat", "dog"], id="splits in capitals"),
        pytest.param(["training/0", "validation/1"], 1, [], id="splits without classes"),
        pytest.param(["train/a/0", "test/a/0", "docs/0"], 1, ["a"], id="splits beside something else"),
        pytest.param(["train/0", "test/0", "cover"], 1, [], id="splits beside a picture"),
        pytest.param(["images/cat/0", "images/dog/1"], 2, ["cat", "dog"], id="one folder around it"),
        pytest.param(["data/train/cat/0", "data/test/cat/1", "data/train/dog/1"], 2, ["cat", "dog"], id="around it"),
        pytest.param(["cat/a/0", "cat/b/1", "dog/2"], 3, ["cat", "dog"], id="folders in classes"),
        pytest.param(["cat/0", "dog/1", "2"], 3, [], id="pictures beside classes"),
        pytest.param(["00000/0", "01000/1"], 2, [], id="parts of one set"),
        pytest.param(["x_train/a/0", "x_train/b/1", "x_test/a/2"], 2, ["a", "b"], id="splits of a named set"),
        pytest.param(["train station/0", "bus station/1"], 2, ["bus station", "train station"], id="a class of trains"),
        pytest.param(["test tube/0", "crash test/1"], 2, ["crash test", "test tube"], id="classes of tests"),
        pytest.param(["s_train/s_train/a/0", "s_test/s_test/a/1", "s_pred/s_pred/2"], 1, ["a"], id="Intel's"),
        pytest.param(["train/train/a/0", "train/train/b/1", "test/test/a/0"], 2, ["a", "b"], id="splits in themselves"),
        pytest.param(["train/train/0", "test1/test1/0"], 1, [], id="pictures in splits in themselves"),
        pytest.param(["s_train/a/0", "s_test/a/0", "more/0"], 1, ["a"], id="named splits beside something else"),
        pytest.param(["train/a/0", "train/b/1", "test/0", "pred/0"], 2, ["a", "b"], id="pictures to be labelled"),
        pytest.param(["train/0", "test/0", "Unlabeled images/0"], 1, [], id="pictures without labels"),
        pytest.param(["pred/0", "other/0"], 2, ["other", "pred"], id="a class pred"),
        pytest.param(["train/0", "train_masks/0", "test/0"], 1, [], id="masks"),
        pytest.param(["Training/a/0", "Test/a/0", "test-many/0"], 1, ["a"], id="two tests"),
        pytest.param(["sad/train/0", "sad/test/0", "glad/train/0", "glad/2"], 2, ["glad", "sad"], id="below classes"),
        pytest.param(["x/sad/Train/0", "x/sad/val/0", "x/glad/Train/0"], 2, ["glad", "sad"], id="one around classes"),
        pytest.param(["test tube/a/0", "train set/a/1", "x/2"], 3, ["test tube", "train set", "x"], id="other things"),
        pytest.param(["10/0", "2/0", "1/0"], 3, ["1", "2", "10"], id="numbers as numbers"),
        pytest.param(["猫/0", "b c/1", "tench, Tinca tinca/2"], 3, ["b c", "tench, Tinca tinca", "猫"], id="any names"),
    ],
)  # fmt: skip
def test_which_images_and_classes_a_folder_has(
    tmp_path: Path, files: list[str], images: int, classes: list[str]
) -> None:
    put(tmp_path, *(f"{name}.png" for name in files))
    found = load(tmp_path)
    assert (len(found), list(found.class_names)) == (images, classes)
    measured = image_batches(str(tmp_path), "train")
    assert (len(measured), list(measured.class_names)) == (images, classes)
    assert f"{images} images" in found.summary
    assert all(name in found.summary for name in classes)


def test_folders_in_a_split_are_no_splits(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{name}/{inner}/0.png" for split in ("train", "test") for name in "xy"
                    for inner in ("train", "test")))  # fmt: skip
    found = load(tmp_path)
    assert (len(found), list(found.class_names)) == (4, ["x", "y"])


def test_what_is_taken_for_splits_of_every_class_is_said(tmp_path: Path) -> None:
    put(tmp_path, *(f"{style}/{inner}/0.png" for style in ("real", "sketch") for inner in ("training", "eval", "mug")))
    said = "the folders eval, training in each are taken for splits; left out, since they lie in no split: 2"
    assert said in load(tmp_path).summary


def test_splits_below_some_of_the_classes_are_refused(tmp_path: Path) -> None:
    """Training on all of it would be training on what is kept for tests."""
    for files in (
        ["a/train/0", "a/test/1", "b/2"],
        ["a/x/train/0", "a/x/test/0", "b/0"],
        ["a/train/0", "a/test/0", "b/val/0"],
    ):
        root = tmp_path / str(len([*tmp_path.iterdir()]))
        put(root, *(f"{name}.png" for name in files))
        inner = "a/x" if "x" in files[0] else "a"
        said = f"{inner} holds the splits test, train, and not every folder beside it does: put its pictures into "
        with pytest.raises(UsageError, match=f"{said}{root / 'train' / inner}"):
            load(root)


def test_labels_are_those_of_the_folders(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/{i}.png" for i in range(2) for name in range(12)))
    assert by_class(load(tmp_path)) == {str(name): [name, 12 + name] for name in range(12)}
    assert by_class(load(tmp_path, classes="10,2")) == {"10": [10, 22], "2": [2, 14]}


def test_splits_are_asked_for_by_any_of_their_names(tmp_path: Path) -> None:
    put(tmp_path / "a", "train/0.png", "val/1.png")
    assert len(load(tmp_path / "a", "validation")) == 1
    with pytest.raises(UsageError, match="a has no split 'test'; its splits: train, val"):
        load(tmp_path / "a", "test")
    put(tmp_path / "b", "0.png", "1.png")
    with pytest.raises(UsageError, match=r"b is not divided, and has no split 'test': put its images into train/"):
        load(tmp_path / "b", "test")
    assert len(image_batches(str(tmp_path / "b"), "test")) == 2


def test_class_names_with_commas_are_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "tench, Tinca tinca/0.png", "goldfish, Carassius auratus/1.png", "cat/2.png", "tench/3.png")
    assert by_class(load(tmp_path, classes="tench, Tinca tinca,cat")) == {"tench, Tinca tinca": [0], "cat": [2]}
    assert list(load(tmp_path, classes="0, tench").class_names) == ["cat", "tench"]
    with pytest.raises(UsageError, match=r"no class named 'tensch' .did you mean tench"):
        load(tmp_path, classes="tensch")
    with pytest.raises(UsageError, match="cat is named twice"):
        load(tmp_path, classes="cat,0")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_metadata_say_the_labels_of_a_folder(tmp_path: Path, suffix: str) -> None:
    import pandas

    put(tmp_path, "train/0.png", "train/1.png", "train/2.png", "test/3.png")
    for split, files in (("train", [2, 0, 1]), ("test", [3])):
        path = tmp_path / split / f"metadata.{suffix}"
        frame = pandas.DataFrame({"file_name": [f"{i}.png" for i in files], "label": [f"class {i % 2}" for i in files]})
        if suffix == "csv":
            frame.to_csv(path, index=False)
        elif suffix == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
    assert load(tmp_path).labels.tolist() == [0, 1, 0]
    assert load(tmp_path).class_names == ("class 0", "class 1")
    put(tmp_path, "train/4.png")
    with pytest.raises(ZooError, match=r"no row with the file_name of 1 of 4 pictures, such as .*4\.png"):
        load(tmp_path)


def rows(path: Path, images: list[bytes | None], labels: list[object] | None, kind: object = None) -> Path:
    import datasets

    cells = [None if content is None else {"bytes": content, "path": None} for content in images]
    table = datasets.Dataset.from_dict({"image": cells, **({} if labels is None else {"label": labels})})
    table = table.cast_column("image", datasets.Image())
    path.parent.mkdir(parents=True, exist_ok=True)
    (table if kind is None else table.cast_column("label", kind)).to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 2, 0, 2], {"0": [2], "2": [1, 3], "10": [0]}),
        ([10.0, 2.0, 0.0, 2.0], {"0": [2], "2": [1, 3], "10": [0]}),
        (["10", "2", "0", "2"], {"0": [2], "2": [1, 3], "10": [0]}),
        (["dog", "cat", "dog", "b"], {"b": [3], "cat": [1], "dog": [0, 2]}),
        ([True, False, True, True], {"False": [1], "True": [0, 2, 3]}),
        ([[7], [8], [8], [7]], {"7": [0, 3], "8": [1, 2]}),
        ([-1, 1, 1, -1], {"-1": [0, 3], "1": [1, 2]}),
        ([[1, 2], [1], [2], [2]], {}),
        ([0.5, 1.0, 1.0, 0.25], {}),
        ([None, None, None, None], {}),
    ],
)
def test_a_column_called_label_is_found(tmp_path: Path, labels: list[object], classes: dict[str, list[int]]) -> None:
    path = rows(tmp_path / "d.parquet", [*map(png, range(4))], labels)
    found = load(path)
    assert by_class(found) == classes
    assert classes or "left out" in found.summary or labels[0] is None
    measured = image_batches(str(path), "train")
    assert measured.class_names == tuple(classes)
    if not classes:
        with pytest.raises(UsageError, match="label"):
            load(path, label_column="label")


@pytest.mark.parametrize("labels", [[None, 0, 1, 1], [-1, 0, 1, 1], [float("nan"), 0.0, 1.0, 1.0]])
@pytest.mark.parametrize("declared", [True, False])
def test_rows_without_a_label_are_named_with_the_way_out(tmp_path: Path, labels: list[object], declared: bool) -> None:
    import datasets

    kind = datasets.ClassLabel(names=["0", "1"]) if declared and not isinstance(labels[1], float) else None
    path = rows(tmp_path / "d.parquet", [*map(png, range(4))], labels, kind)
    with pytest.raises(
        UsageError, match=r"1 of 4 rows have no label in the column 'label', such as row 0: .*--classes 0,1"
    ):
        load(path)
    assert by_class(load(path, classes="0,1")) == {"0": [1], "1": [2, 3]}
    assert "left out" in image_batches(str(path), "train").summary


def test_rows_without_a_picture_are_left_out_and_said(tmp_path: Path) -> None:
    path = rows(tmp_path / "d.parquet", [png(0), None, png(2)], ["a", "b", "c"])
    found = load(path)
    assert by_class(found) == {"a": [0], "c": [2]}
    assert "1 of 3 rows have no picture and are left out, such as row 1" in found.summary


def test_a_table_of_pandas_has_pictures_too(tmp_path: Path) -> None:
    import pandas

    path = tmp_path / "d.parquet"
    frame = pandas.DataFrame({"picture": [{"bytes": png(i), "path": None} for i in range(3)], "target": [3, 1, 3]})
    frame.to_parquet(path)
    assert by_class(load(path)) == {"1": [1], "3": [0, 2]}
    with pytest.raises(UsageError, match=r"the column 'target' holds .*int64.*, and no pictures"):
        load(path, image_column="target")


@pytest.mark.parametrize("cell", ["http://example.com/x.png", "aGVsbG8=", "pic/1.png", "x" * 10**6, [1, 2, 3], 7])
def test_columns_that_hold_no_pictures_are_said_to(tmp_path: Path, cell: object) -> None:
    import pandas

    file = tmp_path / "train.parquet"
    pandas.DataFrame({"image": [cell] * 2, "label": [0, 1]}).to_parquet(file)
    for options in ({}, {"image_column": "image"}):
        with pytest.raises(UsageError, match=r"the column 'image' holds .*, and no pictures: .* metadata\.csv") as told:
            load(file, **options)
        assert len(str(told.value)) < 500


@pytest.mark.parametrize(
    ("names", "split", "images"),
    [
        (["a", "b"], "train", 2), (["train-00000-of-00002", "train-00001-of-00002", "test-0"], "train", 2),
        (["x/train/0", "x/test/0"], "test", 1), (["data/0", "trainer"], "train", 2),
        (["mnist_train", "mnist_test"], "train", 1), (["my-set.TRAIN.0", "my-set.val.0"], "validation", 1),
        (["train2017", "val2017"], "train", 1), (["set-train/0", "set-train/1", "set-test/0"], "train", 2),
        (["latest", "contest", "retrain", "developer"], "train", 4), (["extra_1", "train_1"], "extra", 1),
    ],
)  # fmt: skip
def test_parquet_folders_are_split_by_the_names_of_files(
    tmp_path: Path, names: list[str], split: str, images: int
) -> None:
    for name in names:
        rows(tmp_path / f"{name}.parquet", [png()], None)
    assert len(load(tmp_path, split)) == images


def test_a_parquet_file_of_no_split_beside_others_is_named(tmp_path: Path) -> None:
    for name in ("a", "test"):
        rows(tmp_path / f"{name}.parquet", [png()], None)
    with pytest.raises(UsageError, match=r"a\.parquet is of no split, and others are"):
        load(tmp_path)


def test_a_table_of_figures_beside_pictures_is_no_data_set(tmp_path: Path) -> None:
    import pandas

    put(tmp_path, "0.png", "1.png")
    pandas.DataFrame({"loss": [1.0]}).to_parquet(tmp_path / "results.parquet")
    assert len(load(tmp_path)) == 2


@pytest.mark.parametrize("name", ["train.parquet", "labels.CSV", "x/y.json"])
def test_a_table_of_labels_beside_pictures_is_not_passed_over_without_a_word(tmp_path: Path, name: str) -> None:
    import pandas

    put(tmp_path, "x/0.png", "x/1.png")
    pandas.DataFrame({"image": ["x/0.png", "x/1.png"], "label": [0, 1]}).to_parquet(tmp_path / name)
    told = f"not read: {name} (labels are read from a metadata.csv beside the pictures, with the columns file_name and"
    assert told in load(tmp_path).summary
    assert told in image_batches(str(tmp_path), "train").summary
    (tmp_path / "metadata.csv").write_text("file_name,label\nx/0.png,a\nx/1.png,b\n")
    assert "not read" not in load(tmp_path).summary


def test_what_datasets_saved_to_disk(tmp_path: Path) -> None:
    import datasets

    table = datasets.load_dataset("parquet", data_files=str(rows(tmp_path / "d.parquet", [png(5), png(6)], [1, 0])))
    table.save_to_disk(tmp_path / "dict")
    table["train"].save_to_disk(tmp_path / "one")
    assert by_class(load(tmp_path / "dict")) == by_class(load(tmp_path / "one")) == {"0": [6], "1": [5]}
    with pytest.raises(UsageError, match="no split 'test'; its splits: train"):
        load(tmp_path / "dict", "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "not a parquet file, whatever its name says: it begins with b'hello'"),
        (b"PAR1hello", "a parquet file that is cut short or damaged"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_broken_parquet_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "d.parquet").write_bytes(content)
    for path in (tmp_path, tmp_path / "d.parquet"):
        with pytest.raises(ZooError, match=rf"d\.parquet: .*{message}"):
            load(path)


def test_colour_and_another_size_after_many_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "grey", *(f"{i:03d}.png" for i in range(70)))
    put(tmp_path / "size", *(f"{i:03d}.png" for i in range(70)))
    Image.new("RGB", (8, 8), "red").save(tmp_path / "grey" / "999.png")
    Image.new("L", (8, 12)).save(tmp_path / "size" / "999.png")
    with pytest.raises(UsageError, match="grey mixes grey and colour images: choose with --channels 1 or 3"):
        load(tmp_path / "grey")
    assert [load(tmp_path / "grey", channels=channels).channels for channels in (1, 3)] == [1, 3]
    with pytest.raises(UsageError, match="size has images of 8x8, 8x12: choose one size with --image-size"):
        load(tmp_path / "size")
    assert len(load(tmp_path / "size", image_size=8)) == 71


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    put(tmp_path, "0.png")
    for name in ("a.heic", "b.HEIC", "c.svg"):
        (tmp_path / name).touch()
    assert "not read: 2 .heic, 1 .svg" in load(tmp_path).summary


def test_pictures_without_a_suffix_are_counted(tmp_path: Path) -> None:
    """Say that they are there, beside others and alone; a text without a suffix is none."""
    put(tmp_path, "0.png", "1.jpg", "2.webp")
    (tmp_path / "README").write_text("a text")
    for name in ("0.png", "1.jpg"):
        (tmp_path / name).rename(tmp_path / name[0])
    told = "not read: 2 whose names have no suffix, and which hold pictures: rename them, as to NAME.png"
    assert told in load(tmp_path).summary
    (tmp_path / "2.webp").rename(tmp_path / "2")
    with pytest.raises(ZooError, match=r"has no images: .*; not read: 3 whose names have no suffix"):
        load(tmp_path)


def test_pictures_behind_two_names_are_read_once_and_that_is_said(tmp_path: Path) -> None:
    """A folder is read under its own name, also where a link to it comes first; a link that leads around is no news."""
    put(tmp_path, "run3/0.png", "run4/1.png")
    (tmp_path / "latest").symlink_to(tmp_path / "run3")
    (tmp_path / "run4/around").symlink_to(tmp_path)
    found = load(tmp_path)
    assert by_class(found) == {"run3": [0], "run4": [1]}
    assert "not again by links to their folders: the pictures of latest" in found.summary
    assert "around" not in found.summary


def test_pictures_beside_parquet_files_are_counted(tmp_path: Path) -> None:
    rows(tmp_path / "d.parquet", [*map(png, range(4))], [0, 1, 0, 1])
    assert "left out" not in load(tmp_path).summary
    put(tmp_path, "5.png")
    assert "pictures beside the parquet files are left out: 1" in load(tmp_path).summary


def test_names_of_a_list_of_one_class_are_those_of_the_class(tmp_path: Path) -> None:
    import datasets

    kind = datasets.Sequence(datasets.ClassLabel(names=["a", "b", "c"]))
    path = rows(tmp_path / "d.parquet", [*map(png, range(3))], [[0], [2], [0]], kind)
    assert by_class(load(path)) == {"a": [0, 2], "b": [], "c": [1]}


def test_a_class_that_is_declared_in_both_ways_to_write_its_accent_is_one(tmp_path: Path) -> None:
    import datasets

    kind = datasets.ClassLabel(names=["caf\u00e9", "x", "cafe\u0301"])
    path = rows(tmp_path / "d.parquet", [*map(png, range(4))], [0, 1, 2, -1], kind)
    assert by_class(load(path, classes="caf\u00e9,x")) == {"caf\u00e9": [0, 2], "x": [1]}


def test_parquet_files_that_name_their_classes_in_another_order_are_not_mixed(tmp_path: Path) -> None:
    import datasets

    for name, names in (("a", ["cat", "dog"]), ("b", ["dog", "cat"])):
        rows(tmp_path / f"{name}.parquet", [*map(png, range(2))], [0, 1], datasets.ClassLabel(names=names))
    told = (
        r"the classes of the column 'label' are cat, dog in .*a\.parquet and dog, cat in .*b\.parquet: make them alike"
    )
    with pytest.raises(ZooError, match=told):
        load(tmp_path)


def two_columns(path: Path, first: str, second: str) -> Path:
    columns = {name: [{"bytes": png(value), "path": None}] * 2 for name, value in ((first, 1), (second, 2))}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_of_two_columns_of_pictures_the_usual_name_is_taken_and_that_is_said(tmp_path: Path) -> None:
    usual = load(two_columns(tmp_path / "usual.parquet", "mask", "image"))
    assert int(usual[0][0][0, 0, 0]) == 2
    assert "pictures: the column 'image' (`train` and `ref make` take mask with --image-column)" in usual.summary
    first = load(two_columns(tmp_path / "first.parquet", "mask", "depth"))
    assert int(first[0][0][0, 0, 0]) == 1
    assert "pictures: the column 'mask'" in first.summary
    assert "pictures:" not in load(tmp_path / "first.parquet", image_column="depth").summary


def test_parquet_files_of_one_set_may_differ_in_what_they_lack(tmp_path: Path) -> None:
    """A program that knows no types writes a column of no values as one of nothing."""
    for name, path, label in (("a", None, pyarrow.int64()), ("b", "1.png", pyarrow.int8())):
        columns = {"image": [{"bytes": png(1), "path": path}] * 2, "label": pyarrow.array([0, 1], label)}
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
    assert by_class(load(tmp_path)) == {"0": [1, 1], "1": [1, 1]}
    other = pyarrow.table({"image": [{"bytes": png(1), "path": None}], "label": [{"a": 1}]})
    pyarrow.parquet.write_table(other, tmp_path / "c.parquet")
    with pytest.raises(ZooError, match=r"columns of its files are of other types: .*label"):
        load(tmp_path)


def test_flags_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "0.png")
    with pytest.raises(UsageError, match="--dataset-config-name is for a set of the hub"):
        load(tmp_path, dataset_config_name="default")
    with pytest.raises(UsageError, match="--label-column: digits has none"):
        load_images(DataOptions(dataset="digits", label_column="label"))


def test_a_run_is_read_by_its_manifest(tmp_path: Path) -> None:
    put(tmp_path, "images/0.png", "images/1.png", "images/.partial-1-2.png", "grid.png")
    lines = [{"file": f"images/{i}.png", "label": 1 - i} for i in range(2)]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "run.json").write_text(json.dumps({"class_names": ["cat", "dog"]}))
    assert by_class(load(tmp_path)) == {"cat": [1], "dog": [0]}
    (batch,) = image_batches(str(tmp_path), "test")
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 0]
    assert len(load(tmp_path / "images")) == 2
    assert "left out" not in load(tmp_path).summary
    put(tmp_path, "images/cat.png")
    for summary in (load(tmp_path).summary, image_batches(str(tmp_path), "test").summary):
        assert "2 images" in summary
        assert "a picture that is none of this run is left out: images/cat.png" in summary
    put(tmp_path, "images/000002.png")
    assert "2 pictures that are none of this run are left out, such as images/000002.png" in load(tmp_path).summary


def test_a_byte_order_mark_before_metadata_is_passed_over(tmp_path: Path) -> None:
    for index in range(2):
        Image.new("L", (4, 4)).save(tmp_path / f"{index}.png")
    lines = [f'{{"file_name": "{index}.png", "label": "{name}"}}' for index, name in enumerate("ab")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    assert image_batches(str(tmp_path), "train").class_names == ("a", "b")


def test_a_parquet_file_without_rows_is_one_line(tmp_path: Path) -> None:
    table = pyarrow.table({"image": pyarrow.array([], pyarrow.binary())})
    pyarrow.parquet.write_table(table, tmp_path / "none.parquet")
    with pytest.raises(ZooError, match=r"none\.parquet: a parquet file without rows"):
        image_batches(str(tmp_path / "none.parquet"), "train")


def test_suffixes_in_capitals_are_the_same(tmp_path: Path) -> None:
    file = rows(tmp_path / "a" / "TRAIN.PARQUET", [png(), png(1)], [0, 1])
    assert by_class(load(file)) == by_class(load(file.parent)) == {"0": [0], "1": [1]}
    put(tmp_path / "b", "0.PNG", "1.PNG")
    (tmp_path / "b" / "METADATA.CSV").write_text("file_name,label\n0.PNG,x\n1.PNG,y\n")
    assert by_class(load(tmp_path / "b")) == {"x": [0], "y": [1]}
    (tmp_path / "set.ZIP").touch()
    with pytest.raises(UsageError, match=r"set\.ZIP is not a \.parquet file; unpack it first"):
        load(tmp_path / "set.ZIP")
