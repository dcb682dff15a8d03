"""Use of a sampler as the scheduler of a diffusers pipeline."""

from __future__ import annotations

from typing import Any

from diffusers import SchedulerMixin

from samplerzoo.core.kinds import check_methods
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError
from samplerzoo.hosting.scheduler import SamplerScheduler


def as_scheduler(
    sampler: str | Sampler,
    scheduler: Any,
    *,
    spacing: str | None = None,
    clip_x0: str | None = None,
    seed: int | None = None,
    **options: Any,
) -> SamplerScheduler:
    """Make a scheduler for a pipeline of diffusers that steps with a sampler.

        pipe.scheduler = samplerzoo.as_scheduler("dpm-solver++", pipe.scheduler, solver_order=3)

    Args:
        sampler: a name, with its options as keywords, or your own sampler object.
        scheduler: the scheduler to replace. Its config says which noise path the network was trained on, and how its
            output is read.
        spacing: how the steps are spread; by default as `samplerzoo.sample` spreads them.
        clip_x0: "off", "static", "dynamic"; see `Clip`. By default that of the replaced scheduler.
        seed: noise of the steps depends on it, on the image and on the step alone. By default it comes from the
            generators that the pipeline hands over, as in diffusers.

    Raises:
        UsageError: the request cannot be met.
        ZooError: the scheduler cannot be replaced, with the reason.
    """
    if not isinstance(scheduler, SchedulerMixin):
        raise UsageError(f"the scheduler of a pipeline is needed, as pipe.scheduler, not {scheduler!r:.60}")
    if not hasattr(scheduler, "step"):
        raise UsageError(f"{type(scheduler).__name__} has no step: its pipeline calls something else of it")
    config = {**scheduler.config, "_class_name": type(scheduler).__name__}
    own: dict[str, Any] = {"spacing": spacing, "clip_x0": clip_x0, "seed": seed}
    if isinstance(sampler, str):
        return SamplerScheduler.from_config(config, sampler=sampler, sampler_options=options, **own)
    if options:
        raise UsageError(f"options {', '.join(options)} go into the sampler object itself")
    if isinstance(sampler, Sampler):
        check_methods(type(sampler), "sampler")
    return SamplerScheduler.from_config(config, sampler=sampler, **own)
