"""Way to a spacing by its name. The core knows no plugin: the package sets the function, to the registry's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Spread(Protocol):
    """Spacing, as far as a schedule needs to know it."""

    def spread(self, schedule: Any, steps: int) -> list[float]: ...


find_spacing: Callable[[str], Spread]
"""Function from a name such as `karras`, or `karras:rho=5`, to the spacing."""
