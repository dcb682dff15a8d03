"""Command lines that make the images of a recipe again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.models.options import ReadingOptions
from samplerzoo.sampling.recipe import EXPLICIT, DrawOptions, Recipe

MOST_PROMPTS_WRITTEN = 20
"""Largest number of prompts that are written into a command. Instead of more, it names a file that the reader makes."""


def command_line(recipe: Recipe, program: str = "run", *, most_prompts: int = MOST_PROMPTS_WRITTEN) -> str:
    """Write the command that makes images of this recipe, as one line for a shell.

    Options that are None, as their defaults are, are left out.

    Args:
        most_prompts: largest number of prompts that are written out. Instead of more, the command names a file.
    """
    words = ["samplerzoo", program, "--model", recipe.model, "--sampler", recipe.sampler]
    words += _flags(recipe.sampler_options)
    words += [] if recipe.guidance is None else ["--guidance", recipe.guidance]
    words += _flags(recipe.guidance_options, GUIDANCE_PREFIX)
    words += _prompts(recipe.prompts or (), most_prompts)
    drawn = {name: getattr(recipe, name) for name in DrawOptions.model_fields if name != "prompts"}
    if recipe.timesteps is not None and recipe.spacing in (None, EXPLICIT):
        drawn |= {"steps": None, "spacing": None}
    else:
        drawn["timesteps"] = None
    words += _flags(drawn)
    read = {name: getattr(recipe, name) for name in ReadingOptions.model_fields}
    for name, value in (read.pop("pipeline_options") or {}).items():
        words.append(f"--pipeline-option={name}={value if isinstance(value, str) else json.dumps(value)}")
    words += _flags(read)
    words += ["--seed", str(recipe.seed)] if recipe.seed else []
    return shlex.join(words)


def _prompts(prompts: Sequence[str], most: int) -> Iterator[str]:
    """Yield a flag for each prompt, or if they are more than `most`, one for a file that the reader has to make."""
    for prompt in prompts if len(prompts) <= most else [f"FILE_OF_{len(prompts)}_PROMPTS"]:
        yield f"--prompts={prompt}"


def _flags(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        flag = f"{prefix}{name}".replace("_", "-")
        if isinstance(value, bool):
            yield f"--{'' if value else 'no-'}{flag}"
        elif value is not None:
            yield f"--{flag}"
            yield ",".join(map(_text, value)) if isinstance(value, (list, tuple)) else _text(value)


def _text(value: Any) -> str:
    """Format a value as short as possible without loss."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
