"""Marks: a number for each picture of a data set, by which those that are not as they were can be named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from samplerzoo.errors import ZooError
from samplerzoo.trust.arrays import Expected, read_array

FILES, CONTENTS = "files", "contents"
"""Names of the arrays in a file of marks."""
_COLUMN = Expected((None,), whole=True)


@dataclass(frozen=True, eq=False)
class Marks:
    """Marks of a data set, eight bytes a picture.

    Attributes:
        files: a mark of what is cheap to read of each picture, in order: its label, name and size.
        contents: marks of the contents of some pictures, which are read for them.
        rows: rows of those.
    """

    files: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    rows: Sequence[int]

    @classmethod
    def of(cls, files: Sequence[Any], contents: Sequence[bytes], rows: Sequence[int]) -> Marks:
        """Mark what is known of each file, as JSON, and the contents of the files of these rows."""
        marks = [_mark(json.dumps(each).encode()) for each in files]
        return cls(np.array(marks, np.uint64), np.array([_mark(each) for each in contents], np.uint64), rows)

    def save(self, path: Path) -> None:
        """Write the marks."""
        save_file({FILES: self.files, CONTENTS: self.contents}, path)

    def changed(self, path: Path) -> list[int]:
        """Return rows of pictures that are not as the marks in a file say.

        It is empty where all that is marked is alike but for its order, and where the file does not tell: there is
        none, as of an earlier version, or it is of another number of pictures.
        """
        try:
            files, contents = (read_array(path, name, _COLUMN) for name in (FILES, CONTENTS))
        except ZooError:
            return []
        if files.shape != self.files.shape or contents.shape != self.contents.shape:
            return []
        others: list[int] = np.flatnonzero(~np.isin(self.files, files)).tolist()
        return others or [self.rows[place] for place in np.flatnonzero(self.contents != contents).tolist()]


def _mark(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
