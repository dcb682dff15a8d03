"""Hooks for functions of higher layers. The core knows no plugins and no pipelines, so the package sets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Spread(Protocol):
    """Part of a spacing's interface that a schedule uses."""

    def spread(self, schedule: Any, steps: int) -> list[float]: ...


find_spacing: Callable[[str], Spread]
"""Function from a name, such as `karras` or `karras:rho=5`, to a spacing."""

open_pipeline: Callable[..., Any]
"""Function that opens a whole pipeline as a model handle. It takes the model's name, the folder, the reading options,
and perhaps the error to raise if the folder is not a pipeline."""
