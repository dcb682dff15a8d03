"""What samplerzoo reads of the JSON files of a model folder, checked, so that the rest can rely on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from samplerzoo.core.prediction import Clip
from samplerzoo.errors import ZooError
from samplerzoo.options import complaint

Config = TypeVar("Config", bound=BaseModel)


class ModelInfo(BaseModel):
    """samplerzoo.json: what diffusers' own files do not say. A null label was trained; it is not only room for one."""

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
    """unet/config.json; defaults are those of UNet2DModel."""

    sample_size: PositiveInt | tuple[PositiveInt, PositiveInt]
    in_channels: PositiveInt = 3
    out_channels: PositiveInt = 3
    num_class_embeds: PositiveInt | None = None
    class_embed_type: None = None

    @property
    def shape(self) -> tuple[int, int, int]:
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
    """scheduler/scheduler_config.json, but for the betas, which `Schedule.from_config` reads."""

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
        """As the config says; without a word from it, [-1, 1] for what has the channels of pixels."""
        if self.thresholding:
            return Clip("dynamic", self.dynamic_thresholding_ratio)
        if self.clip_sample or (self.clip_sample is None and channels in (1, 3)):
            return Clip("static", self.clip_sample_range)
        return Clip("off")


def parse(kind: type[Config], content: dict[str, Any], path: Path) -> Config:
    """The checked form of a file's content.

    Raises:
        ZooError: a value cannot be; names the file, the key and what is wrong.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ZooError(f"{path}: {complaint(error)}") from error
