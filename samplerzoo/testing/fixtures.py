"""Parts for checks: data with an exact denoiser, given draws, and all states of a run."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.exact import consistency, expected, gaussian, learned, mixture
from samplerzoo.core.level import Grid, Level, posterior_std
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON, FLOW, SAMPLE, Parametrization
from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk

Noise = Callable[[], Tensor]
Predict = Callable[[Tensor, Level], Prediction]

LINEAR = VP.from_config({})
"""Schedule of Ho, Jain, Abbeel 2020."""


COSINE = VP.from_config({"beta_schedule": "squaredcos_cap_v2"})
ZERO_SNR = VP.from_config({"rescale_betas_zero_snr": True})


@dataclass(frozen=True)
class Path:
    """Kind of noise path that samplers are checked on.

    Attributes:
        schedules: schedules of this kind by name, the usual one first.
        timesteps: timesteps for steps of all sizes, also between whole timesteps, and cleaner than in training.
    """

    schedules: Mapping[str, Schedule]
    timesteps: tuple[float, ...]

    @property
    def schedule(self) -> Schedule:
        """The usual schedule."""
        return next(iter(self.schedules.values()))

    @property
    def kind(self) -> str:
        return self.schedule.kind

    @property
    def uneven(self) -> Grid:
        """Grid of the timesteps on the usual schedule."""
        return self.schedule.grid_at(self.timesteps)

    @property
    def some(self) -> Grid:
        """Grid of a few uneven steps at levels that networks are trained on."""
        return self.schedule.grid_at(self.timesteps[:4])

    @property
    def spacings(self) -> tuple[str, str]:
        """Spacings that runs on such a path use: the usual one, and one that is even in log-SNR."""
        return self.schedule.usual, "logsnr"


ON_VP = Path(
    {
        "linear": LINEAR,
        "scaled-linear": VP.from_config({"beta_schedule": "scaled_linear"}),
        "cosine": COSINE,
        "sigmoid": VP.from_config({"beta_schedule": "sigmoid"}),
        "zero terminal SNR": ZERO_SNR,
        "4000 timesteps": VP.from_config({"num_train_timesteps": 4000, "beta_start": 2.5e-5, "beta_end": 0.005}),
    },
    (998.5, 640.25, 600, 17.0, 0.0, -0.6, -0.99),
)
ON_VE = Path({"VE": VE(), "VE from 0.02 to 700": VE(0.02, 700.0)}, (79.5, 23.25, 20.0, 3.0, 0.5, 0.01, 0.0005))
ON_FLOW = Path(
    {"flow": RectifiedFlow(), "flow of 100 timesteps": RectifiedFlow(100)}, (999.5, 812.25, 800, 300.0, 20.0, 0.6, 0.01)
)
PATHS = (ON_VP, ON_VE, ON_FLOW)


def with_own_grid(schedule: Schedule) -> Schedule:
    """Return a path with a grid as of a model's scheduler: even times from T to the cleanest level of training."""
    own, span = copy.copy(schedule), schedule.T - schedule.low
    own.own = lambda steps: [schedule.T - span * k / max(steps - 1, 1) for k in range(steps)]
    return own


def normal(
    mean: float | Tensor = 0.5,
    std: float | Tensor = 0.5,
    *,
    shape: tuple[int, ...] = (1,),
    parametrization: Parametrization | None = None,
    schedule: Schedule = LINEAR,
    variance: float | Callable[[Tensor], Tensor] = 0.5,
) -> Model:
    """Make Gaussian data with a learned variance. If `variance` is a number, samplers without a clip are affine on it.

    Args:
        parametrization: parametrization of its network. By default it returns predictions directly, which takes half
            the time.
    """
    kind = parametrization or usual(schedule)
    model = learned(gaussian(schedule, mean, std, shape=shape, parametrization=kind), variance)
    return model if parametrization else _direct(model, gaussian_predictor(mean, std, variance))


def gaussian_predictor(
    mean: float | Tensor, std: float | Tensor, variance: float | Callable[[Tensor], Tensor] | None
) -> Predict:
    """Return the exact denoiser of independent elements N(mean, std^2).

    Args:
        variance: weight of the learned variance, a number or a function of the state; None without one.
    """

    def predict(x: Tensor, level: Level) -> Prediction:
        m, c = (part.to(x) if isinstance(part, Tensor) else part for part in (mean, std))
        eps, x0 = expected(x, level, m, c)
        if variance is None:
            return Prediction(x, level, eps, x0)
        return Prediction(x, level, eps, x0, variance(x) if callable(variance) else torch.full_like(x, variance))

    return predict


def varied(mean: float = 0.5, std: float = 0.5, **options: Any) -> Model:
    """Make data as `normal` does, with a learned variance and a mean shift that differ for every pixel and state."""
    return shifted(normal(mean, std, variance=torch.sigmoid, **options))


def shifted(model: Model) -> Model:
    """Add a shift of the mean to a model's predictions, of the size of a score, as a guidance may do."""

    def predict(x: Tensor, level: Level) -> Prediction:
        size = math.hypot(level.alpha, level.sigma)
        return model.denoise(x, level).replace(shift=torch.sin(x / size) / level.sigma)

    return _direct(model, predict)


def _direct(model: Model, predict: Predict) -> Model:
    return _Direct(**{field.name: getattr(model, field.name) for field in dataclasses.fields(Model)}, predict=predict)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Direct(Model):
    """Model that returns predictions directly, without a network's output in between.

    Attributes:
        predict: the denoiser.
    """

    predict: Predict

    def denoise(self, x: Tensor, level: Level, condition: Condition | None = None) -> Prediction:
        return self.predict(x, level)


def usual(schedule: Schedule) -> Parametrization:
    """Return the usual parametrization of networks on such a path."""
    return FLOW if schedule.kind == "flow" else SAMPLE if schedule.ends_in_noise else EPSILON


def made_for(sampler: Sampler, mean: float | Tensor, std: float | Tensor, schedule: Schedule = LINEAR) -> Model:
    """Make Gaussian data in the form that the sampler takes: a consistency model, if it does not need the mean."""
    shape = tuple(mean.shape) if isinstance(mean, Tensor) else (1,)
    if sampler.needs_mean:
        return normal(mean, std, shape=shape, schedule=schedule)
    return consistency(schedule, mean, std, shape=shape)


def bimodal(shape: tuple[int, ...] = (2,), schedule: Schedule = LINEAR) -> Model:
    """Make unconditional data with two components, so that its denoiser is not linear.

    Its learned variance differs for every pixel, as in a network.
    """
    size = torch.Size(shape).numel()
    means = torch.stack([torch.ones(size), -(torch.arange(size) % 2).float()]).reshape(2, *shape)
    exact = mixture(schedule, means, 0.3, parametrization=usual(schedule))

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        return exact.net(x, tau, exact.condition(torch.full((len(x),), 2)))

    return learned(Model(net, schedule, exact.parametrization, shape=shape, name="exact mixture"), torch.sigmoid)


def given_noise(images: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float64, *, seed: int = 0) -> Noise:
    """Return a source of standard normals: the same values in every dtype, and for all shapes of the same size."""
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randn(images, *shape, generator=generator, dtype=torch.float64).to(dtype)

    return draw


@torch.no_grad()
def states(sampler: Sampler, model: Model, grid: Grid, noise: Noise) -> Iterator[Tensor]:
    """Yield x_T and every state of the sampler, without the driver."""
    yield from walk(sampler, grid, Denoiser(model.denoise, model.schedule), noise)


def last(sampler: Sampler, model: Model, grid: Grid, noise: Noise) -> Tensor:
    """Return the last state, which is the image."""
    *_, image = states(sampler, model, grid, noise)
    return image


@dataclass
class Watched:
    """Model that records its inputs and its answers."""

    model: Model
    asked: list[tuple[Tensor, Level]] = dataclasses.field(default_factory=list)
    answered: list[Prediction] = dataclasses.field(default_factory=list)

    @torch.no_grad()
    def states(self, sampler: Sampler, grid: Grid, noise: Noise) -> Iterator[Tensor]:
        """Yield x_T and every state of the sampler, and record the calls of the model."""
        yield from walk(sampler, grid, _WatchedDenoiser(self.model.denoise, self.model.schedule, self), noise)


@dataclass(frozen=True)
class _WatchedDenoiser(Denoiser):
    watched: Watched

    def __call__(self, x: Tensor, level: Level) -> Prediction:
        p = super().__call__(x, level)
        self.watched.asked.append((x, level))
        self.watched.answered.append(p)
        return p


def farthest(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of two tensors of one shape."""
    return float((a.double() - b.double()).abs().max())


def three_classes(
    shape: tuple[int, ...] = (2,), parametrization: Parametrization = EPSILON, schedule: Schedule = LINEAR
) -> Model:
    """Make a model of three classes that hardly overlap, with all that a guidance may need; see `labelled`."""
    return labelled(3, shape, parametrization, schedule)


def labelled(
    classes: int,
    shape: tuple[int, ...] = (2,),
    parametrization: Parametrization = EPSILON,
    schedule: Schedule = LINEAR,
    *,
    copies: int = 1,
    apart: float = 1.0,
) -> Model:
    """Make a model of a number of classes and their copies, with all that a guidance may need.

    Its null label follows the last class. It has an exact classifier, a learned variance, and a second, worse model, in
    which the classes are blurred.

    Args:
        apart: factor of the means of the classes.
    """
    size = torch.Size(shape).numel()
    angles = torch.arange(classes)[:, None] * 2.1 + torch.arange(size)
    means = apart * torch.cos(angles).reshape(classes, *shape).repeat(copies, *[1] * len(shape))
    sharp, blurred = (learned(mixture(schedule, means, std, parametrization=parametrization)) for std in (0.3, 0.6))
    return dataclasses.replace(sharp, second=blurred)


class Flow(Sampler):
    """Euler's method for the probability flow in sigma / alpha, which is DDIM (Song, Meng, Ermon 2021).

    It is the simplest deterministic sampler.
    """

    def step(self, x: Tensor, t: Level, s: Level, denoise: Denoiser, noise: Noise) -> Tensor:
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps


class Ancestral(Sampler):
    """Ancestral sampling: x_s from q(x_s | x_t, x_0) (Ho, Jain, Abbeel 2020).

    It is the simplest sampler that draws noise, and it takes a mean shift.
    """

    takes_shift: ClassVar[bool] = True

    def step(self, x: Tensor, t: Level, s: Level, denoise: Denoiser, noise: Noise) -> Tensor:
        p, std = denoise(x, t), posterior_std(t, s)
        mean = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
        if p.shift is not None:
            mean = mean + std**2 * p.shift
        return mean + std * noise() if std else mean
