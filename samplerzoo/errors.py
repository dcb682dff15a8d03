"""The two ways in which samplerzoo says no; the command line prints either as one line."""

from __future__ import annotations


class ZooError(Exception):
    """Something is wrong with a file, a model or the machine (exit code 1)."""

    exit_code = 1


class UsageError(ZooError, ValueError):
    """The request itself cannot be met: an unknown name, a value out of bounds (exit code 2)."""

    exit_code = 2
