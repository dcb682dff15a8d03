"""Options of how a model folder is read, for what its files leave open. Each field is a flag."""

from __future__ import annotations

import json
from typing import Any

from pydantic import JsonValue, PositiveInt, field_validator

from samplerzoo.errors import UsageError
from samplerzoo.options import Field, Options
from samplerzoo.trust.limits import MOST_LETTERS, MOST_PICTURE_SIDE


class ReadingOptions(Options):
    """Facts about a model that a user may give, since its folder does not say them."""

    revision: str | None = Field(None, description="branch, tag or commit of a hub id")
    variant: str | None = Field(
        None, pattern=r"^[\w-]+$", description="which weights of a folder that holds several, such as fp16"
    )
    scheduler: str | None = Field(
        None, description="folder or file of the scheduler's config, for a network that lies by itself"
    )
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None, description="channels, height and width of a state, where the network's config leaves them open"
    )
    null_label: int | None = Field(
        None, ge=0, description="label that the network was trained to read as no label, if its folder does not say"
    )

    hosted: bool | None = Field(
        None,
        description="run the pipeline's own code, with the sampler as its scheduler; default: where no architecture "
        "reads its network",
    )
    height: PositiveInt | None = Field(
        None, le=MOST_PICTURE_SIDE, description="of the pictures of a whole pipeline, in pixels"
    )
    width: PositiveInt | None = Field(
        None, le=MOST_PICTURE_SIDE, description="of the pictures of a whole pipeline, in pixels"
    )
    pipeline_options: dict[str, JsonValue] | None = None
    """Arguments of a whole pipeline's call."""

    @field_validator("pipeline_options")
    @classmethod
    def _moderate_arguments(cls, options: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        """Refuse arguments that are too long. Their names are checked by the pipeline."""
        if options is not None and len(json.dumps(options, allow_nan=False)) > MOST_LETTERS:
            raise ValueError(f"more than {MOST_LETTERS} characters")
        return options or None

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that the user gave for a whole pipeline's call."""
        sizes = {name: getattr(self, name) for name in ("height", "width") if getattr(self, name) is not None}
        return {**sizes, **(self.pipeline_options or {})}

    def check_native(self, name: str) -> None:
        """Refuse arguments of a pipeline's call for a model whose network samplerzoo calls itself.

        Raises:
            UsageError: names the first one.
        """
        for argument in self.arguments:
            flag = argument if argument in ("height", "width") else f"pipeline-option {argument}"
            raise UsageError(f"{name}: --{flag} is for whole pipelines: leave it out, or add --hosted to run one")

    @property
    def reading(self) -> ReadingOptions:
        """Fields of this class alone, without those of a subclass."""
        return ReadingOptions(**{name: getattr(self, name) for name in ReadingOptions.model_fields})


AS_FOUND = ReadingOptions()
"""Reading of a folder without facts from the user."""
