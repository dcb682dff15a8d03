"""Exact mean and variance of a sampler's output, without Monte Carlo.

With an affine denoiser an unclipped sampler is affine in its draws: out = b + sum_k a_k z_k, where z_0 makes x_T and
the others follow. Feeding zeros gives b, feeding a one at draw k gives b + a_k, and out ~ N(b, sum a_k^2) exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.exact import draws
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import NO_CLIP, Model
from samplerzoo.core.prediction import Clip, Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.walk import walk
from samplerzoo.errors import ZooError

FAR = 8.0
"""Size of a draw that normal draws never reach. A sampler that is affine up to here clips nothing."""

AFFINE_TOLERANCE = 1e-4
"""Relative tolerance of the superposition check: above the rounding of a thousand float32 steps (1e-5), which some
schedulers of diffusers take, and far below any clipping."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation of an output, element by element, float64 of the model's shape."""

    mean: Tensor
    std: Tensor


def run(
    model: Model,
    sampler: Sampler,
    grid: Grid,
    noise: Callable[[], Tensor],
    *,
    guidance: Guidance | None = None,
    condition: Condition | None = None,
    clip: Clip = NO_CLIP,
) -> Tensor:
    """Run a sampler with given draws, and return the final state in their dtype. The first draw makes x_T."""
    guided: Callable[[Tensor, Level], Prediction]
    if guidance is None:
        guided = functools.partial(model.denoise, condition=condition)
    else:
        guided = guidance.within_interval(model.denoise, condition or Condition(), model)
    *_, last = walk(sampler, grid, Denoiser(lambda x, t: clip(guided(x, t)), model.schedule), noise)
    return last


def moments(
    model: Model, sampler: Sampler, grid: Grid, *, guidance: Guidance | None = None, label: int | None = None
) -> Moments:
    """Return the exact moments of a sampler's output.

    Args:
        model: model whose denoiser is affine, and treats each element separately.

    Raises:
        ZooError: the sampler is not affine in its draws, so that it has no exact moments.
    """

    def output(noise: Impulses) -> Tensor:
        condition = model.condition(None if label is None else torch.full((noise.rows,), label))
        return run(model, sampler, grid, noise, guidance=guidance, condition=condition)

    return moments_of(output, model.shape, 1 + draws(sampler, grid, model.schedule), sampler)


def moments_of(
    output: Callable[[Impulses], Tensor], shape: tuple[int, ...], expected: int, sampler: Sampler
) -> Moments:
    """Return the exact moments of a state, which is given as a function of the sampler's draws.

    Args:
        expected: expected number of draws, including that of x_T. If the count differs, the state is computed again.
        sampler: sampler to name in errors.
    """
    impulses = Impulses(expected, shape)
    out = output(impulses)
    if impulses.drawn != impulses.draws:  # for example under guidance, or without the last step
        out = output(Impulses(impulses.drawn, shape))
    mean, gain, together = out[0], out[1:-1] - out[0], (out[-1] - out[0]) / FAR
    scale = gain.abs().sum(0) + mean.abs()
    if not (together - gain.sum(0)).abs().le(AFFINE_TOLERANCE * scale).all():
        raise ZooError(f"{sampler!r} is not affine in its draws on this model: it has no exact moments")
    return Moments(mean, gain.square().sum(0).sqrt())


class Impulses:
    """Source of draws with all impulses in one batch: row 0 is zeros, row k is one at draw k, the last row is FAR."""

    def __init__(self, draws: int, shape: tuple[int, ...]) -> None:
        self.draws = draws
        self.rows = draws + 2
        self.drawn = 0
        self._shape = shape

    def __call__(self) -> Tensor:
        self.drawn += 1
        z = torch.zeros(self.rows, *self._shape, dtype=torch.float64)
        z[-1] = FAR
        if self.drawn <= self.draws:
            z[self.drawn] = 1.0
        return z
