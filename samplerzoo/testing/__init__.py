"""Conformance kit for authors of samplers and guidances, and the exact answers that it rests on.

`check_sampler(MySampler())` and `check_guidance(MyGuidance())` run every check and raise if one fails.
`@parametrize_with_checks([MySampler()])` makes a pytest test of each check. `outcomes(MySampler())` yields them one by
one. `gaussian`, `mixture` and `conjugate` are data with a known denoiser; `moments` and `convergence` measure a sampler
on it without Monte Carlo, and `draws` counts its noise.
"""

from __future__ import annotations

from samplerzoo.core.exact import conjugate, draws, gaussian, is_stochastic, learned, mixture
from samplerzoo.testing.conformance import (
    Outcome,
    check_guidance,
    check_sampler,
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
    "check_guidance",
    "check_sampler",
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
