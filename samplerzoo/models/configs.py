"""Validated contents of the JSON files in a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from samplerzoo.data.class_names import apart
from samplerzoo.errors import ZooError, reason
from samplerzoo.models.folder import read_json
from samplerzoo.options import Name
from samplerzoo.trust.limits import MOST_CLASSES

Config = TypeVar("Config", bound=BaseModel)


class ModelInfo(BaseModel):
    """Contents of samplerzoo.json: facts that the files of diffusers do not hold.

    Attributes:
        num_classes: number of classes; None for an unconditional network.
        null_label: label that the network was trained to read as "no label", if any.
        class_names, class_counts: one entry per class. The counts are those of the training data.
        data, recipe: training data and training command, for the record.
    """

    model_config = ConfigDict(extra="forbid")

    num_classes: PositiveInt | None = Field(None, le=MOST_CLASSES)
    null_label: int | None = Field(None, ge=0, le=MOST_CLASSES)
    class_names: list[Name] | None = None
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


class NamedClasses(BaseModel):
    """Part of a config of transformers, or of the index of a pipeline, that names classes.

    Attributes:
        id2label: names of the classes, by their numbers.
    """

    id2label: dict[str, Name] | None = Field(None, max_length=MOST_CLASSES)

    @field_validator("id2label")
    @classmethod
    def _numbers_each(cls, names: dict[str, Name] | None) -> dict[str, Name] | None:
        if names is not None and {*names} != {str(number) for number in range(len(names))}:
            raise ValueError(f"its keys have to be the numbers of {len(names)} classes, from 0 on")
        return names

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of their numbers; None if there are none, or transformers made them up."""
        found = self.id2label or {}
        named = [found[str(number)] for number in range(len(found))]
        made_up = all(name == f"LABEL_{number}" for number, name in enumerate(named))
        return None if made_up else apart(named)


class ClassifierConfig(NamedClasses):
    """Contents of a classifier's config.json that the model of its folder depends on.

    Attributes:
        log_snr: levels of the noise path that it was trained on, which samplerzoo notes.
    """

    log_snr: tuple[FiniteFloat, ...] | None = None


def refuse_kernels(folder: Path) -> None:
    """Refuse a transformers folder whose config names a kernel from the hub.

    transformers downloads and runs such code without asking, if the package `kernels` is installed.

    Raises:
        ZooError: the config names a kernel, or cannot be read.
    """
    left: list[Any] = [read_json(folder, "config.json")]
    while left:
        found = left.pop()
        left += found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
        for key, value in found.items() if isinstance(found, dict) else ():
            if key.endswith("_implementation") and "/" in str(value):
                raise ZooError(f"{folder / 'config.json'}: {key} names code of the hub, and no code of a folder is run")


def parse(kind: type[Config], content: dict[str, Any], path: Path) -> Config:
    """Validate the content of a file.

    Raises:
        ZooError: a value is invalid. The message names the file and the key.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ZooError(f"{path}: {reason(error)}") from error
