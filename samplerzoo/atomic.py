"""Files that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
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
def filling(folder: str | os.PathLike[str]) -> Iterator[Path]:
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


def _move(source: Path, target: Path) -> None:
    """Into its place, readable to whom any new file is: safetensors writes files that their owner alone can read."""
    fresh = source.with_name(source.name + "-mode")
    fresh.touch()
    source.chmod(fresh.stat().st_mode)
    fresh.unlink()
    os.replace(source, target)
