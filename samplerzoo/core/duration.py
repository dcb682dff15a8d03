"""Duration of drawing: seconds in total, and seconds of text encoders and decoders."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Duration:
    """Seconds that one process spent on images, from prompts to pixels.

    Attributes:
        seconds: total.
        encoding: seconds of text encoders; 0 for models without prompts.
        decoding: seconds of the decoder of latents; 0 for models of pixels.
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
