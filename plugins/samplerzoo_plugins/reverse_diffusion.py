from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from samplerzoo.sampler import Sampler
from samplerzoo.schedule import Level, transition_variance

if TYPE_CHECKING:
    import torch

    from samplerzoo.denoiser import Denoiser


class ReverseDiffusion(Sampler):
    """The reverse diffusion sampler (Song et al. 2021, algorithm 3, the predictor), on the respaced beta.

    The last step returns x0, the mean of the clean image (Tweedie).
    """

    def step(
        self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = transition_variance(t, s)
        return (2 - math.sqrt(1 - beta)) * x + beta * p.score + math.sqrt(beta) * noise()
