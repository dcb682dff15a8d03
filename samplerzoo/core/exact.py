"""Models of data whose denoiser is known in closed form: no network, no training, any shape, any dtype.

For x_0 ~ N(m, c^2) the noisy state is x ~ N(alpha m, alpha^2 c^2 + sigma^2), so that with the residual
r = (x - alpha m) / (alpha^2 c^2 + sigma^2), which is minus the score, E[eps | x] = sigma r and
E[x_0 | x] = m + alpha c^2 r. Everything below follows from this.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON, SAMPLE, Parametrization
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk_from
from samplerzoo.errors import UsageError

STEPS_TO_SEE = (250, 50)
"""Steps of the run that shows whether a sampler draws noise; if the sampler refuses the first number, the second."""


def gaussian(
    schedule: Schedule,
    mean: float | Tensor = 0.0,
    std: float | Tensor = 0.5,
    *,
    shape: tuple[int, ...] = (1,),
    parametrization: Parametrization = EPSILON,
) -> Model:
    """Make a model of independent elements N(mean, std^2). std = 0 is a point, which every sampler has to reach.

    Args:
        mean, std: numbers, or tensors that broadcast to `shape`.
        parametrization: meaning of the network's output. Its time input is tau.
    """
    parametrization = _told_tau(parametrization)

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        return _output(parametrization, x, told(schedule, tau), _like(mean, x), _like(std, x))

    return Model(net, schedule, parametrization, shape=shape, name="exact Gaussian")


def consistency(
    schedule: Schedule, mean: float | Tensor = 0.0, std: float | Tensor = 0.5, *, shape: tuple[int, ...] = (1,)
) -> Model:
    """Make a consistency model of independent elements N(mean, std^2): it maps x to the end of its probability flow.

    The flow keeps the quantile of an element, so that x0 = mean + std (x - alpha mean) / sqrt(alpha^2 std^2 + sigma^2).
    """

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        t, m, c = told(schedule, tau), _like(mean, x), _like(std, x)
        return m + c / (t.alpha**2 * c**2 + t.sigma**2) ** 0.5 * (x - t.alpha * m)

    return Model(net, schedule, SAMPLE, shape=shape, averages=False, name="exact consistency model")


def mixture(
    schedule: Schedule, means: Tensor, std: float = 0.5, *, parametrization: Parametrization = EPSILON
) -> Model:
    """Make a model of an equal mixture of N(means[k], std^2 I), with a null label and an exact classifier.

    Class k is component k.

    Args:
        means: (K, *shape).
    """
    K, parametrization = len(means), _told_tau(parametrization)

    def log_joint(x: Tensor, level: Level) -> Tensor:
        """Return log p(x, k) up to a constant, (N, K)."""
        distance = (x[:, None] - level.alpha * means.to(x)).flatten(2).square().sum(2)
        return -distance / (2 * (level.alpha**2 * std**2 + level.sigma**2))

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        labels, level = condition.inputs["class_labels"], told(schedule, tau)
        given = torch.nn.functional.one_hot(labels, K + 1)[:, :K].to(x)
        joint = log_joint(x / parametrization.c_in(level), level)
        weight = torch.where(labels[:, None] == K, joint.softmax(1), given)
        mean = torch.tensordot(weight, means.to(x), 1)
        return _output(parametrization, x, level, mean, std)

    return Model(
        net, schedule, parametrization, shape=tuple(means.shape[1:]), num_classes=K, null_label=K,
        classifier=log_joint, classifier_classes=K, name="exact mixture",
    )  # fmt: skip


def conjugate(schedule: Schedule, std: float = 0.5, *, target: float = 1.0, width: float = 0.5) -> Model:
    """Make a model of N(0, std^2) with an exact classifier: class 1 has probability exp(-(x_0 - target)^2 / 2 width^2).

    Given class 1 the data is Gaussian again, with precision 1/std^2 + 1/width^2 and mean target * variance / width^2,
    and the gradient of log p(class 1 | x_t) is affine in x_t: guided samplers have exact moments too.
    """
    model = gaussian(schedule, 0.0, std)

    def classifier(x: Tensor, level: Level) -> Tensor:
        marginal = level.alpha**2 * std**2 + level.sigma**2
        mean, variance = level.alpha * std**2 / marginal * x, (std * level.sigma) ** 2 / marginal  # of x_0 given x
        spread = width**2 + variance
        log_p = torch.log(x.new_tensor(width**2 / spread)) / 2 - (mean - target) ** 2 / (2 * spread)
        return torch.cat([torch.log(-torch.expm1(log_p)), log_p], dim=1)

    return Model(
        model.net, schedule, shape=(1,), classifier=classifier, classifier_classes=2, name="exact conjugate Gaussian"
    )


def learned(model: Model, weight: float | Callable[[Tensor], Tensor] = 0.5) -> Model:
    """Give a model a learned variance, between beta-tilde and beta.

    Args:
        weight: weight in [0, 1] of log beta against log beta-tilde: a number, or a function of the state.
    """

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        output = model.net(x, time, condition)
        raw = 2 * weight(x) - 1 if callable(weight) else torch.full_like(output, 2 * weight - 1)
        return torch.cat([output, raw], dim=1)

    return dataclasses.replace(model, net=net)


def draws(
    sampler: Sampler, grid: Grid | None = None, schedule: Schedule | None = None, *, steps: int | None = None
) -> int:
    """Count the draws of noise that a sampler makes after x_T, in a run on an exact Gaussian.

    Args:
        grid: levels of the run, since a sampler may draw at some levels and not at others. The default is the sampler's
            own trailing grid of `STEPS_TO_SEE` steps.
        schedule: schedule of the grid; the linear schedule of DDPM by default.
        steps: number of first steps to count in; all by default.
    """
    schedule = VP.from_config({}) if schedule is None else schedule
    grid = _seeing(sampler, schedule) if grid is None else grid
    drawn = 0

    def predict(x: Tensor, level: Level) -> Prediction:
        return Prediction(x, level, *expected(x, level, 0.0, 0.5), variance=torch.full_like(x, 0.5))

    def noise() -> Tensor:
        nonlocal drawn
        drawn += 1
        return torch.zeros(1, 1, dtype=torch.float64)

    x = torch.ones(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for _ in itertools.islice(walk_from(sampler, x, grid, Denoiser(predict, schedule), noise), steps):
            pass
    return drawn


def _seeing(sampler: Sampler, schedule: Schedule) -> Grid:
    """Return a grid that is fine enough to see whether a sampler draws noise."""
    finest, fine = STEPS_TO_SEE
    try:
        return grid_of(sampler, schedule, finest, "trailing")
    except UsageError:
        return grid_of(sampler, schedule, fine, "trailing")


def is_stochastic(sampler: Sampler, grid: Grid | None = None, schedule: Schedule | None = None) -> bool:
    """Tell whether a sampler draws noise after x_T; see `draws`."""
    return draws(sampler, grid, schedule) > 0


def told(schedule: Schedule, tau: Tensor) -> Level:
    """Return the level at the tau that a network gets. Rounded to float32, the top may be beyond T, so it is capped."""
    return schedule.at(min(float(tau[0]), schedule.T))


def _like(value: float | Tensor, x: Tensor) -> float | Tensor:
    """Return a tensor in the dtype and on the device of x, or a number as it is."""
    return value.to(x) if isinstance(value, Tensor) else value


def _told_tau(parametrization: Parametrization) -> Parametrization:
    """Return the parametrization with tau as the network's time input, from which the network finds its level."""
    return dataclasses.replace(parametrization, c_noise=lambda t: t.tau)


def expected(x: Tensor, level: Level, mean: float | Tensor, std: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return E[eps | x] and E[x0 | x] of independent elements N(mean, std^2)."""
    variance = std * std
    residual = (x - level.alpha * mean) / (level.alpha**2 * variance + level.sigma**2)
    return level.sigma * residual, mean + level.alpha * variance * residual


def _output(kind: Parametrization, scaled: Tensor, level: Level, mean: float | Tensor, std: float | Tensor) -> Tensor:
    """Return what a perfect network of this kind answers to a state times c_in."""
    scale = kind.c_in(level)
    eps, x0 = expected(scaled if scale == 1.0 else scaled / scale, level, mean, std)
    return kind.target(x0, eps, level)
