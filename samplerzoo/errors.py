"""Errors that samplerzoo raises. The command line prints them as one line."""

from __future__ import annotations

import difflib
from typing import Any


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
