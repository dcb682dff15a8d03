"""Tables of images: one way to open a data set, whatever it is kept in, for training and for metrics.

A row is a picture that is still encoded, with its label.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo.data.class_names import listed, parse_classes
from samplerzoo.data.folders import METADATA, SPLITS, list_pictures, split_word
from samplerzoo.data.labels import COLUMNS, Labels, read_labels
from samplerzoo.data.options import DataOptions
from samplerzoo.data.pictures import PictureError, is_picture, walk
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.trust.limits import MOST_LETTERS
from samplerzoo.trust.pointers import refuse_pointer

if TYPE_CHECKING:
    import datasets

SAVED = ("dataset_dict.json", "state.json")
"""Files that mark a folder written by `save_to_disk` of datasets."""
PICTURES = ("image", "images", "img", "picture", "photo", "pixel_values", "png", "jpg", "jpeg", "webp")
"""Names of columns that are preferred if several hold pictures."""
BYTES = ("binary", "large_binary")
"""Types of columns of bytes. The only such column is taken for pictures."""
TEXTS = ("string", "large_string")
"""Types of columns of texts."""
SHOWN_LETTERS = 40
"""Characters of a column's name in a note."""
PARQUET = b"PAR1"
"""First bytes of a parquet file."""


@dataclass(frozen=True)
class Table:
    """Rows of a data set.

    Attributes:
        name: the data set as the user named it.
        rows: the rows that have a picture, of the classes that are kept.
        column: column of the pictures, whose cells are dicts of bytes and path.
        labels: labels of the rows.
        labelled_by: origin of the labels.
        notes: sentences on assumptions, and on what was left out.
    """

    name: str
    rows: datasets.Dataset
    column: str
    labels: Labels
    labelled_by: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def content(self, index: int) -> bytes:
        """Return the content of a row's file.

        Raises:
            PictureError: it cannot be read.
        """
        entry = self.rows[index][self.column]
        if entry["bytes"] is not None:
            content: bytes = entry["bytes"]
            return content
        if not os.path.isfile(entry["path"]):  # reading a pipe would wait
            raise PictureError("it is no file, or a link to none")
        try:
            return Path(entry["path"]).read_bytes()
        except OSError as error:
            raise PictureError(reason(error)) from error

    def path(self, index: int) -> str | None:
        """Return the file of a row, if it has one."""
        path: str | None = self.rows[index][self.column]["path"]
        return path

    def names_and_sizes(self) -> list[tuple[str, int | None]]:
        """Return the name and the size of the file of each row, which are cheap to read."""
        import pyarrow.compute as pc

        cells = self.rows.data.table.column(self.column)
        parts = [pc.struct_field(cells, "path"), pc.binary_length(pc.struct_field(cells, "bytes"))]
        if self.rows._indices is not None:
            parts = [part.take(self.rows._indices.column(0)) for part in parts]
        return [
            (os.path.basename(path or ""), _size(path) if size is None else size)
            for path, size in zip(*(part.to_pylist() for part in parts), strict=True)
        ]

    def digests(self, rows: Sequence[int]) -> list[bytes]:
        """Return the SHA-256 of the content of these rows; empty bytes if a file cannot be read."""
        found = []
        for index in rows:
            digest = b""
            with suppress(PictureError):  # reported when the picture is used
                digest = hashlib.sha256(self.content(index)).digest()
            found.append(digest)
        return found


def _size(path: str) -> int | None:
    """Return the size of a file in bytes; None if it does not exist."""
    return os.path.getsize(path) if os.path.isfile(path) else None


def open_table(options: DataOptions, split: str, *, whole: bool = False) -> Table:
    """Open one split of a data set: a parquet file, a folder, or a set of the hub, whichever `options.dataset` names.

    Args:
        whole: for a folder that is not divided into splits, accept any split, and take all pictures.

    Raises:
        UsageError: the options do not fit the data, or there is no such data set on disk.
        ZooError: the data cannot be read.
    """
    import datasets

    dataset = options.dataset
    opened = _open(options, split, whole=whole)
    rows, notes = opened.rows, [*opened.notes]
    if not len(rows):
        raise ZooError(f"{dataset} holds no images in its split {split!r}")
    column, others = _image_column(rows, options.image_column, dataset)
    if _is_no_picture(rows, column):
        raise _no_pictures(rows, column, dataset)
    try:
        rows = rows.cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # datasets and pyarrow may raise any error
        raise _no_pictures(rows, column, dataset) from error
    rows, lacking = _with_pictures(rows, column, dataset)
    labels = read_labels(rows, options.label_column, dataset, opened.label_names)
    labelled_by = (opened.labelled_by if labels.column == "label" else None) or f"the column {labels.column!r}"
    unused = _unused(rows, (column, labels.column, *others))
    notes += [note for note in (_chosen(column, others), lacking, labels.note, unused) if note]
    if options.classes is not None:
        rows, labels = _keep(rows, labels, options.classes)
    return Table(dataset, rows.select_columns([column]), column, labels, labelled_by, tuple(notes))


@dataclass(frozen=True)
class _Opened:
    """Rows of a data set as stored. For the other fields see `Listing`."""

    rows: datasets.Dataset
    labelled_by: str | None = None
    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _open(options: DataOptions, split: str, *, whole: bool) -> _Opened:
    import datasets

    path = Path(os.path.expanduser(options.dataset))
    local = path.exists()
    if local and options.dataset_config_name is not None:
        raise UsageError(f"--dataset-config-name is for a set of the hub, and {path} lies here: leave it out")
    level = datasets.utils.logging.get_verbosity()
    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # it logs what it also raises
    try:
        if path.is_file():
            return _Opened(_file(path, split, whole=whole or split == options.split))
        if local:
            return _folder(path, split, options.label_column, whole=whole)
        if path.is_absolute() or options.dataset.startswith("."):
            raise UsageError(f"no such file or folder: {path}")
        return _Opened(datasets.load_dataset(options.dataset, options.dataset_config_name, split=split))
    except ZooError:
        raise
    except Exception as error:  # of readers of many formats, which raise what they like
        cause = error
        while cause.__cause__ is not None:  # datasets' own says that an error occurred
            cause = cause.__cause__  # type: ignore[assignment]
        raise ZooError(f"cannot load {options.dataset} (split {split}): {reason(cause)}") from error
    finally:
        datasets.utils.logging.set_verbosity(level)


def _file(path: Path, split: str, *, whole: bool) -> datasets.Dataset:
    import datasets

    if path.suffix.lower() != ".parquet":
        unpack = "; unpack it first" if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z") else ""
        raise UsageError(f"{path} is not a .parquet file{unpack}; give that, a folder of images, or a hub name")
    if not whole:
        raise UsageError(f"{path} is one file and has no split {split!r}: give the folder with all splits")
    check_parquet(path)
    return datasets.load_dataset("parquet", data_files={"rows": glob.escape(str(path))}, split="rows")


def _folder(path: Path, split: str, label_column: str | None, *, whole: bool) -> _Opened:
    import datasets

    if any((path / name).is_file() for name in SAVED):
        found = datasets.load_from_disk(str(path))
        if isinstance(found, datasets.Dataset):
            _check_undivided(path, split, whole=whole)
            return _Opened(found)
        if split not in found:
            raise UsageError(f"{path} has no split {split!r}; its splits: {', '.join(found)}")
        return _Opened(found[split])
    tables = sorted(walk(path, lambda file: file.suffix.lower() == ".parquet" and file.name.lower() not in METADATA))
    if tables and (_holds_images(tables[0]) or not list_pictures(path, split).files):
        beside = sum(1 for _ in walk(path, is_picture))
        chosen, divided = _parquet_split(path, tables, split)
        if not divided:
            _check_undivided(path, split, whole=whole)
        for file in chosen:
            check_parquet(file)
        _check_alike(chosen)
        names = [glob.escape(str(file)) for file in chosen]
        note = f"pictures beside the parquet files are left out: {beside}"
        rows = datasets.load_dataset("parquet", data_files={"rows": names}, split="rows", features=_features(chosen))
        return _Opened(rows, notes=(note,) if beside else ())
    found = list_pictures(path, split)
    if not found.files:
        notes = "".join(f"; {note}" for note in found.notes)
        raise ZooError(f"{path} has no images: no pictures and no parquet files lie in it{notes}")
    if not found.divided:
        _check_undivided(path, split, whole=whole)
    cells = [{"bytes": None, "path": str(file)} for file in found.files]
    columns = _of_one_kind({**found.columns, "image": cells}, label_column, path)
    rows = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image(decode=False))
    mixed = [
        f"the column {name!r} holds values of several kinds, and is left out" for name in {*found.columns} - {*columns}
    ]
    return _Opened(rows, found.labelled_by, found.class_names, (*found.notes, *sorted(mixed)))


def _of_one_kind(columns: dict[str, list[Any]], label_column: str | None, path: Path) -> dict[str, list[Any]]:
    """Leave out the columns whose values have several types, as rows of JSON may.

    Raises:
        UsageError: the labels have several types.
    """
    import pyarrow

    kept = {}
    for name, values in columns.items():
        try:
            pyarrow.array(values)
            kept[name] = values
        except (pyarrow.ArrowException, OverflowError) as error:
            if name == label_column or (label_column is None and name.lower() in COLUMNS):
                kinds = {type(value): value for value in values if value is not None}
                some = " and ".join(f"{value!r:.40}" for value in kinds.values())
                raise UsageError(
                    f"{path}: the column {name!r} of its metadata holds values of several kinds, such as {some}: write "
                    "all of them alike, or name another with --label-column, as `train` and `ref make` take it"
                ) from error
    return kept


def _check_undivided(path: Path, split: str, *, whole: bool) -> None:
    """Refuse a split of a folder that is not divided, unless it is the training split or `whole` is true."""
    if not whole and SPLITS.get(split) != "train":
        raise UsageError(f"{path} is not divided, and has no split {split!r}: put its images into train/ and {split}/")


def _parquet_split(folder: Path, tables: list[Path], split: str) -> tuple[list[Path], bool]:
    """Return the files of a split, such as train/0.parquet or mnist_train.parquet, and whether the folder is divided.

    Raises:
        UsageError: there is no such split, or only some files belong to a split.
    """

    def split_of(file: Path) -> str | None:
        names = (file.stem, *file.relative_to(folder).parts[-2::-1])
        return next(filter(None, (split_word(name, split) for name in names)), None)

    named = {file: split_of(file) for file in tables}
    if not any(named.values()):
        return tables, False
    none = [file for file, word in named.items() if word is None]
    if none:
        raise UsageError(f"{folder}: {none[0].name} is of no split, and others are: give one .parquet file")
    wanted = SPLITS.get(split.lower(), split)
    chosen = [file for file, word in named.items() if word and SPLITS.get(word.lower(), word) == wanted]
    if not chosen:
        raise UsageError(
            f"{folder} has no split {split!r}; its splits: {', '.join(sorted(set(map(str, named.values()))))}"
        )
    return chosen, True


def check_parquet(path: Path) -> None:
    """Refuse a file that is not parquet, or not complete.

    Raises:
        ZooError: says what the file is instead.
    """
    import pyarrow
    import pyarrow.parquet

    refuse_pointer(path)
    with path.open("rb") as file:
        first = file.read(8)
    if not first.startswith(PARQUET):
        raise ZooError(f"{path}: not a parquet file, whatever its name says: it begins with {first!r}")
    try:
        rows = pyarrow.parquet.read_metadata(path).num_rows
    except (OSError, pyarrow.ArrowException) as error:
        raise ZooError(f"{path}: a parquet file that is cut short or damaged: copy it again") from error
    if not rows:
        raise ZooError(f"{path}: a parquet file without rows")


def _check_alike(files: Sequence[Path]) -> None:
    """Refuse columns whose values have different meanings in different files, which would mix up classes.

    For example, they hold numbers in one file and texts in another, or the class names have another order.

    Raises:
        ZooError: names the column and the files.
    """
    import datasets
    import pyarrow.parquet
    from pyarrow import types

    first: dict[tuple[str, bool], Path] = {}
    named: dict[str, tuple[Path, list[str]]] = {}
    for file in files:
        schema = pyarrow.parquet.read_schema(file)
        for column in schema:
            text = types.is_string(column.type) or types.is_large_string(column.type)
            first.setdefault((column.name, text), file)
            other = first.get((column.name, not text))
            if other is not None:
                texts, others = (file, other) if text else (other, file)
                raise ZooError(f"the column {column.name!r} has texts in {texts} and none in {others}: make them alike")
        for name, kind in datasets.Features.from_arrow_schema(schema).items():
            if isinstance(kind, datasets.ClassLabel) and kind.names:
                earlier, names = named.setdefault(name, (file, kind.names))
                if names != kind.names:
                    raise ZooError(
                        f"the classes of the column {name!r} are {listed(names)} in {earlier} and {listed(kind.names)} "
                        f"in {file}: make them alike"
                    )


def _features(files: Sequence[Path]) -> datasets.Features | None:
    """Return common types for columns whose types differ between files, for example if one file has only nulls.

    Raises:
        ZooError: there are no common types.
    """
    import datasets
    import pyarrow.parquet

    schemas = [pyarrow.parquet.read_schema(file) for file in files]
    if all(schema.equals(schemas[0]) for schema in schemas):
        return None
    try:
        return datasets.Features.from_arrow_schema(pyarrow.unify_schemas(schemas, promote_options="permissive"))
    except pyarrow.ArrowException as error:
        raise ZooError(f"{files[0].parent}: columns of its files are of other types: {reason(error)}") from error


def _holds_images(path: Path) -> bool:
    """Return True if a parquet file has a column of pictures."""
    import pyarrow.parquet

    check_parquet(path)
    kinds = pyarrow.parquet.read_schema(path).types
    return any(pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 for kind in kinds)


def _image_column(rows: datasets.Dataset, name: str | None, dataset: str) -> tuple[str, list[str]]:
    """Return the column of the pictures, and the other columns that may hold pictures.

    It is the one that the user names. Else it is one declared as pictures or one of bytes and path; among several, one
    with a usual name comes first, then a declared one. Else it is the only column of bytes.
    """
    import datasets

    if name is not None and name not in rows.column_names:
        raise UsageError(f"{dataset} has no column {name!r}; its columns: {listed(rows.column_names)}")
    declared = [key for key, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    alike = [key for key, feature in rows.features.items() if isinstance(feature, dict) and "bytes" in feature]
    if not declared + alike:
        raw = [key for key, feature in rows.features.items() if getattr(feature, "dtype", "") in BYTES]
        alike = raw if len(raw) == 1 else []
    if name is not None:
        return name, []
    found = sorted(declared + alike, key=lambda key: key.strip().lower() not in PICTURES)
    named = [key for key in rows.features if key.strip().lower() in PICTURES]
    supposed = next((key for key in named if getattr(rows.features[key], "dtype", "") != "null"), None)
    if not found and supposed is not None:
        raise _no_pictures(rows, supposed, dataset)
    if not found:
        raise UsageError(
            f"{dataset} has no image column; its columns: {listed(rows.column_names)}: name one with "
            "--image-column, as `train` and `ref make` take it"
        )
    return found[0], found[1:]


def _is_no_picture(rows: datasets.Dataset, column: str) -> bool:
    """Tell whether a column holds lists, which datasets takes for pixels, or texts that are no files here."""
    import datasets

    kind = rows.features[column]
    first = next((value for value in rows[column] if value is not None), None)
    if getattr(kind, "dtype", "") in TEXTS:
        return first is not None and not (len(first) < MOST_LETTERS and os.path.isfile(first))
    return isinstance(kind, (datasets.List, datasets.LargeList))


def _no_pictures(rows: datasets.Dataset, column: str, dataset: str) -> UsageError:
    """Say what a column holds in place of pictures, and how a table names those of other files."""
    first = next((value for value in rows[column] if value is not None), None)
    return UsageError(
        f"{dataset}: the column {column!r} holds {str(rows.features[column])[:60]}, such as {first!r:.40}, and no "
        "pictures: name another --image-column; of pictures in files, give their folder, with a metadata.csv in it "
        "that has the columns file_name and label"
    )


def _chosen(column: str, others: Sequence[str]) -> str | None:
    """Return a note of a column of pictures that was chosen among several."""
    way = f"`train` and `ref make` take {listed([name[:SHOWN_LETTERS] for name in others])} with --image-column"
    return f"pictures: the column {column[:SHOWN_LETTERS]!r} ({way})" if others else None


def _with_pictures(rows: datasets.Dataset, column: str, dataset: str) -> tuple[datasets.Dataset, str | None]:
    """Leave out the rows without a picture, and return a note of them."""
    import numpy as np
    import pyarrow.compute as pc

    cells = rows.flatten_indices().data.table.column(column) if rows._indices else rows.data.table.column(column)
    none = pc.and_(*(pc.is_null(pc.struct_field(cells, name)) for name in ("bytes", "path"))).to_numpy()
    lacking = np.flatnonzero(none)
    if not len(lacking):
        return rows, None
    if len(lacking) == len(rows):
        raise ZooError(f"{dataset}: no row has a picture in its column {column!r}")
    note = f"{len(lacking)} of {len(rows)} rows have no picture and are left out, such as row {lacking[0]}"
    return rows.select(np.flatnonzero(~none)), note


def _unused(rows: datasets.Dataset, used: Collection[str | None]) -> str | None:
    """Return a note of the columns that are not used, since one of them may hold the labels that the user wants."""
    names = [name[:SHOWN_LETTERS] for name in rows.column_names if name not in used]
    way = "`train` and `ref make` take labels from one of them with --label-column NAME"
    return f"columns not used: {listed(names)} ({way})" if names else None


def _keep(rows: datasets.Dataset, labels: Labels, classes: str) -> tuple[datasets.Dataset, Labels]:
    """Keep the images of some classes. Their labels become 0, 1, ... in the order in which the user names them."""
    import torch

    chosen = parse_classes(classes, labels.names)
    number = torch.full((len(labels.names) + 1,), -1)  # the last one is for rows without a label
    number[chosen] = torch.arange(len(chosen))
    values = number[labels.values]
    kept = (values >= 0).nonzero().squeeze(1)
    names = tuple(labels.names[index] for index in chosen)
    return rows.select(kept.tolist()), Labels(values[kept], names, labels.column)
