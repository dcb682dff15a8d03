"""Entry points of the installed distributions. They are read once, and again when something is installed."""

from __future__ import annotations

import functools
import os
import sys
from importlib.metadata import Distribution, EntryPoint, entry_points


def points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, without importing them."""
    return _read(group, _installed())


@functools.lru_cache(maxsize=8)
def _read(group: str, installed: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Read the entry points of a group, once: it takes milliseconds, and every `sample` would wait for it.

    Args:
        installed: answer of `_installed`, as a key: if it changes, the entry points are read again.
    """
    return tuple(entry_points(group=group))


def _installed() -> tuple[tuple[str, int], ...]:
    """List the folders of packages, each with the time of its last change."""
    return tuple((folder, _modified(folder)) for folder in sys.path)


def _modified(folder: str) -> int:
    """Return when an entry of sys.path last changed, in nanoseconds; 0 if it does not exist."""
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


@functools.cache
def origin(distribution: Distribution | None) -> tuple[str, str]:
    """Return name and version of a distribution. They are cached, since reading them takes half a millisecond."""
    if distribution is None:
        return "?", ""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]
