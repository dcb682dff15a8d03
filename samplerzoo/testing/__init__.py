"""Exact answers for samplers: data whose denoiser is known, and the moments of what a sampler makes of it."""

from __future__ import annotations

from samplerzoo.testing.exact import conjugate, gaussian, mixture
from samplerzoo.testing.moments import Moments, moments, run

__all__ = ["Moments", "conjugate", "gaussian", "mixture", "moments", "run"]
