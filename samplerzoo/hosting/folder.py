"""Folders of whole pipelines: models that run by the pipeline's own code."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import torch

from samplerzoo.core.cost import Cost
from samplerzoo.core.model import Layout, Model, Offload
from samplerzoo.core.request import Request
from samplerzoo.core.stopwatch import Stopwatch
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.hosting.drawer import DrawingScheduler, PipelineCodec, PipelineDrawer
from samplerzoo.hosting.entries import plan_entries
from samplerzoo.hosting.hooks import network_calls, time_texts
from samplerzoo.hosting.index import PipelineIndex, silence
from samplerzoo.hosting.offload import check_offload, start_offload
from samplerzoo.hosting.rehearsal import Rehearsal, rehearse
from samplerzoo.models.handle import ModelHandle, blank_text
from samplerzoo.models.options import ReadingOptions
from samplerzoo.models.parts import Part, unhosted
from samplerzoo.models.weights import load_module, load_text_part, with_layout
from samplerzoo.system.environment import choose_device, choose_dtype
from samplerzoo.system.files import digest, digest_text

if TYPE_CHECKING:
    from samplerzoo.core.model import Network


@dataclass(frozen=True, eq=False)
class PipelineFolder(ModelHandle):
    """Whole pipeline on disk, by its configs; `load` reads the weights.

    Attributes:
        name: name that it was asked for by.
        index: classes of the pipeline and its parts.
        reading: options that the user gave for the folder, and arguments of the pipeline's call.
        offload: how much of the weights is on the device at once; None for all.
    """

    name: str
    index: PipelineIndex
    reading: ReadingOptions
    stub: Model
    guesses: tuple[str, ...]
    offload: Offload | None = None

    compiles = False
    usual_batch = 1

    @classmethod
    def open(cls, name: str, root: Path, reading: ReadingOptions, instead: Exception | None = None) -> Self:
        """Read the configs of a folder, and rehearse the pipeline's call.

        Args:
            instead: error to raise if the folder is not a pipeline that can be run.

        Raises:
            UsageError: the pipeline refuses its arguments, or makes no pictures.
            ZooError: the folder is not a pipeline that takes prompts, or it is incomplete.
        """
        index = PipelineIndex.read(root)
        if index is None:
            raise instead or UsageError(f"--hosted: {root} is no pipeline of diffusers that takes prompts and latents")
        for flag in ("shape", "null_label", "scheduler"):
            if getattr(reading, flag) is not None:
                raise UsageError(f"--{flag.replace('_', '-')}: {name} is a whole {index.name}; leave it out")
        stub = _Stub(index, reading.arguments)
        guesses = tuple(f"{part} is not run" for part in index.left_out)
        return cls(name, index, reading, stub.model(name, lambda: digest_text(name)), guesses)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the files of all parts, and of the arguments of the call."""
        files = sorted(file for part, _ in self.index.parts.values() for file in part.files)
        return digest_text(json.dumps([self.index.name, digest(*files), self.reading.arguments], sort_keys=True))

    @property
    def family(self) -> str:
        return f"whole {self.index.name} with {self.index.scheduler.kind}"

    def check_compiled(self) -> NoReturn:
        raise UsageError(f"{self.name} is a whole pipeline, which is not compiled here: leave --compile out")

    def offloaded(self, offload: Offload | None, device: str) -> ModelHandle:
        if offload is not None:
            check_offload(self.index.cls, offload, device)
        return dataclasses.replace(self, offload=offload)

    def load(
        self, *, device: str = "auto", dtype: str = "auto", compiled: bool = False, layout: Layout = "contiguous"
    ) -> Model:
        if compiled:
            self.check_compiled()
        device = choose_device(device)
        dtype = choose_dtype(dtype, device)
        with silence():
            modules = {name: self._module(*found, dtype) for name, found in self.index.modules.items()}
        pipeline = self.index.assemble(modules)
        for network in network_calls(pipeline):
            with_layout(network, layout)
        if self.offload is None:
            pipeline.to(device)
        else:
            start_offload(pipeline, self.offload, device)
        stub, watch = self.stub, Stopwatch(device)
        time_texts(pipeline, watch)
        assert stub.text is not None
        text = dataclasses.replace(stub.text, watch=watch)
        drawer = PipelineDrawer(self.index, pipeline, self.reading.arguments, stub.shape)
        codec = PipelineCodec(stub.codec.name, stub.image_shape, drawer)
        return dataclasses.replace(
            stub, device=device, dtype=dtype, layout=layout, offload=self.offload, text=text, codec=codec,
            drawer=drawer,
        )  # fmt: skip

    def _module(self, part: Part, cls: type[Any], dtype: str) -> Any:
        """Read the weights of a part, which must be complete."""
        if cls.__module__.startswith("transformers."):
            module = load_text_part(part, self.reading.variant)
        else:
            module = load_module(part, cls, dtype, self.reading.variant)
        return _cast(module, getattr(torch, dtype))

    def network_in(self, device: str, dtype: str) -> Callable[[Layout], Network]:
        raise UsageError(f"{self.name} is a whole pipeline: its network is called by its own code alone")

    def about(self) -> dict[str, Any]:
        return {"folder": str(self.index.root), "pipeline": self.index.name, "arguments": self.reading.arguments}


class _Stub:
    """Pipeline without weights, which tells what images would cost."""

    def __init__(self, index: PipelineIndex, arguments: dict[str, Any]) -> None:
        self._index, self._arguments = index, arguments
        self._rehearsed = functools.cache(self._rehearse)

    def _rehearse(self, steps: int, negative: bool = False, scale: float | None = None) -> Rehearsal:
        more: dict[str, Any] = {"negative_prompt": ["a"]} if negative else {}
        more |= {} if scale is None else {"guidance_scale": scale}
        return rehearse(self._index, {**self._arguments, **more}, steps=steps)

    def model(self, name: str, identity: Callable[[], str]) -> Model:
        seen = self._rehearsed(1)
        schedule = seen.model.schedule
        if seen.sigmas is not None and schedule.own is not None:
            schedule = copy.copy(schedule)
            schedule.own = lambda steps: self._rehearsed(steps).sigmas or ()
        return dataclasses.replace(
            seen.model,
            net=_uncalled,
            schedule=schedule,
            shape=seen.shape,
            text=blank_text({}, identity),
            codec=PipelineCodec(f"the decoder of {self._index.name}", seen.picture),
            drawer=self,
            name=name,
        )

    def __call__(self, request: Request) -> tuple[torch.Tensor, Cost]:
        """Count what the images would cost."""
        if request.negative_prompt is not None and not self._index.takes_negative_prompt:
            raise UsageError(f"{self._index.name} takes no negative prompt: leave --negative-prompt out")
        if request.guidance_scale is not None and "guidance_scale" in self._arguments:
            raise UsageError(
                "--guidance-scale and --pipeline-option guidance_scale say the same: leave one of them out"
            )
        seen = self._rehearsed(1, request.negative_prompt is not None, request.guidance_scale)
        images = len(request.indices)
        DrawingScheduler.of(unhosted(self._index.scheduler.config), request)  # raises if the request is impossible
        entries, _ = plan_entries(request.sampler, request.grid, seen.model)
        count = images * len(entries)
        cost = Cost(images, count * seen.each.calls, count * seen.each.evaluations)
        return torch.zeros(images, *seen.shape), cost


def _cast(module: Any, dtype: torch.dtype) -> Any:
    """Cast the remaining weights that may be cast. diffusers leaves some in their dtype, not all of them on purpose."""
    kept = {*(getattr(module, "_keep_in_fp32_modules", None) or ())}
    for name, weight in module.named_parameters():
        if not kept & {*name.split(".")}:
            weight.data = weight.data.to(dtype)
    return module


def _uncalled(*_: object) -> NoReturn:
    raise ZooError("the network of a whole pipeline is called by its own code alone")
