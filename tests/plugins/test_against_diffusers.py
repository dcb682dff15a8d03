"""Comparison of the fast samplers with the schedulers of diffusers, on one grid, from one start, with the same draws.

Some schedulers solve another problem, or solve it in another way. The tests say so, and compare what they can.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from samplerzoo_plugins.deis import DEIS
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.euler_ancestral import EulerAncestral
from samplerzoo_plugins.heun import Heun
from samplerzoo_plugins.unipc import UniPC

from samplerzoo.core.condition import Condition
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing import mixture

SHAPE = (3, 2, 4, 4)
TOLERANCE = 1e-4
"""Tolerance: diffusers' tables are float32, ours float64, which makes 1e-7 divided by the first alpha, 0.006."""

STEPS = [1, 2, 5, 10, 20, 50]
"""Numbers of steps that divide T; for others the trailing grid of diffusers is another one."""


@pytest.fixture(scope="module")
def model(linear: Schedule) -> Model:
    """Make a model that is not linear: the unconditional side of a mixture."""
    means = torch.linspace(-1, 1, 3 * 32, dtype=torch.float64).reshape(3, *SHAPE[1:])
    exact = mixture(linear, means, 0.3)
    return Model(
        lambda x, tau, _: exact.net(x, tau, exact.condition(torch.full((len(x),), 3))), linear, shape=SHAPE[1:]
    )


def draws() -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn(SHAPE, generator=generator, dtype=torch.float64)


def ours(sampler: Sampler, model: Model, steps: int) -> list[torch.Tensor]:
    noise = draws()
    grid = model.schedule.grid(steps, "trailing")
    return list(sampler.walk(noise(), grid, Denoiser(lambda x, t: model.denoise(x, t), model.schedule), noise))


def theirs(scheduler: Any, model: Model, steps: int, x: torch.Tensor) -> list[torch.Tensor]:
    """Run the loop of a diffusers pipeline. A scheduler whose states are x / alpha begins and ends with those."""
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()  # the values are float32's, what is made of them is not
    states = []
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        x = scheduler.step(model.net(scaled, torch.full((len(x),), float(t) + 1), Condition()), t, x).prev_sample
        states.append(x)
    return states


def replace_noise(monkeypatch: pytest.MonkeyPatch, scheduler: str) -> torch.Tensor:
    """Make the first draw, and give the scheduler those that follow."""
    noise = draws()
    first = noise()
    monkeypatch.setattr(f"diffusers.schedulers.scheduling_{scheduler}.randn_tensor", lambda *_, **__: noise())
    return first


def scheduler(name: str, **options: Any) -> Any:
    return getattr(diffusers, name)(timestep_spacing="trailing", beta_start=1e-4, beta_end=0.02, **options)


def assert_same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b.double(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("solver_order", [1, 2])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_dpm_solver_pp(
    model: Model, monkeypatch: pytest.MonkeyPatch, eta: float, solver_order: int, steps: int
) -> None:
    x = replace_noise(monkeypatch, "dpmsolver_multistep")
    kind = "sde-dpmsolver++" if eta else "dpmsolver++"
    other = scheduler("DPMSolverMultistepScheduler", algorithm_type=kind, solver_order=solver_order)
    assert_same(ours(DPMSolverPP(solver_order=solver_order, eta=eta), model, steps), theirs(other, model, steps, x))


def test_dpm_solver_pp_3m_is_of_third_order_here() -> None:
    """Compare the third order with diffusers and k-diffusion, whose last term is half of what the parabola needs.

    With x0 = lambda^2, whatever x is, a step that knows three levels is exact. Theirs misses by that half. The last
    term of their SDE variant of this order has the wrong sign, too.
    """
    schedule = VP.from_config({})
    grid = schedule.grid(10, "trailing")

    def x0(level: Level) -> torch.Tensor:
        return torch.full((1, 1), level.lam**2, dtype=torch.float64)

    def integral(t: Level, s: Level) -> float:
        """Return the integral of e^lambda lambda^2."""
        at_t, at_s = (math.exp(level.lam) * (level.lam**2 - 2 * level.lam + 2) for level in (t, s))
        return at_s - at_t

    def known(x: torch.Tensor, t: Level) -> Prediction:
        return Prediction.of(SAMPLE, x, t, x0(t))

    start = torch.ones(1, 1, dtype=torch.float64)
    here = list(DPMSolverPP(solver_order=3).walk(start, grid, Denoiser(known, schedule), lambda: start))
    other = scheduler("DPMSolverMultistepScheduler", solver_order=3, prediction_type="sample")
    other.set_timesteps(10)
    there, x = [], start.float()
    for t, level in zip(other.timesteps, grid.levels, strict=False):
        x = other.step(x0(level).float(), t, x).prev_sample
        there.append(x)
    assert_same(here[:2], there[:2])  # one level known, then two
    for i in range(2, 8):  # from the third step to the last of full order
        t, s = grid.levels[i], grid.levels[i + 1]
        h = s.lam - t.lam
        exact = s.sigma / t.sigma * here[i - 1] + s.sigma * integral(t, s)
        torch.testing.assert_close(here[i], exact, rtol=0, atol=1e-12)
        half = -s.alpha * ((math.expm1(-h) / h + 1) / h - 0.5) * h**2  # D_2 / h^2 = 1: half the second derivative
        missing = s.sigma / t.sigma * there[i - 1] + s.sigma * integral(t, s) - there[i]
        torch.testing.assert_close(missing, torch.full((1, 1), half), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("solver_type", ["bh1", "bh2"])
@pytest.mark.parametrize("solver_order", [1, 2, 3])
def test_unipc(model: Model, solver_order: int, solver_type: str, steps: int) -> None:
    """Compare; with bh1 the clean level is left out, where B is infinite and theirs is NaN."""
    x = draws()()
    other = scheduler("UniPCMultistepScheduler", solver_order=solver_order, solver_type=solver_type)
    here = ours(UniPC(solver_order=solver_order, solver_type=solver_type), model, steps)
    there = theirs(other, model, steps, x)
    assert_same(here[:-1], there[:-1])
    if solver_type == "bh2":
        assert_same(here[-1:], there[-1:])


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("solver_order", [1, 2, 3])
def test_deis(model: Model, solver_order: int, steps: int) -> None:
    """Compare levels above the clean one, where log rho is finite; at the clean one theirs is NaN."""
    x = draws()()
    other = scheduler("DEISMultistepScheduler", solver_order=solver_order, lower_order_final=False)
    here = ours(DEIS(solver_order=solver_order, variable="log-rho"), model, steps)
    assert_same(here[:-1], theirs(other, model, steps, x)[:-1])


@pytest.mark.parametrize("steps", STEPS)
def test_heun(model: Model, steps: int) -> None:
    """Compare with theirs, which has no churn, steps x / alpha, and counts the two halves of a step as steps."""
    grid = model.schedule.grid(steps, "trailing")
    y = draws()() / grid.levels[0].alpha
    halves = theirs(scheduler("HeunDiscreteScheduler"), model, steps, y)
    whole = [*halves[1:-1:2], halves[-1]]
    assert_same(ours(Heun(), model, steps), [s.alpha * y for s, y in zip(grid.levels[1:], whole, strict=True)])


@pytest.mark.parametrize("steps", STEPS)
def test_euler_ancestral(model: Model, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Compare with theirs, which steps x / alpha."""
    grid = model.schedule.grid(steps, "trailing")
    y = replace_noise(monkeypatch, "euler_ancestral_discrete") / grid.levels[0].alpha
    states = theirs(scheduler("EulerAncestralDiscreteScheduler"), model, steps, y)
    assert_same(
        ours(EulerAncestral(), model, steps), [s.alpha * y for s, y in zip(grid.levels[1:], states, strict=True)]
    )
