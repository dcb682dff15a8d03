import math
from typing import Literal

import numpy as np

from samplerzoo import Field, Sampler


class UniPC(Sampler):
    """Unified predictor-corrector (Zhao et al. 2023, algorithms 1 and 2), multistep and in x0.

    The evaluation that the next step needs also corrects this step's state. That costs nothing and raises the order by
    one. The first steps know fewer levels, and the last steps have lower order too. The very first step has order two
    once it is corrected, which limits solver_order 3 to third order.
    """

    solver_order: int = Field(2, ge=1, le=3, description="levels that the predictor uses; 3 suits unguided models")
    solver_type: Literal["bh1", "bh2"] = Field("bh2", description="function B: bh1 is h, bh2 is exp(h) - 1")

    @property
    def order(self) -> int:
        return min(self.solver_order + 1, 3)

    def walk(self, x, grid, denoise, noise):
        known = []  # levels and x0 there, the newest first
        start = x  # the state that the last step was predicted from
        for i, (t, s) in enumerate(grid.pairs()):
            x0 = denoise(x, t).x0
            if known:
                x = self._update(start, known, t, x0)
            known = [(t, x0), *known][: min(self.solver_order, len(grid) - i)]
            start, x = x, x0 if s.clean else self._update(x, known, s)
            yield x

    def _update(self, x, known, s, at_s=None):
        """Take a step of UniP-p from the p known levels, x being the state at the newest; with x0 at s, of UniC-p."""
        (t, m0), *before = known
        h = s.lam - t.lam
        r = [(u.lam - t.lam) / h for u, _ in before]
        differences = [(m - m0) / r_i for r_i, (_, m) in zip(r, before, strict=True)]
        if at_s is not None:
            r, differences = [*r, 1.0], [*differences, at_s - m0]
        phi_1 = math.expm1(-h)
        b = -h if self.solver_type == "bh1" else phi_1
        x = s.sigma / t.sigma * x - s.alpha * phi_1 * m0
        for a, d in zip(_weights(r, h, b), differences, strict=True):
            x = x - s.alpha * b * a * d
        return x


def _weights(r, h, b):
    """Return the a_i of eq. 5, with sum_i a_i r_i^(k - 1) = k! phi_(k + 1) h / B for every k up to their number."""
    if len(r) == 1:  # one half satisfies the condition of the theorem for either B
        return [0.5]
    phi, right = math.expm1(-h) / -h, []
    for k in range(1, len(r) + 1):
        phi = (phi - 1 / math.factorial(k)) / -h
        right.append(-h * math.factorial(k) * phi / b)
    return np.linalg.solve(np.vander(r, increasing=True).T, right).tolist()
