"""Errors that samplerzoo raises. The command line prints them as one line."""

from __future__ import annotations

import difflib
import operator
import os
from typing import Any

MOST_SHOWN = 60
"""Characters of a value in messages."""
NOUNS = {str: "a text", bool: "True or False"}
"""Types in words, where their names say little."""


class ZooError(Exception):
    """Fault of a file, a model, a plugin or the machine (exit code 1)."""

    exit_code = 1


class UsageError(ZooError, ValueError):
    """Request that cannot be met, such as an unknown name or a value out of bounds (exit code 2)."""

    exit_code = 2


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, after its type unless samplerzoo or pydantic raised it."""
    mistakes: Any = getattr(error, "errors", None)
    if type(error).__name__ == "ValidationError" and mistakes is not None:  # pydantic's first line only counts them
        where, what = ".".join(map(str, mistakes()[0]["loc"])), mistakes()[0]["msg"].removeprefix("Value error, ")
        return f"{where}: {what}" if where else what
    line = (str(error).strip().splitlines() or ["no reason given"])[0]
    return line if isinstance(error, ZooError) else f"{type(error).__name__}: {line}"


def expect(what: str, value: object, kind: type, hint: str = "", *, optional: bool = False) -> None:
    """Refuse a value of another type than `kind`.

    Args:
        what: name of the value in the message.
        hint: end of the message.
        optional: accept None, too.

    Raises:
        UsageError: names the value, and the type that it has to have.
    """
    if not isinstance(value, kind) and not (optional and value is None):
        noun = NOUNS.get(kind, f"a {kind.__name__}")
        raise UsageError(f"{what} is {short(value)}, and has to be {noun}{hint}")


def whole(what: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Convert a whole number of any library, such as numpy, to an int. True and False are refused.

    Raises:
        UsageError: the value is not a whole number, is below `least`, or above `most`.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        raise UsageError(f"{what} is a whole number, not {short(value)}") from None
    if least is not None and found < least:
        raise UsageError(f"{what} is a whole number of at least {least}, not {short(value)}")
    if most is not None and found > most:
        raise UsageError(f"{what} is a whole number of at most {most:,}, not {short(value)}")
    return found


def numbers(what: str, values: Any) -> list[float]:
    """Convert numbers of any library to a list of floats.

    Raises:
        UsageError: the values are not numbers, or cannot be iterated over.
    """
    try:
        if isinstance(values, (str, bytes)):
            raise TypeError
        return [number(f"one of {what}", value) for value in values]
    except TypeError:
        raise UsageError(f"{what} is a list of numbers, not {short(values)}") from None


def number(what: str, value: Any) -> float:
    """Convert a number of any library to a float. Texts, True and False are refused; NaN and infinity are accepted.

    Raises:
        UsageError: the value is not a number.
    """
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor with several values
        raise UsageError(f"{what} is a number, not {short(value)}") from None


def path_text(what: str, value: Any) -> str:
    """Return a name or a path as text.

    Raises:
        UsageError: it is neither a text nor a path, is empty, or has characters that no path can have.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str) or not os.fspath(value):
        raise UsageError(f"{what} is a text or a path, not {short(value)}")
    text = os.fspath(value)
    try:
        holds = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        holds = False
    if not holds:
        raise UsageError(f"{what} cannot be a path: {short(text)}")
    return text


def short(value: object) -> str:
    """Format a value for a message. A long value is replaced by its type."""
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python converts
        text = ""
    return text if 0 < len(text) < MOST_SHOWN and text.isprintable() else f"a {type(value).__name__}"


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` (did you mean ...?)` with the nearest known word; an empty text if none is near.

    Case is ignored, and the last part of a word stands for the whole word, as scale for guidance_scale.
    """
    spelled, small = {each.lower(): each for each in known}, word.lower()
    close = difflib.get_close_matches(small, spelled, n=1, cutoff=0.8)
    last = small.lstrip("-")
    close += [each for each in spelled if each.endswith((f"_{last}", f"-{last}"))]
    close += difflib.get_close_matches(small, spelled, n=1)
    return f" (did you mean {spelled[close[0]]}?)" if close else ""
