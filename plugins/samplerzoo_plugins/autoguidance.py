from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from samplerzoo.errors import UsageError
from samplerzoo.guidance import TwoModelGuidance

if TYPE_CHECKING:
    import torch

    from samplerzoo.denoiser import Prediction
    from samplerzoo.models import Model
    from samplerzoo.schedule import Level


class Autoguidance(TwoModelGuidance):
    """Autoguidance: away from a worse version of the model (Karras et al. 2024a, section 4).

    The second model is smaller or was trained less, on the same data, classes and noise schedule. What it costs is
    counted apart from the model's own evaluations.
    """

    needs_labels: ClassVar[bool] = False
    scale: float = Field(1.0, ge=0.0, description="0 is the second model, 1 the model alone, above 1 guided")

    def guide(
        self, denoise: Callable[..., Prediction], labels: torch.Tensor, model: Model
    ) -> Callable[[torch.Tensor, Level], Prediction]:
        second = model.second
        if second is None:
            raise UsageError("autoguidance needs a second, worse model: --guidance-model FOLDER")

        def guided(x: torch.Tensor, t: Level) -> Prediction:
            good = denoise(x, t, labels)
            if self.scale == 1:
                return good
            bad = second.denoise(x, t, labels)
            return good.replace(eps=good.eps + (self.scale - 1) * (good.eps - bad.eps))

        return guided
