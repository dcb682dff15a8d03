"""Runs that end early, fail, start again, or run side by side: none leaves a coroutine behind."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import diffusers
import pytest
import torch
from greenlet import getcurrent, greenlet
from pipelines import CALLS, draws, latents_of, stable_diffusion
from torch import Tensor

import samplerzoo as zoo
from samplerzoo.hosting import coroutine

SHAPE = (3, 4, 4)
VP = diffusers.DDIMScheduler(clip_sample=False)


MADE: list[weakref.ref[greenlet]] = []


def waiting() -> int:
    """Count the coroutines that wait for an answer. Those that another thread dropped end with the next call here."""
    getcurrent()
    return sum(bool(kept) for made in MADE if (kept := made()) is not None)


@pytest.fixture(autouse=True)
def none_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Note every coroutine; at the end none waits, without the collector of cycles."""

    def noted(run: Any) -> greenlet:
        made = greenlet(run)
        MADE.append(weakref.ref(made))
        return made

    monkeypatch.setattr(coroutine, "greenlet", noted)
    MADE.clear()
    gc.disable()
    yield
    gc.enable()
    assert waiting() == 0


def net(x: Tensor, t: Any) -> Tensor:
    return torch.tanh(x) * 0.7 + 1e-4 * float(t)


def steps(scheduler: Any, x: Tensor, entries: slice = slice(None)) -> Tensor:
    for t in scheduler.timesteps[entries]:
        x = scheduler.step(net(x, t), t, x).prev_sample
    return x


@pytest.mark.parametrize("name", ["unipc", "heun", "dpm-solver++"])
def test_starting_again_ends_the_run_before(name: str) -> None:
    scheduler = zoo.as_scheduler(name, VP)
    x = draws(1, *SHAPE)
    scheduler.set_timesteps(5)
    whole = steps(scheduler, x)
    assert waiting() == 0
    scheduler.set_timesteps(5)
    steps(scheduler, x, slice(0, 3))
    assert waiting() == 1
    scheduler.set_timesteps(5)
    assert waiting() == 0
    assert torch.equal(steps(scheduler, x), whole)
    steps(scheduler, x, slice(0, 3))
    assert torch.equal(steps(scheduler, x), whole)  # it sees by the timestep that a run begins


def test_a_dropped_scheduler_ends_its_run() -> None:
    scheduler = zoo.as_scheduler("unipc", VP)
    scheduler.set_timesteps(5)
    steps(scheduler, draws(1, *SHAPE), slice(0, 3))
    assert waiting() == 1
    del scheduler
    assert waiting() == 0


class Closing(zoo.Sampler):
    """Sampler that notes how it ends."""

    def walk(self, x: Any, grid: Any, denoise: Any, noise: Any) -> Iterator[Any]:
        try:
            for t, s in grid.pairs():
                p = denoise(x, t)
                x = s.alpha * p.x0 + s.sigma * p.eps
                yield x
        finally:
            ENDED.append(threading.get_ident())


ENDED: list[int] = []


def test_a_sampler_that_is_dropped_ends_in_order() -> None:
    """Let its `finally` run, as that of a generator that is closed."""
    scheduler = zoo.as_scheduler(Closing(), VP)
    scheduler.set_timesteps(5)
    ENDED.clear()
    steps(scheduler, draws(1, *SHAPE), slice(0, 3))
    assert not ENDED
    scheduler.set_timesteps(5)
    assert ENDED


@pytest.mark.parametrize("error", [RuntimeError("no memory"), KeyboardInterrupt()])
def test_pipeline_that_fails_or_is_interrupted(error: BaseException) -> None:
    pipeline = stable_diffusion()
    pipeline.scheduler = zoo.as_scheduler("dpm-solver++", pipeline.scheduler)
    whole = latents_of(pipeline)
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise error

    hook = pipeline.unet.register_forward_pre_hook(fail)
    with pytest.raises(type(error)):
        latents_of(pipeline)
    hook.remove()
    assert waiting() == 1  # until the pipeline runs again, or is dropped
    assert torch.equal(latents_of(pipeline), whole)
    assert waiting() == 0


class Interrupted(zoo.Sampler):
    """Sampler that the user interrupts with Ctrl-C."""

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x, t)
        if x.shape[-1] > 2 and s.tau < 500:
            raise KeyboardInterrupt
        return s.alpha * p.x0 + s.sigma * p.eps


def test_interrupt_within_the_sampler() -> None:
    scheduler = zoo.as_scheduler(Interrupted(), VP)
    scheduler.set_timesteps(5)
    with pytest.raises(KeyboardInterrupt):
        steps(scheduler, draws(1, *SHAPE))
    assert waiting() == 0


def test_two_pipelines_in_turn() -> None:
    first, second = (zoo.as_scheduler("unipc", VP) for _ in range(2))
    wanted = []
    for scheduler, seed in ((first, 5), (second, 6)):
        scheduler.set_timesteps(5)
        wanted.append(steps(scheduler, draws(1, *SHAPE, seed=seed)))
    states = [draws(1, *SHAPE, seed=5), draws(1, *SHAPE, seed=6)]
    for scheduler in (first, second):
        scheduler.set_timesteps(5)
    for t in first.timesteps:
        states = [s.step(net(x, t), t, x).prev_sample for s, x in zip((first, second), states, strict=True)]
    assert torch.equal(torch.stack(states), torch.stack(wanted))


def in_thread(work: Any) -> Any:
    """Do this in a thread of its own, and return its result or raise its error."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append((work(), None))
        except Exception as error:
            found.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = found[0]
    if error is not None:
        raise error
    return result


def test_pipelines_in_threads() -> None:
    x = draws(1, *SHAPE)
    wanted: dict[str, Tensor] = {}
    for name in ("unipc", "heun", "ddpm", "deis"):
        scheduler = zoo.as_scheduler(name, VP, seed=0)
        scheduler.set_timesteps(5)
        wanted[name] = steps(scheduler, x)
    found: dict[str, Tensor] = {}
    barrier = threading.Barrier(len(wanted))

    def run(name: str) -> None:
        scheduler = zoo.as_scheduler(name, VP, seed=0)
        scheduler.set_timesteps(5)
        state = x
        for t in scheduler.timesteps[:5]:
            barrier.wait(10)  # step by step with the others
            state = scheduler.step(net(state, t), t, state).prev_sample
        found[name] = steps(scheduler, state, slice(5, None))

    threads = [threading.Thread(target=run, args=[name]) for name in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_run_goes_on_in_another_thread_anew() -> None:
    """Begin in one thread, and go on in another: a method without memory makes the same, and none hangs."""
    x = draws(1, *SHAPE)
    for name, same in (("ddim", True), ("unipc", False)):
        scheduler = zoo.as_scheduler(name, VP)
        scheduler.set_timesteps(6)
        whole = steps(scheduler, x)
        scheduler.set_timesteps(6)
        middle = steps(scheduler, x, slice(0, 3))
        made = in_thread(lambda scheduler=scheduler, x=middle: steps(scheduler, x, slice(3, None)))
        assert torch.equal(made, whole) is same


def test_dropped_in_another_thread() -> None:
    """Begin a run in a thread that ends; the scheduler starts anew here."""
    scheduler = zoo.as_scheduler("ddim", VP)
    x = draws(1, *SHAPE)

    def begin() -> Tensor:
        scheduler.set_timesteps(6)
        return steps(scheduler, x, slice(0, 3))

    middle = in_thread(begin)
    assert waiting() == 0  # a thread ends its coroutines
    made = steps(scheduler, middle, slice(3, None))
    scheduler.set_timesteps(6)
    assert torch.equal(made, steps(scheduler, x))


def test_within_a_greenlet() -> None:
    """Run inside a coroutine of somebody else, as servers do."""
    scheduler = zoo.as_scheduler("unipc", VP)
    scheduler.set_timesteps(5)
    x = draws(1, *SHAPE)
    whole = steps(scheduler, x)
    scheduler.set_timesteps(5)
    middle = greenlet(lambda: steps(scheduler, x, slice(0, 2))).switch()
    assert torch.equal(steps(scheduler, middle, slice(2, None)), whole)


@pytest.mark.parametrize("name", ["dpm-solver++", "unipc", "heun"])
def test_callback_that_changes_latents(name: str) -> None:
    """Keep the sampler's memory, and go on from the changed latents, as diffusers' own scheduler does."""
    own = {
        "dpm-solver++": diffusers.DPMSolverMultistepScheduler,
        "unipc": diffusers.UniPCMultistepScheduler,
        "heun": diffusers.HeunDiscreteScheduler,
    }[name]
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.006}
    pipeline = stable_diffusion(scheduler=own(**betas, timestep_spacing="trailing"))
    scale, start = 1.0, CALLS["StableDiffusionPipeline"][1]["latents"]

    def change(pipe: Any, step: int, t: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"latents": tensors["latents"] * 1.2 if step == 3 else tensors["latents"]}

    if name == "heun":  # its states are x / alpha
        pipeline.scheduler.set_timesteps(10)
        scale = float(pipeline.scheduler.alphas_cumprod[-1]) ** 0.5 * float(pipeline.scheduler.init_noise_sigma)
    theirs = latents_of(pipeline, 10, callback_on_step_end=change, latents=start / scale)
    pipeline.scheduler = zoo.as_scheduler(name, pipeline.scheduler)
    ours = latents_of(pipeline, 10, callback_on_step_end=change)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))
    assert (ours - latents_of(pipeline, 10)).abs().max() > 0.01 * float(theirs.abs().max())


def test_callback_that_stops() -> None:
    pipeline = stable_diffusion()
    pipeline.scheduler = zoo.as_scheduler("unipc", pipeline.scheduler)
    whole = latents_of(pipeline)

    def stop(pipe: Any, step: int, t: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe._interrupt = step >= 2
        return tensors

    assert not torch.equal(latents_of(pipeline, callback_on_step_end=stop), whole)
    assert torch.equal(latents_of(pipeline), whole)


def test_batches_and_images_of_a_prompt() -> None:
    """Make each image of a batch as alone, with a generator of its own."""
    pipeline = stable_diffusion()
    pipeline.scheduler = zoo.as_scheduler("euler-ancestral", pipeline.scheduler)

    def made(*seeds: int) -> Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return latents_of(pipeline, latents=None, generator=generators, num_images_per_prompt=len(seeds))

    both = made(1, 2)
    torch.testing.assert_close(both, torch.cat([made(1), made(2)]), rtol=0, atol=1e-4 * float(both.abs().max()))


def test_compiled_network() -> None:
    scheduler = zoo.as_scheduler("heun", VP)
    compiled = torch.compile(lambda x, t: torch.tanh(x) * 0.7 + 1e-4 * t, backend="eager")
    ends = []
    for network in (net, compiled):
        scheduler.set_timesteps(5)
        x = draws(1, *SHAPE)
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t), t, x).prev_sample
        ends.append(x)
    torch.compiler.reset()
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-4)


def test_gradients_flow_through_a_step() -> None:
    """Guide by a gradient through `step`, as some pipelines do, and in inference mode."""
    scheduler = zoo.as_scheduler("ddim", VP)
    scheduler.set_timesteps(5)
    x = draws(1, *SHAPE).requires_grad_()
    answer = scheduler.step(torch.tanh(x), scheduler.timesteps[0], x)
    (slope,) = torch.autograd.grad(answer.pred_original_sample.sum(), x)
    assert slope.abs().min() > 0
    scheduler.set_timesteps(5)
    with torch.inference_mode():
        made = steps(scheduler, x.detach())
    scheduler.set_timesteps(5)
    assert torch.equal(made, steps(scheduler, x.detach()))
