"""Keywords of `sample`: what is refused before any work, and what was meant."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from samplerzoo import registry
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.core.model import Model
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError
from samplerzoo.registry import split_options

ELSEWHERE = {
    **dict.fromkeys(["num_inference_steps", "n_steps", "num_steps"], "steps"),
    **dict.fromkeys(["scale", "cfg_scale"], 'guidance_scale, with guidance="cfg"'),
    **dict.fromkeys(["n", "num_samples"], "num_images"),
    "generator": "seed",
    "callback": "on_step",
    "batch": "batch_size",
}
"""Keywords of `sample` by the names that other libraries have for them."""


def check_subjects(model: Any, sampler: Any, guidance: Any) -> None:
    """Refuse what is no model, sampler or guidance, with what was meant.

    Raises:
        UsageError: names what to give instead.
    """
    if not isinstance(model, Model):
        hint = f": samplerzoo.load({model!r}) makes one" if isinstance(model, str) else ""
        raise UsageError(f"model is {_short(model)}, and has to be a Model{hint}")
    for name, value, base in (("sampler", sampler, Sampler), ("guidance", guidance, Guidance)):
        if inspect.isclass(value) and issubclass(value, base):
            raise UsageError(f"{name} is the class {value.__name__}: give an object of it, {value.__name__}(...)")
        if not isinstance(value, (str, base)) and not (name == "guidance" and value is None):
            raise UsageError(f"{name} is {_short(value)}, and has to be a name or a {base.__name__}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"a {type(value).__name__}"


def check_keywords(
    own: Sequence[str], sampler: str | Sampler, guidance: str | Guidance | None, options: Mapping[str, Any]
) -> None:
    """Refuse a keyword that is no option of the sampler; it may be meant for another place, so that all are near.

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
