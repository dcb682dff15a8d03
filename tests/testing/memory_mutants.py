"""Samplers with a wrong weight of an old prediction, which still have the order that they declare."""

from __future__ import annotations

import math

import numpy as np
from samplerzoo_plugins import ipndm, unipc
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.ipndm import IPNDM
from samplerzoo_plugins.unipc import UniPC

from samplerzoo import Field, Sampler


class ThirdTermOfTheSDE(DPMSolverPP):
    """3M SDE whose term of third order is three times as large (Lu et al. 2022b)."""

    def _update(self, x, known, s, noise):
        found = super()._update(x, known, s, noise)
        if len(known) < 3 or not self.eta:
            return found
        (t, d0), (u, m1), (v, m2) = known
        h, k = s.lam - t.lam, (1 + self.eta) * (s.lam - t.lam)
        h0, h1 = t.lam - u.lam, u.lam - v.lam
        d2 = ((d0 - m1) / h0 - (m1 - m2) / h1) / (h0 + h1)
        return found - s.alpha * 4 * h**2 * ((math.expm1(-k) / k + 1) / k - 0.5) * d2


class HalfTheThirdTerm(DPMSolverPP):
    """3M SDE of k-diffusion and of diffusers: half of the term of third order (Lu et al. 2022b)."""

    solver_order: int = Field(3, ge=1, le=3, description="levels")
    order = property(lambda self: min(self.solver_order, 2))

    def _update(self, x, known, s, noise):
        found = super()._update(x, known, s, noise)
        if len(known) < 3:
            return found
        (t, d0), (u, m1), (v, m2) = known
        h, k = s.lam - t.lam, (1 + self.eta) * (s.lam - t.lam)
        h0, h1 = t.lam - u.lam, u.lam - v.lam
        d2 = ((d0 - m1) / h0 - (m1 - m2) / h1) / (h0 + h1)
        return found + s.alpha * h**2 * ((math.expm1(-k) / k + 1) / k - 0.5) * d2


class PhiOfTheODE(DPMSolverPP):
    """3M SDE whose third level has phi_2 of the ODE: first order where both options are set (Lu et al. 2022b)."""

    order = property(lambda self: min(self.solver_order, 2) if self.eta else self.solver_order)

    def _update(self, x, known, s, noise):
        found = super()._update(x, known, s, noise)
        if len(known) < 3:
            return found
        (t, d0), (u, m1), (v, m2) = known
        h, k = s.lam - t.lam, (1 + self.eta) * (s.lam - t.lam)
        h0, h1 = t.lam - u.lam, u.lam - v.lam
        d1 = (d0 - m1) / h0 + h0 * ((d0 - m1) / h0 - (m1 - m2) / h1) / (h0 + h1)
        return found + s.alpha * h * (math.expm1(-h) / h - math.expm1(-k) / k) * d1


class RatioUpsideDownWithNoise(DPMSolverPP):
    """2M SDE whose ratio of two steps is upside down where noise is drawn: its errors cancel (Lu et al. 2022b)."""

    solver_order: int = Field(2, ge=2, le=2, description="levels")

    def _update(self, x, known, s, noise):
        found = super()._update(x, known, s, noise)
        if len(known) < 2 or not self.eta:
            return found
        (t, d0), (u, m1), *_ = known
        h, before = s.lam - t.lam, t.lam - u.lam
        return found - s.alpha * math.expm1(-(1 + self.eta) * h) * (before / h - h / before) / 2 * (d0 - m1)


class RatioUpsideDownInShortRuns(DPMSolverPP):
    """2M whose ratio of two steps is upside down in runs of fewer than 15 steps (Lu et al. 2022b)."""

    solver_order: int = Field(2, ge=2, le=2, description="levels")

    def walk(self, x, grid, denoise, noise):
        self._short = len(grid) < 15
        yield from super().walk(x, grid, denoise, noise)

    def _update(self, x, known, s, noise):
        found = super()._update(x, known, s, noise)
        if len(known) < 2 or not self._short or s.clean:
            return found
        (t, d0), (u, m1), *_ = known
        h, before = s.lam - t.lam, t.lam - u.lam
        return found - s.alpha * math.expm1(-(1 + self.eta) * h) * (before / h - h / before) / 2 * (d0 - m1)


class HighMomentsOfIPNDM(IPNDM):
    """Third and fourth moment of the weights are off by a half (Zhang and Chen 2023)."""

    def walk(self, x, grid, denoise, noise):
        right, ipndm.adams_bashforth = ipndm.adams_bashforth, _adams_bashforth
        try:
            yield from super().walk(x, grid, denoise, noise)
        finally:
            ipndm.adams_bashforth = right


def _adams_bashforth(times, end):
    u = (np.array(times) - times[0]) / (end - times[0])
    moments = 1 / np.arange(1, len(u) + 1)
    moments[2:] *= 1.5
    return np.linalg.solve(np.vander(u, increasing=True).T, moments).tolist()


class FactorialOfUniPC(UniPC):
    """4 for 3! in the third weight of the corrector (Zhao et al. 2023, eq. 5)."""

    def _update(self, x, known, s, at_s=None):
        right, unipc._weights = unipc._weights, _weights
        try:
            return super()._update(x, known, s, at_s)
        finally:
            unipc._weights = right


def _weights(r, h, b):
    if len(r) == 1:
        return [0.5]
    phi, right = math.expm1(-h) / -h, []
    for k in range(1, len(r) + 1):
        phi = (phi - 1 / math.factorial(k)) / -h
        right.append(-h * (math.factorial(k) if k < 3 else 4) * phi / b)
    return np.linalg.solve(np.vander(r, increasing=True).T, right).tolist()


MEMORY_MUTANTS: list[tuple[Sampler, str]] = [
    (ThirdTermOfTheSDE(solver_order=3, eta=1.0), "check_memory_adds_order"),
    (ThirdTermOfTheSDE(), "check_memory_adds_order"),
    (PhiOfTheODE(), "check_memory_keeps_the_order"),
    (HalfTheThirdTerm(eta=1.0), "check_memory_adds_order"),
    (RatioUpsideDownWithNoise(), "check_memory_keeps_the_order"),
    (RatioUpsideDownInShortRuns(), "check_memory_keeps_the_order"),
    (HighMomentsOfIPNDM(), "check_memory_adds_order"),
    (FactorialOfUniPC(solver_order=3), "check_memory_adds_order"),
]
