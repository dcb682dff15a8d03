"""Options of a diffusers scheduler, from the signatures of its constructor and of its `step`."""

from __future__ import annotations

import inspect
import itertools
import math
import types
import typing
from typing import Any, Literal, Union

from pydantic.fields import FieldInfo

from samplerzoo import RESERVED, Field, Sampler

OWNED = frozenset(
    # the model's schedule, and what its network predicts
    "num_train_timesteps beta_start beta_end beta_schedule trained_betas prediction_type rescale_betas_zero_snr "
    # --spacing, and clipping, which is done before a sampler sees the prediction
    "timestep_spacing clip_sample clip_sample_range thresholding dynamic_thresholding_ratio sample_max_value "
    "use_clipped_model_output "
    # flow matching, which has no betas
    "use_flow_sigmas flow_shift use_dynamic_shifting time_shift_type shift_terminal "
    # arguments of step that the bridge gives
    "self model_output timestep sample generator variance_noise return_dict".split()
)
"""Parameters that are not the user's to give."""

LEARNED = ("learned", "learned_range")
"""Choices that need a learned variance, which a guided and clipped eps does not have."""

Parameters = dict[str, tuple[Any, FieldInfo]]


def fields(scheduler: Any) -> tuple[Parameters, dict[str, str]]:
    """Return the fields of the options class, and field -> keyword for those that go to `step`."""
    made, given = _fields(scheduler.__init__, scheduler), _fields(scheduler.step, scheduler)
    of_step = {_free(keyword): keyword for keyword in given}
    return {**made, **{field: given[keyword] for field, keyword in of_step.items()}}, of_step


def _free(name: str) -> str:
    """Rename an argument that has the name of a sampler's member, as LMS has one called `order`."""
    return f"step_{name}" if name in RESERVED or hasattr(Sampler, name) else name


def _fields(function: Any, scheduler: Any) -> Parameters:
    plain = inspect.unwrap(function)
    try:
        hints = typing.get_type_hints(plain)
    except (NameError, TypeError):  # what is annotated by a name that its module does not have
        hints = {}
    found = {}
    for name, parameter in inspect.signature(plain).parameters.items():
        if name in OWNED or parameter.default is parameter.empty:
            continue
        kind = _type(hints.get(name, parameter.annotation), parameter.default)
        if kind is not None:
            annotation, default = kind
            found[name] = (annotation, Field(default, description=_help(scheduler, name)))
    return found


def _type(annotation: Any, default: Any) -> tuple[Any, Any] | None:
    """Return the field's type and default; None for what a flag cannot say, as a function or another scheduler."""
    parts = typing.get_args(annotation) if typing.get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    kinds = [part for part in parts if part is not type(None)]
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if typing.get_origin(kind) is Literal:
        choices = tuple(choice for choice in typing.get_args(kind) if choice not in LEARNED)
        kind = Literal[choices] if choices else None
    elif kind == list[int]:
        kind, default = tuple[int, ...], tuple(default or ())
    elif kind not in (int, float) and (kind not in (bool, str) or default is None):
        kind = None
    if kind is None:
        return None
    if default is None or (isinstance(default, float) and not math.isfinite(default)):
        return kind | None, None  # an infinite default is theirs if nothing is given: JSON has no infinity
    return kind, default


def _help(scheduler: Any, name: str) -> str:
    """Return the first sentence on an argument in diffusers' docstrings, beside or below `name (type):`."""
    for documented in (scheduler, scheduler.step):
        lines = iter((inspect.getdoc(documented) or "").splitlines())
        for line in lines:
            if line.strip().startswith(f"{name} ("):
                below = itertools.takewhile(lambda text: _indent(text) > _indent(line), lines)  # noqa: B023
                text = " ".join([line.partition("):")[2], *below])
                sentence = " ".join(text.split()).partition(". ")[0].rstrip(".")
                return sentence[:1].lower() + sentence[1:] or "as diffusers has it"
    return "as diffusers has it"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
