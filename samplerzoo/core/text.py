"""Text encoder: conversion of prompts to inputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samplerzoo.core.stopwatch import Stopwatch

if TYPE_CHECKING:
    import torch

    Inputs = Mapping[str, torch.Tensor]

MOST_KEPT = 2**26
"""Most values that are kept of encoded prompts: about a thousand prompts of Stable Diffusion."""


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """Text encoder of a model. It encodes each prompt once, and by itself, so that no image depends on its batch.

    Attributes:
        encode: function from a prompt to keyword inputs of the network, without the axis of the batch.
        nothing: function that returns the inputs for no prompt in particular; None to use the empty prompt.
        count: function from a prompt to the number of its tokens.
        most: largest number of tokens that are read from a prompt; the rest is cut off.
        identity: function that returns the SHA-256 of the encoder's files.
        watch: stopwatch of the time spent on encoding.
    """

    encode: Callable[[str], Inputs]
    count: Callable[[str], int]
    most: int
    nothing: Callable[[], Inputs] | None = None
    identity: Callable[[], str] = field(default=lambda: "")
    watch: Stopwatch = field(default_factory=Stopwatch)
    _kept: dict[str | None, Inputs] = field(default_factory=dict, init=False, repr=False)

    def inputs(self, prompts: Sequence[str | None]) -> dict[str, torch.Tensor]:
        """Return the inputs (N, ...) for N prompts. None stands for no prompt in particular."""
        import torch

        found = {prompt: self._encoded(prompt) for prompt in dict.fromkeys(prompts)}
        names = found[prompts[0]]
        return {name: torch.stack([found[prompt][name] for prompt in prompts]) for name in names}

    def cut(self, prompts: Iterable[str]) -> dict[str, int]:
        """Return the prompts that are too long, each with its number of tokens."""
        counts = {prompt: self.count(prompt) for prompt in dict.fromkeys(prompts)}
        return {prompt: count for prompt, count in counts.items() if count > self.most}

    def _encoded(self, prompt: str | None) -> Inputs:
        """Encode a prompt, or return its kept inputs."""
        import torch

        if prompt is None and self.nothing is None:
            prompt = ""
        if prompt not in self._kept:
            with torch.no_grad(), self.watch:
                inputs = self.nothing() if prompt is None and self.nothing is not None else self.encode(prompt or "")
            size = sum(value.numel() for value in inputs.values())
            if (len(self._kept) + 1) * size > MOST_KEPT:  # keep the first ones, since prompts are used cyclically
                return inputs
            self._kept[prompt] = inputs
        return self._kept[prompt]
