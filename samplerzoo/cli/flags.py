"""Options classes as command-line flags: a field's type, bounds, default and description are its flag's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import click
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from samplerzoo.errors import UsageError

Chosen = TypeVar("Chosen", bound=BaseModel)

WORDS = {"integer": "INTEGER", "number": "NUMBER", "boolean": "FLAG", "string": "TEXT"}
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


@dataclass(frozen=True)
class Facts:
    """Description of a field for help and errors.

    Attributes:
        kind: INTEGER, NUMBER, TEXT, FLAG, the choices `a|b`, or INTEGER,... for a list.
        bounds: bounds in words; empty if there are none.
        default: default as a user would type it; None if the field is required, or if its default is None.
        help: description of the field.
        choices: text -> value, for a field with choices.
    """

    kind: str
    bounds: str
    default: str | None
    required: bool
    help: str
    choices: dict[str, Any]

    @property
    def is_list(self) -> bool:
        return self.kind.endswith(",...")

    @property
    def text(self) -> str:
        """Description, default and bounds in one line. Click itself says what is required."""
        default = "" if self.default is None else f"default: {self.default}"
        notes = "; ".join(filter(None, [default, self.bounds]))
        return f"{self.help}  [{notes}]" if notes else self.help


def facts(options: type[BaseModel]) -> dict[str, Facts]:
    """Describe every field, in the order of the class."""
    schemas = options.model_json_schema()["properties"]
    return {name: _facts(field, schemas[field.alias or name]) for name, field in options.model_fields.items()}


def flags(options: type[BaseModel], prefix: str = "") -> list[click.Option]:
    """Make a click option of every field that has a description.

    One that is not given is None, so that the default stays the field's own.
    """
    known = facts(options)
    return [
        _flag(name, field, known[name], prefix) for name, field in options.model_fields.items() if field.description
    ]


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were typed. One that may be repeated is empty if it was not."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


def validated(options: type[Chosen], values: dict[str, Any]) -> Chosen:
    """Make the options object from the flags that were typed.

    Raises:
        UsageError: a value is refused; names the flag.
    """
    try:
        return options(**given(values))
    except ValidationError as error:
        first = error.errors()[0]
        flag = " ".join(f"--{str(part).replace('_', '-')}" for part in first["loc"][:1])
        raise UsageError(f"{flag}: {plain(first['msg'])}".removeprefix(": ")) from error


def plain(message: str) -> str:
    """Turn pydantic's message into the rest of a sentence."""
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].lower() + message[1:]


class FieldType(click.ParamType):
    """Type of a flag: it turns text into a field's value, validated by the field."""

    def __init__(self, field: FieldInfo, known: Facts) -> None:
        self.name = known.kind.lower()
        self.known = known
        annotated: Any = Annotated[field.annotation, field]
        self.adapter = TypeAdapter[Any](annotated, config=ConfigDict(allow_inf_nan=False))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        listed = self.known.is_list and isinstance(value, str)
        parts = [part.strip() for part in value.split(",")] if listed else [value]
        for part in parts if self.known.choices else ():
            if part not in self.known.choices:
                self.fail(f"{part} is none of {', '.join(self.known.choices)}{self._hint(part, ctx)}", param, ctx)
        chosen: list[Any] = [self.known.choices.get(part, part) for part in parts]
        parsed: Any = chosen if listed else chosen[0]
        try:
            return self.adapter.validate_python(parsed)
        except ValidationError as error:
            self.fail(f"{value} {plain(error.errors()[0]['msg'])}{self._hint(value, ctx)}", param, ctx)

    def _hint(self, value: Any, ctx: click.Context | None) -> str:
        """Say which command takes several values, where `run` is given them with commas between."""
        parts = [part.strip() for part in str(value).split(",")]
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


def _facts(field: FieldInfo, schema: dict[str, Any]) -> Facts:
    schema = _not_null(schema)
    kind = _kind(schema)
    inner = _not_null(schema.get("items", {})) or schema
    bounds = ", ".join(text.format(inner[key]) for key, text in BOUNDS.items() if key in inner)
    choices = {str(choice): choice for choice in inner.get("enum", [])}
    return Facts(kind, bounds, _typed(field), field.is_required(), field.description or "", choices)


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Take None out of `X | None`: on the command line it is the flag left out. Choices may stand beside the union."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    return kinds[0] | {key: schema[key] for key in schema.keys() & {"enum"}} if len(kinds) == 1 else schema


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"{_kind(schema.get('items', {}))},..."
    return WORDS.get(schema.get("type", ""), "TEXT")


def _typed(field: FieldInfo) -> str | None:
    """Return the default as a user would type it."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, (tuple, list)):
        return ",".join(map(str, default))
    return None if default is None else str(default)
