"""Process-wide settings, which a plugin must not change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """Setting of a process: functions that read it, and that restore a value."""

    read: Callable[[], Any]
    put: Callable[[Any], object]


def _of(owner: Any, name: str) -> Setting:
    return Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


SETTINGS = {
    "torch's default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": Setting(torch.get_default_device, lambda device: _put_device(device)),
    "torch's grad mode": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's anomaly mode": Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "torch's autocast on the CPU": Setting(
        lambda: torch.is_autocast_enabled("cpu"), lambda value: torch.set_autocast_enabled("cpu", value)
    ),
    "torch's autocast on accelerators": Setting(
        lambda: torch.is_autocast_enabled("cuda"), lambda value: torch.set_autocast_enabled("cuda", value)
    ),
    "torch's dtype of autocast on the CPU": Setting(
        lambda: torch.get_autocast_dtype("cpu"), lambda dtype: torch.set_autocast_dtype("cpu", dtype)
    ),
    "torch's handling of tiny numbers": Setting(lambda: _flushes_denormals(), torch.set_flush_denormal),
    "torch's deterministic algorithms": Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "torch's number of threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "torch's precision of float32 products": Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "torch.backends.mkldnn.enabled": _of(torch.backends.mkldnn, "enabled"),
    "torch.backends.cudnn.enabled": _of(torch.backends.cudnn, "enabled"),
    "torch's flash attention": Setting(torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    "torch's attention that saves memory": Setting(
        torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp
    ),
    "torch's plain attention": Setting(torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    "torch.backends.cudnn.benchmark": _of(torch.backends.cudnn, "benchmark"),
    "torch.backends.cudnn.deterministic": _of(torch.backends.cudnn, "deterministic"),
    "torch.backends.cudnn.allow_tf32": _of(torch.backends.cudnn, "allow_tf32"),
    "numpy's handling of errors": Setting(np.geterr, lambda value: np.seterr(**value)),
    "the current folder": Setting(os.getcwd, os.chdir),
}
"""Settings that images of other runs, or other code, depend on."""


def _put_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


def _flushes_denormals() -> bool:
    """Tell whether numbers too small for all their digits become 0 on the CPU."""
    return not float(torch.tensor(1e-300, dtype=torch.float64) * 1e-10)


@contextmanager
def kept_settings() -> Iterator[dict[str, str]]:
    """Restore all settings at the end. Yield a dict, which then describes those that were changed in the block."""
    before = {name: setting.read() for name, setting in SETTINGS.items()}
    changed: dict[str, str] = {}
    try:
        yield changed
    finally:
        for name, setting in SETTINGS.items():
            now = setting.read()
            if now != before[name]:
                changed[name] = f"{now}, which was {before[name]}"
                setting.put(before[name])


@contextmanager
def unchanged() -> Iterator[None]:
    """Check that the block changes no setting. A change is reported before any other error of the block."""
    found = None
    with kept_settings() as changed:
        try:
            yield
        except Exception as error:
            found = error
    for name, now in changed.items():
        raise AssertionError(
            f"it leaves {name} as {now}: that is of the whole process, and of other runs; give what is made a dtype "
            "and a device of its own, or put the setting back in the same step"
        ) from found
    if found is not None:
        raise found
