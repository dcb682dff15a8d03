import math

from samplerzoo import Sampler


class ReverseSDE(Sampler):
    """Euler-Maruyama on the reverse of the VP-SDE (Song et al. 2021, eq. 6 and 11), beta taken at t.

    The last step returns x0, the mean of the clean image (Tweedie), where the discretisation would leave noise.
    """

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = t.beta * (t.tau - s.tau)
        return x + (beta / 2) * x + beta * p.score + math.sqrt(beta) * noise()
