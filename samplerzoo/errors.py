"""The two ways in which samplerzoo says no; the command line prints either as one line."""

from __future__ import annotations

import difflib


class ZooError(Exception):
    """Something is wrong with a file, a model or the machine (exit code 1)."""

    exit_code = 1


class UsageError(ZooError, ValueError):
    """The request itself cannot be met: an unknown name, a value out of bounds (exit code 2)."""

    exit_code = 2


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, after its type unless samplerzoo raised it."""
    line = (str(error).strip().splitlines() or ["no reason given"])[0]
    return line if isinstance(error, ZooError) else f"{type(error).__name__}: {line}"


def did_you_mean(word: str, known: list[str]) -> str:
    """` (did you mean ...?)`, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
