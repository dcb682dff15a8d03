"""Limit of the calls that a plugin makes in one step, so that a loop without end is told and not waited for."""

from __future__ import annotations

from samplerzoo.core.blame import place_of, plugin_title
from samplerzoo.errors import ZooError

MOST = 10_000
"""Limit of draws of noise, and of calls of the denoiser, far above what any method makes.

Drawing until a number fits, or asking until an answer is close enough, may never end.
"""


def endless(plugin: object, method: str, what: str, where: str, advice: str) -> ZooError:
    """Return the error for a plugin that does something more than MOST times, with file and line of its method.

    Args:
        what: what it does, such as `draws`.
        where: words for the step or the call, such as `in step 1 of 20`.
    """
    place = place_of(type(plugin), method)
    return ZooError(f"{plugin_title(plugin)}: it {what} more than {MOST} times {where}: {advice} ({place})")
