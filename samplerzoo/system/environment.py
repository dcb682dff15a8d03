"""What a run was made with: versions of the packages that matter, and the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from samplerzoo.version import __version__

PACKAGES = (
    "torch diffusers accelerate transformers datasets safetensors huggingface-hub numpy pillow pydantic click".split()
)


def versions() -> dict[str, str]:
    """Of samplerzoo, Python and the packages it stands on, without importing them."""
    found = {"samplerzoo": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """System, processor, accelerators, and what torch makes of them."""
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


def device_name(device: str) -> str:
    """`cuda (NVIDIA H200)`; the device alone where it has no name."""
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device
