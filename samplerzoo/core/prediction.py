"""Prediction of a network for a noisy image: one answer, seen as eps, x0, v or score.

x = alpha x0 + sigma eps at every level, so any one of them gives the others; nothing here assumes that
alpha^2 + sigma^2 = 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samplerzoo.core.level import Level
from samplerzoo.core.parametrization import EPSILON, SAMPLE, V_PREDICTION, Parametrization
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, expect, number, short

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Prediction:
    """Answer of the network for the state `x` at `level`. All tensors have the shape of x.

    Attributes:
        eps: the noise in x.
        x0: the clean image, E[x_0 | x].
        variance: for a network that learned its variance, the weight in [0, 1] of log beta against log beta-tilde
            (Nichol and Dhariwal 2021, eq. 15); else None.
        shift: a gradient that a guidance asks the ancestral mean to be moved along (Dhariwal and Nichol 2021,
            algorithm 1); else None.
    """

    x: torch.Tensor
    level: Level
    eps: torch.Tensor
    x0: torch.Tensor
    variance: torch.Tensor | None = None
    shift: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        kind: Parametrization,
        x: torch.Tensor,
        level: Level,
        output: torch.Tensor,
        variance: torch.Tensor | None = None,
    ) -> Prediction:
        """Make a prediction from a network's output."""
        eps, x0 = kind.read(x, level, output)
        return cls(x, level, eps, x0, variance)

    @property
    def v(self) -> torch.Tensor:
        """v = alpha eps - sigma x0."""
        return V_PREDICTION.target(self.x0, self.eps, self.level)

    @property
    def score(self) -> torch.Tensor:
        """Gradient of log p_t at x."""
        return -self.eps / self.level.sigma

    def replace(
        self,
        *,
        eps: torch.Tensor | None = None,
        x0: torch.Tensor | None = None,
        v: torch.Tensor | None = None,
        shift: torch.Tensor | None = None,
    ) -> Prediction:
        """Return a copy with another eps, x0 or v, from which the others follow, or with a shift.

        Raises:
            TypeError: more than one of eps, x0 and v is given.
        """
        if sum(part is not None for part in (eps, x0, v)) > 1:
            raise TypeError("eps, x0 and v follow from each other: replace one of them")
        p = self
        for kind, output in ((EPSILON, eps), (SAMPLE, x0), (V_PREDICTION, v)):
            if output is not None:
                p = dataclasses.replace(Prediction.of(kind, p.x, p.level, output, p.variance), shift=p.shift)
        if shift is not None:
            p = dataclasses.replace(p, shift=shift)
        return p

    def moved(self, eps: torch.Tensor) -> Prediction:
        """Return a copy with `eps` added to its eps, and x0 changed to match. It is accurate at the lowest SNR, too."""
        return dataclasses.replace(
            self, eps=self.eps + eps, x0=self.x0.add(eps, alpha=-self.level.sigma / self.level.alpha)
        )

    def away_from(self, other: Prediction, scale: float | torch.Tensor) -> Prediction:
        """Return other + scale (self - other), for eps and x0 alike. Other quantities follow, as they are linear."""
        eps, x0 = (b + scale * (a - b) for a, b in ((self.eps, other.eps), (self.x0, other.x0)))
        return dataclasses.replace(self, eps=eps, x0=x0)

    def chunk(self, n: int) -> tuple[Prediction, ...]:
        """Split along the batch into n equal parts."""
        whole = (self.x, self.eps, self.x0, self.variance, self.shift)
        parts = [(None,) * n if part is None else part.chunk(n) for part in whole]
        return tuple(
            Prediction(x, self.level, eps, x0, variance, shift)
            for x, eps, x0, variance, shift in zip(*parts, strict=True)
        )


@dataclass(frozen=True)
class Denoiser:
    """Denoiser for a sampler: it calls `denoise(x, level)` as often, and at any levels of `.schedule`, as it needs."""

    predict: Callable[[torch.Tensor, Level], Prediction]
    schedule: Schedule

    def __call__(self, x: torch.Tensor, level: Level) -> Prediction:
        if level.clean:
            raise ValueError("there is nothing to denoise at the clean level: give denoise a level of noise, as t")
        return self.predict(x, level)


@dataclass(frozen=True)
class Clip:
    """Bound on x0. After clipping, eps is computed again from x0, so that both are consistent.

    Attributes:
        mode: "off"; "static", clamp to [-value, value]; or "dynamic", clamp to the image's own quantile `value` of |x0|
            where that exceeds 1, and divide by it (Saharia et al. 2022, section 2.3).
        most: largest bound of a dynamic clip; None for any.
    """

    mode: Literal["off", "static", "dynamic"]
    value: float = 1.0
    most: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.mode, str) or self.mode not in ("off", "static", "dynamic"):
            raise UsageError(f"the mode of a clip is off, static or dynamic, not {short(self.mode)}")
        value = number("the value of a clip", self.value)
        if not 0 < value < math.inf or (self.mode == "dynamic" and value > 1):
            raise UsageError(f"clip-x0 {self}: a bound must be above 0, a quantile above 0 and at most 1")
        if self.most is not None and not number("the largest bound of a clip", self.most) > 0:
            raise UsageError(f"clip-x0 {self}: the largest bound must be above 0")

    @classmethod
    def parse(cls, text: str) -> Clip:
        """Read `off`, `static` or `dynamic`, perhaps with a number after a colon: `static:1.5`, `dynamic:0.99`.

        A second number is the largest bound of a dynamic clip: `dynamic:0.995:1.5`.

        Raises:
            UsageError: the text is not a clip, or its number is out of bounds.
        """
        expect("clip-x0", text, str)
        mode, *numbers = text.split(":")
        default = {"off": 1.0, "static": 1.0, "dynamic": 0.995}
        if mode not in default or len(numbers) > {"off": 0, "static": 1, "dynamic": 2}[mode]:
            raise UsageError(
                "clip-x0 is off, static, static:BOUND, dynamic, dynamic:QUANTILE or dynamic:QUANTILE:MOST, "
                f"not {text!r}"
            )
        try:
            value, most = [*map(float, numbers), *(default[mode], math.inf)[len(numbers) :]]
        except ValueError:
            raise UsageError(f"clip-x0 {text!r}: {':'.join(numbers)!r} is not a number") from None
        return cls(mode, value, None if most == math.inf else most)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.mode == "off":
            return self.mode
        return f"{self.mode}:{self.value}" + (f":{self.most}" if self.most is not None else "")

    def __call__(self, p: Prediction) -> Prediction:
        match self.mode:
            case "off":
                return p
            case "static":
                return p.replace(x0=p.x0.clamp(-self.value, self.value))
            case "dynamic":
                bound = self._quantile(p.x0)
                return p.replace(x0=p.x0.clamp(-bound, bound) / bound)

    def share(self, p: Prediction) -> torch.Tensor:
        """Return the share of values of x0 beyond the bound, as a tensor (): reading it would wait for the device."""
        bound = self._quantile(p.x0) if self.mode == "dynamic" else self.value
        return (p.x0.abs() > bound).float().mean()

    def _quantile(self, x0: torch.Tensor) -> torch.Tensor:
        magnitude = x0.flatten(1).abs().quantile(self.value, dim=1).clamp(min=1.0, max=self.most)
        return magnitude.reshape(-1, *[1] * (x0.ndim - 1))
