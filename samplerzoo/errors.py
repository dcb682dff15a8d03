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
    """Refuse a value of another type than this one.

    Args:
        hint: words behind it.
        optional: let None through.

    Raises:
        UsageError: names what it is of, and what it has to be.
    """
    if not isinstance(value, kind) and not (optional and value is None):
        noun = NOUNS.get(kind, f"a {kind.__name__}")
        raise UsageError(f"{what} is {short(value)}, and has to be {noun}{hint}")


def whole(what: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Turn a whole number of any library, such as numpy's, into Python's. True and False are none.

    Raises:
        UsageError: it is none, is below the least, or above the most.
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
    """Turn numbers of any library into a list of Python's.

    Raises:
        UsageError: they are no numbers, or cannot be iterated over.
    """
    try:
        if isinstance(values, (str, bytes)):
            raise TypeError
        return [number(f"one of {what}", value) for value in values]
    except TypeError:
        raise UsageError(f"{what} is a list of numbers, not {short(values)}") from None


def number(what: str, value: Any) -> float:
    """Turn a number of any library into Python's. Texts, True and False are none; NaN and infinity are some.

    Raises:
        UsageError: it is none.
    """
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last of a tensor with several
        raise UsageError(f"{what} is a number, not {short(value)}") from None


def path_text(what: str, value: Any) -> str:
    """Return a name or a path as text.

    Raises:
        UsageError: it is neither, is empty, or holds what no path can.
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
    """Write a value in a message; of a long one, its type."""
    try:
        text = repr(value)
    except ValueError:  # of a number with more digits than Python writes
        text = ""
    return text if 0 < len(text) < MOST_SHOWN and text.isprintable() else f"a {type(value).__name__}"


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` (did you mean ...?)` with the nearest known word; an empty text if none is near.

    Capitals do not matter, and the last part of a word stands for all of it, as scale for guidance_scale.
    """
    spelled, small = {each.lower(): each for each in known}, word.lower()
    close = difflib.get_close_matches(small, spelled, n=1, cutoff=0.8)
    last = small.lstrip("-")
    close += [each for each in spelled if each.endswith((f"_{last}", f"-{last}"))]
    close += difflib.get_close_matches(small, spelled, n=1)
    return f" (did you mean {spelled[close[0]]}?)" if close else ""
