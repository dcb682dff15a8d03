"""Rehearsal of a whole pipeline, without weights, to see what its code will ask of network and scheduler.

The pipeline is built from its configs on torch's meta device, where tensors have shapes but no values, and its call is
run for one image and one step. A pipeline that reads a value meanwhile is built from zeros that take no memory, and run
on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from samplerzoo.core.cost import Cost
from samplerzoo.core.model import Model
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.hosting.hooks import counting
from samplerzoo.hosting.index import PipelineIndex, silence
from samplerzoo.hosting.scheduler import SamplerScheduler, SamplerSchedulerOutput
from samplerzoo.models.configs import refuse_kernels
from samplerzoo.models.parts import unhosted
from samplerzoo.models.weights import load_text_part

PLACES = ("meta", "cpu")
"""Devices on which a rehearsal is tried in turn."""


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """Facts that a rehearsal of a pipeline found.

    Attributes:
        model: path, parametrization and clip of its network, on the shift that the pipeline gives.
        shape: shape of one state.
        picture: shape (C, H, W) of one picture.
        each: calls and evaluations for each entry of its timesteps, for one image.
        sigmas: noise levels that it asks for, already shifted; None if it leaves them to its scheduler.
    """

    model: Model
    shape: tuple[int, ...]
    picture: tuple[int, ...]
    each: Cost
    sigmas: tuple[float, ...] | None


def rehearse(index: PipelineIndex, arguments: Mapping[str, Any], *, steps: int = 1) -> Rehearsal:
    """Run the call of a pipeline for one image.

    Args:
        arguments: arguments of the call, except for the prompt.
        steps: number of steps that the pipeline is asked for.

    Raises:
        UsageError: the pipeline refuses its arguments, or makes something else than pictures.
    """
    index.check_arguments({name: value for name, value in arguments.items() if name != "negative_prompt"})
    for place in PLACES:
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                return _rehearse(index, arguments, steps, place)
        except (NotImplementedError, RuntimeError) as error:  # a value was read on the meta device
            failure = error
    raise ZooError(f"{index.root}: {index.name} does not run: {reason(failure)}") from failure


def _rehearse(index: PipelineIndex, arguments: Mapping[str, Any], steps: int, place: str) -> Rehearsal:
    modules = {name: _hollow(*found, place) for name, found in index.modules.items()}
    tokenizers = {name: load_text_part(part) for name, (part, cls) in index.parts.items() if _tokenizes(cls)}
    pipeline = index.assemble({**modules, **tokenizers})
    witness = _Witness.from_config({**unhosted(index.scheduler.config)}, sampler="ddim")
    pipeline.scheduler = witness
    try:
        with silence(), counting(pipeline, 1) as cost:
            made = pipeline(prompt=["a"], num_inference_steps=steps, output_type="pt", **arguments)
    except (ValueError, TypeError, ImportError, AttributeError, KeyError) as error:
        if isinstance(error, ZooError):
            raise
        raise UsageError(f"{index.name}: {reason(error)}") from error
    pictures = getattr(made, "images", None)
    shape = tuple(getattr(pictures, "shape", ()))
    if len(shape) != 4 or shape[0] != 1 or witness.shape is None:
        raise UsageError(f"{index.root}: {index.name} makes no pictures, and run and bench make nothing else")
    return Rehearsal(witness.seen, witness.shape, shape[1:], cost, witness.asked)


def _hollow(part: Any, cls: Any, place: str) -> nn.Module:
    """Make a module from its config alone: without values, or with zeros that share one place in memory."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        if cls.__module__.startswith("transformers."):
            refuse_kernels(part.path)
            module = cls(cls.config_class.from_pretrained(part.path, local_files_only=True))
        else:
            module = cls.from_config(part.config)
    if place == "meta":
        return module.to("meta").eval()
    for owner in module.modules():
        for name, weight in [*owner.named_parameters(recurse=False)]:
            zeros = torch.zeros(1, dtype=weight.dtype).expand(weight.shape)
            setattr(owner, name, nn.Parameter(zeros, requires_grad=False))
    return module.eval()


def _tokenizes(cls: type[Any]) -> bool:
    from transformers import PreTrainedTokenizerBase

    return issubclass(cls, PreTrainedTokenizerBase)


class _Witness(SamplerScheduler):
    """Scheduler of one step that records what its pipeline asks for, and does not change the state."""

    seen: Model
    shape: tuple[int, ...] | None = None
    asked: tuple[float, ...] | None = None

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: Any = None, *, timesteps: Any = None, sigmas: Any = None,
        mu: float | None = None, **others: Any,
    ) -> None:  # fmt: skip
        super().set_timesteps(1, "cpu", mu=mu, **others)
        self.seen = self.timetable.model
        if sigmas is not None:
            grid = self._wanted(self.timetable.sampler, self.timetable.model, None, None, sigmas)
            self.asked = tuple(level.tau for level in grid.levels[:-1])
        self.timesteps, self._begin_index = self.timesteps.to(device), 0

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        return sample

    def step(
        self, model_output: Any, timestep: Any, sample: Any, *args: Any, return_dict: bool = True, **o: Any
    ) -> Any:
        self.shape = tuple(sample.shape[1:])
        return SamplerSchedulerOutput(sample, sample) if return_dict else (sample, sample)
