"""Hooks on the modules of a pipeline, which measure what its own code asks of them."""

from __future__ import annotations

from typing import Any

from torch import nn

from samplerzoo.core.stopwatch import Stopwatch


def time_texts(pipeline: Any, watch: Stopwatch) -> None:
    """Let a stopwatch run while a text encoder of a pipeline does, or any module of one, which is called by itself."""

    def start(*_: object) -> None:
        watch.start()

    def stop(*_: object) -> None:
        watch.stop()

    for encoder in pipeline.components.values():
        if isinstance(encoder, nn.Module) and type(encoder).__module__.startswith("transformers."):
            for module in encoder.modules():
                module.register_forward_pre_hook(start)
                module.register_forward_hook(stop, always_call=True)
