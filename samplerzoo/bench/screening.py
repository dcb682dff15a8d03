"""Screening of another library's samplers: only those with a small error on an exact Gaussian are offered."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from samplerzoo import registry
from samplerzoo.bench import gaussian
from samplerzoo.core.source import Source
from samplerzoo.models.folder import GAUSSIAN
from samplerzoo.sampling.recipe import Recipe

STEPS = 50

BOUND = 4e-3
"""Largest Fréchet distance to N(0.5, 0.5^2) at 50 steps of a sampler that is offered.

The coarsest sampler in general use, ancestral sampling, is at 3.1e-3 on trailing spacing and at 3.2e-3 on linspace. The
bound is a quarter above that. TCD is at 4.5e-3 and LCM at 2.9e-2. With 1000 steps they are at 1.5e-3 and 2.2e-2, where
ancestral sampling is at 1.5e-5.
"""


@dataclass(frozen=True)
class Verdict:
    """Result of screening one sampler with its default options, on trailing spacing.

    Attributes:
        error: Fréchet distance, if the sampler runs.
        reason: why it is not offered; None if it is.
    """

    name: str
    error: float | None = None
    reason: str | None = None

    @property
    def offered(self) -> bool:
        return self.reason is None


def verdicts(library: str) -> list[Verdict]:
    """Screen all samplers of a library. They are measured at every call, so that no result is out of date."""
    source = registry.load_source(library)
    return [_verdict(library, source, name) for name in source.names()]


def _verdict(library: str, source: Source, name: str) -> Verdict:
    """Run one sampler, unless its source says that it cannot be used."""
    reason = source.refusal(name)
    if reason is not None:
        return Verdict(name, reason=reason)
    title = f"{library}:{name}"
    said: list[str] = []
    state = torch.random.get_rng_state()
    row = next(gaussian.rows([Recipe(model=GAUSSIAN, sampler=title, steps=STEPS)], said.append), None)
    if row is None:
        return Verdict(name, reason=said[0].removeprefix(f"{title} at {STEPS} steps: ").replace(f"{title} ", "it ", 1))
    assert row.metrics is not None
    error = row.metrics.fd
    if not torch.equal(torch.random.get_rng_state(), state):
        return Verdict(name, error, "it draws from the global random state")
    return Verdict(
        name, error, None if error < BOUND else f"its error is above {BOUND:g}, as of a method for distilled networks"
    )
