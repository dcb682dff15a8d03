"""Studio: a model that is loaded once, with functions for the controls of the page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samplerzoo import images
from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.core.model import Model
from samplerzoo.models.load import open_model
from samplerzoo.models.options import AS_FOUND, ReadingOptions
from samplerzoo.registry import get
from samplerzoo.sampling.command import command_line
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.trust.limits import MOST_PROMPTS

SPACING_PREFIX = "spacing_"
"""Prefix of a spacing's options among the values of a setting, like that of a guidance."""

IMAGES = "images"
"""Name for the number of images among the values of a setting."""


@dataclass(frozen=True, eq=False)
class Studio:
    """Model with its weights.

    Attributes:
        name: name by which the model was loaded.
        plugins: files of plugins, for the printed commands.
    """

    model: Model
    name: str = "mnist"
    reading: ReadingOptions = AS_FOUND
    plugins: Sequence[str] = ()

    @classmethod
    def open(
        cls,
        name: str = "mnist",
        *,
        device: str = "auto",
        dtype: str = "auto",
        reading: ReadingOptions = AS_FOUND,
        plugins: Sequence[str] = (),
    ) -> Studio:
        """Load a model.

        Raises:
            UsageError: there is no such model, or it does not make pictures.
        """
        found = open_model(name, reading)
        images.check_channels(found.stub.image_shape[0], f"an image of {name}")
        return cls(found.load(device=device, dtype=dtype), name, reading, plugins)

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """Make a recipe from the values of a setting: fields of `Recipe`, and options of its plugins.

        Raises:
            UsageError: a value is invalid.
        """
        own = {name: value for name, value in values.items() if name in Recipe.model_fields}
        sampler, guidance = own.pop("sampler"), own.pop("guidance", None)
        others = {name: value for name, value in values.items() if name not in {*Recipe.model_fields, IMAGES}}
        spread = {name: others.pop(name) for name in [*others] if name.startswith(SPACING_PREFIX)}
        if own.get("spacing"):
            options = (f"{name.removeprefix(SPACING_PREFIX)}={value:g}" for name, value in spread.items())
            own["spacing"] = ":".join([own["spacing"], *options])
        return Recipe.of(
            sampler, guidance, others, **{"dtype": self.model.dtype, **own}, model=self.name, **dict(self.reading)
        )

    def ask(self, values: Mapping[str, Any]) -> Request:
        """Plan the images of a setting, whose number is among its values.

        Raises:
            UsageError: the setting does not go with the model.
        """
        count, recipe = values[IMAGES], self.recipe(values)
        plan = make_plan(recipe, self.model, count).with_weights(self.model)
        return Request(plan, self.command(recipe, "run", "--num-images", str(count)))

    def command(self, recipe: Recipe, program: str, *words: str) -> str:
        """Return the command that makes the images of a recipe that the page shows.

        Args:
            words: flags of the program in addition to those of the recipe.
        """
        plugins = [word for file in self.plugins for word in ("--plugin", file)]
        line = command_line(recipe, program, most_prompts=MOST_PROMPTS)
        return shlex.join([*shlex.split(line), *plugins, *words])


@dataclass(frozen=True, eq=False)
class Request:
    """Plan of a setting, and the command that makes its images."""

    plan: Plan
    command: str


def fitting_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that do not belong to the sampler and guidance among the values."""
    sampler = get("sampler", values["sampler"]).load().model_fields
    guidance = get("guidance", values["guidance"]).load().model_fields if values.get("guidance") else {}
    spacing = get("spacing", values["spacing"]).load().model_fields if values.get("spacing") else {}
    known = {*Recipe.model_fields, IMAGES, *sampler}
    known |= {GUIDANCE_PREFIX + name for name in guidance} | {SPACING_PREFIX + name for name in spacing}
    return {name: value for name, value in values.items() if name in known}
