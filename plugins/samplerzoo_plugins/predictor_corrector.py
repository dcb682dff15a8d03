import math
from typing import Literal

from samplerzoo import Field, Sampler, transition_variance


class PredictorCorrector(Sampler):
    """A predictor step to the next level, and Langevin steps there (Song et al. 2021, algorithms 3 and 5).

    The paper's step size is made of the norms of noise and score in a batch. Here it is the expectation of that, 2 (snr
    sigma)^2, which depends on the level alone, so that no image depends on its neighbours. The factor 1 - beta_i, which
    is 1 within two percent on the paper's thousand levels, is left out: it would depend on how many levels are skipped.
    Langevin steps have a fixed size, so that a bias stays on any grid: there is no order of convergence. Many of them
    end in a variance that is too large by 1 / (1 - snr^2), which bounds snr: the paper's are below 0.25 (appendix G).
    """

    predictor: Literal["reverse-diffusion", "ddim"] = Field(
        "reverse-diffusion", description="the step between levels: the paper's, or one without noise"
    )
    corrector_steps: int = Field(1, ge=0, le=3, description="Langevin steps at every level, one evaluation each")
    snr: float = Field(0.16, gt=0, le=0.3, description="signal-to-noise ratio of a Langevin step, the paper's r")

    @property
    def order(self) -> int:
        return 0 if self.corrector_steps else 1

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        x = self._predicted(p, s, noise)
        size = 2 * (self.snr * s.sigma) ** 2
        for _ in range(self.corrector_steps):
            x = x + size * denoise(x, s).score + math.sqrt(2 * size) * noise()
        return x

    def _predicted(self, p, s, noise):
        if self.predictor == "ddim":
            return s.alpha * p.x0 + s.sigma * p.eps
        beta = transition_variance(p.level, s)
        return (2 - p.level.alpha / s.alpha) * p.x + beta * p.score + math.sqrt(beta) * noise()
