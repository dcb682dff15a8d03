from samplerzoo import Field, Sampler

ADAMS_BASHFORTH = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}
"""Weights of the newest slope and those before it, for steps of one size (Liu et al. 2022, eq. 12)."""


class IPNDM(Sampler):
    """Improved pseudo numerical methods (Zhang and Chen 2023, after Liu et al. 2022), up to fourth order in name.

    A step is a DDIM step along the Adams-Bashforth mean of the last few eps; the first steps know fewer of them. The
    weights are those of equal steps, which the levels of a grid are not: that limits the order to two.
    """

    solver_order: int = Field(
        4, ge=1, le=4, description="evaluations that a step uses: its own and those before; 1 is DDIM"
    )

    @property
    def order(self) -> int:
        return min(self.solver_order, 2)

    def walk(self, x, grid, denoise, noise):
        slopes = []  # the newest first
        for t, s in grid.pairs():
            p = denoise(x, t)
            slopes = [p.eps, *slopes][: self.solver_order]
            if s.clean:
                x = p.x0
            else:
                weights = ADAMS_BASHFORTH[len(slopes)]
                h = s.sigma / s.alpha - t.sigma / t.alpha
                x = s.alpha * p.x0 + s.sigma * p.eps  # the weights sum to 1, so that DDIM is one part
                for w, e in zip(weights[1:], slopes[1:], strict=True):
                    x = x + s.alpha * h * w * (e - p.eps)
            yield x
