"""Folders of pictures: which files are read, and how they are divided into splits and classes."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, field_validator

from samplerzoo.data.class_names import apart, listed
from samplerzoo.data.pictures import is_picture, repeated, walk
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.options import Name, Options
from samplerzoo.trust.limits import MOST_CLASSES
from samplerzoo.trust.pointers import refuse_pointer
from samplerzoo.trust.records import read_lines, read_record

if TYPE_CHECKING:
    from pandas import DataFrame

MANIFEST = "manifest.jsonl"
"""File that marks a run folder and lists its images."""
RUN_FILE = "run.json"
"""File of a run folder that names the classes of its images."""
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Names of folders and files that may be splits, with the split that each name means."""
BESIDE_SPLITS = frozenset(("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled"))
"""Words in the names of folders that hold pictures without a class, if such a folder lies beside splits."""
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Files with metadata of the pictures beside them, in the format of `datasets`: `file_name`, and further columns."""
UNREAD = frozenset(
    ".heic .heif .jxl .jxr .svg .psd .exr .hdr .raw .dng .cr2 .cr3 .nef .arw "
    ".npy .npz .zip .tar .gz .tgz .7z .rar".split()
)
"""Suffixes of files that may hold pictures but are not read. A note counts them."""
TABLES = frozenset(".csv .tsv .json .jsonl .parquet .arrow .feather .xls .xlsx .mat .pkl".split())
"""Suffixes of tables that may hold the labels of pictures beside them. A note names those that are not read."""
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
"""First bytes of PNG, JPEG, GIF, WebP and TIFF files."""
NUMBER = r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?"
"""Number in a CSV file, as a program writes it, and short enough for float64."""
SHARD = re.compile(r"[0-9]{5,}")
"""Name of a folder that is a shard of a data set and not a class, as StyleGAN and EDM write them."""


@dataclass(frozen=True)
class Listing:
    """Pictures of a folder.

    Attributes:
        files: paths of the pictures, in order.
        columns: by name, a value for each picture: from a metadata file, or its class or label.
        labelled_by: origin of the column label, if that is not a metadata file.
        divided: True if the folder is divided into splits, of which one is listed.
        class_names: names of the integers in the column label, if it holds integers.
        notes: what was left out, in sentences.
    """

    files: list[Path]
    columns: dict[str, list[Any]]
    labelled_by: str | None = None
    divided: bool = False
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_pictures(folder: Path, split: str) -> Listing:
    """List the pictures of a run, of a folder, or of one split of a folder that is divided into splits.

    Args:
        split: ignored for a folder that is not divided.

    Raises:
        UsageError: there is no such split.
        UsageError: splits lie below some of the classes alone.
        ZooError: a file beside the pictures cannot be read, or does not go with them.
    """
    if (folder / MANIFEST).is_file():
        return _run(folder)
    root, files = _unwrapped(folder, sorted(walk(folder, is_picture)))
    notes = [*_unread(folder), *_repeated(folder)]
    splits = _splits(root, files)
    inner = {} if splits else _splits_of_classes(root, files)
    place, splits = (1, inner) if inner else (0, splits)
    if splits:
        wanted = [name for name in splits if name == split] or [
            name for name, found in splits.items() if found == SPLITS.get(split.lower(), split)
        ]
        if not wanted:
            raise UsageError(f"{folder} has no split {split!r}; its splits: {', '.join(sorted(splits))}")
        if len(wanted) > 1:
            raise UsageError(
                f"{folder}: {' and '.join(sorted(wanted))} are names of one split, {split}: put them into one folder"
            )
        inside = [_folder(root, path, place) for path in files]
        beside = sum(name not in splits for name in inside)
        notes += [f"the folders {listed(sorted(splits))} in each are taken for splits"] * (place == 1)
        notes += [f"left out, since they lie in no split: {beside}"] * bool(beside)
        files = [path for path, name in zip(files, inside, strict=True) if name == wanted[0]]
        if place == 0:
            root, files = _unwrapped(root / wanted[0], files, split=True)
    if not splits:
        _refuse_mixed(folder, root, files)
    columns, more = _classes(root, files)
    metadata, absent = _metadata(folder, files)
    notes += [] if metadata else _tables(folder)
    labelled_by = "the names of folders" if columns and "label" not in metadata else None
    return Listing(files, {**columns, **metadata}, labelled_by, bool(splits), notes=(*notes, *more, *absent))


class ManifestLine(Options):
    """Line of a run's manifest.jsonl, with the fields that are read here. Its file lies in the run folder."""

    model_config = ConfigDict(extra="ignore")

    file: Name
    label: Annotated[int, Field(strict=True, ge=0, lt=MOST_CLASSES)] | None = None

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        path = PurePath(file)
        if path.is_absolute() or ".." in path.parts or "\0" in file:
            raise ValueError(f"{file!r} is no file in the run folder")
        return file


class RunNames(Options):
    """Names of the classes, of a run's run.json."""

    model_config = ConfigDict(extra="ignore")

    class_names: tuple[Name, ...] | None = None


def _run(folder: Path) -> Listing:
    try:
        entries = read_lines(folder / MANIFEST, ManifestLine)
        names = read_record(folder / RUN_FILE, RunNames).class_names if (folder / RUN_FILE).is_file() else None
    except ZooError as error:
        raise ZooError(f"{error}; without {MANIFEST} the folder is read as any other one of pictures") from error
    files = [folder / entry.file for entry in entries]
    twice = next((file for file, count in Counter(files).items() if count > 1), None)
    if twice is not None:
        raise ZooError(f"{folder / MANIFEST}: {twice.name} stands there twice: remove one of the lines")
    labels = [entry.label for entry in entries if entry.label is not None]
    if names and max(labels, default=0) >= len(names):
        raise ZooError(f"{folder / MANIFEST}: a label {max(labels)}, and {RUN_FILE} names {len(names)} classes")
    notes = left_out(folder, files)
    if len(labels) < len(entries):
        return Listing(files, {}, notes=notes)
    names = apart(names or map(str, range(max(labels, default=-1) + 1)))  # label k is class k, even if some are missing
    return Listing(files, {"label": labels}, MANIFEST, class_names=names, notes=notes)


def left_out(run: Path, files: Collection[Path]) -> tuple[str, ...]:
    """Return a note of pictures in a run's subfolders that do not belong to the run.

    Args:
        files: pictures of the run.
    """
    folders = {file.parent for file in files} - {run}  # the run folder itself has the sheet of all pictures
    beside = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if is_picture(path)]
    others = sorted({path for path in beside if not path.name.startswith(".")}.difference(files))
    if not others:
        return ()
    first = others[0].relative_to(run)
    if len(others) == 1:
        return (f"a picture that is none of this run is left out: {first}",)
    return (f"{len(others):,} pictures that are none of this run are left out, such as {first}",)


def _unwrapped(root: Path, files: list[Path], *, split: bool = False) -> tuple[Path, list[Path]]:
    """Descend while all pictures are in one folder: for images/cat and images/dog, down to images.

    Args:
        split: the root is a split. A folder of the same name in it is no class, as in train/train/0.png of Kaggle.
    """
    while True:
        parts = [path.relative_to(root).parts for path in files]
        tops = {each[0] for each in parts}
        again = split and tops == {root.name}
        if len(tops) != 1 or (any(len(each) < 3 for each in parts) and not again):
            return root, files
        if min(tops).lower() in SPLITS and not split:
            return root, files
        root /= tops.pop()


def split_word(name: str, split: str = "train") -> str | None:
    """Return the word in a name that means a split, or None. As in `datasets`, no other letters may touch it.

    Args:
        split: a further word that means a split.
    """
    words = (name, *re.split("[^0-9A-Za-z]", name), *re.split("[^A-Za-z]", name))  # such as train, train-0, train2017
    return next((word for word in words if word.lower() in SPLITS or word == split), None)


def _splits(root: Path, files: list[Path]) -> dict[str, str]:
    """Return the folders that are splits, by name, or nothing if folders with such names are classes like the others.

    If there are no other folders, or only folders of pictures without a class, they are splits. If there are others, a
    data set may have classes called train and test. Then they are splits only if the training split contains folders
    itself. Their names may contain further words, as in mnist_train and mnist_test; beside other folders these have to
    be the same in all names.
    """
    tops: dict[str, list[int]] = {}
    for path in files:
        parts = path.relative_to(root).parts
        if len(parts) > 1:
            tops.setdefault(parts[0], []).append(len(parts))
    others = {name for name in tops if not BESIDE_SPLITS.isdisjoint(re.split("[^a-z]", name.lower()))}
    words = {name: split_word(name) for name in tops}
    named = {name: SPLITS[word.lower()] for name, word in words.items() if word}
    exact = {name: kind for name, kind in named.items() if name.lower() in SPLITS}
    loose = len(files) > sum(map(len, tops.values()))

    def suffice(found: dict[str, str]) -> bool:
        alone = tops.keys() <= {*found, *others} and (not (loose or others) or len(found) > 1)
        training = [depth for name, kind in found.items() if kind == "train" for depth in tops[name]]
        return alone or (_trains(found) and min(training) > 2)

    if suffice(exact):
        return exact
    rests = {name.replace(word, "", 1) for name, word in words.items() if word}
    told = _trains(named) and (tops.keys() <= {*named, *others} or (not exact and len(rests) == 1))
    if not (told and suffice(named)):
        return {}
    return {name: kind for name, kind in named.items() if name in exact or kind not in exact.values()}


def _trains(splits: dict[str, str]) -> bool:
    """Tell whether there is a split for training, and another one."""
    return "train" in splits.values() and len({*splits.values()}) > 1


def _splits_of_classes(root: Path, files: list[Path]) -> dict[str, str]:
    """Return the folders that are splits of every class, by name, as cat/train and cat/test; none if not of every."""
    below: dict[str, dict[str, str]] = {}
    for path in files:
        name = _folder(root, path, 1)
        known = below.setdefault(path.relative_to(root).parts[0], {})
        if name is not None and name.lower() in SPLITS:
            known[name] = SPLITS[name.lower()]
    found = {name: kind for known in below.values() for name, kind in known.items()}
    return found if _trains(found) and all("train" in known.values() for known in below.values()) else {}


def _refuse_mixed(folder: Path, root: Path, files: list[Path]) -> None:
    """Refuse pictures for training that are mixed with those of another split, somewhere below the classes.

    Raises:
        UsageError: names the folder that holds the splits, and where they belong.
    """
    below: dict[Path, dict[str, str]] = {}
    for path in files:
        for parent in path.relative_to(root).parents[:-1]:
            if parent.name.lower() in SPLITS and len(parent.parts) > 1:
                below.setdefault(parent.parent, {})[parent.name] = SPLITS[parent.name.lower()]
    mixed = next((parent for parent, known in below.items() if _trains(known)), None)
    if mixed is not None:
        raise UsageError(
            f"{root / mixed} holds the splits {listed(sorted(below[mixed]))}, and not every folder beside it does: put "
            f"its pictures into {folder / 'train' / mixed} and such, so that splits are above classes"
        )


def _folder(root: Path, path: Path, place: int) -> str | None:
    """Return the folder at a place of the way from the root to a picture; None if the picture lies above it."""
    parts = path.relative_to(root).parts[:-1]
    return parts[place] if len(parts) > place else None


def _classes(root: Path, files: list[Path]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the class of each picture, which is the topmost folder that it lies in, and notes."""
    parts = [path.relative_to(root).parts for path in files]
    inside = [each[0] for each in parts if len(each) > 1]
    if not inside:
        return {}, []
    if all(SHARD.fullmatch(name) for name in inside):
        return {}, [f"folders such as {inside[0]} are taken for parts of one set, not for classes"]
    if len(inside) < len(files):
        return {}, [f"{len(files) - len(inside)} pictures lie beside the folders {', '.join(sorted(set(inside))[:3])}, "
                    "so that these are not taken for classes"]  # fmt: skip
    return {"label": inside}, []


def _metadata(folder: Path, files: list[Path]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the columns of the metadata files, in the order of the pictures, and notes on rows without a picture.

    Raises:
        ZooError: a file cannot be read, files contradict each other, or only some pictures have a row.
    """
    rows: dict[str, dict[str, Any]] = {}
    named = sorted(walk(folder, lambda path: path.name.lower() in METADATA))
    for path in named:
        own: dict[str, dict[str, Any]] = {}
        for row in _rows(path):
            name = _beside(path, str(row.pop("file_name")))
            if own.setdefault(name, row) != row:
                raise ZooError(f"{path}: two rows of {os.path.basename(name)} that differ: which is it?")
        if own and not any(map(os.path.exists, own)):
            raise ZooError(
                f"{path}: there is no picture of any file_name in it, such as {min(own)}: a file_name "
                "is a path from the folder of this file, with the suffix, in the same letters"
            )
        if any(rows.get(name, row) != row for name, row in own.items()):
            raise ZooError(f"{path}: another metadata file says something else of its pictures: which is it?")
        rows |= own
    found = [rows.get(os.path.abspath(path)) for path in files]
    missing = [path for path, row in zip(files, found, strict=True) if row is None]
    if len(missing) == len(files):
        return {}, []
    if missing:
        raise ZooError(
            f"{named[0]}: no row with the file_name of {len(missing)} of {len(files)} pictures, such as {missing[0]}"
        )
    names = list(dict.fromkeys(name for row in found if row is not None for name in row))
    absent = [name for name in rows.keys() - {os.path.abspath(path) for path in files} if not os.path.exists(name)]
    said = f"{len(absent)} pictures that metadata files name are not there, such as {min(absent, default='')}"
    return {name: [(row or {}).get(name) for row in found] for name in names}, [said] * bool(absent)


def _beside(path: Path, name: str) -> str:
    """Return the path of a file that a metadata file names. Backslashes separate folders unless such a file exists."""
    file = os.path.abspath(path.parent / name)
    return file if "\\" not in name or os.path.exists(file) else os.path.abspath(path.parent / name.replace("\\", "/"))


def _rows(path: Path) -> list[dict[str, Any]]:
    import pandas

    refuse_pointer(path)
    readers = {
        ".csv": lambda file: _with_numbers(
            _without_spaces(  # NA and None are names
                pandas.read_csv(file, dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True),
                _header(file),
            )
        ),
        ".jsonl": lambda file: pandas.read_json(  # "01" is not 1, and Windows editors write a byte order mark
            file, lines=True, dtype=False, convert_dates=False, encoding="utf-8-sig"
        ),
    }
    try:
        frame = readers.get(path.suffix.lower(), pandas.read_parquet)(path).convert_dtypes()
    except UnicodeDecodeError as error:
        raise ZooError(f"{path}: it is not in UTF-8: save it again in that encoding") from error
    except (OSError, ValueError) as error:  # errors of pandas and pyarrow are ValueErrors
        open_quote = "a quote is opened and never closed: close it" if "EOF inside string" in str(error) else None
        why = f"{open_quote or reason(error)}; without it the pictures are read as they lie"
        raise ZooError(f"{path}: cannot be read: {why}") from error
    if "file_name" not in frame.columns:
        found = [str(name) for name in frame.columns]
        other = next((sign for sign in ";\t|" if any("file_name" in name.split(sign) for name in found)), None)
        if other is not None:
            raise ZooError(f"{path}: its columns are separated by {other!r}: save it again with commas")
        if frame.columns.inferred_type == "integer":
            raise ZooError(f"{path}: it holds one JSON list: write the objects without brackets, one a line")
        names = listed(found) or "no column"
        raise ZooError(f"{path}: no column file_name that says which picture a row is of, but {names}")
    if not isinstance(frame.index, pandas.RangeIndex):  # pandas takes surplus values as names of rows
        raise ZooError(f"{path}: its rows have more values than it names columns: put names with commas into quotes")
    frame = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _header(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file as they stand there, since pandas changes one that comes twice."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, skipinitialspace=True), [])


def _without_spaces(frame: DataFrame, header: Sequence[str]) -> DataFrame:
    """Strip the names and texts of a CSV file, where people may have aligned columns with spaces.

    Args:
        header: names of the columns as they stand in the file.

    Raises:
        ValueError: two columns have the same name after that.
    """
    twice = [name for name, count in Counter(name.strip() for name in header).items() if name and count > 1]
    if twice:
        raise ValueError(f"two columns are called {twice[0]!r}")
    frame.columns = frame.columns.str.strip()
    for name in frame.columns:
        frame[name] = frame[name].str.strip()
    return frame


def _with_numbers(frame: DataFrame) -> DataFrame:
    """Convert the columns of a CSV file that hold only numbers. 01 is not a number, but a name other than 1."""
    import pandas

    for name in frame.columns:
        texts = frame[name].dropna()
        if len(texts) and texts.str.fullmatch(NUMBER).all():
            frame[name] = pandas.to_numeric(frame[name])
    return frame


def _unread(folder: Path) -> list[str]:
    """Return notes that count the files that may hold pictures but are not read."""
    others = Counter(path.suffix.lower() for path in walk(folder, lambda path: path.suffix.lower() in UNREAD))
    said = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    nameless = sum(1 for _ in walk(folder, _is_nameless))
    return [f"not read: {said}, which are no pictures that Pillow opens"] * bool(said) + [
        f"not read: {nameless:,} whose names have no suffix, and which hold pictures: rename them, as to NAME.png"
    ] * bool(nameless)


def _tables(folder: Path) -> list[str]:
    """Return a note of the tables beside pictures, one of which may hold the labels that the user means."""

    def may_be(path: Path) -> bool:
        return path.suffix.lower() in TABLES and path.name.lower() not in METADATA

    names = [str(path.relative_to(folder)) for path in walk(folder, may_be)]
    way = "labels are read from a metadata.csv beside the pictures, with the columns file_name and label"
    return [f"not read: {listed(sorted(names))} ({way})"] if names else []


def _is_nameless(path: Path) -> bool:
    """Tell whether a file has no suffix and begins like a picture."""
    if path.suffix:
        return False
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(BEGINNINGS)
    except OSError:
        return False


def _repeated(folder: Path) -> list[str]:
    """Return a note of the folders that link to others, whose pictures are read only there."""
    names = [str(path.relative_to(folder)) for path in repeated(folder)]
    return [f"read once, and not again by links to their folders: the pictures of {listed(names)}"] if names else []
