"""Pointers of git-lfs: the few lines that a clone without git-lfs has in the place of a large file."""

from __future__ import annotations

from pathlib import Path

from samplerzoo.errors import ZooError, reason

POINTER = b"version https://git-lfs"
"""First bytes of a pointer."""
NOT_FETCHED = "git-lfs has not fetched it: run `git lfs pull`"


def refuse_pointer(path: Path) -> None:
    """Refuse a file that git-lfs has not fetched.

    Raises:
        ZooError: it is a pointer, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        raise ZooError(f"{path}: cannot be read: {reason(error)}") from error
    if start == POINTER:
        raise ZooError(f"{path}: {NOT_FETCHED}")
