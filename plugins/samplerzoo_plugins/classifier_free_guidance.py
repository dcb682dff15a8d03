from samplerzoo import Field, Guidance, UsageError


class ClassifierFreeGuidance(Guidance):
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6, with scale = 1 + w), optionally rescaled.

    A large scale makes the network's output larger than in training, and images too bright. The rescale brings its
    standard deviation over the pixels of each image back to the conditional one (Lin et al. 2024, section 3.4). It is
    applied to v, as in the paper, whatever the network predicts.
    """

    rescale: float = Field(0.0, ge=0.0, le=1.0, description="how far v gets back its conditional standard deviation")

    def guide(self, denoise, labels, model):
        import torch

        if model.null_label is None:
            raise UsageError(
                "cfg needs a model that was trained with a null label, and this one was not; "
                "train it with --label-dropout 0.1, or take --guidance classifier"
            )
        null = torch.full_like(labels, model.null_label)

        def guided(x, t):
            if self.scale == 1:
                return denoise(x, t, labels)
            if self.scale == 0:
                return denoise(x, t, null)
            both = denoise(torch.cat([x, x]), t, torch.cat([null, labels]))  # one network call
            u, c = both.chunk(2)
            g = c.replace(eps=u.eps + self.scale * (c.eps - u.eps))
            return self._rescaled(g, c) if self.rescale else g

        return guided

    def _rescaled(self, g, c):
        """Apply eq. 14 to 16. An image without contrast has no deviation to bring back, and stays as it is."""
        pixels = tuple(range(1, g.x.ndim))
        std, guided = (p.v.std(pixels, correction=0, keepdim=True) for p in (c, g))
        factor = (std / guided).where(guided > 0, 1.0)
        return g.replace(v=(self.rescale * factor + 1 - self.rescale) * g.v)
