"""Offload of a whole pipeline: its weights wait in memory, and come to the accelerator when they are needed."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from samplerzoo.core.model import OFFLOADS, Offload
from samplerzoo.errors import UsageError, ZooError, reason

METHODS: dict[Offload, str] = {
    "model": "enable_model_cpu_offload",
    "sequential": "enable_sequential_cpu_offload",
    "group": "enable_group_offload",
}
"""Methods of pipelines by kind of offload. "model" moves a whole part to the accelerator at once, the others layers."""


def check_offload(cls: type[Any], offload: Offload, device: str) -> None:
    """Refuse to offload without an accelerator, or in a way that a pipeline does not support.

    Raises:
        UsageError: says what is available.
    """
    if torch.device(device).type == "cpu":
        raise UsageError(
            f"--offload {offload} brings weights to an accelerator when they are needed, and the device is {device}: "
            "leave --offload out"
        )
    there = [each for each in OFFLOADS if _has(cls, each)]
    if offload not in there:
        others = f"take {' or '.join(f'--offload {each}' for each in there)}" if there else "leave --offload out"
        raise UsageError(f"{cls.__name__} of diffusers {diffusers.__version__} has no --offload {offload}: {others}")


def start_offload(pipeline: Any, offload: Offload, device: str) -> None:
    """Keep the weights of a pipeline in main memory until they are needed.

    Raises:
        ZooError: the pipeline refuses.
    """
    enable = getattr(pipeline, METHODS[offload])
    try:
        if offload == "group":
            enable(torch.device(device), offload_type="leaf_level")
        else:
            enable(device=device)
    except Exception as error:  # the kind of error depends on the pipeline
        raise ZooError(f"{type(pipeline).__name__}: --offload {offload}: {reason(error)}") from error


def _has(cls: type[Any], offload: Offload) -> bool:
    """Tell whether a pipeline supports a kind of offload. To move whole parts, it has to know their order."""
    ordered = offload != "model" or getattr(cls, "model_cpu_offload_seq", None) is not None
    return ordered and hasattr(cls, METHODS[offload])
