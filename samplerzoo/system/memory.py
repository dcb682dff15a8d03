"""Memory of this process: keep what a network call frees for the next one, and measure the peak.

A network on a CPU takes and frees hundreds of megabytes a call, in the same pieces every time. glibc gives pieces of
that size back to the system at once, and the system clears every page again when it is next touched: a tenth of the
time of a call and more, the larger the batch. benchmarks/reports/speed has figures.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of mallopt(3)."""

GROWTH = 64 * 2**20
"""Bytes that the heap grows by, at least."""

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"
"""Text that resets the peak when written to CLEAR_REFS, see proc(5)."""


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


def reset_peak(device: str) -> None:
    """Start a new measurement of the peak. Do nothing on a CPU where the system has no way to reset it."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # Linux alone has the file, and some containers forbid writing to it
        CLEAR_REFS.write_text(RESET_PEAK)


def peak_memory(device: str) -> int:
    """Return the most bytes in use since `reset_peak`.

    On CUDA these are the bytes of tensors on the GPU, else the resident memory of the process with its libraries.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # POSIX alone has it

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
