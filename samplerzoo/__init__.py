"""samplerzoo: a zoo of diffusion samplers, tested against exact answers and compared at equal cost.

The names below are imported when they are first used, so that `import samplerzoo` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from samplerzoo.core import finder
from samplerzoo.version import __version__ as __version__

if TYPE_CHECKING:
    from samplerzoo.core.architecture import Architecture as Architecture
    from samplerzoo.core.architecture import CodecArchitecture as CodecArchitecture
    from samplerzoo.core.architecture import NetworkArchitecture as NetworkArchitecture
    from samplerzoo.core.architecture import NetworkFacts as NetworkFacts
    from samplerzoo.core.architecture import PathArchitecture as PathArchitecture
    from samplerzoo.core.architecture import PathFacts as PathFacts
    from samplerzoo.core.codec import PIXELS as PIXELS
    from samplerzoo.core.codec import UNSIGNED as UNSIGNED
    from samplerzoo.core.codec import Codec as Codec
    from samplerzoo.core.codec import Latents as Latents
    from samplerzoo.core.condition import Condition as Condition
    from samplerzoo.core.features import Features as Features
    from samplerzoo.core.guidance import Guidance as Guidance
    from samplerzoo.core.guidance import TwoModelGuidance as TwoModelGuidance
    from samplerzoo.core.kinds import RESERVED as RESERVED
    from samplerzoo.core.level import Grid as Grid
    from samplerzoo.core.level import Level as Level
    from samplerzoo.core.level import posterior_std as posterior_std
    from samplerzoo.core.level import transition_variance as transition_variance
    from samplerzoo.core.model import Model as Model
    from samplerzoo.core.parametrization import PARAMETRIZATIONS as PARAMETRIZATIONS
    from samplerzoo.core.parametrization import Parametrization as Parametrization
    from samplerzoo.core.parametrization import edm as edm
    from samplerzoo.core.paths import VE as VE
    from samplerzoo.core.paths import VP as VP
    from samplerzoo.core.paths import RectifiedFlow as RectifiedFlow
    from samplerzoo.core.prediction import Clip as Clip
    from samplerzoo.core.prediction import Denoiser as Denoiser
    from samplerzoo.core.prediction import Prediction as Prediction
    from samplerzoo.core.sampler import Sampler as Sampler
    from samplerzoo.core.schedule import Schedule as Schedule
    from samplerzoo.core.schedule import karras as karras
    from samplerzoo.core.source import Source as Source
    from samplerzoo.core.spacing import Spacing as Spacing
    from samplerzoo.core.text import TextEncoder as TextEncoder
    from samplerzoo.errors import UsageError as UsageError
    from samplerzoo.errors import ZooError as ZooError
    from samplerzoo.errors import reason as reason
    from samplerzoo.hosting.as_scheduler import as_scheduler as as_scheduler
    from samplerzoo.hosting.pipeline import SamplerPipeline as SamplerPipeline
    from samplerzoo.hosting.scheduler import SamplerScheduler as SamplerScheduler
    from samplerzoo.metrics.names import PUBLISHED_INCEPTION as PUBLISHED_INCEPTION
    from samplerzoo.models.folder import find_model as find_model
    from samplerzoo.models.load import load as load
    from samplerzoo.models.transformers_folder import PREPROCESSING as PREPROCESSING
    from samplerzoo.models.transformers_folder import check_transformers as check_transformers
    from samplerzoo.options import Field as Field
    from samplerzoo.registry import load_file as load_file
    from samplerzoo.sampling.driver import stream as stream
    from samplerzoo.sampling.plan import Plan as Plan
    from samplerzoo.sampling.plan import make_plan as make_plan
    from samplerzoo.sampling.recipe import Recipe as Recipe
    from samplerzoo.sampling.sample import Result as Result
    from samplerzoo.sampling.sample import sample as sample
    from samplerzoo.system.files import atomic_file as atomic_file
    from samplerzoo.system.files import digest as digest
    from samplerzoo.system.memory import keep_freed_memory as keep_freed_memory
    from samplerzoo.trust.limits import MOST_CLASSES as MOST_CLASSES
    from samplerzoo.trust.limits import MOST_TIMESTEPS as MOST_TIMESTEPS
    from samplerzoo.trust.records import read_object as read_object

_HOME = {
    "Architecture": "core.architecture",
    "as_scheduler": "hosting.as_scheduler",
    "atomic_file": "system.files",
    "check_transformers": "models.transformers_folder",
    "Clip": "core.prediction",
    "Codec": "core.codec",
    "CodecArchitecture": "core.architecture",
    "Condition": "core.condition",
    "Denoiser": "core.prediction",
    "digest": "system.files",
    "edm": "core.parametrization",
    "Features": "core.features",
    "Field": "options",
    "find_model": "models.folder",
    "Grid": "core.level",
    "Guidance": "core.guidance",
    "karras": "core.schedule",
    "keep_freed_memory": "system.memory",
    "Latents": "core.codec",
    "Level": "core.level",
    "load": "models.load",
    "load_file": "registry",
    "make_plan": "sampling.plan",
    "Model": "core.model",
    "MOST_CLASSES": "trust.limits",
    "MOST_TIMESTEPS": "trust.limits",
    "NetworkArchitecture": "core.architecture",
    "NetworkFacts": "core.architecture",
    "Parametrization": "core.parametrization",
    "PARAMETRIZATIONS": "core.parametrization",
    "PathArchitecture": "core.architecture",
    "PathFacts": "core.architecture",
    "PIXELS": "core.codec",
    "Plan": "sampling.plan",
    "posterior_std": "core.level",
    "Prediction": "core.prediction",
    "PREPROCESSING": "models.transformers_folder",
    "PUBLISHED_INCEPTION": "metrics.names",
    "read_object": "trust.records",
    "reason": "errors",
    "Recipe": "sampling.recipe",
    "RectifiedFlow": "core.paths",
    "RESERVED": "core.kinds",
    "Result": "sampling.sample",
    "sample": "sampling.sample",
    "Sampler": "core.sampler",
    "SamplerPipeline": "hosting.pipeline",
    "SamplerScheduler": "hosting.scheduler",
    "Schedule": "core.schedule",
    "Source": "core.source",
    "Spacing": "core.spacing",
    "stream": "sampling.driver",
    "TextEncoder": "core.text",
    "transition_variance": "core.level",
    "TwoModelGuidance": "core.guidance",
    "UNSIGNED": "core.codec",
    "UsageError": "errors",
    "VE": "core.paths",
    "VP": "core.paths",
    "ZooError": "errors",
}
"""Modules of the public names."""

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name == "SchedulerMixin":  # of a folder's SamplerScheduler: diffusers looks for the base class in its module
        return importlib.import_module("diffusers").SchedulerMixin
    if name not in _HOME:
        raise AttributeError(f"module 'samplerzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"samplerzoo.{_HOME[name]}"), name)


def _find_spacing(name: str) -> Spacing:
    from samplerzoo import registry

    return registry.spacing(name)


def _open_pipeline(name: str, root: Any, reading: Any, instead: Exception | None = None) -> Any:
    from samplerzoo.hosting.folder import PipelineFolder

    return PipelineFolder.open(name, root, reading, instead)


finder.find_spacing = _find_spacing
finder.open_pipeline = _open_pipeline


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
