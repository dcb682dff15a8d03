from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from samplerzoo.sampler import Sampler
from samplerzoo.schedule import Level

if TYPE_CHECKING:
    import torch

    from samplerzoo.denoiser import Denoiser


class ReverseSDE(Sampler):
    """Euler-Maruyama on the reverse of the VP-SDE (Song et al. 2021, eq. 6 and 11), beta taken at t.

    The last step returns x0, the mean of the clean image (Tweedie), where the discretisation would leave noise.
    """

    def step(
        self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = t.beta * (t.tau - s.tau)
        return x + (beta / 2) * x + beta * p.score + math.sqrt(beta) * noise()
