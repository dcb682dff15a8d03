"""The driver: makes the grid, runs the loop, hands out noise, counts network calls.

network -> guidance -> clip -> sampler, and the counting sits at the network, so that nothing can hide a call.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from samplerzoo.core.cost import Cost
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.noise import INITIAL_STEP, Noise
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Grid, Level
from samplerzoo.core.walk import Watch
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.load import Model, accompanied
from samplerzoo.sampling.plan import Plan, resolve
from samplerzoo.system.processes import gather, share

if TYPE_CHECKING:
    from PIL import Image

PROMPT_DEVICES = ("cpu",)
"""Devices that have computed when a call returns: to read a value there costs no waiting."""

OnStep = Callable[[int, Level, torch.Tensor], None]
"""Told after every step: its number (0 for x_T), the level reached, and the states (N, *shape)."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Finished images: their indices in the run, (N, *shape) float32 on the model's device, and what they cost.

    Attributes:
        clipped: the share of the values of x0 that were beyond the clip's bound, over all steps; None without a clip.
    """

    indices: Sequence[int]
    images: torch.Tensor
    cost: Cost
    clipped: float | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What `sample` returns.

    Attributes:
        images: (N, *shape) float32 on the CPU, about [-1, 1] for pixels.
        labels: one an image, or None.
        grid: the levels that were visited.
        cost: network calls and evaluations.
        seconds: of sampling alone, the loading of the model left out.
    """

    images: torch.Tensor
    labels: list[int] | None
    grid: Grid
    cost: Cost
    seconds: float
    class_names: tuple[str, ...] | None = field(default=None, repr=False)

    @property
    def nfe(self) -> float:
        """Network function evaluations an image."""
        return self.cost.nfe

    def picture(self) -> Image.Image:
        """All images in one, with their labels."""
        from samplerzoo.images import grid

        return grid(self.images, self.labels, self.class_names)


def sample(
    model: Model,
    sampler: str | Sampler = "ddim",
    *,
    steps: int = 50,
    spacing: str = "trailing",
    timesteps: Sequence[float] | None = None,
    labels: Sequence[int] | str | None = None,
    num_images: int | None = None,
    guidance: str | Guidance | None = None,
    clip_x0: str | None = None,
    seed: int = 0,
    batch_size: int = 64,
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """Draws images.

    Args:
        sampler: a name, with its options as keywords (`eta=0.0`), or an object of one's own.
        labels: a list, or text as `--class-labels` takes it; a conditional model defaults to "balanced".
        num_images: as many as there are labels in a list, else 64.
        guidance: a name, with its options as `guidance_scale=3.0` and the like, or an object of one's own.
        clip_x0: "off", "static", "dynamic"; see `Clip`. As the model says if None.

    In a multi-process run every process calls this, does its share, and gets the whole result.
    """
    if num_images is None:
        num_images = 64 if labels is None or isinstance(labels, str) else len(labels)
    plan = resolve(
        model, sampler, options, guidance, steps=steps, spacing=spacing, timesteps=timesteps, labels=labels,
        num_images=num_images, clip_x0=clip_x0, seed=seed,
    )  # fmt: skip
    model = accompanied(model, plan.second_model)
    start = time.perf_counter()
    batches = list(stream(model, plan, batch_size=batch_size, on_step=on_step))
    shares = gather([(list(b.indices), b.images.cpu(), b.cost) for b in batches])
    order = torch.tensor([index for indices, _, _ in shares for index in indices]).argsort()
    images = torch.cat([images for _, images, _ in shares])[order]
    cost = sum((cost for _, _, cost in shares), Cost())
    seconds = time.perf_counter() - start
    return Result(images, list(plan.labels) if plan.labels else None, plan.grid, cost, seconds, model.class_names)


def stream(
    model: Model,
    plan: Plan,
    *,
    batch_size: int = 64,
    indices: Iterable[int] | None = None,
    on_step: OnStep | None = None,
) -> Iterator[Batch]:
    """The images of a plan, a batch at a time; memory does not grow with their number.

    In a multi-process run each process gets its share of the batches. Batch b holds the same images on any number of
    processes, so the images are the same too.

    Args:
        indices: the images wanted; all if None.
    """
    if batch_size < 1:
        raise UsageError(f"a batch holds at least 1 image, not {batch_size}")
    wanted = list(range(plan.num_images) if indices is None else indices)
    batches = [wanted[i : i + batch_size] for i in range(0, len(wanted), batch_size)]
    yield from stream_batches(model, plan, batches, on_step)


def stream_batches(
    model: Model, plan: Plan, batches: Sequence[Sequence[int]], on_step: OnStep | None = None
) -> Iterator[Batch]:
    """These batches; of several processes, each makes its share."""
    for batch in share(batches):
        yield _sample_batch(model, plan, batch, on_step)


@torch.no_grad()
def _sample_batch(model: Model, plan: Plan, indices: Sequence[int], on_step: OnStep | None) -> Batch:
    if model.shape is None:
        raise UsageError(f"{model.name} has no image shape: give Model(..., shape=(C, H, W))")
    cost = Cost(images=len(indices))
    labels = torch.tensor([0 if plan.labels is None else plan.labels[i] for i in indices], device=model.device)
    prompt = model.device in PROMPT_DEVICES
    watch = Watch(len(plan.grid), at_once=prompt)
    beyond = _Mean(model.device)
    denoise = Denoiser(_predictor(_counted(model, cost), plan, labels, watch, beyond), model.schedule)
    with closing(Noise(plan.seed, indices, model.shape, model.device, ahead=not prompt)) as noise:
        x = _walk(plan, denoise, noise, watch, on_step)
    watch.check()
    return Batch(indices, x, cost, beyond())


def _predictor(
    model: Model, plan: Plan, labels: torch.Tensor, watch: Watch, beyond: _Mean
) -> Callable[[torch.Tensor, Level], Prediction]:
    """Network, guidance, clip: what the sampler calls. The clip's share goes to `beyond`."""
    clip = model.clip if plan.clip is None else plan.clip

    def network(x: torch.Tensor, level: Level, labels: torch.Tensor | None) -> Prediction:
        p = model.denoise(x, level, labels)
        watch(p.eps, "the network", level)
        return p

    if plan.guidance is not None:
        guided = plan.guidance.within_interval(network, labels, model)
    else:

        def guided(x: torch.Tensor, t: Level) -> Prediction:
            return network(x, t, labels)

    def predict(x: torch.Tensor, t: Level) -> Prediction:
        p = guided(x, t)
        if p.shift is not None and not plan.sampler.takes_shift:
            raise UsageError(
                f"{type(plan.guidance).__name__} shifts the ancestral mean, which {type(plan.sampler).__name__} "
                "does not have; take --guidance-form score, or --sampler ddpm"
            )
        if clip.mode != "off":
            beyond.add(clip.share(p))
        return clip(p)

    return predict


def _walk(plan: Plan, denoise: Denoiser, noise: Noise, watch: Watch, on_step: OnStep | None) -> torch.Tensor:
    """The last state of the sampler's walk, which has to have one state a step."""
    steps, name = len(plan.grid), type(plan.sampler).__name__
    x = denoise.schedule.prior_std * noise()
    if on_step is not None:
        on_step(INITIAL_STEP, plan.grid.levels[0], x)
    watch.step = INITIAL_STEP + 1
    noise.start_step(watch.step)
    states = plan.sampler.walk(x, plan.grid, denoise, noise)
    for x in states:
        if watch.step > steps:
            raise ZooError(f"{name}.walk yields more than the {steps} steps of its grid")
        level = plan.grid.levels[watch.step]
        watch(x, name, level)
        if on_step is not None:
            on_step(watch.step, level, x)
        watch.step += 1
        noise.start_step(watch.step)
    if watch.step != steps + 1:
        raise ZooError(f"{name}.walk yields {watch.step - 1} of the {steps} steps of its grid")
    return x


class _Mean:
    """Of values on a device: none is kept, so memory does not grow with the steps, nor asked for before the end."""

    def __init__(self, device: str) -> None:
        self._sum, self._count = torch.zeros((), device=device), 0

    def add(self, value: torch.Tensor) -> None:
        self._sum += value
        self._count += 1

    def __call__(self) -> float | None:
        return self._sum.item() / self._count if self._count else None


def _counted(model: Model, cost: Cost) -> Model:
    """The same model, its networks and classifier counting into `cost`."""
    net, classifier, second = model.net, model.classifier, model.second

    def counted_net(x: torch.Tensor, tau: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        cost.calls += cost.images
        cost.evaluations += len(x)
        return net(x, tau, labels)

    def counted_classifier(x: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        assert classifier is not None
        cost.gradients += len(x)
        return classifier(x, tau)

    def counted_second(x: torch.Tensor, tau: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        assert second is not None
        cost.second += len(x)
        return second.net(x, tau, labels)

    return dataclasses.replace(
        model,
        net=counted_net,
        classifier=None if classifier is None else counted_classifier,
        second=None if second is None else dataclasses.replace(second, net=counted_second),
    )
