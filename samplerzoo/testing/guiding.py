"""Parts for checks of guidances: a model to guide, noisy states, and its predictions with and without a label."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.exact import told
from samplerzoo.core.guidance import Guidance, TwoModelGuidance, checked_denoiser
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import Parametrization
from samplerzoo.core.prediction import Prediction
from samplerzoo.errors import UsageError
from samplerzoo.testing.fixtures import given_noise, three_classes

IMAGES = 6
TIMES = (0.8, 0.5, 0.3, 0.1, 0.03, 0.002)
"""Levels to look at, as shares of T: from those where classes are hard to tell apart to those where it is easy."""

Guided = Callable[[Tensor, Level], Prediction]


@dataclass(frozen=True, eq=False)
class Bench:
    """Model to guide, and a batch of labels to guide it with."""

    model: Model
    labels: Tensor
    dtype: torch.dtype
    tolerance: float

    @classmethod
    def of(cls, model: Model | None) -> Bench:
        if model is None:
            return cls(three_classes(), torch.tensor([2, 0, 1, 0, 2, 1]), torch.float64, 1e-8)
        labels = torch.tensor([2, 0, 1, 0, 2, 1]) % (model.classes or 1)
        return cls(model, labels.to(model.device), torch.float32, 1e-3)  # of networks, whose batches add up otherwise

    @property
    def classes(self) -> int:
        return self.model.classes or 1

    def states(self, dtype: torch.dtype | None = None) -> list[tuple[Level, Tensor]]:
        """Make noisy states (6, *shape), between the classes."""
        assert self.model.shape is not None
        draw, path = given_noise(IMAGES, self.model.shape, dtype or self.dtype), self.model.schedule
        levels = [path.at(max(path.low, share * path.T)) for share in TIMES]
        return [(t, (0.5 * t.alpha + t.sigma) * draw().to(self.model.device)) for t in levels]

    def guide(
        self, guidance: Guidance, labels: Tensor | None = None, *, denoise: Callable[..., Prediction] | None = None
    ) -> Guided:
        with torch.no_grad():
            chosen = self.labels if labels is None else labels.to(self.labels)
            within = guidance.within_interval(denoise or self.model.denoise, self.model.condition(chosen), self.model)
            guided = checked_denoiser(guidance, "within_interval", within)
        return torch.no_grad()(guided)

    def conditional(self, x: Tensor, t: Level) -> Tensor:
        with torch.no_grad():
            return self.model.denoise(x, t, self.condition()).eps

    def second(self, x: Tensor, t: Level) -> Tensor:
        assert self.model.second is not None, "the model to guide has no second model"
        with torch.no_grad():
            return self.model.second.denoise(x, t, self.condition()).eps

    def unconditional(self, x: Tensor, t: Level) -> Tensor:
        try:
            nothing = self.model.unconditional(self.condition())
        except UsageError as error:
            raise SkipTest("the model has no null label to compare with") from error
        with torch.no_grad():
            return self.model.denoise(x, t, nothing).eps

    def condition(self) -> Condition:
        return self.model.condition(self.labels)


def at(guidance: Guidance, scale: float) -> Guidance:
    """Copy a guidance with another scale. One by a second model gets the kit's."""
    options = {**guidance.model_dump(), "scale": scale}
    return type(guidance)(**options | ({"model": None} if isinstance(guidance, TwoModelGuidance) else {}))


def eps(p: Prediction) -> Tensor:
    """Return the eps that is sampled from: a shift of the mean is a shift of the score."""
    return p.eps if p.shift is None else p.eps - p.level.sigma * p.shift


def as_kind(model: Model, kind: Parametrization) -> Model:
    """Turn a model into one whose network answers in another parametrization."""

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        p = model.denoise(x, told(model.schedule, tau), condition)
        output = kind.target(p.x0, p.eps, p.level)
        return output if p.variance is None else torch.cat([output, 2 * p.variance - 1], dim=1)

    return dataclasses.replace(model, net=net, parametrization=kind)
