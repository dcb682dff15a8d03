"""Memory that a network call frees stays with the process, for the next call.

A network on a CPU takes and frees hundreds of megabytes a call, in the same pieces every time. glibc gives pieces of
that size back to the system at once, and the system clears every page again when it is next touched: a tenth of the
time of a call and more, the larger the batch. benchmarks/reports/speed has figures.
"""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of mallopt(3)."""

GROWTH = 64 * 2**20
"""Bytes that the heap grows by, at least."""


def keep_freed_memory() -> bool:
    """Ask glibc to keep what is freed. Whether it does: not on other systems, nor against a setting of the user's.

    It is a setting of the whole process, and so one for who owns it: the command line asks, `sample` does not. The
    most memory that is in use stays the same; what is lost is that other processes could have the rest in between.
    """
    if sys.platform != "linux" or _chosen_by_user():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is None:
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: GROWTH}  # all from the heap; never shrink it
    return all(mallopt(name, value) for name, value in settings.items())


def _chosen_by_user() -> bool:
    named = any(name.startswith("MALLOC_") for name in os.environ)
    return named or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
