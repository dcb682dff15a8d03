from samplerzoo import Field, Guidance, UsageError


class ClassifierFreeGuidance(Guidance):
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6, with scale = 1 + w), optionally rescaled.

    A large scale makes the network's output larger than in training, and images too bright. The rescale brings its
    standard deviation over the pixels of each image back to the conditional one (Lin et al. 2024, section 3.4). It is
    applied to v, as in the paper, whatever the network predicts.
    """

    rescale: float = Field(0.0, ge=0.0, le=1.0, description="how far v gets back its conditional standard deviation")
    channels: int | None = Field(
        None, ge=1, description="guide only so many first channels, as DiT's published figures do with 3 of 4"
    )

    def guide(self, denoise, condition, model):
        import torch

        if not model.has_null:
            raise UsageError(f"cfg needs a null label, and {self._reason(model)}")
        if self.channels is not None and self.channels > model.shape[0]:
            raise UsageError(f"--guidance-channels {self.channels}: {model.name} has {model.shape[0]}")
        null = model.unconditional(condition)
        pair = null + condition

        def guided(x, t):
            if self.scale == 1:
                return denoise(x, t, condition)
            if self.scale == 0:
                return denoise(x, t, null)
            both = denoise(torch.cat([x, x]), t, pair)  # one network call
            u, c = both.chunk(2)
            g = c.away_from(u, self.scale if self.channels is None else self._by_channel(x))
            return self._rescaled(g, c) if self.rescale else g

        return guided

    def _reason(self, model):
        """Say why there is no null label, and what there is to do."""
        if model.num_classes is None:
            return f"{model.name} is unconditional; take --guidance classifier, if it has a classifier"
        return (
            f"nothing says that {model.name} was trained with one; if it was, name it by --null-label: "
            "`samplerzoo info` says which row of its table of labels that may be; a model of samplerzoo gets one by "
            "train --label-dropout 0.1"
        )

    def _by_channel(self, x):
        """Return the scale of each channel: 1, which is the conditional prediction, behind the first ones."""
        scale = x.new_ones(x.shape[1], *[1] * (x.ndim - 2))
        scale[: self.channels] = self.scale
        return scale

    def _rescaled(self, g, c):
        """Apply eq. 14 to 16. An image without contrast has no deviation to bring back, and stays as it is."""
        pixels = tuple(range(1, g.x.ndim))
        std, guided = (p.v.std(pixels, correction=0, keepdim=True) for p in (c, g))
        factor = (std / guided).where(guided > 0, 1.0)
        return g.replace(v=(self.rescale * factor + 1 - self.rescale) * g.v)
