"""Parametrizations: the meaning of a network's output F, and its training target.

x0 = c_skip x + c_out F(c_in x; c_noise) (Karras et al. 2022, eq. 7), with x = alpha x0 + sigma eps at every level, so
that eps follows. Nothing here assumes that alpha^2 + sigma^2 = 1. A coefficient is a function of a Level, whose fields
are floats in a run and tensors in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samplerzoo.core.level import Level
from samplerzoo.core.schedule import LEAST_ALPHA, Schedule
from samplerzoo.errors import UsageError, expect, number, short

if TYPE_CHECKING:
    from torch import Tensor

Coefficient = Callable[[Level], float]

EXACT = 1e-11
"""Distance from 0 or 1 within which a coefficient counts as exact: float64 rounding divided by the least sigma."""


@dataclass(frozen=True)
class Parametrization:
    """Meaning of a network's output F.

    Attributes:
        name: name in configs, messages and records.
        c_skip, c_out: x0 = c_skip x + c_out F.
        c_in: factor on the state before the network sees it.
        c_noise: time input of the network.
    """

    name: str
    c_skip: Coefficient
    c_out: Coefficient
    c_in: Coefficient = lambda t: 1.0
    c_noise: Coefficient = lambda t: t.tau

    def __post_init__(self) -> None:
        expect("the name of a parametrization", self.name, str)
        for name in ("c_skip", "c_out", "c_in", "c_noise"):
            if not callable(getattr(self, name)):
                raise UsageError(f"{name} of {self.name} is {short(getattr(self, name))}, and has to be a function")

    def read(self, x: Tensor, t: Level, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return eps and x0 of a state x at level t, from the output of the network."""
        skip, out = self.c_skip(t), self.c_out(t)
        x0 = _mix(skip, x, out, output)
        eps = _mix((1.0 - t.alpha * skip) / t.sigma, x, -t.alpha * out / t.sigma, output)
        return eps, x0

    def target_weights(self, t: Level) -> tuple[float, float]:
        """Return the factors of x0 and of eps in the output of a perfect network."""
        skip, out = self.c_skip(t), self.c_out(t)
        return (1.0 - t.alpha * skip) / out, -t.sigma * skip / out

    def target(self, x0: Tensor, eps: Tensor, t: Level) -> Tensor:
        """Return the output of a perfect network, which is the training target."""
        of_x0, of_eps = self.target_weights(t)
        return _mix(of_x0, x0, of_eps, eps)

    def blind(self, schedule: Schedule) -> bool:
        """Tell whether the output does not determine x0 at the top of a path that ends in pure noise."""
        return schedule.ends_in_noise and abs(self.c_skip(schedule.at(schedule.T))) * LEAST_ALPHA > 0.5


def _mix(a: float, x: Tensor, b: float, y: Tensor) -> Tensor:
    """Return a x + b y, skipping products with 0 and 1; see `EXACT`."""
    if abs(a) < EXACT:
        return _times(b, y)
    if abs(b) < EXACT:
        return _times(a, x)
    if abs(a) > 1.0:  # near the clean end a and b are large and cancel: factoring out a avoids a magnified rounding
        return _times(a, x.add(y, alpha=b / a))
    return _times(a, x).add(y, alpha=b)


def _times(a: float, x: Tensor) -> Tensor:
    return x if abs(a - 1.0) < EXACT else a * x


def _log(value: Any) -> Any:
    return math.log(value) if isinstance(value, float) else value.log()


EPSILON = Parametrization("epsilon", lambda t: 1 / t.alpha, lambda t: -t.sigma / t.alpha)
"""F is the noise eps (Ho, Jain, Abbeel 2020, eq. 14)."""

SAMPLE = Parametrization("sample", lambda t: 0.0 * t.alpha, lambda t: 0.0 * t.alpha + 1.0)
"""F is the clean image x0."""

V_PREDICTION = Parametrization(
    "v_prediction",
    lambda t: t.alpha / (t.alpha**2 + t.sigma**2),
    lambda t: -t.sigma / (t.alpha**2 + t.sigma**2),
)
"""F is v = alpha eps - sigma x0 (Salimans and Ho 2022, appendix D)."""

FLOW = Parametrization("flow", lambda t: 1 / (t.alpha + t.sigma), lambda t: -t.sigma / (t.alpha + t.sigma))
"""F is eps - x0, the velocity of a straight path (Liu et al. 2023, eq. 1; Lipman et al. 2023)."""

SCORE = Parametrization("score", lambda t: 1 / t.alpha, lambda t: t.sigma**2 / t.alpha)
"""F is the gradient of log p_t at x, -eps / sigma (Song et al. 2021, eq. 7)."""


def edm(std: float = 0.5, sign: float = 1.0) -> Parametrization:
    """Return the preconditioning of Karras et al. 2022, table 1, for data of this standard deviation.

    Args:
        sign: sign of c_out; diffusers has -1 for what it calls v_prediction.
    """

    if not 0 < number("the standard deviation of data", std) < math.inf or abs(number("the sign of c_out", sign)) != 1:
        raise UsageError(f"edm needs a standard deviation above 0 and a sign of 1 or -1, not {std:g} and {sign:g}")

    def norm(t: Level) -> float:
        return (t.sigma**2 + (std * t.alpha) ** 2) ** 0.5

    return Parametrization(
        "edm",
        c_skip=lambda t: t.alpha * (std / norm(t)) ** 2,
        c_out=lambda t: sign * t.sigma * std / norm(t),
        c_in=lambda t: 1 / norm(t),
        c_noise=lambda t: _log(t.sigma / t.alpha) / 4,
    )


PARAMETRIZATIONS: dict[str, Parametrization] = {
    kind.name: kind for kind in (EPSILON, SAMPLE, V_PREDICTION, FLOW, SCORE, edm())
}
"""Parametrizations by name. The first three names are diffusers' `prediction_type`."""
