"""samplerzoo: a zoo of diffusion samplers, tested against exact answers and compared at equal cost.

The names below are imported when they are first used, so that `import samplerzoo` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from samplerzoo.version import __version__ as __version__

if TYPE_CHECKING:
    from samplerzoo.denoiser import Clip, Denoiser, Prediction
    from samplerzoo.driver import Result, sample, stream
    from samplerzoo.errors import UsageError, ZooError
    from samplerzoo.features import Features
    from samplerzoo.guidance import Guidance
    from samplerzoo.models import Model, load
    from samplerzoo.pipeline import SamplerPipeline
    from samplerzoo.registry import load_file
    from samplerzoo.sampler import Sampler
    from samplerzoo.schedule import Grid, Level, Schedule


_HOME = {
    "Clip": "denoiser",
    "Denoiser": "denoiser",
    "Features": "features",
    "Grid": "schedule",
    "Guidance": "guidance",
    "Level": "schedule",
    "Model": "models",
    "Prediction": "denoiser",
    "Result": "driver",
    "Sampler": "sampler",
    "SamplerPipeline": "pipeline",
    "Schedule": "schedule",
    "UsageError": "errors",
    "ZooError": "errors",
    "load": "models",
    "load_file": "registry",
    "sample": "driver",
    "stream": "driver",
}

__all__ = [
    "Clip",
    "Denoiser",
    "Features",
    "Grid",
    "Guidance",
    "Level",
    "Model",
    "Prediction",
    "Result",
    "Sampler",
    "SamplerPipeline",
    "Schedule",
    "UsageError",
    "ZooError",
    "load",
    "load_file",
    "sample",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'samplerzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"samplerzoo.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
