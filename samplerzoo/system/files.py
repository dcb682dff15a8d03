"""Files that are whole or not there: written beside their place, then moved into it."""

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
"""Of a SHA-256 in hexadecimal, where it names a thing."""

LOCK_FILE = ".lock"
"""Name of the file in an output folder that the process which writes there holds locked."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `path` to write to; the file there takes the place of `path` when the block ends without error."""
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
    """A new folder to write to, whose files then take their places in `folder`, each in a single step.

    What else is in `folder` stays. A reader may meet new files beside old ones, but never half a file.
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
    """Return the names of everything in a folder but the lock file; an empty list if there is no such folder.

    Raises:
        UsageError: it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder")
    return [path.name for path in folder.iterdir() if path.name != LOCK_FILE] if folder.is_dir() else []


@contextmanager
def locked(folder: Path, what: str = "run") -> Iterator[None]:
    """Hold an output folder, which is created if need be, against other programs until the block ends.

    Every process of a multi-process run calls this; the main one holds the lock for all of them.

    Args:
        what: the kind of program that the message of a refusal names.

    Raises:
        UsageError: it is a file.
        ZooError: another program holds the folder.
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
    """Into its place, readable to whom any new file is: safetensors writes files that their owner alone can read."""
    fresh = source.with_name(source.name + "-mode")
    fresh.touch()
    source.chmod(fresh.stat().st_mode)
    fresh.unlink()
    os.replace(source, target)


def digest_text(text: str) -> str:
    """Return the first 16 hex digits of the SHA-256 of a text, encoded as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def digest(*files: Path) -> str:
    """The first 16 hex digits of a file's SHA-256; of several files, those of their digests in this order.

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
    """A file is read once for as long as it stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
