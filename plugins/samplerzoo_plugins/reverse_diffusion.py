import math

from samplerzoo import Sampler, transition_variance


class ReverseDiffusion(Sampler):
    """Reverse diffusion sampler (Song et al. 2021, algorithm 3, the predictor), on the respaced beta.

    The last step returns x0, the mean of the clean image (Tweedie).
    """

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        beta = transition_variance(t, s)
        return (2 - t.alpha / s.alpha) * x + beta * p.score + math.sqrt(beta) * noise()
