"""Scheduler that steps with a sampler: equal to a run of samplerzoo, saved and loaded, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from pipelines import PNDM, draws, latents_of, stable_diffusion
from torch import Tensor

import samplerzoo as zoo
from samplerzoo import Sampler
from samplerzoo.core.noise import Noise
from samplerzoo.registry import plugins

SHAPE = (3, 4, 4)
SAMPLERS = [plugin.name for plugin in plugins("sampler") if plugin.source == "samplerzoo"]

PATHS: dict[str, Any] = {
    "VP": diffusers.DDIMScheduler(clip_sample=False),
    "v": diffusers.DDIMScheduler(clip_sample=False, prediction_type="v_prediction", rescale_betas_zero_snr=True),
    "clipped": diffusers.DDPMScheduler(clip_sample=True, prediction_type="sample"),
    "EDM": diffusers.EDMEulerScheduler(),
    "continuous": diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="v_prediction"),
    "flow": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    "consistency": diffusers.CMStochasticIterativeScheduler(),
    "LCM": diffusers.LCMScheduler(),
}

DISTILLED = ("consistency", "LCM")
"""Paths of models that have a sampler of their own."""


def network(x: Tensor, time: Tensor | float) -> Tensor:
    """Answer with something that depends on state and time."""
    time = torch.as_tensor(time, dtype=torch.float32)
    return torch.tanh(x + 0.3 * x.roll(1, -1)) * torch.cos(time / 300) + 0.1 * x


def drive(
    scheduler: Any, x: Tensor, steps: int = 6, *, start: int = 0, generator: Any = None, net: Any = network, **how: Any
) -> Tensor:
    """Run the loop of a pipeline."""
    if steps:
        scheduler.set_timesteps(steps, **how)
    for t in scheduler.timesteps[start:]:
        scaled = scheduler.scale_model_input(x, t)
        x = scheduler.step(net(scaled, t), t, x, generator=generator).prev_sample
    return x


def as_model(scheduler: Any) -> zoo.Model:
    """Make the model of a hosted scheduler, with the network here."""
    stub = scheduler.timetable.model
    return dataclasses.replace(stub, net=lambda x, time, _: network(x, time[0]), shape=SHAPE)


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in SAMPLERS for path in PATHS if (name == "consistency") == (path in DISTILLED)],
)
def test_is_bit_for_bit_a_run_of_samplerzoo(name: str, path: str) -> None:
    """Compare every sampler on every kind of path, with the noise of a seed."""
    scheduler = zoo.as_scheduler(name, PATHS[path], seed=3)
    model = as_model(scheduler)
    x = model.schedule.prior_std * Noise(3, range(2), SHAPE)()
    scheduler.set_timesteps(6)
    assert scheduler.init_noise_sigma == model.schedule.prior_std
    made = zoo.sample(model, name, seed=3, steps=6, num_images=2)
    assert torch.equal(drive(scheduler, x), made.states)


@pytest.mark.parametrize(
    ("name", "options", "order", "count"),
    [("ddim", {}, 1, 6), ("heun", {}, 2, 11), ("predictor-corrector", {"corrector_steps": 3}, 4, 21)],
)
def test_calls_of_a_step_are_entries(name: str, options: dict[str, Any], order: int, count: int) -> None:
    scheduler = zoo.as_scheduler(name, PATHS["VP"], **options)
    scheduler.set_timesteps(6)
    assert (scheduler.order, len(scheduler.timesteps), len(scheduler.sigmas)) == (order, count, count + 1)
    assert scheduler.timesteps.dtype == torch.int64
    assert scheduler.num_inference_steps == 6
    assert (scheduler.timesteps[::order] == torch.tensor([999, 832, 666, 499, 332, 166])).all()


def test_short_first_step_is_filled_up() -> None:
    """Heun makes one call in its first step on a flow; every step has two entries, so that pipelines count right."""
    scheduler = zoo.as_scheduler("heun", PATHS["flow"])
    scheduler.set_timesteps(6)
    assert scheduler.order == 2
    assert len(scheduler.timesteps) == 11
    levels = scheduler.timetable.grid.levels[:-1]
    assert scheduler.timesteps[::2].tolist() == pytest.approx([1000 * level.tau for level in levels])


@pytest.mark.parametrize("path", ["VP", "flow", "EDM"])
@pytest.mark.parametrize("name", ["ddim", "heun", "predictor-corrector", "dpm-solver++"])
def test_starts_at_every_step(name: str, path: str) -> None:
    """Start in the middle, by the index that pipelines set, and by the timestep alone."""
    scheduler = zoo.as_scheduler(name, PATHS[path], seed=1)
    for k in range(6):
        x = draws(1, *SHAPE)
        scheduler.set_timesteps(6)
        scheduler.set_begin_index(k * scheduler.order)
        assert scheduler.begin_index == k * scheduler.order
        made = drive(scheduler, x, 0, start=k * scheduler.order)
        scheduler.set_timesteps(6)
        assert torch.equal(drive(scheduler, x, 0, start=k * scheduler.order), made)
        rest = zoo.Grid(scheduler.timetable.grid.levels[k:])
        model = as_model(scheduler)
        noise = Noise(1, [0], SHAPE)
        noise.start_step(k + 1)
        states = scheduler.timetable.sampler.walk(x, rest, zoo.Denoiser(model.denoise, model.schedule), noise)
        last = x
        for step, state in enumerate(states, k + 2):
            last = state
            noise.start_step(step)
        assert torch.equal(last, made)


def test_noise_at_an_entry() -> None:
    """Compare with the formula, at entries, at other timesteps, and one an image."""
    x, eps = draws(2, *SHAPE), draws(2, *SHAPE, seed=6)
    scheduler = zoo.as_scheduler("heun", PATHS["VP"])
    alphas = scheduler.alphas_cumprod.sqrt()
    scheduler.set_timesteps(5)
    for t in (999, 799, 500, 0):
        wanted = alphas[t] * x + (1 - alphas[t] ** 2).sqrt() * eps
        torch.testing.assert_close(scheduler.add_noise(x, eps, torch.tensor([t])), wanted)
    both = scheduler.add_noise(x, eps, torch.tensor([999, 199]))
    torch.testing.assert_close(both[1:], scheduler.add_noise(x[1:], eps[1:], torch.tensor([199])))
    flow = zoo.as_scheduler("heun", PATHS["flow"])
    flow.set_timesteps(5)
    torch.testing.assert_close(flow.scale_noise(x, torch.tensor([250.0]), eps), 0.75 * x + 0.25 * eps)
    edm = zoo.as_scheduler("heun", PATHS["EDM"])
    edm.set_timesteps(5)
    sigma = float(edm.sigmas[2])
    torch.testing.assert_close(edm.add_noise(x, eps, edm.timesteps[2:3]), x + sigma * eps, rtol=1e-4, atol=1e-3)


def test_sigmas_and_timesteps_of_a_user() -> None:
    scheduler = zoo.as_scheduler("ddim", PATHS["VP"])
    scheduler.set_timesteps(timesteps=[900, 500, 20])
    assert scheduler.timesteps.tolist() == [900, 500, 20]
    sigmas = scheduler.sigmas.tolist()
    scheduler.set_timesteps(sigmas=sigmas)  # with the 0 at the end, as diffusers lists them
    assert scheduler.timesteps.tolist() == pytest.approx([900, 500, 20], abs=1e-3)
    top = float((1 / scheduler.alphas_cumprod[-1] - 1).sqrt())
    scheduler.set_timesteps(sigmas=[1.001 * top, 1.0])  # a little beyond the top
    assert scheduler.timesteps[0] == 999
    edm = zoo.as_scheduler("ddim", PATHS["EDM"])
    edm.set_timesteps(sigmas=[40.0, 1.0])
    assert edm.timesteps.tolist() == pytest.approx([0.25 * torch.tensor(40.0).log().item(), 0.0])
    assert edm.init_noise_sigma == pytest.approx(40.0)
    with pytest.raises(zoo.UsageError, match="on this VE path, give sigmas"):
        edm.set_timesteps(timesteps=[22, 0])
    for wrong, words in (
        ({"timesteps": [9], "sigmas": [1.0, 0.5]}, "1 timesteps and 2 sigmas"), ({}, "needs a number of steps"),
        ({"sigmas": [1.0, 2.0]}, "decrease"), ({"sigmas": []}, "at least one noisy level"),
        ({"sigmas": [1.0, 0.0, 0.0]}, "have to decrease"), ({"timesteps": [2000]}, "outside"),
        ({"sigmas": [1e9]}, "below the schedule"), ({"num_inference_steps": 0}, "at least 1 step"),
        ({"num_inference_steps": 5, "jump_length": 3}, "jump_length to set_timesteps"),
    ):  # fmt: skip
        with pytest.raises(zoo.UsageError, match=words):
            scheduler.set_timesteps(**wrong)


def test_dynamic_shift() -> None:
    """Compare the grid with diffusers', which shifts the sigmas that a pipeline gives by mu."""
    sigmas = [1.0, 0.75, 0.5, 0.25]
    for kind in ("exponential", "linear"):
        theirs = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
        ours = zoo.as_scheduler("ddim", theirs)
        for mu in (0.6, 1.1):
            theirs.set_timesteps(sigmas=sigmas, mu=mu)
            ours.set_timesteps(sigmas=sigmas, mu=mu)
            torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(ours.timesteps, theirs.timesteps, rtol=1e-6, atol=1e-4)
        with pytest.raises(zoo.UsageError, match="set_timesteps needs mu"):
            ours.set_timesteps(4)


def test_timesteps_beside_sigmas_are_what_the_network_is_told() -> None:
    """Tell the network other times than those of its levels, as CogView4 does; between them, times between."""
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    ours = zoo.as_scheduler("heun", theirs)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(sigmas=[1.0, 0.6, 0.2], timesteps=[1000, 600, 200])
    assert ours.timesteps[::2].tolist() == theirs.timesteps.tolist() == [1000, 600, 200]
    torch.testing.assert_close(ours.sigmas[[0, 2, 4, 5]], theirs.sigmas, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("config", [{"shift": 3.0}, {"shift_terminal": 0.1}, {"use_karras_sigmas": True}])
def test_given_sigmas_are_shifted_once(config: dict[str, Any]) -> None:
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(**config)
    ours = zoo.as_scheduler("ddim", theirs)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(sigmas=[0.95, 0.6, 0.3, 0.1])
    torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=1e-6, atol=1e-6)


def test_learned_variance() -> None:
    """Take outputs of twice the channels, as pipelines hand them on if the config says learned_range."""
    replaced = diffusers.DDPMScheduler(variance_type="learned_range", clip_sample=False)
    scheduler = zoo.as_scheduler("ddpm", replaced, seed=3)
    model = dataclasses.replace(
        as_model(scheduler), net=lambda x, time, _: torch.cat([network(x, time[0]), 0.2 * x], dim=1)
    )
    x = Noise(3, range(2), SHAPE)()
    made = drive(scheduler, x, net=lambda x, t: torch.cat([network(x, t), 0.2 * x], dim=1))
    assert torch.equal(made, zoo.sample(model, "ddpm", seed=3, steps=6, num_images=2).states)
    assert not torch.equal(made, zoo.sample(model, "ddpm", variance="small", seed=3, steps=6, num_images=2).states)
    with pytest.raises(zoo.UsageError, match="no learned variance; take small or large"):
        drive(scheduler, x)


# --- noise


def test_noise_of_generators() -> None:
    """Draw as diffusers does: one generator for a batch, one an image in a list, or torch's own."""
    x = draws(2, *SHAPE)
    scheduler = zoo.as_scheduler("ddpm", PATHS["VP"])
    lists = drive(scheduler, x, generator=[torch.Generator().manual_seed(k) for k in (7, 8)])
    alone = drive(scheduler, x[1:], generator=[torch.Generator().manual_seed(8)])
    torch.testing.assert_close(lists[1:], alone, rtol=0, atol=1e-6)
    one = drive(scheduler, x, generator=torch.Generator().manual_seed(7))
    assert not torch.equal(one, lists)
    assert torch.equal(one, drive(scheduler, x, generator=torch.Generator().manual_seed(7)))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        assert torch.equal(drive(scheduler, x), one)
    with pytest.raises(zoo.UsageError, match="3 generators for a batch of 2"):
        drive(scheduler, x, generator=[torch.Generator()] * 3)


def test_noise_of_a_seed_depends_on_image_and_step() -> None:
    x = draws(3, *SHAPE)
    scheduler = zoo.as_scheduler("ddpm", PATHS["VP"], seed=5)
    whole = drive(scheduler, x, generator=torch.Generator())
    scheduler.images = [2]
    torch.testing.assert_close(drive(scheduler, x[2:]), whole[2:], rtol=0, atol=1e-6)
    with pytest.raises(zoo.UsageError, match="1 numbers of images for a batch of 3"):
        drive(scheduler, x)
    with pytest.raises(zoo.UsageError, match="seed must be a whole number"):
        zoo.as_scheduler("ddpm", PATHS["VP"], seed=-1)


# --- states


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["ddim", "heun", "dpm-solver++"])
def test_computes_in_float32_whatever_the_dtype(name: str, dtype: torch.dtype) -> None:
    """Keep the dtype of the states, and the digits beyond it: a run is near the float32 one, without adding up."""
    scheduler = zoo.as_scheduler(name, PATHS["VP"])
    x = draws(2, *SHAPE).to(dtype)
    seen = []

    def net(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x.dtype)
        return torch.zeros_like(x) + 0.25  # no rounding

    made = drive(scheduler, x, 50, net=net)
    assert {made.dtype, *seen} == {dtype}
    exact = drive(scheduler, x.float(), 50, net=net)
    assert torch.equal(made, exact.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", ["ddim", "heun", "deis", "ipndm", "euler-ancestral"])
def test_goes_on_from_a_changed_state(name: str, dtype: torch.dtype) -> None:
    """Shift the state after a step by what a network that answers 0 keeps: it arrives in proportion."""
    ends = []
    for shift in (0.0, 1.0):
        scheduler = zoo.as_scheduler(name, PATHS["VP"], seed=0)
        scheduler.set_timesteps(5)
        x = draws(1, *SHAPE).to(dtype)
        for i, t in enumerate(scheduler.timesteps):
            x = scheduler.step(torch.zeros_like(x), t, x).prev_sample
            if i == 2 * scheduler.order - 1:
                x = x + shift  # another tensor, as a callback makes it
        ends.append(x.float())
    # eps = 0: x0 is x / alpha all the way, so that a shift grows by 1 / alpha
    grown = torch.full_like(ends[0], 1 / scheduler.timetable.grid.levels[2].alpha)
    digits = 1e-6 if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(ends[1] - ends[0], grown, rtol=0, atol=digits * float(ends[1].abs().max()))


def test_state_changed_in_place() -> None:
    scheduler = zoo.as_scheduler("dpm-solver++", PATHS["VP"])
    ends = []
    for in_place in (False, True):
        scheduler.set_timesteps(5)
        x = draws(1, *SHAPE)
        for i, t in enumerate(scheduler.timesteps):
            x = scheduler.step(network(x, t), t, x, return_dict=False)[0]
            if i == 2:
                if in_place:
                    x[:, :, :2] = 0
                else:
                    x = torch.cat([torch.zeros_like(x[:, :, :2]), x[:, :, 2:]], dim=2)
        ends.append(x)
    assert torch.equal(*ends)


def test_input_of_the_pipeline_is_left_unchanged() -> None:
    scheduler = zoo.as_scheduler("ddim", PATHS["VP"])
    scheduler.set_timesteps(5)
    x = draws(1, *SHAPE)
    before = x.clone()
    drive(scheduler, x, 0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["ipndm", "deis", "dpm-solver++", "unipc"])
def test_network_may_write_its_answers_into_one_place(name: str) -> None:
    place = torch.empty(1, *SHAPE)
    for path in ("VP", "flow"):
        scheduler, x = zoo.as_scheduler(name, PATHS[path]), draws(1, *SHAPE)
        made = drive(scheduler, x, net=lambda x, t: place.copy_(network(x, t)))
        assert torch.equal(made, drive(scheduler, x))


def test_predicted_image_is_returned() -> None:
    scheduler = zoo.as_scheduler("ddim", PATHS["VP"])
    scheduler.set_timesteps(5)
    x = draws(1, *SHAPE)
    t = scheduler.timesteps[0]
    answer = scheduler.step(0.5 * x, t, x)
    alpha = scheduler.alphas_cumprod[t].sqrt()
    torch.testing.assert_close(answer.pred_original_sample, (x - (1 - alpha**2).sqrt() * 0.5 * x) / alpha)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_name_the_step(bad: float) -> None:
    scheduler = zoo.as_scheduler("heun", PATHS["VP"])
    scheduler.set_timesteps(5)
    calls = iter(range(100))

    def net(x: Tensor, t: Tensor) -> Tensor:
        return x * (bad if next(calls) == 5 else 0.5)

    with pytest.raises(zoo.ZooError, match="the network returned NaN or infinity at step 3 of 5"):
        drive(scheduler, draws(1, *SHAPE), 0, net=net)
    assert torch.isfinite(drive(scheduler, draws(1, *SHAPE), 5)).all()


# --- what is refused


class Adaptive(Sampler):
    """Sampler that goes back to where it was, if the state is large."""

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x, t)
        if x.abs().max() > 1e6:
            p = denoise(x, denoise.schedule.at((t.tau + s.tau) / 2))
        return s.alpha * p.x0 + s.sigma * p.eps


class Stops(Sampler):
    def walk(self, x: Any, grid: Any, denoise: Any, noise: Any) -> Iterator[Any]:
        yield denoise(x, grid.levels[0]).x0


class Reshapes(Sampler):
    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        return denoise(x.flatten(1), t).x0


class Lazy(Sampler):
    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        return denoise(x, t).x0 if s.clean else x


class Breaks(Sampler):
    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x, t)
        if x.shape[-1] > 2:
            raise RuntimeError("no more")
        return s.alpha * p.x0 + s.sigma * p.eps


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (Stops(), "yields 1 of the 5 steps"), (Reshapes(), r"state of shape \(1, 16\)"),
        (Lazy(), "does not call the network in its first step"),
    ],
)  # fmt: skip
def test_samplers_that_keep_to_no_protocol(sampler: Sampler, words: str) -> None:
    scheduler = zoo.as_scheduler(sampler, PATHS["VP"])
    with pytest.raises(zoo.ZooError, match=words):
        scheduler.set_timesteps(5)


def test_errors_of_a_sampler_name_its_line() -> None:
    scheduler = zoo.as_scheduler(Breaks(), PATHS["VP"])
    with pytest.raises(zoo.ZooError, match=r"Breaks fails: RuntimeError: no more \(.*test_scheduler.py, line"):
        drive(scheduler, draws(1, *SHAPE))


def test_calls_that_depend_on_the_image_are_refused() -> None:
    scheduler = zoo.as_scheduler(Adaptive(), PATHS["VP"])
    x = draws(1, *SHAPE)
    assert torch.equal(drive(scheduler, x), drive(zoo.as_scheduler("ddim", PATHS["VP"]), x))
    with pytest.raises(zoo.ZooError, match="its calls depend on the image"):
        drive(scheduler, 1e7 * x)


def test_churn_in_the_middle_is_refused() -> None:
    scheduler = zoo.as_scheduler("heun", PATHS["VP"], s_churn=2.0)
    drive(scheduler, draws(1, *SHAPE))
    scheduler.set_begin_index(4)
    with pytest.raises(zoo.UsageError, match="other levels if it begins at step 3 of 6"):
        drive(scheduler, draws(1, *SHAPE), 0, start=4)


class Warming(Sampler):
    """Sampler that calls the network twice in its very first step."""

    def walk(self, x: Any, grid: Any, denoise: Any, noise: Any) -> Iterator[Any]:
        for n, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t) if n else denoise(denoise(x, t).x, t)
            x = s.alpha * p.x0 + s.sigma * p.eps
            yield x


class Noisy(Sampler):
    """Sampler that adds noise before it asks the network."""

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any) -> Any:
        p = denoise(x + 0.1 * noise(), t)
        return s.alpha * p.x0 + s.sigma * p.eps


def test_samplers_that_cannot_start_somewhere_are_refused() -> None:
    warming = zoo.as_scheduler(Warming(), PATHS["VP"])
    assert torch.equal(drive(warming, draws(1, *SHAPE)), drive(zoo.as_scheduler("ddim", PATHS["VP"]), draws(1, *SHAPE)))
    assert (warming.order, len(warming.timesteps)) == (1, 7)
    with pytest.raises(zoo.UsageError, match="other levels if it begins at step 2 of 6"):
        drive(warming, draws(1, *SHAPE), start=2)
    with pytest.raises(zoo.UsageError, match="changes state or level before its first call of the network"):
        drive(zoo.as_scheduler(Noisy(), PATHS["VP"]), draws(1, *SHAPE))


def test_pipelines_that_do_not_scale_are_refused() -> None:
    scheduler = zoo.as_scheduler("ddim", PATHS["EDM"])
    scheduler.set_timesteps(5)
    x, t = draws(1, *SHAPE), scheduler.timesteps[0]
    with pytest.raises(zoo.UsageError, match="does not call scale_model_input"):
        scheduler.step(x, t, x)
    with pytest.raises(zoo.UsageError, match="step needs the state itself"):
        scheduler.step(x, t, scheduler.scale_model_input(x, t))


def test_refusals_name_what_is_missing() -> None:
    scheduler = zoo.as_scheduler("ddim", PATHS["flow"])
    for name in ("model_outputs", "alphas_cumprod", "step_pred", "_step_index"):
        assert not hasattr(scheduler, name)
        with pytest.raises(zoo.UsageError, match=f"no '{name}'; .* keeps to FlowMatchEulerDiscreteScheduler"):
            getattr(scheduler, name)
    with pytest.raises(zoo.UsageError, match="the pipeline scales a number"):
        scheduler.scale_model_input(torch.tensor(14.6), 999)  # as the latent upscaler does
    with pytest.raises(zoo.UsageError, match="set_timesteps has to be called"):
        scheduler.step(draws(1, *SHAPE), 1.0, draws(1, *SHAPE))
    scheduler.set_timesteps(5)
    with pytest.raises(zoo.UsageError, match="prev_timestep to step: only FlowMatchEuler"):
        scheduler.step(draws(1, *SHAPE), scheduler.timesteps[0], draws(1, *SHAPE), prev_timestep=3)
    with pytest.raises(zoo.UsageError, match="timestep 3 is none of this run"):
        scheduler.step(draws(1, *SHAPE), 3.0, draws(1, *SHAPE))
    scheduler.step(draws(1, *SHAPE), scheduler.timesteps[0], draws(1, *SHAPE))
    with pytest.raises(zoo.UsageError, match="in the middle of a run"):
        scheduler.step(draws(1, 3, 2, 2), scheduler.timesteps[1], draws(1, 3, 2, 2))
    with pytest.raises(zoo.ZooError, match=r"network behind a FlowMatch.* returned shape"):
        scheduler.step(draws(1, 3, 2, 2), scheduler.timesteps[0], draws(1, *SHAPE))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: zoo.as_scheduler("heunn", PATHS["VP"]), "did you mean heun"),
        (lambda: zoo.as_scheduler("ddim", PATHS["VP"], solver_order=2), "no option 'solver_order'; it belongs to"),
        (lambda: zoo.as_scheduler(Stops(), PATHS["VP"], eta=1.0), "go into the sampler object itself"),
        (lambda: zoo.as_scheduler(3, PATHS["VP"]), "name or an object of a Sampler, not 3"),
        (lambda: zoo.as_scheduler("ddim", PATHS["VP"], clip_x0="hard"), "clip-x0 is off, static"),
        (lambda: zoo.as_scheduler("ddim", diffusers.ScoreSdeVeScheduler()), "ScoreSdeVeScheduler has no step"),
        (lambda: zoo.as_scheduler("ddim", diffusers.UnCLIPScheduler()), "no architecture reads UnCLIPScheduler"),
        (lambda: zoo.as_scheduler("ddim", object()), "as pipe.scheduler, not <object"),
        (lambda: zoo.as_scheduler("ddim", PATHS["LCM"]), "ddim needs the mean"),
        (lambda: zoo.as_scheduler("consistency", PATHS["VP"]), r"LCMScheduler.from_config\(pipe.scheduler.config\)"),
        (
            lambda: zoo.as_scheduler("ddim", diffusers.DDIMScheduler(rescale_betas_zero_snr=True)),
            "epsilon says nothing of x0",
        ),
    ],
)
def test_wrong_requests(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(zoo.ZooError, match=words):
        make()


# --- configs, copies, folders


def test_config_is_that_of_the_replaced_scheduler() -> None:
    scheduler = zoo.as_scheduler("dpm-solver++", diffusers.PNDMScheduler(**PNDM), solver_order=3, spacing="karras")
    assert scheduler.config.beta_end == PNDM["beta_end"]
    assert scheduler.config.replaces == "PNDMScheduler"
    assert scheduler.config.sampler_options == {"solver_order": 3}
    assert diffusers.DDIMScheduler in scheduler.compatibles
    back = diffusers.DDIMScheduler.from_config(scheduler.config)
    assert back.config.beta_end == PNDM["beta_end"]
    again = zoo.SamplerScheduler.from_config(scheduler.config)
    assert again.config == scheduler.config
    other = zoo.as_scheduler("heun", scheduler)  # in the place of a hosted one
    assert (other.config.replaces, other.config.sampler, other.config.spacing) == ("PNDMScheduler", "heun", None)
    direct = zoo.SamplerScheduler.from_config(diffusers.PNDMScheduler(**PNDM).config, sampler="heun")
    direct.set_timesteps(5)
    other.set_timesteps(5)
    assert direct.timesteps.tolist() == other.timesteps.tolist()
    assert len(scheduler) == 1000


def test_config_that_a_pipeline_changes_is_heard() -> None:
    """Stable Diffusion's pipelines set steps_offset and clip_sample when they are made."""
    scheduler = zoo.as_scheduler("ddim", diffusers.DDIMScheduler())
    assert scheduler.config.clip_sample
    pipeline = stable_diffusion(scheduler=scheduler)
    assert not scheduler.config.clip_sample
    assert scheduler.config.steps_offset == 1
    latents_of(pipeline, 3)
    assert scheduler.timetable.model.clip.mode == "off"


def test_pipeline_is_saved_and_loaded(tmp_path: Path) -> None:
    pipeline = stable_diffusion()
    pipeline.scheduler = zoo.as_scheduler("dpm-solver++", pipeline.scheduler, solver_order=3, spacing="karras", seed=4)
    made = latents_of(pipeline)
    pipeline.save_pretrained(tmp_path / "sd")
    assert '"samplerzoo",\n    "SamplerScheduler"' in (tmp_path / "sd" / "model_index.json").read_text()
    absent = ["text_encoder", "tokenizer", "safety_checker", "feature_extractor", "image_encoder"]
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "sd", **dict.fromkeys(absent))
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded.scheduler) is zoo.SamplerScheduler
    assert loaded.scheduler.config.sampler_options == {"solver_order": 3}
    assert torch.equal(latents_of(loaded), made)
    alone = zoo.SamplerScheduler.from_pretrained(tmp_path / "sd", subfolder="scheduler")
    assert alone.config.seed == 4


def test_folder_of_a_pipeline_is_a_model_folder(tmp_path: Path, tiny_unet: Callable[..., Any]) -> None:
    """Load the folder of a hosted sampler as a model: its path is that of the scheduler that was replaced."""
    hosted = zoo.as_scheduler("heun", diffusers.DDPMScheduler(beta_end=0.01))
    diffusers.DDPMPipeline(tiny_unet(), hosted).save_pretrained(tmp_path / "ddpm")
    model = zoo.load(tmp_path / "ddpm", device="cpu")
    assert model.schedule.alphas[-1] == pytest.approx(float(hosted.alphas_cumprod[-1]) ** 0.5)


def test_sampler_of_a_notebook_is_not_saved(tmp_path: Path) -> None:
    scheduler = zoo.as_scheduler(Adaptive(), PATHS["VP"])
    with pytest.raises(zoo.UsageError, match="Adaptive is no installed plugin"):
        scheduler.save_pretrained(tmp_path)


def test_sampler_of_a_file_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        '"""Mine."""\n\nfrom samplerzoo import Field, Sampler\n\n\nclass HostedMine(Sampler):\n    """Mine."""\n\n'
        '    size: float = Field(1.0, description="factor")\n\n    def step(self, x, t, s, denoise, noise):\n'
        "        p = denoise(x, t)\n        return s.alpha * p.x0 + self.size * s.sigma * p.eps\n"
    )
    (plugin,) = zoo.load_file(file)
    made = plugin.load()(size=0.5)
    zoo.as_scheduler(made, PATHS["VP"]).save_pretrained(tmp_path / "saved")
    assert zoo.SamplerScheduler.from_pretrained(tmp_path / "saved").sampler == made


def test_copies_start_anew() -> None:
    x = draws(1, *SHAPE)
    scheduler = zoo.as_scheduler("unipc", PATHS["VP"])
    made = drive(scheduler, x, 5)
    scheduler.set_timesteps(5)
    scheduler.step(x, scheduler.timesteps[0], x)
    copied = copy.deepcopy(scheduler)
    assert copied.step_index is None
    assert torch.equal(drive(copied, x, 0), made)
    with pytest.raises(zoo.UsageError, match="copies the state of its scheduler in the middle of a run"):
        copy.deepcopy(scheduler.__dict__)  # as pipelines of panoramas do


@pytest.mark.parametrize(
    ("sampler", "asked", "noted"),
    [
        ("unipc", {"sigmas": [1.0, 0.75, 0.5, 0.25, 0.001]}, True),
        ("unipc", {"sigmas": [1.0, 0.75, 0.5, 0.25, 0.001], "spacing": "trailing"}, True),  # which nobody follows
        ("unipc", {"timesteps": [1000, 750, 500, 250, 1]}, True),
        ("unipc", {"num_inference_steps": 5}, True),
        ("heun", {"num_inference_steps": 5}, True),  # which evaluates at both ends of the long step
        ("unipc", {"num_inference_steps": 5, "spacing": "linspace"}, False),
        ("unipc", {"num_inference_steps": 50}, False),
        ("unipc", {"sigmas": [1.0, 0.8, 0.6, 0.4, 0.2]}, False),
        ("ddim", {"sigmas": [1.0, 0.75, 0.5, 0.25, 0.001]}, False),
    ],
)
def test_a_long_end_is_said_whoever_names_the_levels(
    capsys: pytest.CaptureFixture[str], sampler: str, asked: dict[str, Any], noted: bool
) -> None:
    own = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler = zoo.as_scheduler(sampler, own, spacing=asked.get("spacing"))
    for _ in range(2):
        scheduler.set_timesteps(**{name: value for name, value in asked.items() if name != "spacing"})
    noun = "the network behind a FlowMatchEulerDiscreteScheduler: the grid"
    assert capsys.readouterr().err.count(noun) == noted


def test_a_long_end_is_said_of_each_scheduler(capsys: pytest.CaptureFixture[str]) -> None:
    """Two pipelines of different models may have schedulers of one config, and each has its note."""
    for _ in range(2):
        scheduler = zoo.as_scheduler("unipc", diffusers.FlowMatchEulerDiscreteScheduler())
        copied = copy.deepcopy(scheduler)
        scheduler.set_timesteps(5)
        copied.set_timesteps(5)
        assert capsys.readouterr().err.count("the grid of its scheduler ends") == 2
        copy.deepcopy(scheduler).set_timesteps(5)
        assert not capsys.readouterr().err
