"""Fixtures of hosting: folders of whole pipelines, saved once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

Folders = Callable[[str], Path]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Return a function from the name of a pipeline to its folder, which a test leaves as it is."""
    from folders_of_pipelines import BUILDERS

    root = tmp_path_factory.mktemp("pipelines")

    @cache
    def folder(name: str) -> Path:
        BUILDERS[name]().save_pretrained(root / name)
        return root / name

    return folder
