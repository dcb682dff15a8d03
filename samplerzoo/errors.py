"""Errors that samplerzoo raises. The command line prints them as one line."""

from __future__ import annotations

import difflib
import os
from typing import Any

MOST_SHOWN = 60
"""Characters of a value in messages."""


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


def expect(what: str, value: object, kind: type, hint: str = "") -> None:
    """Refuse a value of another type than this one.

    Raises:
        UsageError: names what it is of, and what it has to be.
    """
    if not isinstance(value, kind):
        raise UsageError(f"{what} is {short(value)}, and has to be a {kind.__name__}{hint}")


def path_text(what: str, value: Any) -> str:
    """Return a name or a path as text.

    Raises:
        UsageError: it is neither, or is empty.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str) or not os.fspath(value):
        raise UsageError(f"{what} is a text or a path, not {short(value)}")
    return os.fspath(value)


def short(value: object) -> str:
    """Write a value in a message; of a long one, its type."""
    text = repr(value)
    return text if len(text) < MOST_SHOWN else f"a {type(value).__name__}"


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
