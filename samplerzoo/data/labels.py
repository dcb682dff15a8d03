"""Labels of a table of images: the column that holds them, and the classes that its values mean."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from samplerzoo.data.class_names import NAMED, composed, in_order, listed
from samplerzoo.errors import UsageError
from samplerzoo.trust.limits import MOST_LETTERS

if TYPE_CHECKING:
    import datasets

COLUMNS = ("label", "labels", "class", "class_name", "class_label", "category", "target")
"""Names of columns that are taken for labels if the user names none and none is declared as class labels."""
LARGEST = 2**53
"""Largest whole number up to which every integer is exact as a float."""
UNLABELLED = -1
"""Label of a row without one. Data sets that keep the labels of a split secret have it, too."""


@dataclass(frozen=True)
class Labels:
    """Labels of all rows.

    Attributes:
        values: class of each row, int64 (N,); UNLABELLED where it has none.
        names: one name per class; empty if there are no labels.
        column: column that they were read from.
        note: why a column was left out, if one was.
    """

    values: Tensor
    names: tuple[str, ...] = ()
    column: str | None = None
    note: str | None = None

    @property
    def without_some(self) -> str:
        """Note on labels of which some rows have none, so that no row has one."""
        return f"the column {self.column!r} has no label, or {UNLABELLED}, for some rows, and is left out"


def read_labels(rows: datasets.Dataset, asked: str | None, dataset: str, label_names: tuple[str, ...] = ()) -> Labels:
    """Read the labels of a table from the column that the user names, or else from one that looks like labels.

    Integers are sorted as numbers: 2 comes before 10. A column that only looked like labels is left out with a note.

    Args:
        asked: name of the column.
        dataset: name of the data set, for errors.
        label_names: names of the integers in the column label, if they are known from elsewhere.

    Raises:
        UsageError: the named column does not exist, or does not hold one class per image.
    """
    nothing = torch.full((len(rows),), UNLABELLED)
    if asked is not None and asked not in rows.column_names:
        raise UsageError(f"{dataset}: no label column {asked!r}; the columns: {listed(rows.column_names)}")
    column = asked or _found(rows)
    if column is None:
        return Labels(nothing)
    kind = rows.features[column]
    names: tuple[str, ...] | None = getattr(
        getattr(kind, "feature", kind), "names", None
    )  # of one ClassLabel, or of a list
    if label_names and column == "label":
        names = label_names
    try:
        classes = [_plain(value) for value in rows[column][:]]
        values, names = _numbered(classes) if names is None else _declared(classes, names)
    except _Unfit as error:
        what = f"{dataset}: the column {column!r} {error}"
        if asked is not None:
            raise UsageError(f"{what}; give another --label-column, or leave it out to learn without labels") from error
        return Labels(nothing, note=f"{what}, and is left out")
    if not names or (values == UNLABELLED).all():
        if asked is not None:
            raise UsageError(f"{dataset}: the column {column!r} holds no label at all: leave out --label-column")
        return Labels(nothing, note=f"the column {column!r} holds no label at all, and is left out")
    return Labels(values, names, column)


def check_labelled(labels: Labels, dataset: str) -> None:
    """Refuse labels if some rows have none.

    Raises:
        UsageError: says how many rows have none, and what to do.
    """
    lacking = (labels.values == UNLABELLED).nonzero().squeeze(1)
    if labels.names and len(lacking):
        words = shlex.quote(",".join(labels.names[:NAMED]) + (",..." if len(labels.names) > NAMED else ""))
        raise UsageError(
            f"{dataset}: {len(lacking)} of {len(labels.values)} rows have no label in the column {labels.column!r}, "
            f"such as row {int(lacking[0])}: leave them out with --classes {words}, or give another --label-column"
        )


class _Unfit(Exception):
    """Error raised for values that are not one class per image."""


def _found(rows: datasets.Dataset) -> str | None:
    declared = [name for name, feature in rows.features.items() if hasattr(feature, "names")]
    named = [name for known in COLUMNS for name in rows.column_names if name.strip().lower() == known]
    both = [name for name in declared if name in named]
    return next(iter([*both, *declared, *named]), None)


def _plain(value: Any) -> Any:
    """Normalize the value of a cell: NaN and empty texts to None, a list to its only item, a whole float to an integer.

    Raises:
        _Unfit: the value is not one class.
    """
    if isinstance(value, list) and len(value) == 1:
        return _plain(value[0])
    if isinstance(value, (list, dict, bytes)):
        raise _Unfit(f"holds a {type(value).__name__} for an image ({value!r:.40}), and not one class")
    if isinstance(value, float):
        if value != value:
            return None
        if not value.is_integer() or abs(value) > LARGEST:
            raise _Unfit(f"holds numbers such as {value:g}, which are no classes")
        return int(value)
    if isinstance(value, str):
        return composed(value) or None
    return value


def _declared(classes: list[Any], names: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Return the labels of a column that declares its classes, and the distinct names."""
    values = torch.tensor([UNLABELLED if value is None else int(value) for value in classes], dtype=torch.int64)
    outside = values[(values < UNLABELLED) | (values >= len(names))]
    if len(outside):
        raise _Unfit(f"holds {int(outside[0])}, and declares {len(names)} classes")
    number: dict[str, int] = {}
    numbers = [number.setdefault(composed(name), len(number)) for name in names]
    return torch.tensor([*numbers, UNLABELLED])[values], tuple(number)  # the last one is for UNLABELLED


def _numbered(classes: list[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Return the labels of a column that declares no classes, and the names of the classes in their order."""
    integers = {value for value in classes if isinstance(value, int)}
    if UNLABELLED in integers and integers != {UNLABELLED, 1}:  # -1 and 1 alone are two classes
        classes = [None if value == UNLABELLED else value for value in classes]
    names = in_order(str(value) for value in classes if value is not None)
    longest = max(names, key=len, default="")
    if len(longest) > MOST_LETTERS:
        raise _Unfit(f"holds texts of up to {len(longest):,} characters ({longest:.40} ...), which name no class")
    number = {name: index for index, name in enumerate(names)}
    values = [UNLABELLED if value is None else number[str(value)] for value in classes]
    return torch.tensor(values, dtype=torch.int64), names
