"""Guidance protocol: it turns a network's denoiser into a guided one, for every sampler alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from samplerzoo.core.blame import bad_answer
from samplerzoo.core.endless import MOST, endless
from samplerzoo.options import Options

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.condition import Condition
    from samplerzoo.core.level import Level
    from samplerzoo.core.model import Model
    from samplerzoo.core.prediction import Prediction


class Guidance(Options):
    """Guidance, which turns `denoise(x, level, condition)` into a guided `denoise(x, level)`. Write `guide`.

    A prediction is guided where the noise level sigma/alpha is in (low, high], and nowhere else (Kynkäänniemi et al.
    2024, section 3): outside, the network answers as it does without guidance, with one evaluation.
    """

    needs_labels: ClassVar[bool] = True
    """True if the guidance needs class labels. If not, it guides unconditional models, too."""

    scale: float = Field(1.0, ge=0.0, le=1e4, description="0 is unconditional, 1 plain conditional, above 1 guided")
    low: float = Field(0.0, ge=0.0, description="guide only where the noise level sigma/alpha is above this")
    high: float | None = Field(None, ge=0.0, description="guide only where sigma/alpha is at most this; default: all")

    @property
    def keeps_scale_1(self) -> bool:
        """True if scale 1 is the plain conditional prediction; False if the guidance leads to another distribution."""
        return True

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        if self.high is not None and self.high < self.low:
            raise ValueError(f"the interval of noise levels runs backwards: low {self.low:g}, high {self.high:g}")
        return self

    def guide(
        self, denoise: Callable[..., Prediction], condition: Condition, model: Model
    ) -> Callable[[torch.Tensor, Level], Prediction]:
        """Return the guided denoiser of a batch.

        Args:
            denoise: the network's denoiser, `denoise(x, level, condition)`.
            condition: what each image shall show; `condition.labels` are the classes (N,), or None without classes.

        Raises:
            UsageError: the model lacks what this guidance needs.
        """
        raise NotImplementedError(f"{type(self).__name__} has no guide")

    def within_interval(
        self, denoise: Callable[..., Prediction], condition: Condition, model: Model
    ) -> Callable[[torch.Tensor, Level], Prediction]:
        """Return the denoiser for a sampler: guided inside the interval, and the network alone outside.

        The denoiser raises a ZooError if the guidance calls the network without end.
        """
        asked = 0

        def counted(x: torch.Tensor, t: Level, condition: Condition | None = None) -> Prediction:
            nonlocal asked
            asked += 1
            if asked > MOST:
                raise endless(self, "guide", "calls denoise", "for one prediction", "end after so many calls")
            return denoise(x, t, condition)

        guided = checked_denoiser(self, "guide", self.guide(counted, condition, model))

        def answer(x: torch.Tensor, t: Level) -> Prediction:
            nonlocal asked
            asked = 0
            noise = t.sigma / t.alpha
            inside = self.low < noise and (self.high is None or noise <= self.high)
            return guided(x, t) if inside else denoise(x, t, condition)

        return answer


def checked_denoiser(
    guidance: Guidance, method: str, guided: Callable[[torch.Tensor, Level], Prediction]
) -> Callable[[torch.Tensor, Level], Prediction]:
    """Wrap the denoiser that a method of a guidance returned in a check of every answer.

    Raises:
        ZooError: it is not a function of x and t, or an answer is not a Prediction of the shape of x.
    """
    if not _takes_two(guided):
        raise bad_answer(guidance, method, guided, "a function guided(x, t)")

    def answer(x: torch.Tensor, t: Level) -> Prediction:
        p = guided(x, t)
        for part in (getattr(p, "eps", None), getattr(p, "x0", None)):
            if (getattr(part, "shape", None), getattr(part, "dtype", None)) != (x.shape, x.dtype):
                found = p if part is None else part
                wanted = f"a Prediction like x, {x.dtype} of shape {tuple(x.shape)}"
                raise bad_answer(guidance, method, found, wanted, of="'s function")
        return p

    return answer


def _takes_two(guided: object) -> bool:
    """Tell whether an object can be called with x and t."""
    if not callable(guided):
        return False
    try:
        inspect.signature(guided).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a C function without a signature
        return True
    return True


class TwoModelGuidance(Guidance):
    """Guidance by a second model, which samplerzoo loads and counts. `guide` finds it in `model.second`."""

    model: str | None = Field(None, description="the second model: an embedded name, a folder, or a hub id")
