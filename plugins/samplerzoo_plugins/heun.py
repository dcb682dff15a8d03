import math

from samplerzoo import Field, Sampler

MAX_GAMMA = math.sqrt(2) - 1  # no more noise is added than there is (Karras et al. 2022, table 1)
MOST_CHURN = 10.0  # above it, runs of 25 steps have less churn than is asked for
FARTHEST = 2048.0  # sigma / alpha above which a level has no signal: VE starts at 1348, a flow at 4096


class Heun(Sampler):
    """Heun's method in the noise level r = sigma / alpha, where dy/dr = eps for y = x / alpha, with churn.

    This is algorithm 2 of Karras et al. 2022, and algorithm 1 at s_churn = 0. A step costs two evaluations, the last
    one costs one, and so does a step from a level without signal, as the first one of a cosine schedule and of a
    flow: half the slope there, times so long a step, is an error larger than the image. Churn raises no level above
    the schedule's top, so that the first step of a whole run has none.
    """

    s_churn: float = Field(
        0.0, ge=0, description="amount of noise that is added and removed again over the whole run; 0 is deterministic"
    )
    s_min: float = Field(0.0, ge=0, description="sigma/alpha below which there is no churn")
    s_max: float = Field(1e6, ge=0, description="sigma/alpha above which there is no churn")
    s_noise: float = Field(
        1.0, ge=0.9, le=1.1, description="factor on the standard deviation of the added noise; the paper's is 1 to 1.01"
    )

    @property
    def order(self) -> int:
        """2, or 0 with so much churn that most runs cut it (MAX_GAMMA), and with added noise of the wrong size."""
        return 2 if not self.s_churn or (self.s_churn <= MOST_CHURN and self.s_noise == 1) else 0

    def walk(self, x, grid, denoise, noise):
        for t, s in grid.pairs():
            u = self._raised(t, len(grid), denoise.schedule)
            if u.tau > t.tau:
                added = u.alpha * math.sqrt((u.sigma / u.alpha) ** 2 - (t.sigma / t.alpha) ** 2)
                x = u.alpha / t.alpha * x + added * self.s_noise * noise()
            x = self.step(x, u, s, denoise, noise)
            yield x

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        euler = s.alpha * p.x0 + s.sigma * p.eps
        if t.sigma > FARTHEST * t.alpha:
            return euler
        q = denoise(euler, s)
        # q.eps - p.eps by way of v, since eps alone has lost its last digits where r is large, and x0 where it is small
        change = s.alpha / (s.alpha**2 + s.sigma**2) * (s.alpha * (q.eps - p.eps) - s.sigma * (q.x0 - p.x0))
        h = s.sigma / s.alpha - t.sigma / t.alpha
        return euler + s.alpha * h / 2 * change

    def _raised(self, t, steps, schedule):
        """Return the level up to which noise is added before a step from t."""
        r, top = t.sigma / t.alpha, schedule.at(schedule.T)
        gamma = min(self.s_churn / steps, MAX_GAMMA) if self.s_min <= r <= self.s_max else 0.0
        log_snr = t.log_snr - 2 * math.log1p(gamma)
        return schedule.at_log_snr(max(log_snr, top.log_snr)) if gamma and t.tau < top.tau else t
