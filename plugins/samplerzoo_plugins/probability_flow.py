from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from samplerzoo.sampler import Sampler
from samplerzoo.schedule import Level

if TYPE_CHECKING:
    import torch

    from samplerzoo.denoiser import Denoiser


class ProbabilityFlow(Sampler):
    """Euler's method for the probability flow ODE of the VP-SDE (Song et al. 2021, eq. 13), beta taken at t.

    The last step returns x0, the mean of the clean image (Tweedie), as the reverse-SDE samplers do.
    """

    @property
    def stochastic(self) -> bool:
        return False

    def step(
        self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = t.beta * (t.tau - s.tau)
        return x + (beta / 2) * (x + p.score)
