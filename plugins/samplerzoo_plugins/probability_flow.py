from samplerzoo import Sampler


class ProbabilityFlow(Sampler):
    """Euler's method for the probability flow ODE of the VP-SDE (Song et al. 2021, eq. 13), beta taken at t.

    The last step returns x0, the mean of the clean image (Tweedie), as the reverse-SDE samplers do.
    """

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = t.beta * (t.tau - s.tau)
        return x + (beta / 2) * (x + p.score)
