"""Checks of a guidance in dtypes of lower precision."""

from __future__ import annotations

import dataclasses
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.prediction import Prediction
from samplerzoo.testing.fixtures import farthest
from samplerzoo.testing.guiding import (
    Bench,
    Line,
    eps,
    guiding_settings,
)
from samplerzoo.testing.settings import difference


def check_guided_dtype_is_kept(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a guided prediction has the dtype and the shape of the state, and carries no gradient."""
    for made in guiding_settings(guidance, model):
        for bench in Bench.each(made, model):
            for dtype in {torch.float32, bench.dtype}:
                for t, x in bench.states(dtype):
                    _check_form(bench.guide(made)(x, t), x, t, f"{difference(guidance, made)}, {bench.place(t)}")


def _check_form(p: Prediction, x: Tensor, t: Level, where: str) -> None:
    for name in ("eps", "x0"):
        found = getattr(p, name)
        assert found.dtype == x.dtype, f"{name} is {found.dtype}, where the state is {x.dtype}{where}"
        assert found.shape == x.shape, f"{name} has the shape {tuple(found.shape)}, the state {tuple(x.shape)}{where}"
        assert torch.isfinite(found).all(), f"{name} is NaN or infinite{where}"
        assert not found.requires_grad, f"{name} carries a gradient, and memory grows with the steps: detach it"
    assert p.level == t, f"the prediction is of tau {p.level.tau:g}, not of {t.tau:g}"


PRECISIONS = {torch.float32: 1e-5, torch.bfloat16: 0.06, torch.float16: 0.01}
"""Allowed relative rounding of a guided prediction per unit of scale, by the dtype of the state.

Added to it is that of the two predictions times the weight of the label, which may exceed the scale at some levels.
"""

UNSTEADY = 4.0
"""Factor on the change of a guided prediction by rounding of the network's answers alone, to allow for all others."""

ROOM = 200.0
"""Factor on the weight of a guidance that half precision must be able to represent: float16 ends at 65,504."""


def check_guided_precisions_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that states in float32 and in half precision are guided as in float64, but for rounding.

    Answers of network and classifier are exact, so that all rounding is due to the guidance. samplerzoo itself guides
    states in float32. Other callers of `guide` may use other dtypes.
    """
    if model is not None:
        raise SkipTest("what a network of one's own loses in another precision is not the guidance's")
    for made in guiding_settings(guidance, model):
        for bench in Bench.each(made, model):
            exact = dataclasses.replace(bench, model=_in_float64(bench.model))
            for dtype, rounding in PRECISIONS.items():
                for t, x in exact.states(dtype)[1:4]:
                    wanted = eps(exact.guide(made)(x.double(), t))
                    weight, weighted = _lost(exact, made, x.double(), t, wanted)
                    if max(made.scale, weight) > torch.finfo(dtype).max / ROOM:
                        continue
                    try:
                        found = eps(exact.guide(made)(x, t))
                    except RuntimeError:  # torch lacks a function in half precision, such as quantile: an error is fine
                        if dtype == torch.float32:
                            raise
                        continue
                    assert found.dtype == dtype, f"eps is {found.dtype}, where the state is {dtype}"
                    largest = max(1.0, float(wanted.abs().max()))
                    off = farthest(found, wanted) / largest
                    lost = torch.finfo(dtype).eps * max(0.0, weight - made.scale) * weighted / largest
                    if off > rounding * max(1.0, made.scale) + lost:
                        lost += UNSTEADY * farthest(_shaken(exact, made, x.double(), t, dtype), wanted) / largest
                    assert off <= rounding * max(1.0, made.scale) + lost, (
                        f"states in {dtype} are guided otherwise than in float64: eps is off by {off:.2g}"
                        f"{difference(guidance, made)}, {bench.place(t)}"
                    )


def _shaken(bench: Bench, guidance: Guidance, x: Tensor, t: Level, dtype: torch.dtype) -> Tensor:
    """Return guided eps where every answer of the network is off by the rounding of a dtype, up and down in turn.

    It is far off where a guidance amplifies rounding by itself, as one by a classifier of almost clean images.
    """

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        p = bench.model.denoise(x, t, condition)
        signs = 1 - 2 * (torch.arange(x.shape[-1]) % 2).to(x)
        return p.moved(torch.finfo(dtype).eps * torch.maximum(p.eps.abs(), x.abs() / t.sigma) * signs)

    return eps(bench.guide(guidance, denoise=denoise)(x, t))


def _lost(bench: Bench, guidance: Guidance, x: Tensor, t: Level, guided: Tensor) -> tuple[float, float]:
    """Return the weight of the label in guided eps where both predictions differ most, and the size of these."""
    u, c = bench.away(guidance, x, t), bench.towards(guidance, x, t)
    line = Line.through(u, c, guided)
    return float(line.weight[line.length.argmax()].abs()), max(float(part.abs().max()) for part in (u, c, x / t.sigma))


def _in_float64(model: Model) -> Model:
    """Let network and classifier of a model, and of its second model, compute in float64 for any input dtype."""
    net, classifier = model.net, model.classifier
    assert classifier is not None
    return dataclasses.replace(
        model,
        net=lambda x, tau, condition: net(x.double(), tau.double(), condition),
        classifier=lambda x, level: classifier(x.double(), level),
        second=None if model.second is None else _in_float64(model.second),
    )
