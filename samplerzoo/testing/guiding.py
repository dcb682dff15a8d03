"""Parts for checks of guidances: a model to guide, noisy states, and its predictions with and without a label."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
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
from samplerzoo.testing.fixtures import PATHS, farthest, given_noise, three_classes, usual
from samplerzoo.testing.settings import along, in_pairs, settings

LABELS = (2, 0, 1, 1, 2, 0)
"""Labels of the images. Rolling, reversing or sorting changes them."""
IMAGES = len(LABELS)
TIMES = (0.8, 0.5, 0.3, 0.1, 0.03, 0.002)
"""Levels to test, as shares of T: from levels at which classes are hard to tell apart to easy ones."""

SHAPE = (4,)
"""Shape of an image, with as many channels as most latents, since a guidance may apply to some channels only."""

NEIGHBOURHOOD = (1, 5, 5)
"""Shape of a picture whose middle pixel has neighbours that have further neighbours."""

PAIRS = 6
"""Number of settings with two other options that are tried."""

TRACE = 1e-10
"""Change of a value below which it counts as rounding."""

AROUND = "it looks at neighbours, so that the same numbers in another shape are another image"

Guided = Callable[[Tensor, Level], Prediction]


@dataclass(frozen=True, eq=False)
class Bench:
    """Model to guide, with a batch of labels."""

    model: Model
    labels: Tensor
    dtype: torch.dtype
    tolerance: float

    @classmethod
    def of(cls, model: Model | None) -> Bench:
        if model is None:
            return cls(three_classes(SHAPE), torch.tensor(LABELS), torch.float64, 1e-8)
        labels = torch.tensor(LABELS) % (model.classes or 1)
        return cls(model, labels.to(model.device), torch.float32, 1e-3)  # in networks, rounding depends on the batch

    @classmethod
    def each(cls, guidance: Guidance, model: Model | None) -> list[Bench]:
        """Return a bench for each kind of path that the guidance accepts, or only one if a model is given."""
        bench = cls.of(model)
        if model is not None:
            return [bench]
        others = (
            three_classes(SHAPE, schedule=path.schedule, parametrization=usual(path.schedule)) for path in PATHS[1:]
        )
        return [
            bench,
            *(other for it in others if not (other := dataclasses.replace(bench, model=it)).refuses(guidance)),
        ]

    def refuses(self, guidance: Guidance) -> bool:
        """Tell whether a guidance refuses this model."""
        try:
            self.guide(guidance)
        except UsageError:
            return True
        return False

    def place(self, t: Level) -> str:
        """Describe the place of a level."""
        return f"at tau {t.tau:g} of a {self.model.schedule.kind} path"

    @property
    def exact(self) -> bool:
        """True for the kit's own model, in float64."""
        return self.dtype == torch.float64

    @property
    def classes(self) -> int:
        return self.model.classes or 1

    def state(self, t: Level, *, seed: int = 0) -> Tensor:
        """Make a noisy state (6, *shape) at a level, between the classes."""
        draw = given_noise(IMAGES, self.model.shape, self.dtype, seed=seed)
        return (0.5 * t.alpha + t.sigma) * draw().to(self.model.device)

    def states(self, dtype: torch.dtype | None = None) -> list[tuple[Level, Tensor]]:
        """Make noisy states (6, *shape), between the classes."""
        draw, path = given_noise(IMAGES, self.model.shape, dtype or self.dtype), self.model.schedule
        levels = [path.at(max(path.low, share * path.T)) for share in TIMES]
        return [(t, (0.5 * t.alpha + t.sigma) * draw().to(self.model.device)) for t in levels]

    def guide(
        self, guidance: Guidance, labels: Tensor | None = None, *, denoise: Callable[..., Prediction] | None = None
    ) -> Guided:
        with torch.no_grad():
            chosen = self.labels if labels is None else labels.to(self.labels)
            within = guidance.within_interval(denoise or self.model.denoise, self.condition(chosen), self.model)
            guided = checked_denoiser(guidance, "within_interval", within)
        return torch.no_grad()(guided)

    def conditional(self, x: Tensor, t: Level, labels: Tensor | None = None) -> Tensor:
        """Return eps for the labels of the bench, or for others."""
        with torch.no_grad():
            return self.model.denoise(x, t, self.condition(labels)).eps

    def second(self, x: Tensor, t: Level) -> Tensor:
        assert self.model.second is not None, "the model to guide has no second model"
        with torch.no_grad():
            return self.model.second.denoise(x, t, self.condition()).eps

    def away(self, guidance: Guidance, x: Tensor, t: Level) -> Tensor:
        """Return the eps that scale 0 should give: that of the second model, or that without a label."""
        return self.second(x, t) if isinstance(guidance, TwoModelGuidance) else self.unconditional(x, t)

    def towards(self, guidance: Guidance, x: Tensor, t: Level) -> Tensor:
        """Return the eps that scale 1 should give: the conditional one, unless the guidance declares another."""
        return self.conditional(x, t) if guidance.keeps_scale_1 else eps(self.guide(at(guidance, 1.0))(x, t))

    def unconditional(self, x: Tensor, t: Level) -> Tensor:
        try:
            nothing = self.model.unconditional(self.condition())
        except UsageError as error:
            raise SkipTest("the model has no null label to compare with") from error
        with torch.no_grad():
            return self.model.denoise(x, t, nothing).eps

    def condition(self, labels: Tensor | None = None) -> Condition:
        """Return the condition for the labels of the bench, or for others."""
        return self.model.condition(self.labels if labels is None else labels)


def at(guidance: Guidance, scale: float, low: float = 0.0, high: float | None = None) -> Guidance:
    """Copy a guidance with another scale, by default on at all levels. A second model is replaced by the kit's."""
    options = {**dict(guidance), "scale": scale, "low": low, "high": high}
    return type(guidance)(**options | ({"model": None} if isinstance(guidance, TwoModelGuidance) else {}))


@dataclass(frozen=True, eq=False)
class Line:
    """Position of guided eps relative to the line u + weight (c - u) through its values at scale 0 and 1, (N,) each.

    Attributes:
        weight: weight of the nearest point on the line.
        off: distance from that point.
        length: distance between u and c.
    """

    weight: Tensor
    off: Tensor
    length: Tensor

    @classmethod
    def through(cls, u: Tensor, c: Tensor, found: Tensor) -> Line:
        """Compare guided eps with the line through u and c."""
        u, c, found = (p.flatten(1) for p in (u, c, found))
        line, length = c - u, (c - u).square().sum(1).sqrt()
        weight = ((found - u) * line).sum(1) / length.square().clamp(min=1e-300)  # 0 where both ends are one
        off = (found - u - weight[:, None] * line).abs().amax(1)
        return cls(weight, off, length)


def at_those_of(guidance: Guidance, scales: Sequence[float]) -> Iterator[tuple[float, Guidance]]:
    """Yield the scales within the bounds of a guidance, each with a copy of it at this scale."""
    for scale in scales:
        try:
            yield scale, at(guidance, scale)
        except ValueError:
            continue


def settings_of(guidance: Guidance, model: Model | None) -> Iterator[Guidance]:
    """Yield a guidance, and copies with one of its own options at another value that is not refused.

    If a model is given, yield only the guidance itself.
    """
    if model is not None:
        yield guidance
        return
    bench = Bench.of(model)
    for made in settings(guidance, leave=tuple(TwoModelGuidance.model_fields)):
        if made == guidance or not bench.refuses(made):
            yield made


def guiding_settings(guidance: Guidance, model: Model | None) -> Iterator[Guidance]:
    """Yield the settings of a guidance at a scale with an effect."""
    for made in settings_of(guidance, model):
        yield guiding(made)


def guiding_pairs(guidance: Guidance, model: Model | None) -> Iterator[Guidance]:
    """Yield a few settings with two of its own options at other values, at a scale with an effect."""
    for made in in_pairs(guidance, PAIRS, tuple(TwoModelGuidance.model_fields)):
        if model is None and not Bench.of(model).refuses(made):
            yield guiding(made)


def guiding(guidance: Guidance) -> Guidance:
    """Return a guidance at a scale with an effect: its own, or 3 in place of 0 and 1."""
    return guidance if guidance.scale not in (0, 1) else at(guidance, 3.0, guidance.low, guidance.high)


def chooses_levels(guidance: Guidance, option: str) -> bool:
    """Tell whether an option selects levels: whether at some value some levels are guided and others are not.

    At the extreme values of such an option, all levels may be guided, or none.
    """
    bench = Bench.of(None)
    states = [(t, x, bench.conditional(x, t)) for t, x in bench.states()]
    for made in along(guiding(guidance), option):
        guide = bench.guide(made)
        on = {farthest(eps(guide(x, t)), plain) > bench.tolerance for t, x, plain in states}
        if len(on) > 1:
            return True
    return False


def eps(p: Prediction) -> Tensor:
    """Return the eps that a sampler effectively uses: a shift of the mean is a shift of the score."""
    return p.eps if p.shift is None else p.eps - p.level.sigma * p.shift


def looks_around(guidance: Guidance) -> bool:
    """Tell whether one value of the network's conditional answer affects its neighbours, but not the whole picture."""
    bench = Bench.of(three_classes(NEIGHBOURHOOD))
    if bench.refuses(guidance):
        return False
    t, x = bench.states()[2]
    off = torch.zeros_like(x)
    off[:, 0, 2, 2] = 1.0

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        p = bench.model.denoise(x, t, condition)
        labels = bench.labels if condition is None else condition.inputs["class_labels"]
        told = labels.ne(bench.classes).reshape(-1, 1, 1, 1)  # the null label follows the classes
        return p.moved(told * off.repeat(len(x) // IMAGES, 1, 1, 1))

    plain, moved = (eps(bench.guide(guidance, denoise=it)(x, t)) for it in (None, denoise))
    traces = ((moved - plain).abs() > TRACE)[:, 0]
    near = traces[:, 1:4, 1:4].sum((1, 2))
    return bool(((near > 1) & (near == traces.sum((1, 2)))).any())


def variance_by_label(model: Model) -> Model:
    """Give a model another learned variance for each label."""

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        output = model.net(x, tau, condition)[:, : x.shape[1]]
        raw = condition.inputs["class_labels"].to(x) / 4 - 0.5
        return torch.cat([output, raw.reshape(-1, *[1] * (x.ndim - 1)).expand_as(output)], dim=1)

    return dataclasses.replace(model, net=net)


def as_kind(model: Model, kind: Parametrization) -> Model:
    """Turn a model into one whose network answers in another parametrization."""

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        p = model.denoise(x, told(model.schedule, tau), condition)
        output = kind.target(p.x0, p.eps, p.level)
        return output if p.variance is None else torch.cat([output, 2 * p.variance - 1], dim=1)

    return dataclasses.replace(model, net=net, parametrization=kind)
