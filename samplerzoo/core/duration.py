"""Duration of drawing: seconds in all, and those that are not the network's."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Duration:
    """Seconds that images took one process, from prompts to pixels.

    Attributes:
        seconds: all of them.
        encoding: share of text encoders; none for models that take no prompts.
        decoding: share of the decoder of latents; none for models of pixels.
    """

    seconds: float = 0.0
    encoding: float = 0.0
    decoding: float = 0.0

    def __add__(self, other: Duration) -> Duration:
        return Duration(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def network(self) -> float:
        """Seconds of the network, with sampler and guidance."""
        return self.seconds - self.encoding - self.decoding
