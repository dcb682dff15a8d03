"""Validated contents of the JSON files in a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from samplerzoo.core.prediction import Clip
from samplerzoo.errors import ZooError, reason

Config = TypeVar("Config", bound=BaseModel)


class ModelInfo(BaseModel):
    """Contents of samplerzoo.json, which says what the files of diffusers do not.

    Attributes:
        num_classes: number of classes; None for an unconditional network.
        null_label: label that the network was trained to read as "no label", if any.
        class_names, class_counts: one entry per class. The counts are those of the training data.
        data, recipe: training data and training command, for the record.
    """

    model_config = ConfigDict(extra="forbid")

    num_classes: PositiveInt | None = None
    null_label: int | None = Field(None, ge=0)
    class_names: list[str] | None = None
    class_counts: list[int] | None = None
    data: dict[str, Any] = {}
    recipe: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_entry_a_class(self) -> ModelInfo:
        for name, entries in (("class_names", self.class_names), ("class_counts", self.class_counts)):
            if entries is not None and self.num_classes is not None and len(entries) != self.num_classes:
                raise ValueError(f"{len(entries)} {name} for {self.num_classes} classes")
        if self.class_counts is not None and not (min(self.class_counts, default=0) >= 0 < sum(self.class_counts)):
            raise ValueError("class_counts must be counts, not all of them 0")
        return self


class NetworkConfig(BaseModel):
    """Contents of unet/config.json, with the defaults of UNet2DModel."""

    sample_size: PositiveInt | tuple[PositiveInt, PositiveInt]
    in_channels: PositiveInt = 3
    out_channels: PositiveInt = 3
    num_class_embeds: PositiveInt | None = None
    class_embed_type: None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image."""
        size = self.sample_size
        return (self.in_channels, *((size, size) if isinstance(size, int) else size))

    @model_validator(mode="after")
    def _answers_in_kind(self) -> NetworkConfig:
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise ValueError(
                f"out_channels is {self.out_channels}; for {self.in_channels} in_channels it must be as many, "
                "or twice as many with a learned variance"
            )
        return self


class SchedulerConfig(BaseModel):
    """Contents of scheduler/scheduler_config.json without the betas, which `Schedule.from_config` reads."""

    model_config = ConfigDict(allow_inf_nan=False)

    prediction_type: str = "epsilon"
    variance_type: str | None = None
    clip_sample: bool | None = None
    clip_sample_range: PositiveFloat = 1.0
    thresholding: bool = False
    dynamic_thresholding_ratio: float = Field(0.995, gt=0, le=1)

    @model_validator(mode="after")
    def _variance_is_clear(self) -> SchedulerConfig:
        if self.variance_type == "learned":
            raise ValueError("variance_type 'learned' means different things to different programs; use learned_range")
        return self

    def clip(self, channels: int) -> Clip:
        """Return the clip that the config asks for. If it says nothing, clip images of 1 or 3 channels to [-1, 1]."""
        if self.thresholding:
            return Clip("dynamic", self.dynamic_thresholding_ratio)
        if self.clip_sample or (self.clip_sample is None and channels in (1, 3)):
            return Clip("static", self.clip_sample_range)
        return Clip("off")


def parse(kind: type[Config], content: dict[str, Any], path: Path) -> Config:
    """Validate the content of a file.

    Raises:
        ZooError: a value is invalid. The message names the file and the key.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ZooError(f"{path}: {reason(error)}") from error
