"""Recipe: all that an image depends on besides its index. Every image file carries it, and can be made from it.

Nothing here imports torch, since the fields are flags of the command line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import PositiveInt, ValidationError, field_validator, model_validator

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.sampler import Sampler
from samplerzoo.data.prompts import check_prompts
from samplerzoo.errors import UsageError, ZooError, numbers, reason, whole
from samplerzoo.models.options import ReadingOptions
from samplerzoo.options import Field, Name, Options, kebab
from samplerzoo.registry import split_options
from samplerzoo.trust.limits import MOST_IMAGES, MOST_LETTERS, MOST_STEPS
from samplerzoo.version import __version__

EXPLICIT = "explicit"
"""Spacing of a recipe that lists its timesteps."""
SCALE = "scale"
"""Option that every guidance has, including a whole pipeline's own guidance."""


class GridRequest(Options):
    """Request for the levels to visit: a number of steps with a spacing, or a list of timesteps."""

    steps: PositiveInt = Field(50, le=MOST_STEPS, description="steps of the sampler")
    spacing: str | None = Field(
        None,
        pattern="^[^,]*$",
        max_length=MOST_LETTERS,
        description="how they are spread over the schedule: a spacing of `samplerzoo list`, such as karras; default: "
        "as the model's scheduler has it, else trailing, or karras on a VE path",
    )
    timesteps: tuple[float, ...] | None = Field(
        None, max_length=MOST_STEPS, description="these timesteps, in place of steps and spacing"
    )

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        typed = {"steps", "spacing"} & self.model_fields_set
        if self.timesteps is not None and typed and self.spacing != EXPLICIT:
            raise ValueError("timesteps take the place of steps and spacing: leave those out")
        return self


class DrawOptions(GridRequest):
    """Options of drawing images that do not depend on sampler and guidance."""

    class_labels: Name | None = Field(
        None,
        description="3, 0-9, 1,3,5-7, balanced or natural; default: balanced, for a conditional model",
    )
    prompts: tuple[str, ...] | None = None
    """Prompts for a text-to-image model; image i has prompt i modulo their number."""
    negative_prompt: str | None = Field(
        None, description="what guidance leads away from, in every image; default: the empty prompt"
    )
    clip_x0: Name | None = Field(
        None, description="bound on the predicted clean image: off, static:1.0, dynamic:0.995; default: the model's own"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="the network's; auto is bfloat16 where the device computes it natively, else float32"
    )

    @field_validator("prompts")
    @classmethod
    def _moderate_prompts(cls, prompts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if prompts is None else check_prompts(prompts)

    @model_validator(mode="after")
    def _has_prompts(self) -> Self:
        if self.negative_prompt is not None:
            if self.prompts is None:
                raise ValueError("negative_prompt stands beside prompts: add --prompts TEXT|FILE")
            check_prompts([self.negative_prompt])
        return self


class Recipe(DrawOptions, ReadingOptions):
    """Everything that a user asks of a run. After `fill_defaults`, every default is filled in.

    Attributes:
        fingerprint: SHA-256 of the model's weights and configs.
        second_fingerprint: SHA-256 of the guidance's own model, if it has one.
        guidance_options: options of the guidance; without one, only the scale of a whole pipeline's own guidance.
        plugins: files of the sampler and the guidance, with their SHA-256. They are recorded but never loaded from
            here, since an image file must not choose what code is run. For a sampler of another library, it is the
            library's name with its version.
    """

    seed: int = Field(0, ge=0, lt=2**64, description="image i depends on the seed and i, on no batch and no process")
    model: str = Field("mnist", description="an embedded model, a folder, or a hub id")
    sampler: Name
    sampler_options: dict[str, Any] = Field(default_factory=dict)
    guidance: Name | None = None
    guidance_options: dict[str, Any] = Field(default_factory=dict)
    plugins: dict[str, Name] = Field(default_factory=dict)
    fingerprint: Name | None = None
    second_fingerprint: Name | None = None

    @field_validator("sampler_options", "guidance_options")
    @classmethod
    def _moderate(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Refuse texts that are too long for a table. Numbers and lists are checked by the plugin."""
        for name, value in options.items():
            if len(name) > MOST_LETTERS or (isinstance(value, str) and len(value) > MOST_LETTERS):
                raise ValueError(f"{name[:MOST_LETTERS]}: a text of more than {MOST_LETTERS} characters")
        return options

    @model_validator(mode="after")
    def _options_of_a_guidance(self) -> Self:
        for name, value in self.guidance_options.items() if self.guidance is None else ():
            if name != SCALE:
                raise ValueError(f"guidance_{name} is an option of a guidance, and there is none")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"guidance_scale is a number, not {value!r:.60}")
        return self

    @model_validator(mode="after")
    def _names_its_second_model(self) -> Self:
        if self.second_fingerprint is not None and not isinstance(self.guidance_options.get("model"), str):
            raise ValueError("second_fingerprint of a guidance whose options name no model")
        return self

    @classmethod
    def of(
        cls,
        sampler: str | Sampler,
        guidance: str | Guidance | None,
        options: Mapping[str, Any],
        *,
        timesteps: Iterable[float] | None = None,
        steps: int | None = None,
        spacing: str | None = None,
        seed: int = 0,
        **fields: Any,
    ) -> Self:
        """Make a recipe from the keywords of `sample`. Sampler and guidance objects are recorded by class and options.

        Args:
            options: options of the sampler, and with the prefix `guidance_` those of the guidance.

        Raises:
            UsageError: a value is invalid, or options are given in addition to an object, which has its own.
        """
        for_sampler, for_guidance = split_options(options)
        if isinstance(sampler, Sampler):
            if for_sampler:
                raise UsageError(f"options {', '.join(for_sampler)} go into the sampler object itself")
            for_sampler = dict(sampler)
            sampler = kebab(type(sampler).__name__)
        if guidance is None or isinstance(guidance, Guidance):
            foreign = [name for name in for_guidance if guidance is not None or name != SCALE]
            if foreign:
                there = (
                    'no guidance: add guidance="cfg"' if guidance is None else "one of your own, which has its options"
                )
                raise UsageError(f"guidance_{foreign[0]} is for a guidance by name, and there is {there}")
            if guidance is not None:
                for_guidance = dict(guidance)
                guidance = kebab(type(guidance).__name__)
        fields |= {} if steps is None else {"steps": whole("steps", steps)}
        fields |= {} if spacing is None else {"spacing": spacing}
        fields |= {} if timesteps is None else {"timesteps": tuple(numbers("timesteps", timesteps))}
        try:
            return cls.model_validate(
                {
                    "sampler": sampler,
                    "sampler_options": for_sampler,
                    "guidance": guidance,
                    "guidance_options": for_guidance,
                    "seed": whole("seed", seed),
                    **fields,
                }
            )
        except ValidationError as error:
            raise UsageError(reason(error)) from error

    @property
    def own_scale(self) -> float | None:
        """Scale that the user gave for a whole pipeline's own guidance; None if there is none."""
        return None if self.guidance is not None else self.guidance_options.get(SCALE)

    @property
    def named_guidance_options(self) -> dict[str, Any]:
        """Options of the guidance, where its own model is named by the end of its path and part of its fingerprint."""
        if self.second_fingerprint is None:
            return self.guidance_options
        model = f"{Path(self.guidance_options['model']).name}@{self.second_fingerprint[:8]}"
        return {**self.guidance_options, "model": model}

    def prompt(self, index: int) -> str | None:
        """Return the prompt of an image."""
        return None if self.prompts is None else self.prompts[index % len(self.prompts)]

    def metadata(self, index: int, label: int | None) -> dict[str, Any]:
        """Return the metadata for an image's file. Of several prompts, only the image's own is in it."""
        prompt = self.prompt(index)
        recipe = self if prompt is None else self.model_copy(update={"prompts": (prompt,)})
        return {"samplerzoo": __version__, "index": index, "label": label, "recipe": recipe.model_dump(mode="json")}


class ImageRecord(Options):
    """Metadata in an image file. It cannot be trusted, since anybody may have written it.

    Attributes:
        samplerzoo: version that made the image.
        label: class of the image.
        pixels: digest of the pixels; None in files of earlier versions.
    """

    samplerzoo: Name
    index: int = Field(ge=0, lt=MOST_IMAGES)
    label: int | None
    recipe: Recipe
    pixels: Name | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, Any], name: str) -> Self:
        """Parse the metadata of an image file.

        Args:
            name: name of the file, for errors.

        Raises:
            ZooError: it is not metadata of samplerzoo.
        """
        try:
            return cls.model_validate(metadata)
        except ValidationError as error:
            raise ZooError(
                f"{name}: its metadata are not those of samplerzoo {__version__}: {reason(error)}"
            ) from error
