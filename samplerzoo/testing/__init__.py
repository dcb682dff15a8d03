"""For who writes samplers and guidances: the conformance kit, and the exact answers that it stands on.

`check_sampler(MySampler())` and `check_guidance(MyGuidance())` run every check and raise if one fails;
`@parametrize_with_checks([MySampler()])` makes a pytest test of each; `outcomes(MySampler())` gives them one by one.
The rest is data whose denoiser is known, what a sampler makes of it without Monte Carlo, and how fast it gets there.
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
    "run",
]
