"""Hooks on the modules of a pipeline, which count and time their calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from samplerzoo.core.cost import Cost
from samplerzoo.core.stopwatch import Stopwatch

NETWORKS = ("diffusers.models.unets.", "diffusers.models.transformers.")
"""Modules of diffusers with classes of networks, whose evaluations are counted."""


def network_calls(pipeline: Any) -> list[nn.Module]:
    """Return the networks of a pipeline, whose calls are counted."""
    modules = [module for module in pipeline.components.values() if isinstance(module, nn.Module)]
    return [module for module in modules if type(module).__module__.startswith(NETWORKS)]


@contextmanager
def counting(pipeline: Any, images: int) -> Iterator[Cost]:
    """Count the calls of a pipeline's networks and their rows, including those of the pipeline's own guidance."""
    cost = Cost(images=images)

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = next(value for value in (*args, *kwargs.values()) if isinstance(value, (torch.Tensor, list)))
        cost.calls += images
        cost.evaluations += len(first)

    hooks = [net.register_forward_pre_hook(count, with_kwargs=True) for net in network_calls(pipeline)]
    try:
        yield cost
    finally:
        for hook in hooks:
            hook.remove()


def time_texts(pipeline: Any, watch: Stopwatch) -> None:
    """Let a stopwatch run while a text encoder of a pipeline runs, or any module of one that is called directly."""

    def start(*_: object) -> None:
        watch.start()

    def stop(*_: object) -> None:
        watch.stop()

    for encoder in pipeline.components.values():
        if isinstance(encoder, nn.Module) and type(encoder).__module__.startswith("transformers."):
            for module in encoder.modules():
                module.register_forward_pre_hook(start)
                module.register_forward_hook(stop, always_call=True)
