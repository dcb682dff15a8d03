"""Drawing with a whole pipeline: its own code runs, and a sampler is its scheduler."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from samplerzoo.core.codec import Codec
from samplerzoo.core.cost import Cost
from samplerzoo.core.level import Grid
from samplerzoo.core.noise import Noise
from samplerzoo.core.request import Request
from samplerzoo.data.order import keyed_generator
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.hosting.hooks import counting
from samplerzoo.hosting.index import PipelineIndex
from samplerzoo.hosting.scheduler import SamplerScheduler
from samplerzoo.models.parts import unhosted

PART = 4
"""Pictures that are decoded at once."""


class PipelineDrawer:
    """Pipeline with its weights, which draws by its own call.

    Args:
        arguments: arguments of the pipeline's call, except for prompts.
        shape: shape of one state.
    """

    def __init__(
        self, index: PipelineIndex, pipeline: Any, arguments: Mapping[str, Any], shape: tuple[int, ...]
    ) -> None:
        self.index, self.pipeline = index, pipeline
        self._arguments, self._shape = arguments, shape
        self._config = unhosted(index.scheduler.config)
        self._empty: dict[int, list[Any]] = {}  # encodings of empty prompts, by their number

    @torch.no_grad()
    def __call__(self, request: Request) -> tuple[torch.Tensor, Cost]:
        """Draw the images of a request; see `samplerzoo.core.model.Model.drawer`."""
        scheduler = DrawingScheduler.of(self._config, request)
        arguments = self._told(request.prompts, request.negative_prompt)
        noise = Noise(request.seed, request.indices, self._shape)
        if request.guidance_scale is not None:
            arguments["guidance_scale"] = request.guidance_scale
        if self.index.takes_generators:
            arguments["generator"] = [keyed_generator(request.seed, image) for image in request.indices]
        with counting(self.pipeline, len(request.indices)) as cost:
            scheduler.begins = noise().to(self.pipeline._execution_device, self.pipeline.dtype)
            pipeline = self._with(scheduler)
            self._call(pipeline, scheduler.begins, len(request.grid), output_type="latent", **arguments)
        if scheduler.last is None:
            raise ZooError(f"{self.index.root}: {self.index.name} ended before the last step")
        return scheduler.last.float(), cost

    @torch.no_grad()
    def decode(self, states: torch.Tensor) -> torch.Tensor:
        """Return the pictures (N, C, H, W) in [-1, 1] of states, by a call of the pipeline without any step."""
        made = []
        for part in states.split(PART):
            pipeline = self._with(_Stepless.from_config(self._config, sampler="ddim"))
            _encode_once(pipeline, self._empty.setdefault(len(part), []))
            answer = self._call(pipeline, part, 1, output_type="pt", **self._told([""] * len(part), None))
            made.append(2 * answer.images.to(states.device).float() - 1)
        return torch.cat(made)

    def _told(self, prompts: Sequence[str], negative_prompt: str | None) -> dict[str, Any]:
        texts = {} if negative_prompt is None else {"negative_prompt": negative_prompt}
        told = {**texts, **self._arguments}
        for name, value in told.items():
            if isinstance(value, str) and name.startswith(("prompt", "negative_prompt")):
                told[name] = [value] * len(prompts)  # pipelines take all texts as lists, or none
        return {"prompt": [*prompts], **told}

    def _with(self, scheduler: SamplerScheduler) -> Any:
        """Return a copy of the pipeline for one call, with its own scheduler.

        A pipeline stores the scale of its guidance and other state in itself, and a listener may decode in the middle
        of a call.
        """
        pipeline = copy.copy(self.pipeline)
        pipeline.scheduler = scheduler
        return pipeline

    def _call(self, pipeline: Any, latents: torch.Tensor, steps: int, **arguments: Any) -> Any:
        latents = latents.to(pipeline._execution_device, pipeline.dtype)
        try:
            return pipeline(latents=latents, num_inference_steps=steps, **arguments)
        except (ValueError, TypeError) as error:
            if isinstance(error, ZooError) or error is pipeline.scheduler.raised_by_listener:
                raise
            raise UsageError(f"{self.index.name}: {reason(error)}") from error


def _encode_once(pipeline: Any, kept: list[Any]) -> None:
    """Make a pipeline reuse the encodings of its prompts, and keep new ones.

    Args:
        kept: encodings of an earlier call with the same prompts; empty before the first call.
    """
    encode, numbers = getattr(pipeline, "encode_prompt", None), itertools.count()
    if encode is None:  # it encodes prompts in another way, every time anew
        return

    def encoded(*args: Any, **options: Any) -> Any:
        number = next(numbers)
        if number == len(kept):
            kept.append(encode(*args, **options))
        return kept[number]

    pipeline.encode_prompt = encoded


class PipelineCodec(Codec):
    """Codec of a whole pipeline: its own code makes pictures of its states.

    Args:
        picture: shape (C, H, W) of a picture.
        drawer: the pipeline; None before the weights are read.
    """

    has_decoder = True

    def __init__(self, name: str, picture: tuple[int, ...], drawer: PipelineDrawer | None = None) -> None:
        self.name, self._picture, self._drawer = name, picture, drawer

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._picture

    def decode(self, states: torch.Tensor) -> torch.Tensor:
        if self._drawer is None:
            return states.new_zeros(len(states), *self._picture)
        return self._drawer.decode(states)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        raise UsageError(f"{self.name} makes pictures of states, and no states of pictures")


class DrawingScheduler(SamplerScheduler):
    """Scheduler of one draw. It visits the levels of a given grid, whatever its pipeline asks for, and calls listeners.

    Attributes:
        begins: initial noise, which the pipeline gets as latents.
        last: last state of the sampler; None before the end.
        raised_by_listener: error of a listener, as opposed to one of the pipeline; None if there was none.
    """

    wanted: Request
    begins: torch.Tensor
    last: torch.Tensor | None
    raised_by_listener: Exception | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any], request: Request) -> DrawingScheduler:
        made: DrawingScheduler = cls.from_config(
            config, sampler=request.sampler, seed=request.seed, clip_x0=str(request.clip)
        )
        made.wanted, made.last, made.images = request, None, request.indices
        return made

    def _wanted(self, *args: Any) -> Grid:
        return self.wanted.grid

    def step(self, model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        request, index = self.wanted, 0 if self._run is None else self._run.next
        entry = self.timetable.entries[index]
        if index == 0:
            if not torch.equal(sample, self.begins * self.init_noise_sigma):
                raise UsageError("the pipeline begins with other noise than it is given, so no image could be repeated")
            self._tell(0, sample)
        if request.on_prediction is not None:
            p = self.timetable.model.read(sample.float(), entry.level, model_output)
            with self._listened():
                request.on_prediction(entry.level, self.timetable.model.clip(p))
        found = super().step(model_output, timestep, sample, *args, **kwargs)
        state = found[0]
        following = self.timetable.entries[index + 1 :]
        if not following:
            self.last = state.clone()
        if not following or following[0].step > entry.step:
            self._tell(entry.step + 1, state)
        return found

    def _tell(self, number: int, state: torch.Tensor) -> None:
        if self.wanted.on_step is not None:
            with self._listened():
                self.wanted.on_step(number, self.wanted.grid.levels[number], state.float())

    @contextmanager
    def _listened(self) -> Iterator[None]:
        """Remember an error of a listener."""
        try:
            yield
        except Exception as error:
            self.raised_by_listener = error
            raise


class _Stepless(SamplerScheduler):
    """Scheduler without any step, with which a pipeline decodes the latents that it is given."""

    init_noise_sigma = 1.0  # latents are states
    raised_by_listener = None

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: Any = None, *, timesteps: Any = None, sigmas: Any = None,
        mu: float | None = None, **others: Any,
    ) -> None:  # fmt: skip
        super().set_timesteps(1, device, mu=mu)
        self.timesteps = self.timesteps[:0]
