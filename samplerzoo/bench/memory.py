"""The most memory that was in use since a moment: of the GPU, or else of the process."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import torch

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"


def start(device: str) -> None:
    """From here on, as far as the system lets one begin anew."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # Linux alone has it, and not in every container
        CLEAR.write_text(RESET_PEAK)


def peak(device: str) -> int:
    """Bytes: what tensors took of the GPU, or what the process had in memory, its libraries included."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # POSIX alone has it

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
