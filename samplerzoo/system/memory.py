"""Memory of this process: keep freed memory for the next network call, and measure the peak.

On a CPU a network allocates and frees hundreds of megabytes in every call, in blocks of the same sizes. By default
glibc returns such blocks to the system at once, and the system clears each page when it is next used. That takes a
tenth of the time of a call or more, and grows with the batch (benchmarks/reports/speed).
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of mallopt(3), as malloc.h numbers them."""

GROWTH = 64 * 2**20
"""Least number of bytes by which the heap grows."""

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"
"""Text that resets the peak when written to CLEAR_REFS, see proc(5)."""


def ran_out(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out. torch has a type of error for GPUs, but none for CPUs."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory for this process. Return True if it does.

    Do nothing and return False on systems without glibc, or if the user has set malloc options in the environment.

    This changes the whole process, so the command line calls it and `sample` does not. The peak stays the same, but
    between calls other processes cannot use the freed memory.
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
    """Start a new measurement of the peak. Do nothing for the CPU on a system that cannot reset it."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # only Linux has the file, and some containers forbid writing to it
        CLEAR_REFS.write_text(RESET_PEAK)


def peak_memory(device: str) -> int:
    """Return the largest number of bytes in use since `reset_peak`.

    For CUDA this counts tensors on the GPU, otherwise the resident memory of the process including its libraries.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # only on POSIX

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
