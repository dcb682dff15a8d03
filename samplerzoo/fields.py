"""Descriptions of the fields of options classes, from which flags and controls are made."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

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
        least, most: smallest and largest allowed number, or None if there is no bound.
    """

    kind: str
    bounds: str
    default: str | None
    required: bool
    help: str
    choices: dict[str, Any]
    least: float | None = None
    most: float | None = None

    @property
    def is_list(self) -> bool:
        return self.kind.endswith(",...")

    @property
    def text(self) -> str:
        """Description, default and bounds in one line. Click marks required flags itself."""
        default = f"default: {self.default}" if self.default else ""
        notes = "; ".join(filter(None, [default, self.bounds]))
        return f"{self.help}  [{notes}]" if notes else self.help

    def parse(self, value: Any) -> Any:
        """Convert a typed text, where needed, for the field to validate: to a choice, or to the parts of a list."""
        if self.is_list and isinstance(value, str):
            return [self.choices.get(part, part) for part in split(value)]
        return self.choices.get(value, value) if isinstance(value, str) else value


def split(text: str) -> list[str]:
    """Return the parts between the commas of a text."""
    return [part.strip() for part in text.split(",")]


def facts(options: type[BaseModel]) -> dict[str, Facts]:
    """Describe every field, in the order of the class."""
    schemas = schemas_of(options)
    return {name: _facts(field, schemas[field.alias or name]) for name, field in options.model_fields.items()}


@functools.cache  # a check of a plugin needs them hundreds of times, and a class does not change
def schemas_of(options: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of every field, with references to enumerations resolved."""
    schema = options.model_json_schema()
    found: dict[str, Any] = _with_choices(schema["properties"], schema.get("$defs", {}))
    return found


def _with_choices(part: Any, named: dict[str, Any]) -> Any:
    """Replace references to an enumeration by its choices, anywhere in a schema."""
    if isinstance(part, list):
        return [_with_choices(each, named) for each in part]
    if not isinstance(part, dict):
        return part
    meant = named.get(str(part.get("$ref")).rpartition("/")[2], {})
    own = {key: _with_choices(each, named) for key, each in part.items()}
    return {"enum": meant["enum"], **own} if "enum" in meant else own


def _facts(field: FieldInfo, schema: dict[str, Any]) -> Facts:
    schema = _not_null(schema)
    kind = _kind(schema)
    inner = _not_null(schema.get("items", {})) or schema
    bounds = ", ".join(text.format(inner[key]) for key, text in BOUNDS.items() if key in inner)
    choices = {str(choice): choice for choice in inner.get("enum", [])}
    return Facts(
        kind,
        bounds,
        _typed(field),
        field.is_required(),
        field.description or "",
        choices,
        inner.get("minimum"),
        inner.get("maximum"),
    )


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove None from the schema of `X | None`: on the command line, None means that the flag is left out."""
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
        return ",".join(map(_text, default))
    return None if default is None else _text(default)


def _text(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)
