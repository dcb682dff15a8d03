from typing import ClassVar

from samplerzoo import Sampler


class Consistency(Sampler):
    """Multistep consistency sampling: denoise, then noise again to the next level (Song et al. 2023, algorithm 1).

    It is for models whose x0 is one possible image, and no mean: consistency models and what is distilled like them
    (Luo et al. 2023). On a model of the mean it makes images that are too smooth, at any number of steps.
    """

    needs_mean: ClassVar[bool] = False

    @property
    def order(self) -> int:
        return 0

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return p.x0 if s.clean else s.alpha * p.x0 + s.sigma * noise()
