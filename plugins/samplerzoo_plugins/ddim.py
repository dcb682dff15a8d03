import math

from samplerzoo import Field, Sampler, posterior_std


class DDIM(Sampler):
    """Denoising diffusion implicit models (Song, Meng, Ermon 2021, eq. 12), deterministic at eta = 0."""

    eta: float = Field(0.0, ge=0.0, le=1.0, description="0 is deterministic; 1 has the ancestral sampler's variance")

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        std = self.eta * posterior_std(t, s)
        x = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
        return x + std * noise() if std else x
