"""Codec: conversion between the states that a sampler moves and the pictures that people look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    Transform = Callable[[Any, torch.Tensor], torch.Tensor]


class Codec:
    """Codec of a model whose states are pictures in [-1, 1]: `decode` and `encode` are the identity."""

    name: str = "pixels"
    has_decoder: bool = False
    """True if `decode` calls a network, which takes time."""

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape (C, H, W) of a picture, for states of this shape."""
        return shape

    def decode(self, states: torch.Tensor) -> torch.Tensor:
        """Return the pictures (N, C, H, W) in [-1, 1] of states (N, *shape)."""
        return states

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return the states (N, *shape) of pictures (N, C, H, W) in [-1, 1]."""
        return images


class Unsigned(Codec):
    """Codec of a model that was trained on pictures in [0, 1]."""

    name = "pixels in [0, 1]"

    def decode(self, states: torch.Tensor) -> torch.Tensor:
        return 2 * states - 1

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return (images + 1) / 2


PIXELS = Codec()
UNSIGNED = Unsigned()

PIXELS_AT_ONCE = 2**18
"""Pixels that are decoded in one call: four images of 256 x 256. A decoder needs far more memory than the network."""


class Latents(Codec):
    """Codec of latents: an autoencoder, and the affine map between its latents and the network's states.

    Args:
        name: name in messages.
        latent_channels, channels: channels of a latent and of a picture.
        factor: number of pixels along each side of a latent's element.
        decoder, encoder: functions between states and pictures in [-1, 1], which also get the autoencoder.
        module: the autoencoder; None before the weights are read.
    """

    has_decoder = True

    def __init__(
        self,
        name: str,
        latent_channels: int,
        channels: int,
        factor: int,
        decoder: Transform,
        encoder: Transform,
        module: Any = None,
    ) -> None:
        self.name, self.latent_channels, self._channels, self._factor = name, latent_channels, channels, factor
        self._decoder, self._encoder, self._module = decoder, encoder, module

    def with_weights(self, module: Any) -> Latents:
        """Return this codec with an autoencoder whose weights are loaded."""
        made = (self.name, self.latent_channels, self._channels, self._factor, self._decoder, self._encoder)
        return Latents(*made, module)

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self._channels, *(side * self._factor for side in shape[1:]))

    def decode(self, states: torch.Tensor) -> torch.Tensor:
        return self._in_parts(self._decoder, states, self._factor)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self._in_parts(self._encoder, images, 1)

    def _in_parts(self, function: Transform, batch: torch.Tensor, factor: int) -> torch.Tensor:
        """Apply a function of the autoencoder to a few images at a time, to bound memory."""
        import torch

        size = max(1, PIXELS_AT_ONCE // (batch[0, 0].numel() * factor**2))
        with torch.no_grad():
            return torch.cat([function(self._module, part) for part in batch.split(size)])
