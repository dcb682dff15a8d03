"""Versions and hardware that a run was made with, and the choice of device and dtype."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from samplerzoo.errors import UsageError, expect, reason
from samplerzoo.version import __version__

PACKAGES = (
    "torch diffusers accelerate transformers datasets safetensors huggingface-hub numpy pillow pydantic click".split()
)
"""Packages whose versions a run records."""

CPU_BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""Instruction sets that multiply bfloat16 numbers, as `torch.cpu.get_capabilities` names them."""
CPU_BFLOAT16_PROBES = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""Functions of torch.cpu with the same information, for versions without `get_capabilities`."""


def versions() -> dict[str, str]:
    """Return the versions of samplerzoo, Python and PACKAGES, without importing the packages."""
    found = {"samplerzoo": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Describe the operating system, the processor and the accelerators as torch sees them."""
    import torch

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": cuda,
        "cuda_version": torch.version.cuda,
        "mps": torch.backends.mps.is_available(),
    }


def devices() -> list[str]:
    """Return the devices that torch computes on here."""
    import torch

    if not torch.accelerator.is_available():
        return ["cpu"]
    kind = str(torch.accelerator.current_accelerator())
    return ["cpu", kind, *(f"{kind}:{index}" for index in range(1, torch.accelerator.device_count()))]


def choose_device(device: str) -> str:
    """Return this device as text, or for "auto" the first of cuda, mps and cpu that torch finds.

    The argument may also be a torch.device.

    Raises:
        UsageError: torch has no such device here.
    """
    import torch

    if isinstance(device, torch.device):
        device = str(device)
    expect("device", device, str, ", such as cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).add(1).item()  # fails on "meta" and others that have tensors but no values
    except Exception as error:  # torch raises many kinds of errors here
        there = devices()
        why = f" does not work: {reason(error)}" if device in there else " is none that computes here"
        raise UsageError(
            f"device {device!r:.60}{why}; there {'are' if there[1:] else 'is'}: {', '.join(there)}"
        ) from error
    return device


def choose_dtype(dtype: str, device: str) -> str:
    """Return this dtype. For "auto" return bfloat16 where the device computes it natively, else float32.

    Raises:
        UsageError: the dtype is unknown.
    """
    if dtype == "auto":
        return "bfloat16" if native_bfloat16(device) else "float32"
    if dtype not in ("float32", "bfloat16", "float16"):
        raise UsageError(f"unknown dtype {dtype!r}; known: auto, float32, bfloat16, float16")
    return dtype


def native_bfloat16(device: str) -> bool:
    """Return True if the device has instructions for bfloat16 and torch uses them.

    These are GPUs from compute capability 8.0, and x86 CPUs with AVX512-BF16 or AMX-BF16 where torch has oneDNN, whose
    kernels use them. The answer is a property of the hardware and never depends on a timing.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if not device.startswith("cpu") or not torch.backends.mkldnn.is_available():
        return False
    try:
        found = torch.cpu.get_capabilities()
    except AttributeError:
        return any(_probe(name) for name in CPU_BFLOAT16_PROBES)
    return any(found.get(name, False) for name in CPU_BFLOAT16)


def _probe(name: str) -> bool:
    """Call a private function of torch.cpu. Return False in a version of torch without it."""
    import torch

    try:
        return bool(getattr(torch.cpu, name)())
    except AttributeError:
        return False


def device_name(device: str) -> str:
    """Return the device with the name of its hardware, as in `cuda (NVIDIA H200)`. CPUs have none."""
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device
