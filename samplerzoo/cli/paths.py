"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from samplerzoo.errors import UsageError
from samplerzoo.system.files import user_path


class PathType(click.ParamType):
    """Type of a flag that is a path. A ~ that the shell did not expand, as in `--output=~/x`, is the user's home.

    Args:
        file: True to refuse a folder.
    """

    name = "path"

    def __init__(self, *, file: bool = False) -> None:
        self._file = file

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(user_path(str(value)))
        if self._file and path.is_dir():
            self.fail(f"{path} is a folder; give a file", param, ctx)
        return path


def check_suffix(path: Path, suffix: str, what: str) -> None:
    """Refuse to write a file under a name of another kind, which may be that of a file that is wanted.

    Args:
        suffix: suffix of what is written, in lower case.
        what: what is written, for the error.

    Raises:
        UsageError: the path has another suffix.
    """
    if path.suffix.lower() != suffix:
        raise UsageError(f"{path}: {what} is a {suffix} file: give a name that ends in {suffix}")


PATH, FILE = PathType(), PathType(file=True)
