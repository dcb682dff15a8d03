"""The guidance protocol: a network's denoiser in, a guided one out, for every sampler alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from samplerzoo.options import Options

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.model import Model
    from samplerzoo.core.prediction import Prediction
    from samplerzoo.core.schedule import Level


class Guidance(Options):
    """Turns the network's denoiser `denoise(x, level, labels)` into a guided `denoise(x, level)`: write `guide`.

    It is guided where the noise level sigma/alpha is in (low, high], and nowhere else (Kynkäänniemi et al. 2024,
    section 3): outside, the network answers as it does without guidance, with one evaluation.
    """

    needs_labels: ClassVar[bool] = True
    """Whether it says something of classes; if not, it guides unconditional models too."""

    scale: float = Field(1.0, ge=0.0, description="0 is unconditional, 1 plain conditional, above 1 guided")
    low: float = Field(0.0, ge=0.0, description="guide only where the noise level sigma/alpha is above this")
    high: float | None = Field(None, ge=0.0, description="guide only where sigma/alpha is at most this; default: all")

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        if self.high is not None and self.high < self.low:
            raise ValueError(f"the interval of noise levels runs backwards: low {self.low:g}, high {self.high:g}")
        return self

    def guide(
        self, denoise: Callable[..., Prediction], labels: torch.Tensor, model: Model
    ) -> Callable[[torch.Tensor, Level], Prediction]:
        """A denoiser for a batch with these labels, shape (N,); zeros if none are needed and none are there.

        Raises:
            UsageError: the model lacks what this guidance needs.
        """
        raise NotImplementedError(f"{type(self).__name__} has no guide")

    def within_interval(
        self, denoise: Callable[..., Prediction], labels: torch.Tensor, model: Model
    ) -> Callable[[torch.Tensor, Level], Prediction]:
        """What the sampler gets: `guide` inside the interval, the network alone outside."""
        guided = self.guide(denoise, labels, model)

        def answer(x: torch.Tensor, t: Level) -> Prediction:
            noise = t.sigma / t.alpha
            inside = self.low < noise and (self.high is None or noise <= self.high)
            return guided(x, t) if inside else denoise(x, t, labels)

        return answer


class TwoModelGuidance(Guidance):
    """A guidance by a second model, which is loaded and counted for it; `guide` finds it in `model.second`."""

    model: str | None = Field(None, description="the second model: an embedded name, a folder, or a hub id")
