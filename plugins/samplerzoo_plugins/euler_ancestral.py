import math

from samplerzoo import Field, Sampler


class EulerAncestral(Sampler):
    """Euler's method to a level below the next, and noise back up to it, as in k-diffusion (Crowson 2022).

    In r = sigma / alpha, where dy/dr = eps for y = x / alpha (Karras et al. 2022). It is DDIM (Song, Meng, Ermon 2021)
    of the same eta, up to 1; above that it adds more noise than there is in any ancestral step, up to all of it.
    """

    eta: float = Field(1.0, ge=0.0, description="noise against that of the ancestral sampler; 0 is deterministic")
    s_noise: float = Field(1.0, gt=0, le=2, description="standard deviation of the fresh noise, against what is due")

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        r_t, r_s = t.sigma / t.alpha, s.sigma / s.alpha
        up = min(r_s, self.eta * r_s * math.sqrt(max(r_t**2 - r_s**2, 0.0)) / r_t)
        down = math.sqrt(max(r_s**2 - up**2, 0.0))
        x = s.alpha * (p.x0 + down * p.eps)
        return x + s.alpha * up * self.s_noise * noise() if up else x
