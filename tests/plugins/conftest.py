"""Fixtures with all built-in samplers, in each variant that is affine in its draws, and with spacings."""

from __future__ import annotations

import pytest
from samplerzoo_plugins.consistency import Consistency
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.deis import DEIS
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.euler_ancestral import EulerAncestral
from samplerzoo_plugins.heun import Heun
from samplerzoo_plugins.ipndm import IPNDM
from samplerzoo_plugins.predictor_corrector import PredictorCorrector
from samplerzoo_plugins.probability_flow import ProbabilityFlow
from samplerzoo_plugins.reverse_diffusion import ReverseDiffusion
from samplerzoo_plugins.reverse_sde import ReverseSDE
from samplerzoo_plugins.unipc import UniPC

from samplerzoo.core.sampler import Sampler

OPEN_SPACINGS = ("karras", "leading", "linspace", "logsnr", "quadratic", "trailing")
"""Spacings of a path that has no grid of its own."""

SAMPLERS: dict[str, Sampler] = {
    "consistency": Consistency(),
    "ddim-0": DDIM(),
    "ddim-0.5": DDIM(eta=0.5),
    "ddim-1": DDIM(eta=1.0),
    "ddpm-small": DDPM(variance="small"),
    "ddpm-large": DDPM(variance="large"),
    "reverse-sde": ReverseSDE(),
    "reverse-diffusion": ReverseDiffusion(),
    "probability-flow": ProbabilityFlow(),
    "heun": Heun(),
    "heun-churn": Heun(s_churn=5.0),
    "dpm-solver++-2m": DPMSolverPP(),
    "dpm-solver++-3m": DPMSolverPP(solver_order=3),
    "dpm-solver++-sde": DPMSolverPP(eta=1.0),
    "dpm-solver++-3m-sde": DPMSolverPP(solver_order=3, eta=1.0),
    "unipc-1": UniPC(solver_order=1),
    "unipc-2": UniPC(),
    "unipc-3": UniPC(solver_order=3),
    "unipc-3-bh1": UniPC(solver_order=3, solver_type="bh1"),
    "ipndm-2": IPNDM(solver_order=2),
    "ipndm-4": IPNDM(),
    "deis-2": DEIS(solver_order=2),
    "deis-3": DEIS(),
    "deis-3-rho": DEIS(variable="rho"),
    "deis-3-log-rho": DEIS(variable="log-rho"),
    "euler-ancestral-0.5": EulerAncestral(eta=0.5),
    "euler-ancestral-1": EulerAncestral(),
    "predictor-corrector": PredictorCorrector(),
    "predictor-corrector-ddim": PredictorCorrector(predictor="ddim", corrector_steps=2),
}


@pytest.fixture(params=sorted(SAMPLERS))
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return SAMPLERS[request.param]


@pytest.fixture
def samplers() -> dict[str, Sampler]:
    return SAMPLERS


@pytest.fixture(params=OPEN_SPACINGS)
def spacing(request: pytest.FixtureRequest) -> str:
    """Return the name of a spacing of a path that has no grid of its own."""
    return request.param
