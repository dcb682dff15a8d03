"""Noise for the schedulers of diffusers, which draw with the `randn_tensor` of their module."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from samplerzoo import ZooError

_REPLACING = threading.RLock()
"""Lock for one step at a time, since the function that is replaced belongs to the whole process."""


@contextmanager
def drawing(module: ModuleType, noise: Callable[[], torch.Tensor]) -> Iterator[None]:
    """Replace the module's `randn_tensor` by `noise`, and put it back afterwards, whatever happens."""

    def draw(
        shape: Sequence[int],
        generator: Any = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        layout: torch.layout | None = None,
    ) -> torch.Tensor:
        z = noise()
        if tuple(shape) != tuple(z.shape):
            raise ZooError(f"{module.__name__} draws noise of shape {tuple(shape)} for states {tuple(z.shape)}")
        return z.to(device=device or z.device, dtype=dtype or z.dtype)

    with _REPLACING:
        theirs = vars(module).get("randn_tensor")
        if theirs is None:  # it draws nothing
            yield
            return
        module.randn_tensor = draw  # type: ignore[attr-defined]
        try:
            yield
        finally:
            module.randn_tensor = theirs  # type: ignore[attr-defined]
