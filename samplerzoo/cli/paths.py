"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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


PATH, FILE = PathType(), PathType(file=True)
