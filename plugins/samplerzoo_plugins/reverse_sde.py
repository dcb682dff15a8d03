import math

from samplerzoo import Sampler


class ReverseSDE(Sampler):
    """Euler-Maruyama on the reverse SDE (Song et al. 2021, eq. 6), its drift and rate taken at t.

    The last step returns x0, the mean of the clean image (Tweedie), where the discretisation would leave noise.
    """

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        h = t.tau - s.tau
        beta = t.rate * h
        return x - t.drift * h * x + beta * p.score + math.sqrt(beta) * noise()
