"""Noise of a hosted run: keyed by a seed as everywhere in samplerzoo, or from the generators of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.utils.torch_utils import randn_tensor

from samplerzoo.core.noise import Noise
from samplerzoo.errors import UsageError

Generators = torch.Generator | list[torch.Generator] | None


class GeneratorNoise:
    """Standard normal draws in float32 from a pipeline's generators: one for all images, or one per image.

    Without generators they come from torch's default generator, as in diffusers.

    Attributes:
        generator: generators that the pipeline gave last.
    """

    def __init__(self, like: torch.Tensor) -> None:
        """Make a source of tensors of this shape, on this device."""
        self.generator: Generators = None
        self._shape, self._device = like.shape, like.device

    def start_step(self, step: int) -> None:
        """Do nothing, since a generator advances with each draw."""

    def __call__(self) -> torch.Tensor:
        generator = self.generator
        if isinstance(generator, (list, tuple)) and len(generator) != self._shape[0]:
            raise UsageError(f"{len(generator)} generators for a batch of {self._shape[0]}: give one, or one an image")
        return randn_tensor(self._shape, generator=generator, device=self._device, dtype=torch.float32)


def make_noise(seed: int | None, images: Sequence[int] | None, like: torch.Tensor) -> Noise | GeneratorNoise:
    """Return the noise of a run with states like this one.

    Args:
        images: numbers of the images in the batch; by default 0, 1, 2 ...

    Raises:
        UsageError: the number of images is wrong.
    """
    if seed is None:
        return GeneratorNoise(like)
    if images is not None and len(images) != len(like):
        raise UsageError(f"{len(images)} numbers of images for a batch of {len(like)}")
    return Noise(seed, range(len(like)) if images is None else images, like.shape[1:], like.device)
