"""Files on disk: atomic writes, a lock on output folders, and short SHA-256 names.

A file is written under another name in the same folder and then renamed, so a reader never meets half of it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samplerzoo.errors import UsageError, ZooError, reason

DIGITS = 16
"""Hexadecimal digits of a SHA-256 that are used as a name."""

LOCK_FILE = ".lock"
"""Name of the lock file in an output folder."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` if the block ends without error.

    The folder is created if need be. After an error the old file is untouched and the temporary one is deleted.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{os.getpid()}-{target.name}")
    try:
        yield partial
        _move(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder, and move its files into `folder` one by one if the block ends without error.

    Other files in `folder` stay. A reader may meet new files beside old ones, but never half a file.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
    try:
        yield beside
        for source in sorted(path for path in beside.rglob("*") if path.is_file()):
            target = root / source.relative_to(beside)
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(source, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an indented JSON file atomically.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def contents(folder: Path) -> list[str]:
    """Return the names of all entries of a folder except the lock file. Return an empty list if it does not exist.

    Raises:
        UsageError: `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder")
    return [path.name for path in folder.iterdir() if path.name != LOCK_FILE] if folder.is_dir() else []


@contextmanager
def locked(folder: Path, what: str = "run") -> Iterator[None]:
    """Lock an output folder until the block ends, so that no other program writes there. Create it if need be.

    In a multi-process run every process calls this, and the main one takes the lock.

    Args:
        what: noun for the other program in the error message.

    Raises:
        UsageError: `folder` is a file.
        ZooError: another program has locked it.
    """
    from filelock import FileLock, Timeout

    from samplerzoo.system.processes import on_main  # imports torch

    lock = FileLock(folder / LOCK_FILE)

    def take() -> None:
        contents(folder)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ZooError(f"{folder} is in use by another {what}") from error

    on_main(take)
    try:
        yield
    finally:
        lock.release()


def _move(source: Path, target: Path) -> None:
    """Rename a file and give it the mode of any new file. safetensors makes files that only their owner can read."""
    fresh = source.with_name(source.name + "-mode")
    fresh.touch()
    source.chmod(fresh.stat().st_mode)
    fresh.unlink()
    os.replace(source, target)


def digest_text(text: str) -> str:
    """Return the first 16 hex digits of the SHA-256 of a text, encoded as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def digest(*files: Path) -> str:
    """Return the first 16 hex digits of a file's SHA-256.

    For several files, hash their digests in the given order.

    Raises:
        ZooError: a file cannot be read.
    """
    try:
        found = [_sha256(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    except OSError as error:
        raise ZooError(f"{error.filename}: cannot be read: {reason(error)}") from error
    return found[0][:DIGITS] if len(found) == 1 else digest_text("".join(found))


@functools.lru_cache
def _sha256(path: Path, modified: int, size: int) -> str:
    """Return the whole SHA-256 of a file. The cache holds until its time or size changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
