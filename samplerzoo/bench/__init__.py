"""Benchmark: a suite is made into cells, cells into images, images into rows.

`frame` is imported when it is first used, so that `import samplerzoo.bench` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplerzoo.bench.results import frame as frame

__all__ = ["frame"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from samplerzoo.bench import results

    return getattr(results, name)
