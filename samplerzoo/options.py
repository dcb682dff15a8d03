"""Options: the frozen, validated base of everything whose fields are command-line flags."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator
from pydantic import Field as Field
from pydantic._internal._model_construction import ModelMetaclass

from samplerzoo.errors import UsageError, reason
from samplerzoo.trust.limits import MOST_LETTERS

MOST_SHOWN = 200
"""Characters of a value in messages."""

Name = Annotated[str, StringConstraints(max_length=MOST_LETTERS)]
"""Text of moderate length, which stands in a table or above a picture."""


class Refusing(ModelMetaclass):
    """Metaclass of options: their constructor reports an invalid value as a UsageError in one line.

    `model_validate` still raises pydantic's own error, for code that reads values from a file or a command line.
    """

    def __call__(cls, *args: Any, **values: Any) -> Any:
        """Make an object.

        Raises:
            UsageError: a value is refused; names the class and the field.
        """
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            if error.errors()[0]["type"].startswith("frozen"):  # a mistake in the code of the class, not in a value
                raise
            raise UsageError(f"{cls.__name__}: {reason(error)}") from error


class Options(BaseModel, metaclass=Refusing):
    """Frozen, validated options. Each field is a flag, with its type, bounds, default and description.

    Infinities and NaN are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_is_a_number(cls, values: Any) -> Any:
        """Refuse True and False as numbers, which pydantic would take for 1 and 0."""
        truths = (
            [name for name, value in values.items() if value is True or value is False]
            if isinstance(values, dict)
            else ()
        )
        for name in truths:
            field = cls.model_fields.get(name)
            if field is not None and not _takes_truth(field.annotation):
                raise ValueError(f"{name}: {str(values[name]).lower()} stands where no truth value can")
        return values

    def differences(self, other: Self) -> list[str]:
        """Name the fields in which this differs from another, as in `steps 50, not 20`."""
        mine, others = self.model_dump(mode="json"), other.model_dump(mode="json")
        return [
            f"{name} {_shortened(mine[name])}, not {_shortened(others[name])}"
            for name in mine
            if mine[name] != others[name]
        ]


def _takes_truth(annotation: Any) -> bool:
    """Tell whether a type admits True and False, as `Any` does, too."""
    inner = get_args(annotation)
    return annotation in (bool, Any, object) or True in inner or any(map(_takes_truth, inner))


def _shortened(value: object) -> str:
    """Format a value. Of a long one, such as a list of prompts, only the beginning is shown."""
    text = str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def kebab(name: str) -> str:
    """Turn a class name into a plugin name: ReverseSDE -> reverse-sde."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
