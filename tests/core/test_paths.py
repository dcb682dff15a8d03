"""Noise paths beside VP: levels, slopes, spacings, and batches of levels for training."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.schedule import LEAST_ALPHA, Schedule
from samplerzoo.errors import UsageError, ZooError

PATHS: dict[str, Schedule] = {
    "VP": VP.from_config({}),
    "cosine": VP.from_config({"beta_schedule": "squaredcos_cap_v2"}),
    "zero SNR": VP.from_config({"rescale_betas_zero_snr": True}),
    "VE": VE(),
    "flow": RectifiedFlow(),
}
SHARES = (1.0, 0.9, 0.5003, 0.25, 0.011, 0.0007)


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> Schedule:
    return PATHS[request.param]


def test_the_clean_end_is_clean(path: Schedule) -> None:
    clean = path.at(0.0)
    assert (clean.tau, clean.alpha, clean.sigma, clean.clean) == (0.0, 1.0, 0.0, True)
    assert math.isinf(clean.log_snr)


def test_the_log_snr_falls_and_is_inverted(path: Schedule) -> None:
    levels = [path.at(share * path.T) for share in SHARES]
    assert all(t.log_snr < s.log_snr for t, s in itertools.pairwise(levels))
    for level in levels[1:]:
        assert path.at_log_snr(level.log_snr).tau == pytest.approx(level.tau, rel=1e-9)
    with pytest.raises(UsageError, match="below"):
        path.at_log_snr(path.at(path.T).log_snr - 1)
    for outside in (-0.1, path.T * 1.001):
        with pytest.raises(UsageError, match="outside"):
            path.at(outside)


def test_slopes_are_those_of_alpha_and_sigma(path: Schedule) -> None:
    """By central differences, away from whole timesteps, where beta jumps."""
    for share in (0.9, 0.5003, 0.25, 0.011):
        tau = share * path.T
        tau = math.floor(tau) + 0.5 if path.whole else tau
        h = 1e-5 * tau
        low, level, high = (path.at(at) for at in (tau - h, tau, tau + h))
        assert level.dalpha == pytest.approx((high.alpha - low.alpha) / (2 * h), rel=1e-5, abs=1e-12)
        assert level.dsigma == pytest.approx((high.sigma - low.sigma) / (2 * h), rel=1e-5, abs=1e-12)
        # the variance of dx = f x dtau + g dw moves as that of x at fixed x0: d(sigma^2) = 2 f sigma^2 + g^2
        assert 2 * level.sigma * level.dsigma == pytest.approx(2 * level.drift * level.sigma**2 + level.rate, rel=1e-9)


def test_drift_and_rate_are_those_of_the_papers() -> None:
    vp, ve, flow = (PATHS[name].at(0.4 * PATHS[name].T) for name in ("VP", "VE", "flow"))
    beta = -math.log(1 - np.linspace(1e-4, 0.02, 1000)[399])
    assert (vp.drift, vp.rate) == (pytest.approx(-beta / 2), pytest.approx(beta))  # Song et al. 2021, eq. 11
    assert (ve.drift, ve.rate) == (0.0, pytest.approx(2 * ve.sigma))  # eq. 9, with tau = sigma
    assert (flow.drift, flow.rate) == (pytest.approx(-1 / 0.6), pytest.approx(2 * 0.4 / 0.6))


def test_a_batch_of_levels_is_the_levels_of_a_run(path: Schedule) -> None:
    taus = [max(1.0, round(share * path.T)) if path.whole else share * path.T for share in SHARES]
    batch = path.levels(torch.tensor(taus, dtype=torch.float64))
    for row, tau in enumerate(taus):
        level = path.at(tau)
        for name in ("tau", "alpha", "sigma", "dalpha", "dsigma"):
            found = getattr(batch, name)[row].item()
            assert found == pytest.approx(getattr(level, name), rel=1e-12), name


def test_alpha_is_never_too_small_to_divide_by() -> None:
    top = PATHS["flow"].at(1.0)
    assert (top.alpha, top.sigma) == (LEAST_ALPHA, 1.0)
    assert PATHS["flow"].ends_in_noise
    assert PATHS["zero SNR"].ends_in_noise
    assert not PATHS["VE"].ends_in_noise
    last = VP.from_config({"beta_end": 1.0})  # as of a config that says it in this way
    assert (last.ends_in_noise, last.at(1000).alpha) == (True, pytest.approx(last.at(999).alpha / 2))
    with pytest.raises(ZooError, match="a beta of 1 leaves no signal, and only the last one may be that"):
        VP([0.1, 1.0, 0.2])


@pytest.mark.parametrize("name", ["VE", "flow"])
@pytest.mark.parametrize("spacing", ["trailing", "linspace", "karras", "logsnr"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_spacings_run_from_the_top_to_the_clean_end(name: str, spacing: str, steps: int) -> None:
    grid = PATHS[name].grid(steps, spacing)
    assert len(grid) == steps
    assert (grid.levels[0].tau, grid.levels[-1].tau) == (PATHS[name].T, 0.0)
    if steps > 1 and spacing != "trailing":
        assert grid.levels[-2].tau == PATHS[name].low


@pytest.mark.parametrize("spacing", ["leading", "quadratic"])
def test_spacings_of_timesteps_are_refused_where_there_are_none(spacing: str) -> None:
    with pytest.raises(UsageError, match=f"spacing {spacing} is of training timesteps, which a flow path does not"):
        PATHS["flow"].grid(5, spacing)


def test_a_grid_of_its_own_is_the_default_of_a_path() -> None:
    own = RectifiedFlow(own=lambda steps: [1.0, *np.linspace(0.8, 0.1, steps - 1)])
    assert own.spacing == "scheduler"
    assert [level.tau for level in own.grid(3).levels] == pytest.approx([1.0, 0.8, 0.1, 0.0])
    assert (PATHS["VP"].spacing, PATHS["VE"].spacing, PATHS["flow"].spacing) == ("trailing", "karras", "trailing")
    with pytest.raises(UsageError, match="no grid of its own; the usual spacing of a VE path is --spacing karras"):
        PATHS["VE"].grid(5, "scheduler")


def test_the_grid_of_ve_is_that_of_the_paper() -> None:
    """Karras et al. 2022, eq. 5."""
    n, rho = 18, 7
    expected = [(80 ** (1 / rho) + i / (n - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho for i in range(n)]
    assert [level.sigma for level in VE().grid(n).levels[:-1]] == pytest.approx(expected, rel=1e-12)


def test_timesteps_are_called_as_diffusers_calls_them() -> None:
    assert PATHS["VP"].timesteps(PATHS["VP"].grid(4)) == [999, 749, 499, 249]
    assert PATHS["flow"].timesteps(PATHS["flow"].grid(4)) == [1000, 750, 500, 250]
    assert PATHS["VE"].timesteps(PATHS["VE"].grid_at([80.0, 1.5])) == [80.0, 1.5]
    for path in PATHS.values():
        grid = path.grid_at([path.timestep(0.7 * path.T), path.timestep(0.2 * path.T)])
        assert [level.tau for level in grid.levels] == pytest.approx([0.7 * path.T, 0.2 * path.T, 0.0])
    with pytest.raises(UsageError, match="timestep 250 follows 250"):
        PATHS["flow"].grid_at([250, 250])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 1.0), (1.0, math.inf), (-1.0, 3.0)])
def test_bounds_that_make_no_path_are_refused(low: float, high: float) -> None:
    with pytest.raises(ZooError, match="0 < sigma_min < sigma_max"):
        VE(low, high)
