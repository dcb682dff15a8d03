import math

from samplerzoo import Field, Sampler


class EulerAncestral(Sampler):
    """Euler's method to a level below the next, and noise back up to it, as in k-diffusion (Crowson 2022).

    It steps in r = sigma / alpha, where dy/dr = eps for y = x / alpha (Karras et al. 2022). It is DDIM of the same eta
    (Song, Meng, Ermon 2021), which like theirs is at most 1: with more noise, images of few steps are far off.
    """

    eta: float = Field(
        1.0, ge=0.0, le=1.0, description="noise, relative to that of the ancestral sampler; 0 is deterministic"
    )
    s_noise: float = Field(
        1.0, ge=0.9, le=1.1, description="factor on the standard deviation of the fresh noise; 1 is right"
    )

    @property
    def order(self) -> int:
        """1, or 0 where the fresh noise has the wrong size, so that images do not converge on the data."""
        return 1 if not self.eta or self.s_noise == 1 else 0

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        r_t, r_s = t.sigma / t.alpha, s.sigma / s.alpha
        up = min(r_s, self.eta * r_s * math.sqrt(max(r_t**2 - r_s**2, 0.0)) / r_t)
        down = math.sqrt(max(r_s**2 - up**2, 0.0))
        x = s.alpha * (p.x0 + down * p.eps)
        return x + s.alpha * up * self.s_noise * noise() if up else x
