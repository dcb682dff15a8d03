from typing import ClassVar

from samplerzoo import Field, TwoModelGuidance, UsageError


class Autoguidance(TwoModelGuidance):
    """Autoguidance: away from a worse version of the model (Karras et al. 2024a, section 4).

    The second model is smaller or was trained less, on the same data, classes and noise schedule. Its evaluations are
    counted in a column of their own.
    """

    needs_labels: ClassVar[bool] = False
    scale: float = Field(1.0, ge=0.0, le=1e4, description="0 is the second model, 1 the model alone, above 1 guided")

    def guide(self, denoise, condition, model):
        second = model.second
        if second is None:
            raise UsageError("autoguidance needs a second, worse model: --guidance-model FOLDER")

        def guided(x, t):
            good = denoise(x, t, condition)
            if self.scale == 1:
                return good
            bad = second.denoise(x, t, condition)
            return good.away_from(bad, self.scale)

        return guided
