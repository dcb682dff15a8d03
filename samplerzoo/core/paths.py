"""Kinds of noise path: variance-preserving (VP), variance-exploding (VE), and straight (rectified flow)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from samplerzoo.core.betas import betas_of
from samplerzoo.core.level import Level
from samplerzoo.core.schedule import LEAST_ALPHA, Schedule
from samplerzoo.errors import UsageError, ZooError, expect, number, short, whole

if TYPE_CHECKING:
    import torch

OwnGrid = Callable[[int], Sequence[float]]
Shift = Callable[[Sequence[float]], Sequence[float]]


class VP(Schedule):
    """Variance-preserving path of T betas (Ho, Jain, Abbeel 2020; Song et al. 2021, eq. 11): alpha^2 + sigma^2 = 1.

    tau = i + 1 is the training timestep i of diffusers. Between the training timesteps, -log abar is linear in tau.

    Args:
        betas: T variances of the forward chain, each in (0, 1].
        zero_terminal_snr: rescale so that the last level holds no signal (Lin et al. 2024, algorithm 1).

    Raises:
        ZooError: the betas are not a valid schedule.
    """

    kind: ClassVar[str] = "VP"
    usual: ClassVar[str] = "trailing"
    low = 1.0

    def __init__(self, betas: Sequence[float] | NDArray[np.float64], *, zero_terminal_snr: bool = False) -> None:
        try:
            beta = np.asarray(betas, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise UsageError(f"betas are a list of numbers, not {short(betas)}") from None
        expect("zero_terminal_snr", zero_terminal_snr, bool)
        if beta.ndim != 1 or not len(beta) or not (np.isfinite(beta).all() and (beta > 0).all() and (beta <= 1).all()):
            raise ZooError("a schedule needs a list of betas, each above 0 and at most 1")
        if (beta[:-1] == 1).any():
            raise ZooError("a beta of 1 leaves no signal, and only the last one may be that")
        log_abar = np.concatenate([[0.0], np.cumsum(np.log1p(-np.minimum(beta, 1 - 2.0**-53)))])
        if zero_terminal_snr:
            if len(beta) == 1:
                raise ZooError("zero terminal SNR needs at least 2 timesteps: there is nothing to rescale in 1")
            root = np.exp(log_abar[1:] / 2)
            root = (root - root[-1]) * root[0] / (root[0] - root[-1])
            log_abar[1:-1] = np.log(root[:-1] ** 2)
        self.T, self.ends_in_noise = len(beta), zero_terminal_snr or bool(beta[-1] == 1)
        if self.ends_in_noise:
            log_abar[-1] = min(math.log(LEAST_ALPHA**2), log_abar[-2] - math.log(4))  # that before may hold even less
        self._depth = -log_abar  # -log abar, increasing from 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VP:
        """Build the path of any diffusers scheduler config that has betas. Its class does not matter.

        Raises:
            UsageError: this is not a config.
            ZooError: the config has invalid betas.
        """
        expect("the config of a scheduler", config, Mapping)
        try:
            betas = betas_of(config)
        except (TypeError, ValueError) as error:
            raise ZooError(f"the scheduler config makes no schedule: {error}") from error
        return cls(betas, zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)))

    @property
    def alphas(self) -> NDArray[np.float64]:
        """Values of alpha at tau = 0 ... T, shape (T + 1,)."""
        return np.exp(-self._depth / 2)

    @property
    def sigmas(self) -> NDArray[np.float64]:
        """Values of sigma at tau = 0 ... T, shape (T + 1,)."""
        return np.sqrt(-np.expm1(-self._depth))

    @property
    def whole(self) -> int:
        return int(self.T)

    def timestep(self, tau: float) -> float:
        """Return the training timestep of diffusers, which may be a fraction."""
        return tau - 1

    def tau(self, timestep: float) -> float:
        return timestep + 1

    def at(self, tau: float) -> Level:
        if not 0.0 <= tau <= self.T:
            raise UsageError(f"timestep {tau - 1:g} is outside the schedule, which has -1 (clean) to {self.T - 1}")
        i = max(math.ceil(tau), 1)  # beta is constant on (i - 1, i]
        beta = float(self._depth[i] - self._depth[i - 1])
        depth = tau * beta if i == 1 else float(self._depth[i]) - (i - tau) * beta  # both are exact at tau = i
        alpha, sigma = math.exp(-depth / 2), math.sqrt(-math.expm1(-depth))
        return Level(float(tau), alpha, sigma, -beta / 2 * alpha, beta / 2 * alpha**2 / sigma if sigma else math.inf)

    def at_log_snr(self, log_snr: float) -> Level:
        depth = float(np.logaddexp(0.0, -log_snr))  # abar = sigmoid(log_snr)
        top = float(self._depth[-1])
        if depth > top * (1 + 1e-9):
            raise UsageError(f"log-SNR {log_snr:g} is below the schedule's lowest, {self.at(self.T).log_snr:g}")
        return self.at(float(np.interp(depth, self._depth, np.arange(self.whole + 1))))

    def levels(self, tau: torch.Tensor) -> Level:
        times = tau.double().cpu().numpy()
        depth = np.interp(times, np.arange(self.whole + 1), self._depth)
        beta = np.diff(self._depth)[np.maximum(np.ceil(times).astype(int), 1) - 1]
        alpha, sigma = np.exp(-depth / 2), np.sqrt(-np.expm1(-depth))
        return _batch(tau, alpha, sigma, -beta / 2 * alpha, beta / 2 * alpha**2 / np.maximum(sigma, 1e-300))


class VE(Schedule):
    """Variance-exploding path x = x_0 + sigma eps with tau = sigma (Song et al. 2021, eq. 9; Karras et al. 2022).

    Args:
        low, high: the smallest and the largest sigma that the network was trained on.
        own: grid of the model's own scheduler.

    Raises:
        ZooError: the bounds are not a valid path.
    """

    kind: ClassVar[str] = "VE"
    usual: ClassVar[str] = "karras"

    def __init__(self, low: float = 0.002, high: float = 80.0, *, own: OwnGrid | None = None) -> None:
        low, high = number("the least sigma of a VE path", low), number("the largest sigma of a VE path", high)
        _check_function("own", own)
        if not 0 < low < high < math.inf:
            raise ZooError(f"a VE path needs 0 < sigma_min < sigma_max, not {low:g} and {high:g}")
        self.low, self.T, self.prior_std, self.own = low, high, high, own

    def at(self, tau: float) -> Level:
        if not 0.0 <= tau <= self.T:
            raise UsageError(f"sigma {tau:g} is outside the path, which has 0 (clean) to {self.T:g}")
        return Level(float(tau), 1.0, float(tau), 0.0, 1.0)

    def at_log_snr(self, log_snr: float) -> Level:
        lowest = self.at(self.T).log_snr
        if log_snr < lowest - 1e-9:
            raise UsageError(f"log-SNR {log_snr:g} is below the path's lowest, {lowest:g}")
        return self.at(min(math.exp(-log_snr / 2), self.T))

    def levels(self, tau: torch.Tensor) -> Level:
        times = tau.double().cpu().numpy()
        one = np.ones_like(times)
        return _batch(tau, one, times, 0 * one, one)


class RectifiedFlow(Schedule):
    """Straight path x = (1 - sigma) x_0 + sigma eps with tau = sigma (Liu et al. 2023; Lipman et al. 2023).

    Alpha is at least 2^-12, also at the top, since formulas divide by it.

    Args:
        timesteps: factor by which diffusers turns sigma into a timestep.
        own: grid of the model's own scheduler.
        shifted: function by which the model's own scheduler shifts the times that a pipeline asks for.
        shift: shift of that scheduler; see `Schedule`.
    """

    kind: ClassVar[str] = "flow"
    usual: ClassVar[str] = "trailing"
    T = 1.0
    ends_in_noise = True

    def __init__(
        self, timesteps: int = 1000, *, own: OwnGrid | None = None, shifted: Shift | None = None, shift: float = 1.0
    ) -> None:
        timesteps = whole("timesteps of a flow", timesteps, least=1)
        if not 0 < number("the shift of a flow", shift) < math.inf:
            raise UsageError(f"the shift of a flow is finite and above 0, not {shift:g}")
        _check_function("own", own)
        _check_function("shifted", shifted)
        self.low, self._timesteps = 1 / max(timesteps, 2), timesteps
        self.own, self.shifted, self.shift = own, shifted, shift

    def timestep(self, tau: float) -> float:
        """Return the timestep as diffusers counts it for flows: sigma times the number of timesteps."""
        return tau * self._timesteps

    def tau(self, timestep: float) -> float:
        return timestep / self._timesteps

    def at(self, tau: float) -> Level:
        if not 0.0 <= tau <= 1.0:
            raise UsageError(
                f"timestep {self.timestep(tau):g} is outside the path, which has 0 (clean) to {self._timesteps}"
            )
        return Level(float(tau), max(1.0 - tau, LEAST_ALPHA), float(tau), -1.0, 1.0)

    def at_log_snr(self, log_snr: float) -> Level:
        lowest = self.at(1.0).log_snr
        if log_snr < lowest - 1e-9:
            raise UsageError(f"log-SNR {log_snr:g} is below the path's lowest, {lowest:g}")
        ratio = math.exp(-log_snr / 2)
        sigma = ratio / (1.0 + ratio)
        return self.at(sigma if sigma <= 1.0 - LEAST_ALPHA else min(LEAST_ALPHA * ratio, 1.0))  # with alpha as in `at`

    def levels(self, tau: torch.Tensor) -> Level:
        times = tau.double().cpu().numpy()
        one = np.ones_like(times)
        return _batch(tau, np.maximum(1.0 - times, LEAST_ALPHA), times, -one, one)


NAMED_PATHS: dict[str, Callable[[], Schedule]] = {
    "vp": lambda: VP.from_config({}),
    "cosine": lambda: VP.from_config({"beta_schedule": "squaredcos_cap_v2"}),
    "ve": VE,
    "flow": RectifiedFlow,
}
"""Paths of exact models, by the word in their names: the linear betas of DDPM, the cosine ones of Nichol and Dhariwal
2021, EDM's range of sigma, and the straight path."""


def _check_function(what: str, value: object) -> None:
    """Refuse a value that is neither None nor callable."""
    if value is not None and not callable(value):
        raise UsageError(f"{what} is {short(value)}, and has to be a function")


def _batch(tau: torch.Tensor, *values: NDArray[np.float64]) -> Level:
    """Make a Level of tensors on the device of tau."""
    import torch

    fields: list[Any] = [torch.from_numpy(np.asarray(value)).to(tau.device) for value in values]
    return Level(tau.double(), *fields)  # type: ignore[arg-type]  # a batch has tensors where a run has floats
