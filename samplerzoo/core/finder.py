"""Ways to what lies on higher floors. The core knows no plugin and no pipeline: the package sets the functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Spread(Protocol):
    """Spacing, as far as a schedule needs to know it."""

    def spread(self, schedule: Any, steps: int) -> list[float]: ...


find_spacing: Callable[[str], Spread]
"""Function from a name such as `karras`, or `karras:rho=5`, to the spacing."""

open_pipeline: Callable[..., Any]
"""Function from a model's name, the folder of a whole pipeline, and how it is read, to a handle of the model. It may be
given the error to raise if the folder is none."""
