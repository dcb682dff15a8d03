"""Command-line flags from options classes. A flag has its field's type, bounds, default and description."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, TypeVar

import click
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from samplerzoo.errors import UsageError
from samplerzoo.fields import Facts, facts, split

Chosen = TypeVar("Chosen", bound=BaseModel)


def flags(options: type[BaseModel], prefix: str = "") -> list[click.Option]:
    """Make a click option for every field that has a description.

    An option that is not given is None, so that the field's own default applies.
    """
    known = facts(options)
    return [
        _flag(name, field, known[name], prefix) for name, field in options.model_fields.items() if field.description
    ]


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were typed. A repeatable flag that was not typed is an empty tuple in `values`."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


def validated(options: type[Chosen], values: dict[str, Any]) -> Chosen:
    """Make the options object from the flags that were typed.

    Raises:
        UsageError: a value is refused; names the flag.
    """
    try:
        return options.model_validate(given(values))
    except ValidationError as error:
        first = error.errors()[0]
        flag = " ".join(f"--{str(part).replace('_', '-')}" for part in first["loc"][:1])
        raise UsageError(f"{flag}: {plain(first['msg'])}".removeprefix(": ")) from error


def plain(message: str) -> str:
    """Turn a message of pydantic into the end of a sentence."""
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].lower() + message[1:]


class FieldType(click.ParamType):
    """Type of a flag, which converts text into a value of the field and validates it."""

    def __init__(self, field: FieldInfo, known: Facts) -> None:
        self.name = known.kind.lower()
        self.known = known
        annotated: Any = Annotated[field.annotation, field]
        self.adapter = TypeAdapter[Any](annotated, config=ConfigDict(allow_inf_nan=False))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        parts = split(value) if self.known.is_list and isinstance(value, str) else [value]
        for part in parts if self.known.choices else ():
            if part not in self.known.choices:
                self.fail(f"{part} is none of {', '.join(self.known.choices)}{self._hint(part, ctx)}", param, ctx)
        try:
            return self.adapter.validate_python(self.known.parse(value))
        except ValidationError as error:
            self.fail(f"{value} {plain(error.errors()[0]['msg'])}{self._hint(value, ctx)}", param, ctx)

    def _hint(self, value: Any, ctx: click.Context | None) -> str:
        """Return a hint at `show` and `bench` if `run` was given several values separated by commas."""
        parts = split(str(value))
        if len(parts) == 1 or ctx is None or ctx.info_name != "run":
            return ""
        with suppress(ValidationError):
            for part in parts:
                self.adapter.validate_python(self.known.choices.get(part, part))
            return (
                "; `run` takes one value, and `samplerzoo show` and `samplerzoo bench` make every combination of lists"
            )
        return ""


def _flag(name: str, field: FieldInfo, known: Facts, prefix: str) -> click.Option:
    flag = f"--{prefix}{name}".replace("_", "-")
    destination = f"{prefix}{name}"
    if known.kind == "FLAG":
        return click.Option([f"{flag}/--no-{flag[2:]}", destination], default=None, help=known.text)
    return click.Option(
        [flag, destination],
        type=FieldType(field, known),
        metavar=known.kind,
        required=known.required,
        help=known.text,
    )
