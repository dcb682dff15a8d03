"""Metadata files beside pictures, as people write them: each is read correctly, or refused with a way out."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from samplerzoo.data.image_sets import ImageData, load_images
from samplerzoo.data.options import DataOptions
from samplerzoo.data.sources import image_batches
from samplerzoo.errors import ZooError


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def put(folder: Path, count: int = 4, inside: str = ".") -> Path:
    (folder / inside).mkdir(parents=True)
    for value in range(count):
        (folder / inside / f"{value}.png").write_bytes(png(value))
    return folder


def load(path: Path, **options: object) -> ImageData:
    return load_images(DataOptions(dataset=str(path), **options))


def labelled(data: ImageData) -> list[str]:
    return [data.class_names[label] for label in data.labels.tolist()] if data.class_names else []


def csv(folder: Path, labels: Sequence[str], names: str = "{}.png") -> Path:
    lines = [f"{names.format(index)},{label}" for index, label in enumerate(labels)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    return folder


def jsonl(folder: Path, name: str, values: Sequence[object]) -> Path:
    lines = [json.dumps({"file_name": f"{k}.png", "label": "ab"[k % 2], name: v}) for k, v in enumerate(values)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    ("texts", "classes"),
    [
        (["10", "2", "0", "2"], ["10", "2", "0", "2"]),
        (["1.0", "2.0", "1", "2"], ["1", "2", "1", "2"]),
        (["01", "1", "1", "01"], ["01", "1", "1", "01"]),
        (["007", "10", "10", "007"], ["007", "10", "10", "007"]),
        (["1e2", "100", "100", "1e2"], ["1e2", "100", "100", "1e2"]),
        (["+1", "1", "1", "+1"], ["+1", "1", "1", "+1"]),
        (["1" * 20 + "1", "1" * 20 + "2"] * 2, ["1" * 20 + "1", "1" * 20 + "2"] * 2),
        (["True", "true", "TRUE", "no"], ["True", "true", "TRUE", "no"]),
        (["2020-01-01", "2020-1-1", "a", "a"], ["2020-01-01", "2020-1-1", "a", "a"]),
        (["NA", "nan", "inf", "null"], ["NA", "nan", "inf", "null"]),
        (["0.5", "1.5", "0.5", "1.5"], []),
        (["1e300", "1", "1", "1"], ["1e300", "1", "1", "1"]),
    ],
)
def test_labels_of_a_csv_file_are_what_is_written(tmp_path: Path, texts: list[str], classes: list[str]) -> None:
    assert labelled(load(csv(put(tmp_path / "a"), texts))) == classes


def test_numbers_of_a_csv_file_are_in_order(tmp_path: Path) -> None:
    assert load(csv(put(tmp_path / "a"), ["10", "2", "0", "2"])).class_names == ("0", "2", "10")


@pytest.mark.parametrize(
    ("values", "some"),
    [([1, "cat", 2.5, None], "1 and 'cat' and 2.5"), ([True, "True", 1, "1"], "True and "), ([2**70, 1, 1, 1], "")],
)
def test_a_column_of_several_kinds_is_refused_where_it_holds_labels(
    tmp_path: Path, values: list[object], some: str
) -> None:
    with pytest.raises(ZooError) as caught:
        load(jsonl(put(tmp_path / "a"), "label", values))
    assert str(tmp_path / "a") in str(caught.value)
    assert some in str(caught.value)


@pytest.mark.parametrize("values", [[1, "cat", [1], {"a": 1}], [{"a": 1}, [2], "x", None], [True, 1, 0.5, "a"]])
def test_a_column_of_several_kinds_is_passed_over_where_it_holds_none(tmp_path: Path, values: list[object]) -> None:
    folder = jsonl(put(tmp_path / "a"), "extra", values)
    assert labelled(load(folder)) == ["a", "b", "a", "b"]
    with pytest.raises(ZooError, match="the column 'extra' of its metadata holds values of several kinds"):
        load(folder, label_column="extra")


@pytest.mark.parametrize("names", ["img\\{}.png", ".\\img\\{}.png", "img/{}.png", "./img/{}.png"])
def test_a_file_name_of_any_system_is_read(tmp_path: Path, names: str) -> None:
    folder = csv(put(tmp_path / "a", inside="img"), ["x", "y", "y", "x"], names)
    assert labelled(load(folder)) == ["x", "y", "y", "x"]


def test_a_file_name_may_be_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "a")
    csv(folder, ["x", "y", "y", "x"], f"{folder}/{{}}.png")
    monkeypatch.chdir(tmp_path)
    assert labelled(load(folder)) == labelled(load(Path("a"))) == ["x", "y", "y", "x"]


def test_a_name_with_a_comma_that_is_not_in_quotes_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path / "a")
    with pytest.raises(ZooError, match="more values than it names columns: put names with commas into quotes"):
        load(csv(folder, ["tench, Tinca tinca", "a, b", "c, d", "e, f"]))
    with pytest.raises(ZooError, match=r"Expected 2 fields in line 3, saw 3; without it the pictures are read as"):
        load(csv(folder, ["a", "tench, Tinca tinca", "b", "c"]))
    assert labelled(load(csv(folder, ['"tench, Tinca tinca"', "a", "a", "a"])))[:2] == ["tench, Tinca tinca", "a"]


@pytest.mark.parametrize("content", ["", '{"file_name": "0.pn', 'file_name,label\n0.png,"a\n'])
def test_half_a_file_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    name = "metadata.jsonl" if content.startswith("{") else "metadata.csv"
    (put(tmp_path / "a") / name).write_text(content)
    with pytest.raises(ZooError, match=f"{name}: cannot be read: .*; without it the pictures are read as they lie"):
        load(tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    assert len(load(tmp_path / "a")) == 4


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet", "manifest.jsonl"])
def test_a_table_that_git_lfs_has_not_fetched_is_named(tmp_path: Path, name: str) -> None:
    (put(tmp_path / "a") / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aaa\nsize 4\n")
    with pytest.raises(ZooError, match=f"{name}.*: git-lfs has not fetched it: run `git lfs pull`"):
        load(tmp_path / "a")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(put(tmp_path / "a") / "x.png")
    with pytest.raises(ZooError, match=r"x.png .*: it is no file, or a link to none"):
        load(tmp_path / "a")
    with pytest.raises(ZooError, match=r"x.png: cannot be read as a picture: it is no file, or a link to none"):
        next(iter(image_batches(str(tmp_path / "a"), "train")))


def test_a_name_may_hold_a_backslash(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", 0)
    (folder / "b\\0.png").write_bytes(png(0))
    assert labelled(load(csv(folder, ["x"], "b\\{}.png"))) == ["x"]


@pytest.mark.parametrize("names", ["{}", "{}.PNG", "C:\\Users\\me\\{}.png", "images/{}.png", "../{}.png"])
def test_metadata_of_no_picture_that_is_there_are_refused(tmp_path: Path, names: str) -> None:
    folder = csv(put(tmp_path / "a"), ["x", "y", "y", "x"], names)
    with pytest.raises(ZooError, match=r"a.metadata.csv: there is no picture of any file_name in it, such as "):
        load(folder)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
def test_metadata_in_another_encoding_are_refused_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    folder = put(tmp_path / "a")
    (folder / "metadata.csv").write_bytes("file_name,label\n0.png,é\n".encode(encoding))
    with pytest.raises(ZooError, match=r"metadata.csv: it is not in UTF-8: save it again in that encoding"):
        load(folder)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_columns_of_another_separator_are_named(tmp_path: Path, sign: str) -> None:
    (put(tmp_path / "a") / "metadata.csv").write_text(f"file_name{sign}label{sign}age\n0.png{sign}x{sign}1,5\n")
    with pytest.raises(ZooError, match=r"its columns are separated by .*: save it again with commas"):
        load(tmp_path / "a")


def test_the_two_ways_to_write_an_accent_are_one_class(tmp_path: Path) -> None:
    data = load(csv(put(tmp_path / "a"), ["caf\u00e9", "cafe\u0301", "x", "x"]))
    assert labelled(data) == ["caf\u00e9", "caf\u00e9", "x", "x"]


def test_a_text_that_names_no_class_is_no_label(tmp_path: Path) -> None:
    data = load(csv(put(tmp_path / "a"), ["a" * 2000, "b", "b", "b"]))
    assert not data.class_names
    assert "holds texts of up to 2,000 characters (aaa" in data.summary


@pytest.mark.parametrize("value", [1e300, float("inf"), 2.0**60, 0.25])
def test_a_float_that_means_no_class_is_no_label(tmp_path: Path, value: float) -> None:
    cells = [{"bytes": png(k), "path": None} for k in range(4)]
    pyarrow.parquet.write_table(
        pyarrow.table({"image": cells, "label": [value, 1.0, 2.0, 1.0]}), tmp_path / "a.parquet"
    )
    data = load(tmp_path / "a.parquet")
    assert not data.class_names
    assert f"holds numbers such as {value:g}, which are no classes, and is left out" in data.summary


def manifest(folder: Path, label: object, names: list[str] | None = None) -> Path:
    lines = [{"index": k, "file": f"{k}.png", "label": label if k == 2 else 0} for k in range(4)]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "run.json").write_text(json.dumps({"class_names": names}))
    return folder


@pytest.mark.parametrize("label", [-1, 1e300, 2.5, 2.0, True, "text", "1", [1], 10**12, 2**70, 3])
def test_an_impossible_label_of_a_run_is_refused_with_the_way_out(tmp_path: Path, label: object) -> None:
    folder = manifest(put(tmp_path / "a"), label, ["x", "y", "z"])
    with pytest.raises(ZooError, match=r"a.manifest.jsonl") as caught:
        image_batches(str(folder), "train")
    assert "\n" not in str(caught.value)
    (folder / "manifest.jsonl").unlink()
    assert len(image_batches(str(folder), "train")) == 4  # as the message says


def test_a_run_of_many_classes_is_read_in_no_time(tmp_path: Path) -> None:
    folder = manifest(put(tmp_path / "a"), 999_999)
    started = time.process_time()
    source = image_batches(str(folder), "train")
    assert "1,000,000 classes of 0 to 3 images" in source.summary
    assert time.process_time() - started < 5  # 46 s while they were declared to datasets, which hashes each name
    assert next(iter(source)).labels.tolist() == [0, 0, 999_999, 0]


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"b\xe9/0.png"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(put(tmp_path / "a")), name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(png(0))
    except OSError:
        pytest.skip("the file system takes names in UTF-8 alone")
    for read in (load, lambda folder: image_batches(str(folder), "train")):
        with pytest.raises(ZooError, match="its name is not in UTF-8: rename it"):
            read(tmp_path / "a")


def test_a_name_that_is_no_text_is_passed_over_where_it_is_no_picture(tmp_path: Path) -> None:
    os.mkdir(os.path.join(os.fsencode(put(tmp_path / "a")), b"\xe9"))
    assert len(load(tmp_path / "a")) == 4


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.null())]), id="paths of type null"),
        pytest.param(pyarrow.struct([("bytes", pyarrow.large_binary())]), id="no paths"),
        pytest.param(pyarrow.binary(), id="bytes alone"),
        pytest.param(pyarrow.large_binary(), id="many bytes alone"),
    ],
)  # fmt: skip
def test_pictures_in_parquet_of_any_type(tmp_path: Path, image: pyarrow.DataType) -> None:
    nested = pyarrow.types.is_struct(image)
    cells = [{"bytes": png(k), "path": None} if nested else png(k) for k in range(4)]
    table = pyarrow.table({"image": pyarrow.array(cells, image), "label": [0, 1, 0, 1]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet")
    assert data.source[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert labelled(data) == ["0", "1", "0", "1"]


def test_a_column_that_holds_nothing_is_no_picture(tmp_path: Path) -> None:
    table = pyarrow.table({"image": pyarrow.nulls(4), "label": [0, 1, 0, 1]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ZooError, match="has no image column; its columns: image, label: name one with --image-column"):
        load(tmp_path / "a.parquet")
    with pytest.raises(ZooError, match="no row has a picture in its column 'image'"):
        load(tmp_path / "a.parquet", image_column="image")


def test_the_first_line_says_where_labels_are_from(tmp_path: Path) -> None:
    both = put(tmp_path / "both", inside="cat")
    assert load(both).summary.endswith("; labels: the names of folders")
    csv(both, ["x", "y", "y", "x"], "cat/{}.png")
    assert load(both).summary.endswith("; labels: the column 'label'")
    assert image_batches(str(both), "train").summary.endswith("; labels: the column 'label'")
    run = manifest(put(tmp_path / "run"), 1)
    assert image_batches(str(run), "train").summary.endswith("; labels: manifest.jsonl")
    other = jsonl(put(tmp_path / "other"), "kind", ["x", "y", "y", "x"])
    assert load(other, label_column="kind").summary.endswith("; labels: the column 'kind'")
    assert "labels:" not in load(put(tmp_path / "none")).summary


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("file_name, label\n0.png, cat\n1.png, dog\n2.png, cat\n3.png, dog\n", ("cat", "dog")),
        ("file_name , label \n0.png , cat\n1.png , dog\n2.png , cat \n3.png , dog\t\n", ("cat", "dog")),
        ('file_name, label\n0.png, "cat, big"\n1.png, dog \n2.png, "cat, big"\n3.png, dog\n', ("cat, big", "dog")),
        ("file_name ,label \n0.png ,10 \n1.png ,2\n2.png , 10\n3.png ,2 \n", ("2", "10")),
    ],
)
def test_a_space_beside_a_comma_is_part_of_no_name(tmp_path: Path, text: str, classes: tuple[str, ...]) -> None:
    folder = put(tmp_path / "pictures")
    (folder / "metadata.csv").write_text(text)
    found = load(folder)
    assert found.class_names == classes
    assert sorted(found.class_counts) == [2, 2]


def test_spaces_at_the_end_of_a_name_are_seen(tmp_path: Path) -> None:
    folder = put(tmp_path / "pictures")
    rows = [{"file_name": f"{k}.png", " Label ": "ab"[k % 2], "kind ": k % 2} for k in range(4)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load(folder).class_names == ("a", "b")
    assert "columns not used: 'kind ' (" in load(folder).summary
    with pytest.raises(ZooError, match="no label column 'kind'; the columns: ' Label ', 'kind ', image"):
        load(folder, label_column="kind")


@pytest.mark.parametrize("second", ["label", "label "])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, second: str) -> None:
    folder = put(tmp_path / "pictures")
    (folder / "metadata.csv").write_text(f"\ufefffile_name,label,{second}\n0.png,a,b\n", encoding="utf-8")
    with pytest.raises(ZooError, match="two columns are called 'label'"):
        load(folder)


def test_a_file_in_another_form_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = put(tmp_path / "pictures")
    (folder / "metadata.csv").write_text('file_name,label\n0.png,"a\n1.png,b\n')
    with pytest.raises(
        ZooError, match=r"metadata\.csv: cannot be read: a quote is opened and never closed: close it; "
    ):
        load(folder)
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text(json.dumps([{"file_name": f"{k}.png", "label": k} for k in range(4)]))
    with pytest.raises(ZooError, match="it holds one JSON list: write the objects without brackets, one a line"):
        load(folder)


def test_an_accent_may_be_written_in_both_ways(tmp_path: Path) -> None:
    folder = put(tmp_path / "pictures", 2)
    (folder / "metadata.csv").write_text("file_name,label\n0.png,cafe\u0301\n1.png,th\u00e9\n")
    assert len(load(folder, classes="caf\u00e9,the\u0301")) == 2


def test_texts_in_one_parquet_file_and_numbers_in_another_are_not_mixed(tmp_path: Path) -> None:
    for number, labels in enumerate((["a", "b"], [0, 1])):
        pictures = [{"bytes": png(value), "path": None} for value in range(2)]
        table = pyarrow.table({"image": pictures, "label": labels})
        pyarrow.parquet.write_table(table, tmp_path / f"train-{number}.parquet")
    with pytest.raises(ZooError, match=r"'label' has texts in .*train-0.parquet and none in .*train-1.parquet"):
        load(tmp_path)


def test_a_manifest_that_names_a_picture_twice_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path / "run", 2)
    lines = [json.dumps({"file": f"{number}.png"}) for number in (0, 1, 1)]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ZooError, match=r"manifest.jsonl: 1.png stands there twice"):
        image_batches(str(folder), "train")


@pytest.mark.parametrize("write", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("columns", "used", "unused"),
    [
        ({"species": "ab"}, None, "species"),
        ({"is_a": [1, 0], "is_b": [0, 1]}, None, "is_a, is_b"),
        ({"label": "ab", "class_name": "cd", "caption": "xy"}, "label", "class_name, caption"),
        ({"label": "ab"}, "label", None),
    ],
)
def test_columns_that_are_not_used_are_said(
    tmp_path: Path, write: str, columns: dict[str, Sequence[object]], used: str | None, unused: str | None
) -> None:
    """One of them may hold the labels that the user means."""
    rows = [{name: values[k % 2] for name, values in columns.items()} for k in range(4)]
    folder = put(tmp_path / "p")
    if write == "parquet":
        cells = [{"image": {"bytes": png(k), "path": None}, **row} for k, row in enumerate(rows)]
        folder = tmp_path / "p.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(cells), folder)
    elif write == "csv":
        lines = [",".join(map(str, (f"{k}.png", *row.values()))) for k, row in enumerate(rows)]
        (folder / "metadata.csv").write_text("\n".join([",".join(["file_name", *columns]), *lines]))
    else:
        lines = [json.dumps({"file_name": f"{k}.png", **row}) for k, row in enumerate(rows)]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    for said in (load(folder).summary, image_batches(str(folder), "train").summary):
        assert ("4 images, no labels" in said) == (used is None)
        assert (f"columns not used: {unused} (" in said) == (unused is not None), said
        assert ("--label-column NAME" in said) == (unused is not None)
    for name in columns:
        rest = [other for other in columns if other != name]
        said = load(folder, label_column=name).summary
        assert f"labels: the column {name!r}" in said
        assert (f"columns not used: {', '.join(rest)} (" in said) == bool(rest)


def test_columns_of_several_kinds_and_long_names_are_said_in_short(tmp_path: Path) -> None:
    folder = put(tmp_path / "p")
    rows = [{"file_name": f"{k}.png", "mixed": [1, "a"][k % 2], "n" * 900: k, "\x1b[31m": k} for k in range(4)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = load(folder).summary
    assert "the column 'mixed' holds values of several kinds, and is left out" in said
    assert "columns not used: " + "n" * 40 + ", \\x1b[31m (" in said


def test_pictures_that_are_named_and_not_there_are_said(tmp_path: Path) -> None:
    """A folder that was copied in part holds fewer pictures than its metadata name."""
    folder = csv(put(tmp_path / "some", count=4), ["cat", "dog"] * 3)
    data = load(folder)
    assert labelled(data) == ["cat", "dog"] * 2
    assert f"2 pictures that metadata files name are not there, such as {folder}/4.png" in data.summary
    assert "are not there" not in load(csv(put(tmp_path / "whole", count=4), ["cat", "dog"] * 2)).summary


def test_pictures_of_another_split_are_there(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path, count=2, inside=split)
    csv(tmp_path, ["cat", "dog"], "train/{}.png")
    with (tmp_path / "metadata.csv").open("a") as file:
        file.write("\ntest/0.png,cat\ntest/1.png,dog\n")
    assert "are not there" not in load(tmp_path).summary
