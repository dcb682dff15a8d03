"""Request for images from a pipeline that calls its network itself, instead of the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samplerzoo.core.level import Grid, Level
from samplerzoo.core.prediction import Clip, Prediction
from samplerzoo.core.sampler import Sampler

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Request:
    """Request for images, with listeners.

    Attributes:
        indices: numbers of the images, which are part of the key of their noise.
        prompts: prompt of each image.
        guidance_scale: scale of the pipeline's own guidance; None for its default.
        on_step, on_prediction: listeners, as for the driver.
    """

    sampler: Sampler
    grid: Grid
    clip: Clip
    seed: int
    indices: Sequence[int]
    prompts: Sequence[str]
    negative_prompt: str | None = None
    guidance_scale: float | None = None
    on_step: Callable[[int, Level, torch.Tensor], None] | None = None
    on_prediction: Callable[[Level, Prediction], None] | None = None
