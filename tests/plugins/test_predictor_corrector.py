"""Predictor and Langevin corrector: the exact recursion on Gaussian data, and the corrector's known bias."""

from __future__ import annotations

import math

import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.predictor_corrector import PredictorCorrector
from samplerzoo_plugins.reverse_diffusion import ReverseDiffusion

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian, is_stochastic, moments

MEAN, STD = 0.3, 0.5


def recursion(sampler: PredictorCorrector, grid: Grid) -> tuple[float, float]:
    """Compute mean and standard deviation, level by level, from the paper's formulas and the exact score."""
    m, v = 0.0, 1.0

    def score(level: Level) -> tuple[float, float]:
        """Return (a, b) of the score a x + b."""
        marginal = level.alpha**2 * STD**2 + level.sigma**2
        return -1 / marginal, level.alpha * MEAN / marginal

    for t, s in grid.pairs():
        a, b = score(t)
        beta = 1 - t.alpha**2 / s.alpha**2
        if s.tau == 0:  # Tweedie
            m, v = (m + t.sigma**2 * (a * m + b)) / t.alpha, ((1 + t.sigma**2 * a) / t.alpha) ** 2 * v
        elif sampler.predictor == "ddim":  # x0 and eps by way of the score
            c, d = s.alpha / t.alpha, s.alpha / t.alpha * t.sigma**2 - s.sigma * t.sigma
            m, v = c * m + d * (a * m + b), (c + d * a) ** 2 * v
        else:
            c = 2 - math.sqrt(1 - beta)
            m, v = c * m + beta * (a * m + b), (c + beta * a) ** 2 * v + beta
        a, b = score(s)
        for _ in range(sampler.corrector_steps if s.tau else 0):
            epsilon = 2 * (sampler.snr * s.sigma) ** 2
            m, v = m + epsilon * (a * m + b), (1 + epsilon * a) ** 2 * v + 2 * epsilon
    return m, math.sqrt(v)


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
@pytest.mark.parametrize("predictor", ["reverse-diffusion", "ddim"])
@pytest.mark.parametrize(("corrector_steps", "snr"), [(1, 0.16), (3, 0.3)])
def test_moments(linear: Schedule, predictor: str, corrector_steps: int, snr: float, steps: int, spacing: str) -> None:
    sampler = PredictorCorrector(predictor=predictor, corrector_steps=corrector_steps, snr=snr)
    grid = linear.grid(steps, spacing)
    out = moments(gaussian(linear, MEAN, STD), sampler, grid)
    # 1 - abar_t / abar_s, as the paper has it, has lost digits, and so has x0 where alpha is 0.006
    assert (out.mean.item(), out.std.item()) == pytest.approx(recursion(sampler, grid), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("predictor", "other"), [("reverse-diffusion", ReverseDiffusion()), ("ddim", DDIM())])
def test_without_a_corrector_it_is_its_predictor(linear: Schedule, predictor: str, other: Sampler) -> None:
    sampler = PredictorCorrector(predictor=predictor, corrector_steps=0)
    assert is_stochastic(sampler) == is_stochastic(other)
    assert sampler.order == 1
    plain, same = (sample(gaussian(linear), s, steps=6, num_images=3).images for s in (other, sampler))
    assert torch.equal(plain, same)


def test_the_step_size_is_the_papers_in_expectation(linear: Schedule) -> None:
    """Check algorithm 5: epsilon = 2 (r |z| / |score|)^2, where |score| is |eps| / sigma, and |eps| that of z."""
    level = linear.at(300)
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = level.sigma * torch.randn(100_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    score = gaussian(linear, 0.0, 0.0).denoise(x[:, None], level).score
    paper = 2 * float(0.16 * z.norm() / score.norm()) ** 2
    assert 2 * (0.16 * level.sigma) ** 2 == pytest.approx(paper, rel=0.02)  # norms of 100,000 draws: 3 standard errors


def test_the_correctors_bias(linear: Schedule) -> None:
    """Check that many Langevin steps end in a variance too large by 1 / (1 - epsilon / 2v)."""
    s = linear.at(400)
    v, epsilon = s.alpha**2 * STD**2 + s.sigma**2, 2 * (0.3 * s.sigma) ** 2
    sampler = PredictorCorrector.model_construct(corrector_steps=100, snr=0.3)  # beyond the bound, where it has settled
    model = gaussian(linear, 0.0, STD)
    out = moments(model, sampler, linear.grid_at([999, linear.timestep(s.tau)]))
    shrink = s.alpha * STD**2 / v  # of the last step, which returns E[x0 | x]
    assert out.std.item() ** 2 == pytest.approx(shrink**2 * v / (1 - epsilon / (2 * v)), rel=1e-6)


@pytest.mark.parametrize("corrector_steps", [0, 1, 3])
def test_evaluations(linear: Schedule, corrector_steps: int) -> None:
    """Count one evaluation per step, and those of the corrector at every level between the first and the clean one."""
    sampler = PredictorCorrector(corrector_steps=corrector_steps)
    assert sample(gaussian(linear), sampler, steps=5, num_images=1).nfe == 5 + 4 * corrector_steps
