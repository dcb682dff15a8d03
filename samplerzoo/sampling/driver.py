"""Driver: run the loop, hand out noise, count network calls.

Answers go network -> guidance -> clip -> sampler. Calls are counted at the network, so that none can be hidden.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from samplerzoo.core.blame import blaming, plugin_title
from samplerzoo.core.condition import Condition
from samplerzoo.core.cost import Cost
from samplerzoo.core.duration import Duration
from samplerzoo.core.guidance import checked_denoiser
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.noise import INITIAL_STEP, Noise
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.request import Request
from samplerzoo.core.stopwatch import Stopwatch
from samplerzoo.core.walk import FiniteCheck, walk
from samplerzoo.errors import UsageError, ZooError, expect, whole
from samplerzoo.images import Pixels, to_uint8
from samplerzoo.sampling.keywords import listing
from samplerzoo.sampling.plan import Plan
from samplerzoo.system.memory import ran_out
from samplerzoo.system.processes import share

PROMPT_DEVICES = ("cpu",)
"""Devices that have finished when a call returns, so that reading a value does not wait."""

OnStep = Callable[[int, Level, torch.Tensor], None]
"""Function called after every step with its number (0 for x_T), the level reached, and the states (N, *shape)."""

OnPrediction = Callable[[Level, Prediction], None]
"""Function called with every prediction that the sampler gets, after guidance and clip, and its level."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Finished states: their indices in the run, (N, *shape) float32 on the model's device, and what they cost.

    Attributes:
        clipped: share of values of x0 beyond the clip's bound, over all steps; None without a clip.
    """

    indices: Sequence[int]
    images: torch.Tensor
    cost: Cost
    clipped: float | None = None


def stream(
    plan: Plan,
    *,
    batch_size: int = 64,
    indices: Iterable[int] | None = None,
    on_step: OnStep | None = None,
    on_prediction: OnPrediction | None = None,
) -> Iterator[Batch]:
    """Draw the images of a plan, a batch at a time; memory does not grow with their number.

    In a multi-process run each process gets its share of the batches. Batch b holds the same images on any number of
    processes, so the images are the same too.

    Args:
        indices: images wanted; by default all.
    """
    expect("plan", plan, Plan, ", as make_plan makes it")
    listed = range(plan.num_images) if indices is None else listing("indices", indices)
    wanted = [whole("an index", index) for index in listed]
    for batch in share(split_batches(wanted, batch_size)):
        yield draw_batch(plan, batch, on_step, on_prediction)


def split_batches(indices: Sequence[int], batch_size: int) -> list[Sequence[int]]:
    """Split indices of images into batches. The last one may be smaller."""
    if whole("batch_size", batch_size) < 1:
        raise UsageError(f"a batch holds at least 1 image, not {batch_size}")
    return [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]


def timed_batches(
    plan: Plan,
    batches: Sequence[Sequence[int]],
    on_step: OnStep | None = None,
    on_prediction: OnPrediction | None = None,
) -> Iterator[tuple[Batch, Pixels, Duration]]:
    """Draw these batches of images. Yield each with its pixels and its duration.

    In a multi-process run each process draws its share.

    Raises:
        ZooError: a batch does not fit into memory.
    """
    model = plan.model
    texts = Stopwatch() if model.text is None else model.text.watch
    for indices in share(batches):
        start, before, decoder = time.perf_counter(), texts.seconds, Stopwatch(model.device)
        with fitting(indices):
            batch = draw_batch(plan, indices, on_step, on_prediction)
            encoded = texts.seconds
            with decoder if model.codec.has_decoder else nullcontext():
                pictures = model.decode(batch.images)
            pixels = to_uint8(pictures)  # waits for the device
        again = texts.seconds - encoded  # a whole pipeline encodes a prompt again when it decodes
        duration = Duration(time.perf_counter() - start, texts.seconds - before, max(decoder.seconds - again, 0.0))
        yield batch, pixels, duration


@contextmanager
def fitting(indices: Sequence[int]) -> Iterator[None]:
    """Convert an out-of-memory error inside the block to one that says what to do.

    Raises:
        ZooError: the images do not fit into memory.
    """
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise ZooError(f"out of memory with batches of {len(indices)}: lower --batch-size") from error


@torch.inference_mode(False)  # it would hide gradients of a classifier, and the counts of writes to a state
@torch.no_grad()
def draw_batch(
    plan: Plan,
    indices: Sequence[int],
    on_step: OnStep | None = None,
    on_prediction: OnPrediction | None = None,
) -> Batch:
    """Draw these images as one batch, on this process only."""
    if plan.model.drawer is not None:
        request = Request(
            plan.sampler, plan.grid, plan.clip, plan.seed, indices, plan.prompts_of(indices), plan.negative_prompt,
            plan.own_scale, on_step, on_prediction,
        )  # fmt: skip
        return Batch(indices, *plan.model.drawer(request))
    model, cost = plan.model, Cost(images=len(indices))
    condition = plan.condition(indices)
    prompt = model.device in PROMPT_DEVICES
    check = FiniteCheck(len(plan.grid), at_once=prompt, advice=_advice(plan))
    clipped = _RunningMean(model.device)
    with blaming(plan.guidance):
        predict = _predictor(_counted(model, cost), plan, condition, check, clipped)
        if on_prediction is not None:
            predict = _told(predict, on_prediction)
        denoise = Denoiser(predict, model.schedule)
    with closing(Noise(plan.seed, indices, model.shape, model.device, ahead=not prompt)) as noise:
        x = _last_state(plan, denoise, noise, check, on_step)
    check.read()
    return Batch(indices, x, cost, clipped.value())


def _advice(plan: Plan) -> str:
    """Return advice against values that are not finite, without what the run does already."""
    flags = ["--dtype float32"] * (plan.model.dtype != "float32") + ["--clip-x0 static"] * (plan.clip.mode == "off")
    return f"; try {' and '.join(flags)}" if flags else "; its weights or its config may be broken"


def _predictor(
    model: Model, plan: Plan, condition: Condition, check: FiniteCheck, clipped: _RunningMean
) -> Callable[[torch.Tensor, Level], Prediction]:
    """Combine network, guidance and clip into the function that the sampler calls. Add clipped shares to `clipped`."""

    def network(x: torch.Tensor, level: Level, condition: Condition) -> Prediction:
        p = model.denoise(x, level, condition)
        check(p.eps, "the network", level)
        return p

    if plan.guidance is not None:
        within = plan.guidance.within_interval(network, condition, model)
        guided = checked_denoiser(plan.guidance, "within_interval", within)
    else:

        def guided(x: torch.Tensor, t: Level) -> Prediction:
            return network(x, t, condition)

    def predict(x: torch.Tensor, t: Level) -> Prediction:
        p = guided(x, t)
        if plan.guidance is not None:
            check(p.eps, plugin_title(plan.guidance), t)
        if p.shift is not None and not plan.sampler.takes_shift:
            raise UsageError(
                f"{type(plan.guidance).__name__} shifts the ancestral mean, which {type(plan.sampler).__name__} "
                "does not have; take --guidance-form score, or --sampler ddpm"
            )
        if plan.clip.mode != "off":
            clipped.add(plan.clip.share(p))
        return plan.clip(p)

    return predict


def _told(
    predict: Callable[[torch.Tensor, Level], Prediction], on_prediction: OnPrediction
) -> Callable[[torch.Tensor, Level], Prediction]:
    """Call a listener with every prediction."""

    def told(x: torch.Tensor, t: Level) -> Prediction:
        p = predict(x, t)
        on_prediction(t, p)
        return p

    return told


def _last_state(
    plan: Plan, denoise: Denoiser, noise: Noise, check: FiniteCheck, on_step: OnStep | None
) -> torch.Tensor:
    """Walk the grid, and return the last state."""
    for number, x in enumerate(_states(plan, denoise, noise), INITIAL_STEP):
        level = plan.grid.levels[number]
        if number > INITIAL_STEP:
            check(x, plugin_title(plan.sampler), level)
        if on_step is not None:
            on_step(number, level, x)
        check.step = number + 1
        noise.start_step(number + 1)
    return x


def _states(plan: Plan, denoise: Denoiser, noise: Noise) -> Iterator[torch.Tensor]:
    """Yield the states of a walk, with errors of plugins in one line. Errors of `on_step` do not pass through here."""
    with blaming(plan.sampler, plan.guidance):
        yield from walk(plan.sampler, plan.grid, denoise, noise)


class _RunningMean:
    """Running mean kept on the device: constant memory, and no synchronisation until it is read."""

    def __init__(self, device: str) -> None:
        self._sum, self._count = torch.zeros((), device=device), 0

    def add(self, value: torch.Tensor) -> None:
        self._sum += value
        self._count += 1

    def value(self) -> float | None:
        return self._sum.item() / self._count if self._count else None


def _counted(model: Model, cost: Cost) -> Model:
    """Return the model with networks and classifier that add their rows of input to `cost`."""

    def net(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        cost.calls += cost.images
        cost.evaluations += len(x)
        return model.net(x, time, condition)

    counted = dataclasses.replace(model, net=net)
    if (classify := model.classifier) is not None:

        def classifier(x: torch.Tensor, level: Level) -> torch.Tensor:
            cost.gradients += len(x)
            return classify(x, level)

        counted = dataclasses.replace(counted, classifier=classifier)
    if (second := model.second) is not None:

        def second_net(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
            cost.second += len(x)
            return second.net(x, time, condition)

        counted = dataclasses.replace(counted, second=dataclasses.replace(second, net=second_net))
    return counted
