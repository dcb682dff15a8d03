"""Every built-in sampler, in every variant that is affine in its draws."""

from __future__ import annotations

import pytest
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.probability_flow import ProbabilityFlow
from samplerzoo_plugins.reverse_diffusion import ReverseDiffusion
from samplerzoo_plugins.reverse_sde import ReverseSDE

from samplerzoo.sampler import Sampler

SAMPLERS: dict[str, Sampler] = {
    "ddim-0": DDIM(),
    "ddim-0.5": DDIM(eta=0.5),
    "ddim-1": DDIM(eta=1.0),
    "ddpm-small": DDPM(variance="small"),
    "ddpm-large": DDPM(variance="large"),
    "reverse-sde": ReverseSDE(),
    "reverse-diffusion": ReverseDiffusion(),
    "probability-flow": ProbabilityFlow(),
}


@pytest.fixture(params=sorted(SAMPLERS))
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return SAMPLERS[request.param]
