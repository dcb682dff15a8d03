"""Keywords of `sample`: wrong ones are refused before any work, with a hint at what may be meant."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from samplerzoo import registry
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.core.model import Model
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError, expect, short
from samplerzoo.registry import split_options

ELSEWHERE = {
    **dict.fromkeys(["num_inference_steps", "n_steps", "num_steps"], "steps"),
    **dict.fromkeys(["scale", "cfg_scale"], 'guidance_scale, with guidance="cfg"'),
    **dict.fromkeys(["n", "num_samples"], "num_images"),
    "generator": "seed",
    "callback": "on_step",
    "batch": "batch_size",
}
"""Keywords of `sample`, by their names in other libraries."""


def check_subjects(model: Any, sampler: Any, guidance: Any) -> None:
    """Refuse arguments that are not a model, a sampler or a guidance.

    Raises:
        UsageError: names what to give instead.
    """
    expect("model", model, Model, f": samplerzoo.load({model!r}) makes one" if isinstance(model, str) else "")
    for name, value, base in (("sampler", sampler, Sampler), ("guidance", guidance, Guidance)):
        if inspect.isclass(value) and issubclass(value, base):
            raise UsageError(f"{name} is the class {value.__name__}: give an object of it, {value.__name__}(...)")
        if not isinstance(value, (str, base)) and not (name == "guidance" and value is None):
            raise UsageError(f"{name} is {short(value)}, and has to be a name or a {base.__name__}")


def listing(name: str, values: Any) -> list[Any]:
    """Convert an iterable to a list.

    Raises:
        UsageError: the value is not iterable.
    """
    try:
        return [*values]
    except TypeError:
        raise UsageError(f"{name} is a list of one for each image, not {short(values)}") from None


def check_keywords(
    own: Sequence[str], sampler: str | Sampler, guidance: str | Guidance | None, options: Mapping[str, Any]
) -> None:
    """Refuse a keyword that is not an option of the sampler or the guidance.

    Args:
        own: keywords of `sample`.

    Raises:
        UsageError: names the nearest keyword of `sample`, the sampler or the guidance.
    """
    if not isinstance(sampler, str):
        return
    keywords = [*own]
    if isinstance(guidance, str):
        keywords += [GUIDANCE_PREFIX + name for name in registry.get("guidance", guidance).load().model_fields]
    known = registry.get("sampler", sampler).load().model_fields
    for option in split_options(options)[0]:
        if option in known:
            continue
        if option in ELSEWHERE and GUIDANCE_PREFIX + option not in keywords:
            raise UsageError(f"sample has no keyword {option!r}: it is called {ELSEWHERE[option]} here")
        raise UsageError(registry.unknown_option("sampler", sampler, option, keywords))
