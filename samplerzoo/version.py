"""Version of samplerzoo, in a file of its own that every other file may import."""

from __future__ import annotations

__version__ = "0.1.0"
