"""Settings of a plugin: every option at other values that its bounds allow, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from samplerzoo.options import Options

Plugin = TypeVar("Plugin", bound=Options)


def settings(plugin: Plugin, leave: Sequence[str] = ()) -> Iterator[Plugin]:
    """Yield an object, and copies of it that differ in one option each. Values that are refused are left out.

    Args:
        leave: options that stay as they are.
    """
    yield plugin
    schemas = type(plugin).model_json_schema().get("properties", {})
    for name, field in type(plugin).model_fields.items():
        for value in () if name in leave else _values(schemas[field.alias or name], getattr(plugin, name)):
            try:
                other = type(plugin)(**{**dict(plugin), name: value})
            except ValidationError:
                continue
            if other != plugin:
                yield other


def difference(plugin: Options, other: Options) -> str:
    """Say in which options another setting differs, as in ` with rescale=1.0`; nothing if it is the same."""
    options = [f"{name}={value!r}" for name, value in dict(other).items() if getattr(plugin, name) != value]
    return f" with {', '.join(options)}" if options else ""


def _values(schema: dict[str, Any], now: Any) -> list[Any]:
    """List values of an option: all choices, or the bounds and a number between them."""
    if "enum" in schema:
        return list(schema["enum"])
    if "anyOf" in schema:
        return [value for part in schema["anyOf"] for value in _values(part, now)]
    match schema.get("type"):
        case "boolean":
            return [False, True]
        case "null":
            return [None]
        case "integer":
            return [*{round(number) for number in _numbers(schema, now)}]
        case "number":
            return _numbers(schema, now)
    return []


def _numbers(schema: dict[str, Any], now: Any) -> list[float]:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    bounds = [schema[key] for key in ("minimum", "maximum") if key in schema]
    if low is not None and high is not None:
        return [*bounds, (low + high) / 2]
    start = now if isinstance(now, (int, float)) else low if low is not None else high if high is not None else 0
    return [*bounds, start + 1, 2 * start, start / 2]
