"""Schedulers of the installed diffusers by name. Each one that can be a sampler is an attribute of this module."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import diffusers
from diffusers import SchedulerMixin, schedulers
from pydantic import create_model

from samplerzoo_plugins.diffusers_schedulers.options import fields
from samplerzoo_plugins.diffusers_schedulers.scheduler import SchedulerSampler

STRIDE = (
    "It works out the previous timestep as t - T // S, which is the next one of its grid on leading spacing, on "
    "trailing only where the steps divide T, and on linspace never."
)
LAST_NOISE = (
    "Where its last timestep is not 0, as on trailing, variance_type fixed_large puts noise into the final image."
)

NOTES = {
    "DDIMScheduler": STRIDE,
    "DDIMParallelScheduler": STRIDE,
    "DDPMScheduler": LAST_NOISE,
    "DDPMParallelScheduler": LAST_NOISE,
    "PNDMScheduler": f"{STRIDE} It ends at the first noisy level unless set_alpha_to_one.",
}
"""Notes on schedulers, to know before comparing with them."""

BROWNIAN = ("CosineDPMSolverMultistepScheduler", "DPMSolverSDEScheduler")
"""Schedulers with a Brownian tree. They are known by name, since without torchsde diffusers has placeholders only."""

GIVEN = {"model_output", "timestep", "sample"}
"""Arguments that `step` is called with; a scheduler that needs more has a pipeline of its own."""


@functools.cache
def known() -> list[str]:
    """List the names of all schedulers of diffusers, even of those that this installation cannot import."""
    return sorted(name for name in dir(schedulers) if _is_scheduler(getattr(schedulers, name, None)))


def refusal(name: str) -> str | None:
    """Say why a scheduler cannot be a sampler, as far as its signatures show; None if it can."""
    scheduler = getattr(schedulers, name)
    if name in BROWNIAN:
        return "it draws from a Brownian tree that is seeded a batch at a time, and cannot take samplerzoo's noise"
    if not issubclass(scheduler, SchedulerMixin):
        return f"diffusers has it only where {' and '.join(scheduler._backends)} are installed"
    if not hasattr(scheduler, "step"):
        return "it has no step, and so needs a pipeline of its own"
    if "trained_betas" not in inspect.signature(scheduler.__init__).parameters:
        return "it takes no betas, and so not a model's schedule: it is for flow matching, VE or discrete models"
    needed = {
        parameter.name
        for parameter in inspect.signature(scheduler.step).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    more = sorted(needed - GIVEN - {"self"})
    if more:
        return f"its step needs {', '.join(more)}, which a pipeline of its own has"
    if "Inverse" in name:
        return "it goes from image to noise"
    return None


@functools.cache
def _sampler(name: str) -> type[SchedulerSampler]:
    scheduler = getattr(schedulers, name)
    found, of_step = fields(scheduler)
    note = NOTES.get(name, "")
    about = f"""{name} of diffusers {diffusers.__version__}, as it is, on the model's betas and with samplerzoo's noise.

It owns its grid: --spacing trailing, leading or linspace as diffusers knows them. {note}""".rstrip()
    made: Any = create_model(name, __base__=SchedulerSampler, __module__=__name__, __doc__=about, **found)  # type: ignore[call-overload]
    made.scheduler, made.of_step = scheduler, of_step
    return made


def _is_scheduler(found: object) -> bool:
    if not inspect.isclass(found) or found is SchedulerMixin:
        return False
    return issubclass(found, SchedulerMixin) or ("Scheduler" in found.__name__ and hasattr(found, "_backends"))


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in known():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _sampler(name)
