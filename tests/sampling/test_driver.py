"""Promises of a run: images do not depend on each other, calls are counted, no global state, one-line errors."""

from __future__ import annotations

import dataclasses
import gc
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from torch.utils._python_dispatch import TorchDispatchMode

from samplerzoo.core.condition import Condition
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.noise import Noise
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.prediction import Clip
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import load, save_model
from samplerzoo.registry import plugins
from samplerzoo.sampling import driver
from samplerzoo.sampling.driver import fitting, stream
from samplerzoo.sampling.plan import Plan
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import conjugate, gaussian, mixture

FLOAT32_NETWORK = 2e-5
"""A convolution adds up in another order in another batch or thread count; a few steps of an untrained network."""


def counted(model: Model) -> tuple[Model, list[int]]:
    """Return the model, and the list of the batch sizes that its network is called with."""
    calls: list[int] = []

    def net(x: torch.Tensor, tau: torch.Tensor, condition: Condition) -> torch.Tensor:
        calls.append(len(x))
        return model.net(x, tau, condition)

    return dataclasses.replace(model, net=net), calls


# -- what comes back


def test_a_result_has_what_a_record_needs(conditional: Model) -> None:
    result = sample(conditional, "ddim", eta=0.5, steps=7, labels=[2, 0], seed=5)
    assert result.images.shape == (2, 2)
    assert result.images.dtype == torch.float32
    assert result.labels == [2, 0]
    assert result.grid == conditional.schedule.grid(7)
    assert result.nfe == 7
    assert result.seconds > 0


def test_a_result_shows_itself(unet: Model) -> None:
    result = sample(unet, "ddim", steps=1, labels=[2, 0])
    few, many = result.picture(), sample(unet, "ddim", steps=1, num_images=30).picture()
    assert few.width > few.height
    assert many.height > few.height


def test_a_name_with_options_is_the_object(linear: Schedule) -> None:
    model = gaussian(linear)
    by_name = sample(model, "ddim", eta=0.7, steps=5, num_images=2)
    by_object = sample(model, DDIM(eta=0.7), steps=5, num_images=2)
    assert torch.equal(by_name.images, by_object.images)


def test_how_many_images(conditional: Model) -> None:
    assert len(sample(conditional, steps=1).images) == 64
    assert len(sample(conditional, steps=1, labels=[1] * 5).images) == 5
    assert sample(conditional, steps=1, labels="0-1", num_images=5).labels == [0, 1, 0, 1, 0]
    assert sample(conditional, steps=1, num_images=4).labels == [0, 1, 2, 0]  # balanced


@pytest.mark.parametrize("batch_size", [64, 2])
def test_every_image_is_of_its_own_class(linear: Schedule, batch_size: int) -> None:
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])
    points = mixture(linear, means, 0.0, parametrization=SAMPLE)
    result = sample(points, "ddpm", steps=3, labels=[2, 0, 1, 1, 0], batch_size=batch_size)
    assert torch.equal(result.images, means[[2, 0, 1, 1, 0]])


def test_explicit_timesteps_and_spacing(linear: Schedule) -> None:
    model = gaussian(linear)
    listed, leading = (
        linear.timesteps(sample(model, num_images=1, **how).grid)
        for how in ({"timesteps": [900, 3.5]}, {"spacing": "leading", "steps": 10})
    )
    assert listed == [900, 3.5]
    assert leading[0] == 900


def test_a_sampler_may_own_its_grid(linear: Schedule) -> None:
    class Own(DDIM):
        def grid(self, schedule, steps, spacing):
            return schedule.grid_at([500])

    assert linear.timesteps(sample(gaussian(linear), Own(), num_images=1).grid) == [500]


@pytest.mark.parametrize("text", [None, "off", "static", "static:0.2", "dynamic:0.5"])
def test_the_runs_clip_goes_before_the_models(linear: Schedule, text: str | None) -> None:
    model = dataclasses.replace(gaussian(linear, 0.0, 1.0, shape=(8,)), clip=Clip("static", 0.5))
    largest = sample(model, "ddim", steps=20, num_images=16, clip_x0=text).images.abs().max().item()
    bound = {None: 0.5, "off": None, "static": 1.0, "static:0.2": 0.2, "dynamic:0.5": 1.0}[text]
    assert largest > 1.5 if bound is None else largest == pytest.approx(bound, rel=1e-6)


# -- every image for itself


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory, tiny_unet: Callable[..., torch.nn.Module]) -> Model:
    from diffusers import DDPMScheduler

    folder = tmp_path_factory.mktemp("unet")
    info = ModelInfo(num_classes=3, null_label=3)
    save_model(folder, tiny_unet(num_class_embeds=4), DDPMScheduler(), info, "# tiny\n")
    return load(folder, device="cpu", dtype="float32")


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_same_images_at_any_batch_size(unet: Model, batch_size: int) -> None:
    start: dict[int, list[torch.Tensor]] = {64: [], batch_size: []}
    results = [
        sample(
            unet, "ddpm", steps=4, num_images=8, batch_size=size,
            on_step=lambda number, _, x, size=size: start[size].append(x) if number == 0 else None,
        )
        for size in start
    ]  # fmt: skip
    assert torch.equal(torch.cat(start[64]), torch.cat(start[batch_size]))
    torch.testing.assert_close(results[0].images, results[1].images, rtol=0, atol=FLOAT32_NETWORK)
    assert results[0].cost == results[1].cost


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "reverse-sde", "reverse-diffusion", "probability-flow"])
def test_bit_for_bit_where_the_network_is(linear: Schedule, sampler: str) -> None:
    """On a network that computes each element alone nothing else may depend on the batch."""
    model = gaussian(linear, 0.3, shape=(2, 2))
    whole = sample(model, sampler, steps=5, num_images=8, seed=2**64 - 1).images
    for size in (1, 3):
        again = sample(model, sampler, steps=5, num_images=8, seed=2**64 - 1, batch_size=size).images
        assert torch.equal(again, whole)


def test_more_images_leave_the_first_as_they_were(linear: Schedule) -> None:
    few, many = (sample(gaussian(linear), "ddpm", steps=5, num_images=n).images for n in (3, 9))
    assert torch.equal(many[:3], few)


def test_any_images_of_a_plan_can_be_made_alone(conditional: Model) -> None:
    plan = Plan(conditional, DDPM(), conditional.schedule.grid(5), 6, labels=[0, 1, 2, 0, 1, 2])
    whole = torch.cat([batch.images for batch in stream(plan)])
    [batch] = stream(plan, indices=[4, 1])
    assert list(batch.indices) == [4, 1]
    torch.testing.assert_close(batch.images, whole[[4, 1]], rtol=0, atol=1e-6)


def test_seeds_differ(linear: Schedule) -> None:
    first, second = (sample(gaussian(linear), "ddim", steps=2, num_images=2, seed=s).images for s in (0, 1))
    assert not torch.equal(first, second)


def test_noise_is_keyed_by_the_step(linear: Schedule) -> None:
    """Two draws in one step, one in the next: what a sampler draws in a step does not move the noise of another."""
    drawn = []

    class Greedy(DDIM):
        def step(self, x, t, s, denoise, noise):
            drawn.append([noise() for _ in range(2 if t.tau == 11 else 1)])
            return denoise(x, t).x0

    sample(gaussian(linear), Greedy(), timesteps=[10, 5], num_images=3, seed=9)
    noise = Noise(9, [0, 1, 2], (1,))
    for step, draws in enumerate(drawn, start=1):
        noise.start_step(step)
        for draw in draws:
            assert torch.equal(draw, noise())


def test_global_random_states_are_neither_read_nor_written(unet: Model, linear: Schedule) -> None:
    def states() -> list[object]:
        return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]

    before = states()
    run = {"steps": 2, "num_images": 2, "guidance": "cfg", "guidance_scale": 2.0, "labels": "0-2"}
    first = sample(unet, "ddpm", **run).images
    sample(conjugate(linear), "reverse-sde", steps=2, guidance="classifier", labels=[1])
    assert states() == before
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert torch.equal(sample(unet, "ddpm", **run).images, first)


def test_runs_that_take_turns_do_not_meet(conditional: Model) -> None:
    """No state of a run lies anywhere but in the run."""
    plan = Plan(conditional, DDPM(), conditional.schedule.grid(3), 4, labels=[0, 1, 2, 0], seed=1)
    other = dataclasses.replace(plan, seed=2)
    alone = [torch.cat([b.images for b in stream(p, batch_size=2)]) for p in (plan, other)]
    turns: Iterator[tuple[driver.Batch, driver.Batch]] = zip(
        stream(plan, batch_size=2), stream(other, batch_size=2), strict=True
    )
    together = [torch.cat([b.images for b in batches]) for batches in zip(*turns, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_no_gradients_are_kept(unet: Model) -> None:
    assert not sample(unet, "ddpm", steps=1, num_images=1).images.requires_grad
    assert torch.is_grad_enabled()


# -- streaming and counting


def test_batches_come_one_by_one(linear: Schedule) -> None:
    model, calls = counted(gaussian(linear))
    batches = stream(Plan(model, DDIM(), linear.grid(3), 10**6), batch_size=4)
    assert list(next(batches).indices) == [0, 1, 2, 3]
    assert calls == [4, 4, 4]


def test_the_last_batch_is_a_part(linear: Schedule) -> None:
    model, calls = counted(gaussian(linear))
    result = sample(model, steps=1, num_images=7, batch_size=3)
    assert calls == [3, 3, 1]
    assert len(result.images) == 7


def test_calls_are_counted_at_the_network(linear: Schedule) -> None:
    """Whatever a sampler claims: this one looks twice a step, and once more at the end."""

    class Twice(DDIM):
        def step(self, x, t, s, denoise, noise):
            denoise(x, t)
            return denoise(x, t).x0 if not s.clean else (denoise(x, t), denoise(x, t).x0)[1]

    cost = sample(gaussian(linear), Twice(), steps=4, num_images=5, batch_size=2).cost
    assert (cost.images, cost.calls_per_image, cost.nfe, cost.gradients) == (5, 9, 9, 0)


def test_on_step_sees_every_state_from_pure_noise_on(linear: Schedule) -> None:
    seen = []
    grid = linear.grid(4)
    result = sample(
        gaussian(linear),
        steps=4,
        num_images=2,
        on_step=lambda number, level, x: seen.append((number, level, x.clone())),
    )
    assert [(number, level) for number, level, _ in seen] == list(enumerate(grid.levels))
    assert torch.equal(seen[0][2], Noise(0, [0, 1], (1,))())
    assert torch.equal(seen[-1][2], result.images)


# -- what cannot be


def test_a_network_in_memory_needs_a_shape(linear: Schedule) -> None:
    with pytest.raises(UsageError, match="shape"):
        Model(lambda x, tau, condition: x, linear)


@pytest.mark.parametrize("sampler", ["ddpm", "dpm-solver++"])
@pytest.mark.parametrize("channels", [1, 2], ids=["plain", "with a learned variance"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_images_have_the_precision_of_the_run_whatever_that_of_the_network(
    linear: Schedule, dtype: torch.dtype, channels: int, sampler: str
) -> None:
    """States are float32: an answer in another precision is the same answer, rounded as its network has rounded it."""

    def model(answer: torch.dtype) -> Model:
        def net(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
            return (0.9 * x).to(dtype).to(answer).repeat(1, channels, 1, 1)

        return Model(net, linear, shape=(1, 2, 2))

    seen: list[torch.dtype] = []
    result = sample(model(dtype), sampler, num_images=2, steps=4, on_step=lambda number, level, x: seen.append(x.dtype))
    assert {result.images.dtype, result.states.dtype, *seen} == {torch.float32}
    assert torch.equal(result.images, sample(model(torch.float32), sampler, num_images=2, steps=4).images)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x + 0j, "returned torch.complex64, and has to return real numbers"),
        (lambda x: x.int(), "returned torch.int32, and has to return real numbers"),
        (lambda x: x > 0, "returned torch.bool, and has to return real numbers"),
        (lambda x: x.numpy(), "returned ndarray, and has to return a tensor"),
        (lambda x: x.sum(), r"returned shape \(\) for \(2, 1, 2, 2\)"),
        (lambda x: x.flatten(), r"returned shape \(8,\) for \(2, 1, 2, 2\)"),
        (lambda x: x.mul_(0.5), "writes over its input, which is the state"),
        (lambda x: x.repeat(1, 2, 2, 1), r"returned shape \(2, 2, 4, 2\) for \(2, 1, 2, 2\)"),
    ],
)
def test_what_is_no_answer_of_a_network_is_refused(linear: Schedule, answer: Callable, said: str) -> None:
    model = Model(lambda x, time, condition: answer(x), linear, shape=(1, 2, 2), name="mine")
    with pytest.raises(ZooError, match=f"the network of mine {said}"):
        sample(model, "ddim", num_images=2, steps=2)


def test_inference_mode_of_the_caller_hides_nothing(linear: Schedule) -> None:
    model = Model(lambda x, time, condition: x.mul_(0.5), linear, shape=(1, 2, 2))
    with torch.inference_mode(), pytest.raises(ZooError, match="writes over its input"):
        sample(model, "ddim", num_images=2, steps=2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_from_the_network_is_named_with_step_and_level(linear: Schedule, bad: float) -> None:
    good = gaussian(linear)
    model = dataclasses.replace(
        good, net=lambda x, tau, condition: good.net(x, tau, condition) * (bad if tau[0] < 600 else 1.0)
    )
    with pytest.raises(ZooError, match=r"the network returned NaN or infinity at step 3 of 4, tau 500;"):
        sample(model, steps=4, num_images=2)


def test_nan_from_the_sampler_is_named(linear: Schedule) -> None:
    class Broken(DDIM):
        def step(self, x, t, s, denoise, noise):
            return x / 0

    with pytest.raises(ZooError, match=r"Broken returned NaN or infinity at step 1 of 3"):
        sample(gaussian(linear), Broken(), steps=3, num_images=1)


class Reads(TorchDispatchMode):
    """Counts the values that are read from tensors, for each of which a GPU would have to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("guidance", [None, "cfg", "classifier"])
@pytest.mark.parametrize("name", [plugin.name for plugin in plugins("sampler")])
def test_nothing_in_the_loop_waits_for_a_gpu(
    conditional: Model, monkeypatch: pytest.MonkeyPatch, name: str, guidance: str | None
) -> None:
    monkeypatch.setattr(driver, "PROMPT_DEVICES", ())  # as on a GPU
    plain = {"net": lambda x, tau, condition: x.tanh(), "classifier": lambda x, level: x.sin().repeat(1, 2)[:, :3]}
    model = dataclasses.replace(conditional, **plain)  # the exact one reads its level
    counts = []
    for steps in (2, 9):
        with Reads() as reads:
            sample(model, name, steps=steps, labels=[0, 1], guidance=guidance, clip_x0="dynamic")
        counts.append(reads.count)
    assert counts[0] == counts[1]


def test_what_is_not_finite_is_found_at_the_end_where_reading_waits(
    linear: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "PROMPT_DEVICES", ())
    good, calls = gaussian(linear), []

    def net(x: torch.Tensor, tau: torch.Tensor, condition: Condition) -> torch.Tensor:
        calls.append(tau)
        return good.net(x, tau, condition) * (float("nan") if tau[0] < 600 else 1.0)

    with pytest.raises(ZooError, match=r"the network returned NaN or infinity at step 3 of 4, tau 500;"):
        sample(dataclasses.replace(good, net=net), steps=4, num_images=2)
    assert len(calls) == 4


@pytest.mark.parametrize(("yields", "message"), [(2, "yields 2 of the 3 steps"), (5, "more than the 3 steps")])
def test_a_walk_yields_once_a_step(linear: Schedule, yields: int, message: str) -> None:
    class Walker(Sampler):
        def walk(self, x, grid, denoise, noise):
            for _ in range(yields):
                yield x

    with pytest.raises(ZooError, match=f"sampler Walker: walk.*{message}"):
        sample(gaussian(linear), Walker(), steps=3, num_images=1)


def test_a_walk_with_memory_of_its_own(linear: Schedule) -> None:
    class Remembers(Sampler):
        def walk(self, x, grid, denoise, noise):
            seen = []
            for t, _ in grid.pairs():
                seen.append(denoise(x, t).x0)
                x = torch.stack(seen).mean(0)
                yield x

    images = [sample(gaussian(linear), Remembers(), steps=3, num_images=4, batch_size=b).images for b in (4, 1)]
    assert torch.equal(*images)


# -- clipping


@pytest.mark.parametrize(("text", "expected"), [("off", None), ("static:100", 0.0), ("static:0.0001", 1.0)])
def test_the_share_of_clipped_values(linear: Schedule, text: str, expected: float | None) -> None:
    model = gaussian(linear, 0.5, 0.5, shape=(3,))
    plan = Plan(model, DDIM(), linear.grid(4), 10, clip=Clip.parse(text))
    [batch] = stream(plan)
    assert batch.clipped == (None if expected is None else pytest.approx(expected, abs=0.02))


def test_clipped_values_are_counted_over_all_steps(linear: Schedule) -> None:
    """x0 is 2 in one of two values, whatever x is."""
    x0 = torch.tensor([2.0, 0.5])
    model = Model(lambda x, tau, condition: x0.expand_as(x), linear, SAMPLE, shape=(2,))
    [batch] = stream(Plan(model, DDIM(), linear.grid(5), 3, clip=Clip("static", 1.0)))
    assert batch.clipped == 0.5
    [batch] = stream(Plan(model, DDIM(), linear.grid(5), 3, clip=Clip("dynamic", 0.5)))
    assert batch.clipped == 0.5  # the quantile lies between the two


@pytest.mark.parametrize("sampler", sorted(it.name for it in plugins("sampler") if it.source == "samplerzoo"))
def test_no_tensor_is_kept_of_a_step(linear: Schedule, sampler: str) -> None:
    """Memory does not grow with the number of steps, not even until the next collection of garbage."""
    alive = []

    def on_step(number: int, level: Level, x: torch.Tensor) -> None:
        if number in (10, 30):
            alive.append(sum(type(it) is torch.Tensor for it in gc.get_objects(generation=0)))

    model = gaussian(linear, 0.5, 0.5, shape=(3,))
    gc.collect(0)  # what was there before leaves the youngest generation, in which all that is new stays now
    gc.disable()
    try:
        sample(model, sampler, steps=30, num_images=2, clip_x0="static", on_step=on_step)
    finally:
        gc.enable()
    assert 0 < alive[1] <= alive[0]


@pytest.mark.parametrize(
    ("keywords", "meant"),
    [
        ({"class_labels": [1]}, "labels"),
        ({"guidance": "cfg", "scale": 2.0}, "guidance_scale"),
        ({"num_image": 3}, "num_images"),
        ({"Eta": 0.0}, "eta"),
    ],
)
def test_a_keyword_that_is_meant_for_another_place_is_told(
    linear: Schedule, keywords: dict[str, Any], meant: str
) -> None:
    model = mixture(linear, torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    with pytest.raises(UsageError, match=rf"has no option '.*' \(did you mean {meant}\?\)"):
        sample(model, "ddim", steps=1, **keywords)


def test_a_name_in_capitals_is_found(linear: Schedule) -> None:
    with pytest.raises(UsageError, match=r"'DDIM' \(did you mean ddim\?\)"):
        sample(gaussian(linear), "DDIM", steps=1)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_batch_that_does_not_fit_into_memory_says_what_to_lower(error: Exception) -> None:
    with pytest.raises(ZooError, match="out of memory with batches of 3: lower --batch-size"), fitting(range(3)):
        raise error


def test_another_error_of_a_batch_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="of another kind"), fitting(range(3)):
        raise RuntimeError("of another kind")
