"""Conformance kit for authors of plugins, and the exact answers that it is based on.

`check_sampler(MySampler())` runs every check and raises if one fails; `check_guidance`, `check_features` and
`check_spacing` are for the other kinds. `@parametrize_with_checks([MySampler()])` makes a pytest test of each check.
`outcomes(MySampler())` yields them one by one. `gaussian`, `mixture` and `conjugate` are data with a known denoiser;
`moments` and `convergence` measure a sampler on it without Monte Carlo, and `draws` counts its noise.
"""

from __future__ import annotations

from samplerzoo.core.exact import conjugate, draws, gaussian, is_stochastic, learned, mixture
from samplerzoo.testing.conformance import (
    Outcome,
    check_architecture,
    check_features,
    check_guidance,
    check_sampler,
    check_spacing,
    checks_of,
    outcomes,
    parametrize_with_checks,
    refused_paths,
)
from samplerzoo.testing.convergence import TOLERANCE, Convergence, convergence
from samplerzoo.testing.moments import Moments, moments, run

__all__ = [
    "TOLERANCE",
    "Convergence",
    "Moments",
    "Outcome",
    "check_architecture",
    "check_features",
    "check_guidance",
    "check_sampler",
    "check_spacing",
    "checks_of",
    "conjugate",
    "convergence",
    "draws",
    "gaussian",
    "is_stochastic",
    "learned",
    "mixture",
    "moments",
    "outcomes",
    "parametrize_with_checks",
    "refused_paths",
    "run",
]
