"""Measured order of methods whose order is known, and of methods with a mistake in them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.deis import DEIS

from samplerzoo.core.level import Level, posterior_std, transition_variance
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import ZooError
from samplerzoo.testing import TOLERANCE, Convergence, convergence


def ratio(level: Level) -> float:
    return level.sigma / level.alpha


class Adams(Sampler):
    """Two-step method of Adams and Bashforth for dy/dr = eps, r = sigma/alpha. Its first step is Euler's."""

    order = property(lambda self: 2)

    def walk(self, x, grid, denoise, noise) -> Iterator[torch.Tensor]:
        before = None
        for t, s in grid.pairs():
            p, h = denoise(x, t), ratio(s) - ratio(t)
            slope = p.eps if before is None else p.eps + h / 2 * (p.eps - before[0]) / before[1]
            x, before = s.alpha * (x / t.alpha + h * slope), (p.eps, h)
            yield x


class Kutta(Sampler):
    """Classical method of fourth order. With `stale` it takes every slope of a step at the first level."""

    stale: bool = False

    def step(self, x, t, s, denoise, noise):
        def slope(y, r):
            level = t if self.stale else denoise.schedule.at_log_snr(-2 * math.log(r))
            return denoise(level.alpha * y, level).eps

        y, r, h = x / t.alpha, ratio(t), ratio(s) - ratio(t)
        k1 = slope(y, r)
        k2 = slope(y + h / 2 * k1, r + h / 2)
        k3 = slope(y + h / 2 * k2, r + h / 2)
        k4 = slope(y + h * k3, r + h)
        return s.alpha * (y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))


class TooMuchNoise(DDPM):
    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: 1.05 * noise())


class Biased(DDIM):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps + 0.01 * (ratio(t) - ratio(s)) * p.x0


@pytest.mark.parametrize("path", ["VP", "VE", "flow"])
@pytest.mark.parametrize(("sampler", "order"), [(Adams(), 2), (Kutta(), 4), (DDIM(), 1), (DDPM(), 1)], ids=str)
def test_of_known_methods(sampler: Sampler, order: int, path: str) -> None:
    found = convergence(sampler, path=path)
    assert found.order == pytest.approx(order, abs=TOLERANCE)
    assert found.reaches(order)
    assert not found.reaches(order + 1)


def test_starting_steps_of_lower_order_do_not_hide_that_of_a_multistep_method() -> None:
    """Check methods that declare an order above 2, where Euler's first step leaves an error of h^2."""

    class Second(DEIS):
        order = property(lambda self: 2)

    class Wishful(Adams):
        order = property(lambda self: 3)

    assert not convergence(Second()).reaches(3)
    assert convergence(DEIS()).reaches(3)
    assert convergence(Wishful()).order == pytest.approx(2, abs=TOLERANCE)


def test_what_is_written_into_x_spoils_no_later_measurement() -> None:
    class InPlace(Sampler):
        def step(self, x, t, s, denoise, noise):
            p = denoise(x, t)
            return x.copy_(s.alpha * p.x0 + s.sigma * p.eps)

    assert convergence(InPlace()).errors == convergence(InPlace()).errors == convergence(DDIM()).errors


@pytest.mark.parametrize("path", ["VP", "VE", "flow"])
def test_the_exact_flow_is_the_one_that_a_method_of_high_order_finds(path: str) -> None:
    assert convergence(Kutta(), path=path).errors[-1] < 1e-9


def test_of_a_method_whose_levels_are_wrong_within_a_step() -> None:
    assert not convergence(Kutta(stale=True)).reaches(2)


@pytest.mark.parametrize("path", ["VP", "VE", "flow"])
@pytest.mark.parametrize("sampler", [TooMuchNoise(), Biased()], ids=["noise", "drift"])
def test_of_methods_that_converge_on_something_else(sampler: Sampler, path: str) -> None:
    found = convergence(sampler, path=path)
    assert found.order < 0.5
    assert not found.reaches(1)


def test_is_the_slope_of_the_errors_that_are_above_rounding() -> None:
    assert Convergence((10, 20, 40), (4e-3, 1e-3, 2.5e-4)).order == pytest.approx(2)
    assert Convergence((10, 20, 40, 80), (1.6e-10, 1e-11, 1e-16, 0.0)).order == pytest.approx(4)
    assert Convergence((10, 20), (1e-16, 0.0)).order == math.inf


def test_refuses_what_has_none() -> None:
    class Moody(Sampler):
        def step(self, x, t, s, denoise, noise):
            return x + noise() if len(x) > 1 else x

    class Exploding(Sampler):
        def step(self, x, t, s, denoise, noise):
            return x * math.inf

    class Clipping(DDPM):
        def step(self, x, t, s, denoise, noise):
            return super().step(x, t, s, denoise, noise).clamp(-1, 1)

    with pytest.raises(ZooError, match="draws noise in one run and none in another"):
        convergence(Moody())
    with pytest.raises(ZooError, match="NaN or infinity"):
        convergence(Exploding())
    with pytest.raises(ZooError, match="not affine"):
        convergence(Clipping())


@pytest.mark.parametrize("path", ["VP", "VE", "flow"])
def test_weights_of_equal_steps_lose_an_order_on_unequal_ones(path: str) -> None:
    class Equal(Adams):
        def walk(self, x, grid, denoise, noise) -> Iterator[torch.Tensor]:
            before = None
            for t, s in grid.pairs():
                p = denoise(x, t)
                h = s.lam - t.lam
                mean = p.x0 if before is None else 1.5 * p.x0 - 0.5 * before
                before = p.x0
                x = s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * mean if not s.clean else p.x0
                yield x

    assert convergence(Equal(), path=path).reaches(2)
    assert convergence(Equal(), path=path, uneven=True).order == pytest.approx(1, abs=TOLERANCE)
    assert convergence(Adams(), path=path, uneven=True).reaches(2)


def test_an_error_that_crosses_zero_on_one_gaussian_does_not_hide_the_order() -> None:
    """Check a variance between small and large, whose error on N(0.5, 0.5^2) is nothing at some number of steps."""

    class Between(DDPM):
        def _variance(self, p, t, s):
            return posterior_std(t, s) * transition_variance(t, s) ** 0.5

    assert convergence(Between()).order == pytest.approx(1, abs=TOLERANCE)
