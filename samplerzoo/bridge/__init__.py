"""Schedulers of the installed diffusers as samplers: `--sampler diffusers:UniPCMultistepScheduler`.

They are the peers, for comparison, and run as they are, also where their grid is wrong. What is ours is the network
(guidance, clipping and counting hold), the noise, and the betas, which are the model's.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, version

from samplerzoo.errors import UsageError
from samplerzoo.registry import GROUPS, SCHEDULERS, Plugin, nearest


def plugin(name: str) -> Plugin:
    """The scheduler class of this name as a plugin.

    Raises:
        UsageError: diffusers has no such scheduler, or it cannot be driven; says why.
    """
    from samplerzoo.bridge.schedulers import known, refusal

    names = known()
    if name not in names:
        raise UsageError(
            f"diffusers {version(SCHEDULERS)} has no scheduler {name!r}{nearest(name, names)}; "
            "`samplerzoo list --all` shows those that it has"
        )
    reason = refusal(name)
    if reason is not None:
        raise UsageError(f"{SCHEDULERS}:{name} cannot be a sampler here: {reason}")
    point = EntryPoint(name, f"{__name__}.schedulers:{name}", GROUPS["sampler"])
    return Plugin("sampler", name, SCHEDULERS, version(SCHEDULERS), point)
