from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from samplerzoo.sampler import Sampler
from samplerzoo.schedule import Level, posterior_std

if TYPE_CHECKING:
    import torch

    from samplerzoo.denoiser import Denoiser


class DDIM(Sampler):
    """Denoising diffusion implicit models (Song, Meng, Ermon 2021, eq. 12), deterministic at eta = 0."""

    eta: float = Field(0.0, ge=0.0, le=1.0, description="0 is deterministic; 1 has the ancestral sampler's variance")

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def step(
        self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        p = denoise(x, t)
        std = self.eta * posterior_std(t, s)
        x = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
        return x + std * noise() if std else x
