import math
from typing import Literal

import numpy as np

from samplerzoo import Field, Sampler

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)  # exact but for rounding, for polynomials and steps like these


class DEIS(Sampler):
    """Diffusion exponential integrator, Adams-Bashforth (Zhang and Chen 2023, eq. 14 and 15: tAB-DEIS).

    In rho = sigma / alpha, y = x / alpha moves by the integral of eps; along a step eps is the polynomial through its
    values at this level and at those before. The first steps know fewer levels. The very first step has order one, so
    that a whole run of solver_order 3 is of second order, unless its first steps are small.
    """

    solver_order: int = Field(3, ge=1, le=3, description="levels that a step uses: its own and those before; 1 is DDIM")
    variable: Literal["t", "rho", "log-rho"] = Field(
        "t", description="variable of the polynomial that extrapolates eps"
    )

    @property
    def order(self) -> int:
        return self.solver_order

    def walk(self, x, grid, denoise, noise):
        known = []  # levels and eps there, the newest first
        for t, s in grid.pairs():
            p = denoise(x, t)
            known = [(t, p.eps), *known][: self.solver_order]
            if s.clean:
                x = p.x0
            else:
                x = s.alpha * p.x0 + s.sigma * p.eps  # the weights sum to the step in rho, so that DDIM is one part
                if len(known) > 1:
                    for c, (_, eps) in zip(self._integrals(known, s, denoise.schedule)[1:], known[1:], strict=True):
                        x = x + s.alpha * c * (eps - p.eps)
            yield x

    def _integrals(self, known, s, schedule):
        """Integrate each Lagrange polynomial over rho, from the newest level to s, by Gauss-Legendre in -log rho."""
        levels = [level for level, _ in known]
        ends = [levels[0], *self._kinks(levels[0], s, schedule), s]
        lam = np.array([level.lam for level in ends])
        h = np.diff(lam)[:, None]
        lam = (lam[:-1, None] + h / 2 * (NODES + 1)).ravel()
        drho = (-h / 2 * WEIGHTS).ravel() * np.exp(-lam)
        at, u = self._coordinates(lam, ends, schedule), [self._coordinate(level) for level in levels]
        basis = [math.prod([(at - b) / (a - b) for b in u if b != a], start=np.ones_like(at)) for a in u]
        return [float(values @ drho) for values in basis]

    def _kinks(self, t, s, schedule):
        """List the levels between t and s where tau has a kink as a function of rho: beta jumps at a whole tau."""
        if self.variable != "t" or schedule.whole is None:
            return []
        return [schedule.at(tau) for tau in range(math.ceil(t.tau) - 1, math.floor(s.tau), -1)]

    def _coordinate(self, level):
        match self.variable:
            case "t":
                return level.tau
            case "rho":
                return level.sigma / level.alpha
            case "log-rho":
                return -level.lam

    def _coordinates(self, lam, ends, schedule):
        """Return the variable at each lambda = -log rho; between kinks -log abar is linear in tau."""
        match self.variable:
            case "t" if schedule.whole is None:
                return np.array([schedule.at_log_snr(2 * value).tau for value in lam])
            case "t":
                depth, tau = np.array([(-2 * math.log(level.alpha), level.tau) for level in reversed(ends)]).T
                return np.interp(np.logaddexp(0.0, -2 * lam), depth, tau)
            case "rho":
                return np.exp(-lam)
            case "log-rho":
                return -lam
