"""Noise schedule compared with the tables of diffusers and its own definition, and properties of grids."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from samplerzoo_plugins.architectures.betas import Betas

from samplerzoo.core.betas import BETA_SCHEDULES
from samplerzoo.core.level import Grid, Level, posterior_std, transition_variance
from samplerzoo.core.paths import VP
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.parts import Part, assemble
from samplerzoo.registry import spacing as spacing_named

FLOAT32 = 2e-5
"""Relative error of diffusers' float32 cumulative product over 1000 factors, about 1000 * 2^-24 / 4 at the worst."""

OPEN_SPACINGS = ("trailing", "leading", "linspace", "quadratic", "karras", "logsnr")
"""Spacings that need no grid of the model's own scheduler."""
ROUNDED_SPACINGS = [name for name in OPEN_SPACINGS if spacing_named(name).rounds]


def schedule(T: int = 1000, name: str = "linear", **options: object) -> VP:
    return VP.from_config({"num_train_timesteps": T, "beta_schedule": name, **options})


# -- the path


@pytest.mark.parametrize("name", sorted(BETA_SCHEDULES))
@pytest.mark.parametrize("T", [1000, 300])
def test_tables_are_those_of_diffusers(name: str, T: int) -> None:
    from diffusers import DDPMScheduler, HeunDiscreteScheduler

    cls = HeunDiscreteScheduler if name == "exp" else DDPMScheduler  # which alone has that
    theirs = cls(num_train_timesteps=T, beta_schedule=name)
    ours = VP.from_config(theirs.config)
    assert ours.T == T
    abar = theirs.alphas_cumprod.double()
    if name == "exp":  # of one beta throughout, so that the float32 rounding of 1 - beta adds up
        abar = (1 - theirs.betas.double()).cumprod(0)
    np.testing.assert_allclose(ours.alphas[1:] ** 2, abar.numpy(), rtol=FLOAT32)


def test_trained_betas_are_taken_as_they_are() -> None:
    from diffusers import DDPMScheduler

    betas = [0.1, 0.02, 0.3, 0.25]
    theirs = DDPMScheduler(num_train_timesteps=4, trained_betas=betas)
    ours = VP.from_config(theirs.config)
    np.testing.assert_allclose(ours.alphas[1:] ** 2, np.cumprod(1 - np.array(betas)), rtol=1e-14)
    np.testing.assert_allclose(ours.alphas[1:] ** 2, theirs.alphas_cumprod.double().numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_zero_terminal_snr_is_that_of_diffusers(name: str) -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(beta_schedule=name, rescale_betas_zero_snr=True)
    ours = VP.from_config(theirs.config)
    abar = theirs.alphas_cumprod.double().numpy()[:-1]  # the last one may be 0, where ours is 2^-24
    # abar is a difference of float32 square roots there, with an absolute error
    np.testing.assert_allclose(ours.alphas[1:-1] ** 2, abar, rtol=FLOAT32, atol=2e-8)
    assert 0 < ours.at(1000).alpha ** 2 <= 2.0**-24 * (1 + 1e-12)


@pytest.mark.parametrize("name", sorted(BETA_SCHEDULES))
@pytest.mark.parametrize("T", [2, 50, 1000])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_noise_grows_with_tau(name: str, T: int, zero_snr: bool) -> None:
    """Include linear at T = 1000, rescaled: abar_999 = 4e-9 is below 2^-24, so the last level must be lower still."""
    path = schedule(T, name, rescale_betas_zero_snr=zero_snr)
    levels = [path.at(tau) for tau in range(T + 1)]
    assert all(s.log_snr > t.log_snr and t.rate > 0 for s, t in itertools.pairwise(levels))


def test_a_known_value() -> None:
    """Check that abar_999 of the linear schedule is 4.036e-5, by the discrete product and not the integral."""
    assert schedule().at(1000).alpha ** 2 == pytest.approx(4.036e-5, rel=2e-4)


@pytest.mark.parametrize("name", sorted(BETA_SCHEDULES))
def test_arrays_and_levels_agree(name: str) -> None:
    path = schedule(50, name)
    for tau in range(51):
        level = path.at(tau)
        assert (level.tau, path.timestep(level.tau)) == (tau, tau - 1)
        assert path.tau(tau - 1) == tau
        # numpy's exp and the C library's differ in the last bit
        assert level.alpha == pytest.approx(path.alphas[tau], rel=5e-16)
        assert level.sigma == pytest.approx(path.sigmas[tau], rel=5e-16)
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=1e-15)


def test_the_clean_level() -> None:
    clean = schedule().at(0)
    assert clean.clean
    assert (clean.alpha, clean.sigma, clean.log_snr) == (1.0, 0.0, math.inf)
    assert clean.lam == math.inf


@given(st.floats(0.0, 1000.0))
@example(0.0)
@example(1.0)
@example(0.5)
@example(999.5)
@example(1000.0)
@example(5e-324)
def test_log_abar_is_linear_between_timesteps(tau: float) -> None:
    path = schedule()
    depth = -2 * np.log(path.alphas)
    level = path.at(tau)
    assert -2 * math.log(level.alpha) == pytest.approx(np.interp(tau, np.arange(1001), depth), rel=1e-9, abs=1e-15)
    i = max(math.ceil(tau), 1)
    assert -2 * level.drift == pytest.approx(depth[i] - depth[i - 1], rel=1e-9)
    if not level.clean:  # where sigma has no slope
        assert level.rate == pytest.approx(depth[i] - depth[i - 1], rel=1e-9)


@given(st.floats(1e-9, 1000.0), st.sampled_from(sorted(BETA_SCHEDULES)), st.booleans())
def test_log_snr_round_trip(tau: float, name: str, zero_snr: bool) -> None:
    path = schedule(name=name, rescale_betas_zero_snr=zero_snr)
    level = path.at(tau)
    assert level.lam == level.log_snr / 2 == pytest.approx(math.log(level.alpha / level.sigma), abs=1e-12)
    back = path.at_log_snr(level.log_snr)
    # float64 at the clean end, where sigma^2 ~ 1e-13 tau; elsewhere far better
    assert back.tau == pytest.approx(tau, rel=1e-6, abs=1e-11)
    assert back.sigma == pytest.approx(level.sigma, rel=1e-6)


def test_log_snr_at_the_two_ends() -> None:
    path = schedule()
    top = path.at(1000)
    assert path.at_log_snr(top.log_snr) == top
    assert path.at_log_snr(math.inf).clean
    with pytest.raises(UsageError, match="below the schedule's lowest"):
        path.at_log_snr(top.log_snr - 0.01)
    with pytest.raises(UsageError, match="below the schedule's lowest"):
        path.at_log_snr(-math.inf)
    with np.errstate(invalid="ignore"), pytest.raises(UsageError):
        path.at_log_snr(math.nan)


@pytest.mark.parametrize("tau", [-1e-9, 1000.001, math.nan, math.inf])
def test_no_level_outside_the_schedule(tau: float) -> None:
    with pytest.raises(UsageError, match="outside the schedule"):
        schedule().at(tau)


@pytest.mark.parametrize("betas", [[], [[0.1]], [0.0], [-0.1], [1.5], [math.nan], [0.1, math.inf]])
def test_impossible_betas_are_refused(betas: list[float]) -> None:
    with pytest.raises(ZooError, match="betas"):
        VP(betas)


@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "wavy"},
        {"beta_schedule": ["linear"]},
        {"num_train_timesteps": 0},
        {"num_train_timesteps": -3},
        {"num_train_timesteps": "many"},
        {"num_train_timesteps": None},
        {"beta_start": None},
        {"beta_end": "0.02x"},
        {"trained_betas": "linear"},
        {"trained_betas": {"a": 1}},
        {"trained_betas": [0.1, "b"]},
        {"num_train_timesteps": 1, "rescale_betas_zero_snr": True},
        {"num_train_timesteps": 10, "beta_start": 0.5, "beta_end": 1.5},
    ],
)
def test_a_config_that_makes_no_schedule_is_one_clear_error(config: dict[str, object]) -> None:
    with pytest.raises(ZooError):
        VP.from_config(config)


@pytest.mark.parametrize(
    "name", ["FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler", "ScoreSdeVeScheduler", "KarrasVeScheduler"]
)
def test_a_scheduler_without_betas_is_not_taken_for_a_linear_one(name: str) -> None:
    """Leave flow and VE schedulers, which diffusers saves in the same file, to others."""
    assert not Betas().claims({"_class_name": name, "num_train_timesteps": 1000})


def test_a_scheduler_that_nothing_reads_is_refused_by_name(tmp_path: Path) -> None:
    parts = [
        Part("unet", tmp_path, {"_class_name": "UNet2DModel"}),
        Part("scheduler", tmp_path, {"_class_name": "KarrasVeScheduler", "num_train_timesteps": 1000}),
    ]
    with pytest.raises(ZooError, match=r"no architecture reads scheduler \(KarrasVeScheduler\)"):
        assemble(tmp_path, None, parts)


# -- two levels


@given(st.integers(1, 1000), st.integers(0, 999))
def test_transition_and_posterior_variance(tau_t: int, tau_s: int) -> None:
    """Compare with the products of betas that define them (Ho, Jain, Abbeel 2020, eq. 7)."""
    assume(tau_s < tau_t)
    path = schedule()
    t, s = path.at(tau_t), path.at(tau_s)
    betas = np.linspace(1e-4, 0.02, 1000)
    beta = 1 - np.prod(1 - betas[tau_s:tau_t])
    abar_t, abar_s = np.prod(1 - betas[:tau_t]), np.prod(1 - betas[:tau_s])
    assert transition_variance(t, s) == pytest.approx(beta, rel=1e-11)
    assert posterior_std(t, s) ** 2 == pytest.approx(beta * (1 - abar_s) / (1 - abar_t), rel=1e-11, abs=1e-300)


# -- grids


@given(
    st.sampled_from(OPEN_SPACINGS),
    st.integers(1, 1200),
    st.sampled_from([1, 2, 3, 4, 5, 7, 300, 1000]),
    st.sampled_from(sorted(BETA_SCHEDULES)),
    st.booleans(),
)
@example("quadratic", 2, 2, "linear", False)
@example("linspace", 999, 1000, "linear", False)
@example("trailing", 667, 1000, "linear", False)
def test_every_grid_decreases_from_inside_the_schedule_to_clean(
    spacing: str, steps: int, T: int, name: str, zero_snr: bool
) -> None:
    assume(not (zero_snr and T == 1))
    path = schedule(T, name, rescale_betas_zero_snr=zero_snr)
    if spacing in ROUNDED_SPACINGS and steps > T:
        with pytest.raises(UsageError, match=f"{steps} steps do not fit on the {T} timesteps"):
            path.grid(steps, spacing)
        return
    if T == 1 and steps > 1:
        with pytest.raises(UsageError, match="strictly"):  # there is only one noisy level
            path.grid(steps, spacing)
        return
    grid = path.grid(steps, spacing)
    assert len(grid) == steps == len(path.timesteps(grid)) == len(list(grid.pairs()))
    taus = [level.tau for level in grid.levels]
    assert taus[0] <= T
    assert taus[-2] >= 1  # the cleanest noisy level of the training, or above it
    assert taus[-1] == 0
    assert grid.levels[-1].clean
    assert all(t > s for t, s in itertools.pairwise(taus))
    assert [level.clean for level in grid.levels] == [False] * steps + [True]
    if spacing in ("trailing", "linspace", "karras", "logsnr") or steps == 1:
        assert taus[0] == T
    if spacing in ("linspace", "karras", "logsnr", "quadratic", "leading") and steps > 1:
        assert taus[-2] == 1
    if spacing in ROUNDED_SPACINGS:
        assert all(tau == int(tau) for tau in taus)


@pytest.mark.parametrize("spacing", ROUNDED_SPACINGS)
@pytest.mark.parametrize("T", [1, 2, 7, 300, 1000])
def test_T_steps_visit_every_timestep(spacing: str, T: int) -> None:
    path = schedule(T)
    assert path.timesteps(path.grid(T, spacing)) == list(range(T - 1, -1, -1))


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("steps", [2, 7, 10, 30, 50, 300, 600, 750, 1000])
def test_integer_grids_are_those_of_diffusers(spacing: str, steps: int) -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(timestep_spacing=spacing)
    theirs.set_timesteps(steps)
    path = schedule()
    ours = path.timesteps(path.grid(steps, spacing))
    # trailing in diffusers uses np.arange(T, 0, -T/steps), ours exact multiples; both then round
    assert ours == theirs.timesteps.tolist()


def test_known_first_timesteps() -> None:
    path = schedule()

    def timesteps(steps: int, spacing: str) -> list[float]:
        return path.timesteps(path.grid(steps, spacing))

    assert [timesteps(S, "leading")[0] for S in (10, 50, 300, 400, 600, 750)] == [900, 980, 897, 798, 599, 749]
    assert timesteps(50, "trailing")[-1] == 19
    assert timesteps(10, "linspace") == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]


def test_quadratic_is_the_papers_without_its_rounding() -> None:
    path = schedule()
    ours = path.timesteps(path.grid(20, "quadratic"))
    paper = (np.linspace(0, math.sqrt(800), 20) ** 2)[::-1]
    np.testing.assert_allclose(ours, paper, atol=1e-12)


def test_karras_and_logsnr_are_even_in_their_own_variable() -> None:
    path = schedule()
    noise = [(level.sigma / level.alpha) ** (1 / 7) for level in path.grid(20, "karras").levels[:-1]]
    np.testing.assert_allclose(np.diff(noise), (noise[-1] - noise[0]) / 19, rtol=1e-9)
    log_snr = [level.log_snr for level in path.grid(20, "logsnr").levels[:-1]]
    np.testing.assert_allclose(np.diff(log_snr), (log_snr[-1] - log_snr[0]) / 19, rtol=1e-9)


def test_explicit_timesteps() -> None:
    path = schedule()
    grid = path.grid_at([999, 500.25, 0])
    assert path.timesteps(grid) == [999, 500.25, 0]
    assert grid.levels[-1].clean


@pytest.mark.parametrize(
    ("timesteps", "message"),
    [
        ([], "at least one noisy level"),
        ([-1], "clean level at its end only"),
        ([5, 5], "timestep 5 follows 5"),
        ([5, 9], "timestep 9 follows 5"),
        ([1000], "timestep 1000 is outside"),
        ([math.nan], "outside"),
    ],
)
def test_impossible_grids_say_why(timesteps: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        schedule().grid_at(timesteps)


def test_a_grid_must_end_clean() -> None:
    with pytest.raises(UsageError, match="at its end only"):
        Grid((Level(2.0, 0.5, 0.5, -0.1, 0.1), Level(1.0, 0.9, 0.1, -0.1, 0.1)))


@pytest.mark.parametrize(
    ("steps", "spacing"), [(0, "trailing"), (-1, "karras"), (10, "wide"), (1001, "leading"), (10, "scheduler")]
)
def test_impossible_requests(steps: int, spacing: str) -> None:
    with pytest.raises(UsageError):
        schedule().grid(steps, spacing)


def test_the_schedule_needs_no_torch() -> None:
    """Keep `samplerzoo timesteps` quick."""
    import subprocess
    import sys

    code = "import sys, samplerzoo.core.paths, samplerzoo_plugins.ddim; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
