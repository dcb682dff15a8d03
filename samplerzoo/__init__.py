"""samplerzoo: a zoo of diffusion samplers, tested against exact answers and compared at equal cost.

The names below are imported when they are first used, so that `import samplerzoo` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from samplerzoo.version import __version__ as __version__

if TYPE_CHECKING:
    from samplerzoo.atomic import atomic_file as atomic_file
    from samplerzoo.atomic import digest as digest
    from samplerzoo.denoiser import Clip as Clip
    from samplerzoo.denoiser import Denoiser as Denoiser
    from samplerzoo.denoiser import Prediction as Prediction
    from samplerzoo.driver import Result as Result
    from samplerzoo.driver import sample as sample
    from samplerzoo.driver import stream as stream
    from samplerzoo.errors import UsageError as UsageError
    from samplerzoo.errors import ZooError as ZooError
    from samplerzoo.errors import reason as reason
    from samplerzoo.features import Features as Features
    from samplerzoo.folder import find_model as find_model
    from samplerzoo.guidance import Guidance as Guidance
    from samplerzoo.guidance import TwoModelGuidance as TwoModelGuidance
    from samplerzoo.metrics.features import PUBLISHED_INCEPTION as PUBLISHED_INCEPTION
    from samplerzoo.models import Model as Model
    from samplerzoo.models import load as load
    from samplerzoo.options import Field as Field
    from samplerzoo.pipeline import SamplerPipeline as SamplerPipeline
    from samplerzoo.registry import RESERVED as RESERVED
    from samplerzoo.registry import load_file as load_file
    from samplerzoo.sampler import Sampler as Sampler
    from samplerzoo.schedule import Grid as Grid
    from samplerzoo.schedule import Level as Level
    from samplerzoo.schedule import Schedule as Schedule
    from samplerzoo.schedule import posterior_std as posterior_std
    from samplerzoo.schedule import transition_variance as transition_variance
    from samplerzoo.source import Source as Source

_HOME = {
    "atomic_file": "atomic",
    "Clip": "denoiser",
    "Denoiser": "denoiser",
    "digest": "atomic",
    "Features": "features",
    "Field": "options",
    "find_model": "folder",
    "Grid": "schedule",
    "Guidance": "guidance",
    "Level": "schedule",
    "load": "models",
    "load_file": "registry",
    "Model": "models",
    "posterior_std": "schedule",
    "Prediction": "denoiser",
    "PUBLISHED_INCEPTION": "metrics.features",
    "reason": "errors",
    "RESERVED": "registry",
    "Result": "driver",
    "sample": "driver",
    "Sampler": "sampler",
    "SamplerPipeline": "pipeline",
    "Schedule": "schedule",
    "Source": "source",
    "stream": "driver",
    "transition_variance": "schedule",
    "TwoModelGuidance": "guidance",
    "UsageError": "errors",
    "ZooError": "errors",
}
"""Every public name and the module that it is in."""

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'samplerzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"samplerzoo.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
