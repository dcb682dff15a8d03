from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from samplerzoo.errors import UsageError
from samplerzoo.guidance import Guidance

if TYPE_CHECKING:
    import torch

    from samplerzoo.denoiser import Prediction
    from samplerzoo.models import Model
    from samplerzoo.schedule import Level


class ClassifierFreeGuidance(Guidance):
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6, with scale = 1 + w)."""

    def guide(
        self, denoise: Callable[..., Prediction], labels: torch.Tensor, model: Model
    ) -> Callable[[torch.Tensor, Level], Prediction]:
        import torch

        if model.null_label is None:
            raise UsageError(
                "cfg needs a model that was trained with a null label, and this one was not; "
                "train it with --label-dropout 0.1, or take --guidance classifier"
            )
        null = torch.full_like(labels, model.null_label)

        def guided(x: torch.Tensor, t: Level) -> Prediction:
            if self.scale == 1:
                return denoise(x, t, labels)
            if self.scale == 0:
                return denoise(x, t, null)
            both = denoise(torch.cat([x, x]), t, torch.cat([null, labels]))  # one network call
            u, c = both.chunk(2)
            return c.replace(eps=u.eps + self.scale * (c.eps - u.eps))

        return guided
