"""Files on disk: atomic writes, a lock on output folders, and short SHA-256 names.

A file is written under a temporary name in the same folder and then renamed, so that a reader never sees half of it.
Temporary names begin with a dot, and every reader ignores such names, since a killed process may have left them behind.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samplerzoo.errors import UsageError, ZooError, path_text, reason

DIGITS = 16
"""Hexadecimal digits of a SHA-256 that are used as a name."""

LOCK_FILE = ".lock"
"""Name of the lock file in an output folder."""

PARTIAL = ".partial-"
"""Beginning of the names of files and folders that are being written or removed."""


REPLACED = "-replaced"
"""End of the name of a folder that another takes the place of."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` if the block ends without error.

    The folder is created if need be. After an error the old file is untouched and the temporary one is deleted.

    Raises:
        OSError, ZooError: it cannot be written; names the file, and not the temporary one.
    """
    target = Path(path_text("the name of a file", path))
    _make_folder(target.parent)
    partial = target.with_name(f"{PARTIAL}{os.getpid()}-{target.name}")
    try:
        yield partial
        _move(partial, target)
    except Exception as error:
        if type(error).__name__ == "SafetensorError":  # safetensors raises it instead of OSError
            code = re.search(r"\(os error (\d+)\)", str(error))
            raise ZooError(
                f"{target}: cannot be written: {os.strerror(int(code[1])) if code else reason(error)}"
            ) from error
        if isinstance(error, OSError) and PARTIAL in str(error.filename):
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder, and move its files into `folder` one by one if the block ends without error.

    Other files in `folder` stay. A reader may meet new files beside old ones, but never half a file.
    """
    root = Path(folder)
    _make_folder(root)
    try:
        beside = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=root))
    except OSError as error:
        error.filename = str(root)
        raise
    try:
        yield beside
        for source in sorted(path for path in beside.rglob("*") if path.is_file()):
            target = root / source.relative_to(beside)
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(source, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder. It is renamed first, so that a half-removed folder never has the old name."""
    if folder.exists():
        doomed = folder.with_name(f"{PARTIAL}{os.getpid()}-{folder.name}")
        os.replace(folder, doomed)
        shutil.rmtree(doomed)


def set_aside(folder: Path) -> Path:
    """Give a folder another name beside the old one, under which nothing looks for it, and return that."""
    names = itertools.chain([REPLACED], (f"{REPLACED}-{number}" for number in itertools.count(2)))
    aside = next(path for path in (folder.with_name(folder.name + name) for name in names) if not path.exists())
    os.replace(folder, aside)
    return aside


def is_set_aside(name: str) -> bool:
    """Tell whether this is the name of a folder that was set aside."""
    return re.search(rf"{REPLACED}(-\d+)?$", name) is not None


def remove_partials(folder: Path) -> None:
    """Remove partial files that killed processes have left below a folder, which must be locked.

    Subfolders with their own lock belong to other programs, and are left alone.
    """
    for here, folders, names in os.walk(folder):
        for name in [name for name in (*folders, *names) if name.startswith(PARTIAL)]:
            path = Path(here, name)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folders[:] = [
            name for name in folders if not name.startswith(PARTIAL) and not Path(here, name, LOCK_FILE).exists()
        ]


def remove_partials_of(target: Path) -> None:
    """Remove partial versions of a file that killed processes have left."""
    half = re.compile(rf"{re.escape(PARTIAL)}\d+-{re.escape(target.name)}(-mode)?")
    for path in target.parent.glob(f"{PARTIAL}*"):
        if half.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an indented JSON file atomically.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def contents(folder: Path) -> list[str]:
    """Return the names of all complete entries of a folder, without the lock file; none if it does not exist.

    Raises:
        UsageError: `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return [name for name in names if name != LOCK_FILE and not name.startswith(PARTIAL)]


@contextmanager
def locked(folder: Path, what: str = "run") -> Iterator[None]:
    """Lock an output folder until the block ends, so that no other program writes there. Create it if need be.

    Partial files of killed programs are removed. In a multi-process run every process calls this, and the main one
    takes the lock. If the block refuses the request, no new lock file stays among the user's files.

    Args:
        what: noun for the other program in the error message.

    Raises:
        UsageError: `folder` is a file.
        ZooError: another program has locked it.
    """
    from filelock import FileLock, Timeout

    from samplerzoo.system.processes import on_main  # imports torch

    lock, before = FileLock(folder / LOCK_FILE), (folder / LOCK_FILE).exists()

    def take() -> None:
        contents(folder)
        _make_folder(folder)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ZooError(f"{folder} is in use by another {what}") from error
        remove_partials(folder)

    on_main(take)
    try:
        yield
    except UsageError:
        if lock.is_locked and not before:
            (folder / LOCK_FILE).unlink(missing_ok=True)
        raise
    finally:
        lock.release()


def _make_folder(folder: Path) -> None:
    """Create a folder if need be.

    Raises:
        UsageError: it is a link to what is not there.
    """
    if folder.is_symlink() and not folder.exists():
        raise UsageError(
            f"{folder} is a link to {os.readlink(folder)}, which is not there: make that, or remove the link"
        )
    folder.mkdir(parents=True, exist_ok=True)


def _move(source: Path, target: Path) -> None:
    """Rename a file and give it the mode of any new file. safetensors makes files that only their owner can read."""
    fresh = source.with_name(source.name + "-mode")
    fresh.touch()
    source.chmod(fresh.stat().st_mode)
    fresh.unlink()
    os.replace(source, target)


def user_path(text: str) -> str:
    """Replace ~ or ~NAME at the start of a path by the home of the user.

    Raises:
        UsageError: there is no such user.
    """
    path = os.path.expanduser(text)
    if path.startswith("~"):
        user = path.split(os.sep)[0]
        raise UsageError(f"{text}: there is no user {user[1:]!r}; for a file of such a name, write ./{text}")
    return path


def cache_folder(name: str) -> Path:
    """Return the folder of this user's cache for a purpose. It may not exist."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "samplerzoo" / name


def digest_text(text: str) -> str:
    """Return the first 16 hex digits of the SHA-256 of a text, encoded as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def digest(*files: str | os.PathLike[str]) -> str:
    """Return the first 16 hex digits of a file's SHA-256.

    For several files, hash their digests in the given order.

    Raises:
        ZooError: a file cannot be read.
    """
    try:
        paths = [Path(path_text("the name of a file", file)) for file in files]
        found = [_sha256(path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
    except OSError as error:
        raise ZooError(f"{error.filename}: cannot be read: {reason(error)}") from error
    return found[0][:DIGITS] if len(found) == 1 else digest_text("".join(found))


@functools.lru_cache
def _sha256(path: Path, modified: int, size: int) -> str:
    """Return the whole SHA-256 of a file. The cache holds until its time or size changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
