"""The guidance protocol: a network's denoiser in, a guided one out, for every sampler alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from samplerzoo.options import Options

if TYPE_CHECKING:
    import torch

    from samplerzoo.denoiser import Prediction
    from samplerzoo.models import Model
    from samplerzoo.schedule import Level


class Guidance(Options):
    """Turns the network's denoiser `denoise(x, level, labels)` into a guided `denoise(x, level)`."""

    scale: float = Field(1.0, ge=0.0, description="0 is unconditional, 1 plain conditional, above 1 guided")

    def guide(
        self, denoise: Callable[..., Prediction], labels: torch.Tensor, model: Model
    ) -> Callable[[torch.Tensor, Level], Prediction]:
        """A denoiser for a batch with these labels, shape (N,).

        Raises:
            UsageError: the model lacks what this guidance needs.
        """
        raise NotImplementedError(f"{type(self).__name__} has no guide")
