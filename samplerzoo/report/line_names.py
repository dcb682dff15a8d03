"""Names of a report's lines: sampler and guidance, with the settings that set a line apart from the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas

from samplerzoo.sampling.recipe import Recipe

OWN = "own guidance"
"""Name of the guidance of a whole pipeline, which applies its own guidance."""

Axis = str
"""Quantity that varies along a line: `steps`, `scale` of the guidance, or any other option of sampler or guidance."""


def settings(recipe: Recipe, axis: Axis = "steps") -> dict[str, Any]:
    """Collect the settings in which lines may differ: all but the place on the axis, the labels and the seed.

    An option has the name of its owner before it, as in `sampler NAME.eta`, since two samplers may both have an option
    of that name.
    """
    guidance = recipe.guidance or (OWN if recipe.guidance_options else None)
    found = {
        "sampler": recipe.sampler,
        **{f"sampler {recipe.sampler}.{name}": value for name, value in recipe.sampler_options.items()},
        "guidance": guidance,
        **{f"guidance {guidance}.{name}": value for name, value in recipe.named_guidance_options.items()},
        "steps": recipe.steps,
        "spacing": recipe.spacing,
        "timesteps": recipe.timesteps,
        "clip_x0": recipe.clip_x0,
        "dtype": recipe.dtype,
        "plugins": sorted(sha[:8] for sha in recipe.plugins.values()),
    }
    return {name: value for name, value in found.items() if name.rpartition(".")[2] != axis}


def place(recipe: Recipe, axis: Axis) -> Any:
    """Return the place of a recipe on an axis, which is the value of that setting; None if it has no such setting."""
    every = settings(recipe, "")
    return next((value for name, value in every.items() if name.rpartition(".")[2] == axis), None)


def name_lines(recipes: Sequence[Recipe], axis: Axis) -> pandas.Categorical:
    """Name the line of each recipe. Equal settings have one name, different settings have different names.

    Categories are ordered by sampler (in order of appearance), guidance, and numeric options.
    """
    every = [settings(recipe, axis) for recipe in recipes]
    keys = [json.dumps(each, sort_keys=True) for each in every]
    values = pandas.DataFrame([{field: json.dumps(value) for field, value in each.items()} for each in every])
    varying = {*values.columns[values.nunique() > 1]}
    if (values.groupby(["sampler", "guidance"])["plugins"].nunique() == 1).all():
        varying.discard("plugins")  # names of sampler and guidance alone identify the files
    samplers = [*dict.fromkeys(recipe.sampler for recipe in recipes)]

    def rank(line: tuple[str, dict[str, Any]]) -> tuple[int, str, list[float]]:
        _, own = line
        numbers = [value for field, value in own.items() if "." in field and isinstance(value, (int, float))]
        return samplers.index(own["sampler"]), own["guidance"] or "", numbers

    names: dict[str, str] = {}
    for key, own in sorted(dict(zip(keys, every, strict=True)).items(), key=rank):
        name, same = _name(own, varying), 1
        while (unique := name if same == 1 else f"{name} ({same})") in names.values():
            same += 1
        names[key] = unique
    return pandas.Categorical([names[key] for key in keys], [*names.values()], ordered=True)


def _name(found: dict[str, Any], varying: set[str]) -> str:
    """Compose a name, such as `SAMPLER eta 0.5, GUIDANCE 2, quadratic`.

    Sampler, guidance, its scale, and the option of a sampler with one option are always part of it. Everything else is
    part of it if it varies.
    """
    parts = []
    for kind in ("sampler", "guidance"):
        owner = f"{kind} {found[kind]}."
        own = {field.removeprefix(owner): value for field, value in found.items() if field.startswith(owner)}
        said = {name: value for name, value in own.items() if owner + name in varying}
        words = [found[kind] or ""]
        if kind == "sampler":
            said = own if len(own) == 1 else said
        else:
            words += [number(own["scale"])] if "scale" in own else []
            said = {name: value for name, value in said.items() if name != "scale" and value != 0}  # 0 is off
        words += [option_text(name, value) for name, value in said.items()]
        parts.append(" ".join(filter(None, words)))
    others = [field for field in found if "." not in field and field not in ("sampler", "guidance")]
    parts += [option_text(field, found[field]) for field in others if field in varying]
    return ", ".join(filter(None, parts))


def option_text(name: str, value: Any) -> str:
    """Write an option for a line's name: `eta 0.5`, `large`, `no lower_order_final`; an empty text for None."""
    match value:
        case None:
            return ""
        case bool():
            return name if value else f"no {name}"
        case int() | float():
            return f"{number(value)} step{'s' * (value != 1)}" if name == "steps" else f"{name} {number(value)}"
        case str():
            return f"clip {value}" if name == "clip_x0" else value
    return f"{name} {' '.join(map(str, value))}".rstrip()


def number(value: float) -> str:
    """Write a number in its shortest form that loses no digits: 0.5, 2, 0.30000000000000004."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def numbered(titles: Sequence[str]) -> list[str]:
    """Put (2), (3), ... behind titles that were there before, as of rows with other labels, references or weights."""
    seen: Counter[str] = Counter()
    found = []
    for title in titles:
        seen[title] += 1
        found.append(title if seen[title] == 1 else f"{title} ({seen[title]})")
    return found
