"""Exact answers for samplers: data whose denoiser is known, what a sampler makes of it, and how fast it gets there."""

from __future__ import annotations

from samplerzoo.testing.exact import conjugate, gaussian, mixture
from samplerzoo.testing.moments import Moments, moments, run
from samplerzoo.testing.order import TOLERANCE, Convergence, convergence

__all__ = ["TOLERANCE", "Convergence", "Moments", "conjugate", "convergence", "gaussian", "mixture", "moments", "run"]
