"""Schedulers of the installed diffusers as samplers: `--sampler diffusers:UniPCMultistepScheduler`.

They are peers to compare with, and run as they are, even where their grid is wrong. samplerzoo gives them the network,
with guidance, clipping and counting, the noise, and the model's betas.
"""

from __future__ import annotations

from importlib.metadata import version

from samplerzoo import Sampler, Source


class Diffusers(Source):
    """Source of the schedulers of the installed diffusers."""

    noun = "scheduler"

    @property
    def version(self) -> str:
        return version("diffusers")

    def names(self) -> list[str]:
        from samplerzoo_plugins.diffusers_schedulers.schedulers import known

        return known()

    def refusal(self, name: str) -> str | None:
        from samplerzoo_plugins.diffusers_schedulers.schedulers import refusal

        return refusal(name)

    def sampler(self, name: str) -> type[Sampler]:
        from samplerzoo_plugins.diffusers_schedulers import schedulers

        found: type[Sampler] = getattr(schedulers, name)
        return found
