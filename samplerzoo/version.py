"""Version of samplerzoo, in its own file that every other file may import."""

from __future__ import annotations

__version__ = "0.1.0"
