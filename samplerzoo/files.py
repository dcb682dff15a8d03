"""Files that are whole or not there: written beside and renamed."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Whatever happens meanwhile, `path` holds its old content or all of the new one.

    Raises:
        OSError: the disk is full, or the place is not writable; what was written so far is removed.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
