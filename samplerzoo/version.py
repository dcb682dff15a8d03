"""The version, alone in a file so that every other one may import it."""

from __future__ import annotations

__version__ = "0.1.0"
