import math

from samplerzoo import Field, Sampler


class DPMSolverPP(Sampler):
    """DPM-Solver++, multistep: 2M (Lu et al. 2022b, algorithm 2) and 3M, and at eta = 1 their SDE variants.

    In lambda = log(alpha / sigma), x_s = sigma_s / sigma_t x_t + sigma_s int e^lambda x0 dlambda (eq. 9), and x0 along
    a step is the polynomial through its values at this level and at those before. The first steps know fewer levels.
    The last steps have lower order too, which is more stable if steps are few. The very first step has order one, so
    that a whole run of 3M is of second order, unless its first steps are small.
    """

    solver_order: int = Field(2, ge=1, le=3, description="levels that a step uses: 2 is 2M, 3 is 3M, and 1 is DDIM")
    eta: float = Field(0.0, ge=0.0, le=1.0, description="0 is the ODE; 1 is the SDE, of the ancestral sampler's noise")

    @property
    def order(self) -> int:
        return min(self.solver_order, 2) if self.eta else self.solver_order

    def walk(self, x, grid, denoise, noise):
        known = []  # levels and x0 there, the newest first
        for i, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            known = [(t, p.x0), *known][: min(self.solver_order, len(grid) - i)]
            x = p.x0 if s.clean else self._update(x, known, s, noise)
            yield x

    def _update(self, x, known, s, noise):
        (t, d0), *before = known
        h = s.lam - t.lam
        k = (1 + self.eta) * h  # the SDE forgets the state that much faster
        phi_1 = math.expm1(-k)
        x = s.sigma / t.sigma * math.exp(-self.eta * h) * x - s.alpha * phi_1 * d0
        match before:
            case [(u, m1)]:
                d1 = h / (t.lam - u.lam) * (d0 - m1)
                x = x - s.alpha * phi_1 / 2 * d1
            case [(u, m1), (v, m2)]:
                h0, h1 = t.lam - u.lam, u.lam - v.lam
                d10, d11 = (d0 - m1) / h0, (m1 - m2) / h1
                d2 = (d10 - d11) / (h0 + h1)  # half the second derivative
                d1 = d10 + h0 * d2
                phi_2 = phi_1 / k + 1
                phi_3 = phi_2 / k - 0.5
                x = x + s.alpha * (h * phi_2 * d1 - 2 * h**2 * phi_3 * d2)
        return x + s.sigma * math.sqrt(-math.expm1(-2 * self.eta * h)) * noise() if self.eta else x
