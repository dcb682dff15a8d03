"""Images from Python: `sample` draws them, and `Result` holds them."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch

from samplerzoo.core.cost import Cost
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import Model
from samplerzoo.core.noise import INITIAL_STEP
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError, expect, short, whole
from samplerzoo.sampling.driver import OnStep, draw_batch, split_batches
from samplerzoo.sampling.keywords import check_keywords, check_subjects, listing
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.way import Recorder, Way, join
from samplerzoo.system.processes import gather, processes, share

if TYPE_CHECKING:
    from PIL import Image

BAR_DELAY = 1.0
"""Seconds after which a progress bar appears by itself."""


@dataclass(frozen=True, eq=False)
class Result:
    """Images that `sample` made.

    Attributes:
        images: pictures (N, C, H, W) float32 on the CPU, in about [-1, 1].
        states: last states (N, *shape) float32 on the CPU: latents, or the pictures themselves.
        labels: one per image, or None.
        grid: levels that were visited.
        cost: network calls and evaluations.
        seconds: time of sampling, without loading the model.
        trajectory: trajectories of all images, if they were asked for.
    """

    images: torch.Tensor
    states: torch.Tensor = field(repr=False)
    labels: list[int] | None
    grid: Grid
    cost: Cost
    seconds: float
    class_names: tuple[str, ...] | None = field(default=None, repr=False)
    trajectory: Way | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        count, *shape = self.images.shape
        speed = f", {self.seconds:.3g} s" if self.seconds else ""
        first = [*map(str, (self.labels or [])[:8]), *["…"][: count > 8]]
        labels = f", labels {', '.join(first)}" if self.labels else ""
        return (
            f"Result: {count} images of {'x'.join(map(str, shape))}{labels}\n"
            f"        {len(self.grid)} steps, {self.nfe:g} network evaluations an image{speed}; .picture() shows them"
        )

    @property
    def nfe(self) -> float:
        """Network function evaluations per image."""
        return self.cost.nfe

    def picture(self) -> Image.Image:
        """Draw all images on one sheet, with their labels."""
        from samplerzoo.images import grid

        return grid(self.images, self.labels, self.class_names)


def sample(
    model: Model,
    sampler: str | Sampler = "ddim",
    *,
    labels: int | Sequence[int] | str | None = None,
    prompts: str | Sequence[str] | None = None,
    negative_prompt: str | None = None,
    num_images: int | None = None,
    guidance: str | Guidance | None = None,
    steps: int | None = None,
    spacing: str | None = None,
    timesteps: Sequence[float] | None = None,
    clip_x0: str | None = None,
    seed: int = 0,
    batch_size: int = 64,
    on_step: OnStep | None = None,
    trajectory: bool = False,
    progress: bool | None = None,
    **options: Any,
) -> Result:
    """Draw images.

    In a multi-process run every process calls this, does its share, and gets the whole result.

    Args:
        sampler: a name, with its options as keywords (`eta=0.0`), or your own sampler object.
        labels: one for all images, a list, or text as `--class-labels` takes it; a conditional model defaults to
            "balanced".
        prompts: prompts for a text-to-image model, used in turn.
        negative_prompt: prompt that guidance leads away from, instead of the empty prompt.
        num_images: number of images; by default that of the labels in a list or of the prompts, else 64.
        guidance: a name, with its options as keywords such as `guidance_scale=3.0`, or your own guidance object.
        steps: steps of the sampler; 50 by default.
        timesteps: list of timesteps to visit, instead of `steps` and `spacing`.
        clip_x0: "off", "static", "dynamic"; see `Clip`. By default as the model says.
        on_step: called after every step with its number, the level reached, and the states.
        trajectory: keep all states and predictions, as `Result.trajectory`.
        progress: show a bar; by default on a terminal and in a notebook, after a second.

    Raises:
        UsageError: the request cannot be met.
    """
    check_subjects(model, sampler, guidance)
    check_keywords([*inspect.signature(sample).parameters], sampler, guidance, options)
    if on_step is not None and not callable(on_step):
        raise UsageError(f"on_step is {short(on_step)}, and has to be a function of step, level and states")
    expect("trajectory", trajectory, bool)
    expect("progress", progress, bool, optional=True)
    text, listed = _labels(labels)
    if prompts is not None:
        prompts = [prompts] if isinstance(prompts, str) else listing("prompts", prompts)
    if num_images is None:
        num_images = next((len(each) for each in (listed, prompts) if each is not None), 64)
    num_images, batch_size = whole("num_images", num_images), whole("batch_size", batch_size)
    recipe = Recipe.of(
        sampler, guidance, options, timesteps=timesteps, steps=steps, spacing=spacing, seed=seed,
        class_labels=text, prompts=None if prompts is None else tuple(prompts), negative_prompt=negative_prompt,
        clip_x0=clip_x0, model=model.name,
    )  # fmt: skip
    plan = make_plan(
        recipe,
        model,
        num_images,
        sampler=sampler if isinstance(sampler, Sampler) else None,
        guidance=guidance if isinstance(guidance, Guidance) else None,
        labels=listed,
    ).with_weights(model)
    with _bar(plan, batch_size, progress) as bar:
        return _draw(plan, batch_size, bar, on_step, trajectory=trajectory)


def _labels(labels: Any) -> tuple[str | None, list[int] | None]:
    """Return labels as text, or as a list; both are None without labels. A single number is text."""
    if isinstance(labels, Integral) or getattr(labels, "ndim", None) == 0:
        labels = str(whole("a label", labels))
    if labels is None or isinstance(labels, str):
        return labels, None
    return None, listing("labels", labels)


def _draw(plan: Plan, batch_size: int, bar: Any, on_step: OnStep | None, *, trajectory: bool) -> Result:
    """Draw the images of this process, and gather those of all processes in their order."""
    start = time.perf_counter()
    batches, ways = [], []
    for indices in share(split_batches(range(plan.num_images), batch_size)):
        way = Recorder(plan.grid) if trajectory else None

        def step(number: int, level: Level, x: torch.Tensor, way: Recorder | None = way) -> None:
            bar.update(number > INITIAL_STEP)
            if way is not None:
                way.reached(number, level, x)
            if on_step is not None:
                on_step(number, level, x)

        batches.append(draw_batch(plan, indices, step, None if way is None else way.predicted))
        ways += [] if way is None else [way]
    shares = gather([(list(b.indices), b.images.cpu(), plan.model.decode(b.images).cpu(), b.cost) for b in batches])
    order = torch.tensor([index for indices, *_ in shares for index in indices]).argsort()
    return Result(
        images=torch.cat([images for _, _, images, _ in shares])[order],
        states=torch.cat([states for _, states, _, _ in shares])[order],
        labels=list(plan.labels) if plan.labels else None,
        grid=plan.grid,
        cost=sum((cost for *_, cost in shares), Cost()),
        seconds=time.perf_counter() - start,
        class_names=plan.model.class_names,
        trajectory=join(gather([(it.states(), it.predictions()) for it in ways]), order) if trajectory else None,
    )


def _bar(plan: Plan, batch_size: int, progress: bool | None) -> Any:
    """Make a progress bar over the steps of this process's batches."""
    from tqdm.auto import tqdm

    rank, world = processes()
    batches = math.ceil(math.ceil(plan.num_images / batch_size) / world) if batch_size > 0 else 0
    disable = True if rank or progress is False else None if progress is None else False
    delay = BAR_DELAY if progress is None else 0
    return tqdm(total=batches * len(plan.grid), desc="sampling", unit="step", disable=disable, delay=delay, leave=False)
