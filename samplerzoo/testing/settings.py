"""Settings of a plugin: options at values within their bounds, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from samplerzoo.fields import schemas_of
from samplerzoo.options import Options

MANY = 12
"""Largest number of whole numbers within bounds that are tried; if there are more, the first ones are."""

MORE = 7
"""Distance of a further whole number that is tried if there is no bound."""

PARTS = 24
"""Number of parts into which the interval between the bounds of a number is divided."""

NEAR = 0.01
"""Relative distance of a value that is nearly the same."""

LEAST, ONE_TENTH = 1e-6, 0.1
"""Value next to 0; and share of the effect of a value a thousand times as large, which it exceeds if 0 is a jump."""

Plugin = TypeVar("Plugin", bound=Options)


def settings(plugin: Plugin, leave: Sequence[str] = ()) -> Iterator[Plugin]:
    """Yield an object, and copies of it that differ in one option each.

    Args:
        leave: options that are not changed.
    """
    yield plugin
    names = [name for name in type(plugin).model_fields if name not in leave]
    yield from neighbours(plugin, *names) if names else ()


def neighbours(plugin: Plugin, *names: str) -> Iterator[Plugin]:
    """Yield the object with one option at another value: a named option, or any. Refused values are left out."""
    for name in names or type(plugin).model_fields:
        for value in _values(plugin, name):
            other = _with(plugin, {name: value})
            if other is not None and other != plugin:
                yield other


def in_pairs(plugin: Plugin, most: int, leave: Sequence[str] = ()) -> list[Plugin]:
    """Return copies of an object with two options at other values, which are not refused: of all pairs of options.

    Args:
        most: number of copies, of which each pair of options has its share.
        leave: options that are not changed.
    """
    names = [name for name in type(plugin).model_fields if name not in leave]
    values = {name: [getattr(other, name) for other in neighbours(plugin, name)] for name in names}
    by_pair = [
        [
            other
            for k in range(max(len(values[a]), len(values[b])))
            for other in [_with(plugin, {a: values[a][k % len(values[a])], b: values[b][k % len(values[b])]})]
            if other is not None
        ]
        for a, b in itertools.combinations((name for name in values if values[name]), 2)
    ]
    return [other for turn in itertools.zip_longest(*by_pair) for other in turn if other is not None][:most]


def values_apart(plugin: Options, name: str) -> list[tuple[Any, Any]]:
    """List the pairs of values of an option, including the current one, that must have different effects.

    Pairs with None are left out, since None may mean the same as another value.
    """
    values = [
        getattr(plugin, name),
        *(getattr(other, name) for other in (*neighbours(plugin, name), *far(plugin, name))),
    ]
    return [pair for pair in itertools.combinations(values, 2) if None not in pair]


def with_value(plugin: Plugin, name: str, value: Any) -> list[Plugin]:
    """Return the plugin, or neighbours of it, with this value of an option; empty if the value is refused."""
    return [other for other in (plugin, *neighbours(plugin, name), *far(plugin, name)) if getattr(other, name) == value]


def with_near(plugin: Plugin, name: str) -> list[Plugin]:
    """Return the plugin with a value of a fractional option that is nearly the same; empty if there is none."""
    value = getattr(plugin, name)
    if type(value) is not float or not value:
        return []
    made = (_with(plugin, {name: value * factor}) for factor in (1 + NEAR, 1 - NEAR))
    return [other for other in made if other is not None][:1]


def far(plugin: Plugin, name: str) -> Iterator[Plugin]:
    """Yield the object with a larger value of an option, if that is a whole number without an upper bound."""
    part = schemas_of(type(plugin))[type(plugin).model_fields[name].alias or name]
    for each in part.get("anyOf", [part]):
        if each.get("type") == "integer" and not {"maximum", "exclusiveMaximum"} & each.keys():
            other = _with(plugin, {name: max(_of_type(each)) + MORE})
            if other is not None:
                yield other


def along(plugin: Plugin, name: str) -> Iterator[Plugin]:
    """Yield the object with evenly spaced values of a numeric option, between the least and the largest tried value."""
    numbers = [
        value for value in _values(plugin, name) if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if len(numbers) > 1:
        low, high = min(numbers), max(numbers)
        made = (_with(plugin, {name: low + (high - low) * n / PARTS}) for n in range(1, PARTS))
        yield from (other for other in made if other is not None)


def takes_zero_for_none(plugin: Plugin, name: str, distance: Callable[[Plugin, Plugin], float]) -> bool:
    """Tell whether 0 does the same as None, and the least other value something else.

    So does an option that is tested by its truth. If 0 shall do what None does, values near 0 do nearly that.

    Args:
        distance: function that compares the results of two settings.
    """
    none, *numbers = (_with(plugin, {name: value}) for value in (None, 0.0, LEAST, 1e3 * LEAST))
    if none is None or None in numbers or getattr(none, name) is not None:
        return False
    zero, least, little = (distance(none, other) for other in numbers if other is not None)
    return zero == 0.0 and least > ONE_TENTH * little > 0.0


def zero_for_none(name: str) -> str:
    """Return the message for an option of which 0 is taken for None."""
    return (
        f"the option {name} does the same at 0 as at None, and something else at {LEAST:g}: `if {name} is not None` "
        "tells 0 from None, and `if` with the option alone does not"
    )


def options_apart(plugin: Options, other: Options) -> set[str]:
    """Return the names of the options in which two settings differ."""
    return {name for name, value in dict(other).items() if getattr(plugin, name) != value}


def difference(plugin: Options, other: Options) -> str:
    """Describe the options in which another setting differs, as in ` with rescale=1.0`; empty if there are none."""
    apart = options_apart(plugin, other)
    options = [f"{name}={value!r}" for name, value in dict(other).items() if name in apart]
    return f" with {', '.join(options)}" if options else ""


def _with(plugin: Plugin, values: dict[str, Any]) -> Plugin | None:
    """Return the object with other options, or None if they are refused."""
    try:
        return type(plugin).model_validate({**dict(plugin), **values})
    except ValueError:
        return None


def _values(plugin: Options, name: str) -> list[Any]:
    """List values of an option at its bounds and between them."""
    field = type(plugin).model_fields[name]
    part = schemas_of(type(plugin))[field.alias or name]
    return [value for each in part.get("anyOf", [part]) for value in _of_type(each)]


def _of_type(part: dict[str, Any]) -> list[Any]:
    match part:
        case {"enum": values}:
            return [*values]
        case {"const": value}:
            return [value]
        case {"type": "boolean"}:
            return [False, True]
        case {"type": "null"}:
            return [None]
        case {"type": "integer"}:
            low = part.get("minimum", part.get("exclusiveMinimum", -1) + 1)
            high = part.get("maximum", part.get("exclusiveMaximum", low + 100) - 1)
            return [*range(low, (high if high - low < MANY else low + 3) + 1)]
        case {"type": "number"}:
            low = part.get("minimum", part.get("exclusiveMinimum", 0.0))
            high = part.get("maximum", part.get("exclusiveMaximum"))
            inner = (
                [low + 1.0, low + 10.0, low + 100.0]
                if high is None
                else [low + share * (high - low) for share in (0.3, 0.7)]
            )
            return [*(part[end] for end in ("minimum", "maximum") if end in part), *inner]
    return []
