"""Marks: a hash of each picture of a data set, to name the pictures that have changed."""

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
    """Marks of a data set: hashes of eight bytes.

    Attributes:
        files: mark of each picture's label, file name and file size, in order.
        contents: marks of the contents of some pictures.
        rows: rows of these pictures.
    """

    files: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    rows: Sequence[int]

    @classmethod
    def of(cls, files: Sequence[Any], contents: Sequence[bytes], rows: Sequence[int]) -> Marks:
        """Make the marks.

        Args:
            files: facts on each file, which JSON can hold.
            contents: contents, or digests of them, of the files in `rows`.
        """
        marks = [_mark(json.dumps(each).encode()) for each in files]
        return cls(np.array(marks, np.uint64), np.array([_mark(each) for each in contents], np.uint64), rows)

    def save(self, path: Path) -> None:
        """Write the marks to a safetensors file."""
        save_file({FILES: self.files, CONTENTS: self.contents}, path)

    def changed(self, path: Path) -> list[int]:
        """Return rows of pictures that differ from the marks in a file.

        First come pictures with a new label, name or size. If there are none, these are pictures with new contents.
        The list is empty if only the order differs. It is also empty if the file cannot tell: if it is missing, as in
        earlier versions, or has marks of another number of pictures.
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
