"""Entry points of the installed distributions, read once until something is installed."""

from __future__ import annotations

import functools
import os
import sys
from importlib.metadata import Distribution, EntryPoint, entry_points


def points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group. None is imported."""
    return _read(group, _installed())


@functools.lru_cache(maxsize=8)
def _read(group: str, installed: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Read the entry points of a group, once: it takes milliseconds, and every `sample` would wait for it.

    Args:
        installed: answer of `_installed`; a new one has the entry points read again.
    """
    return tuple(entry_points(group=group))


def _installed() -> tuple[tuple[str, int], ...]:
    """List the folders of packages with the time when something was last installed in each."""
    return tuple((folder, _modified(folder)) for folder in sys.path)


def _modified(folder: str) -> int:
    """Return when an entry of sys.path last changed, in nanoseconds; 0 if it does not exist."""
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


@functools.cache
def origin(distribution: Distribution | None) -> tuple[str, str]:
    """Return name and version of a distribution. Reading them takes half a millisecond, so that they are kept."""
    if distribution is None:
        return "?", ""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]
