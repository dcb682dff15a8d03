"""Parametrizations: how the output of a network is read, and what it is trained on.

At every level x = alpha x0 + sigma eps, so one of eps, x0 and v gives the other two; nothing here assumes that
alpha^2 + sigma^2 = 1. Names are those of diffusers' `prediction_type`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

PredictionType = Literal["epsilon", "sample", "v_prediction"]


class Parametrization(ABC):
    """Meaning of a network's output F. Coefficients are floats, or tensors that broadcast to the states."""

    @abstractmethod
    def read(self, x: Tensor, alpha: float, sigma: float, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return eps and x0 of a state x, from the output of the network."""

    @abstractmethod
    def target(self, x0: Tensor, eps: Tensor, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
        """Return the output of a perfect network, which a network is trained on."""

    @abstractmethod
    def error_factor(self, snr: Tensor) -> Tensor:
        """Return how many times the squared error of x0 the squared error of the output is, at SNR (N,)."""


class Epsilon(Parametrization):
    """F is the noise eps (Ho, Jain, Abbeel 2020, eq. 14)."""

    def read(self, x: Tensor, alpha: float, sigma: float, output: Tensor) -> tuple[Tensor, Tensor]:
        return output, (x - sigma * output) / alpha

    def target(self, x0: Tensor, eps: Tensor, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
        return eps

    def error_factor(self, snr: Tensor) -> Tensor:
        return snr


class Sample(Parametrization):
    """F is the clean image x0."""

    def read(self, x: Tensor, alpha: float, sigma: float, output: Tensor) -> tuple[Tensor, Tensor]:
        return (x - alpha * output) / sigma, output

    def target(self, x0: Tensor, eps: Tensor, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
        return x0

    def error_factor(self, snr: Tensor) -> Tensor:
        return snr.new_ones(snr.shape)


class VPrediction(Parametrization):
    """F is v = alpha eps - sigma x0 (Salimans and Ho 2022, appendix D)."""

    def read(self, x: Tensor, alpha: float, sigma: float, output: Tensor) -> tuple[Tensor, Tensor]:
        norm = alpha**2 + sigma**2
        return (sigma * x + alpha * output) / norm, (alpha * x - sigma * output) / norm

    def target(self, x0: Tensor, eps: Tensor, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
        return alpha * eps - sigma * x0

    def error_factor(self, snr: Tensor) -> Tensor:
        return snr + 1


PARAMETRIZATIONS: dict[str, Parametrization] = {
    "epsilon": Epsilon(),
    "sample": Sample(),
    "v_prediction": VPrediction(),
}
