import numpy as np

from samplerzoo import Field, Sampler

MOST = 20.0  # sum of the sizes of weights; those of four equal steps sum to 160 / 24


class IPNDM(Sampler):
    """Improved pseudo numerical methods (Zhang and Chen 2023, after Liu et al. 2022), up to fourth order in name.

    A step is a DDIM step along the Adams-Bashforth mean of the last few eps over the times of the step; the first steps
    know fewer of them. The weights are those of the steps as they are. On equal steps in time they are the paper's (Liu
    et al. 2022, eq. 12). A step that is much longer than those before uses fewer eps, since large weights of opposite
    signs make errors grow. A mean over time is not one over sigma / alpha, in which DDIM steps: that limits the order
    to two, but for variance-exploding paths, where the two are one.
    """

    solver_order: int = Field(
        4, ge=1, le=4, description="evaluations that a step uses: its own and those before; 1 is DDIM"
    )

    @property
    def order(self) -> int:
        return min(self.solver_order, 2)

    def walk(self, x, grid, denoise, noise):
        known = []  # times and eps there, the newest first
        for t, s in grid.pairs():
            p = denoise(x, t)
            known = [(t.tau, p.eps), *known][: self.solver_order]
            if s.clean:
                x = p.x0
            else:
                weights = adams_bashforth([tau for tau, _ in known], s.tau)
                while sum(map(abs, weights)) > MOST:
                    weights = adams_bashforth([tau for tau, _ in known[: len(weights) - 1]], s.tau)
                h = s.sigma / s.alpha - t.sigma / t.alpha
                x = s.alpha * p.x0 + s.sigma * p.eps  # the weights sum to 1, so that DDIM is one part
                for w, (_, eps) in zip(weights[1:], known[1:], strict=False):
                    x = x + s.alpha * h * w * (eps - p.eps)
            yield x


def adams_bashforth(times, end):
    """Return the weights of the values at these times, the newest first, in the mean from the newest time to `end`.

    The polynomial through the values has the mean of u^k, which is 1 / (k + 1) in steps u from the newest time.
    """
    u = (np.array(times) - times[0]) / (end - times[0])
    moments = 1 / np.arange(1, len(u) + 1)
    return np.linalg.solve(np.vander(u, increasing=True).T, moments).tolist()
