"""Schedulers of the installed diffusers as samplers: `--sampler diffusers:UniPCMultistepScheduler`.

They are the peers, for comparison, and run as they are, also where their grid is wrong. What is ours is the network
(guidance, clipping and counting hold), the noise, and the betas, which are the model's.
"""

from __future__ import annotations

from importlib.metadata import version

from samplerzoo import Sampler, Source


class Diffusers(Source):
    """All schedulers of the installed diffusers."""

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
