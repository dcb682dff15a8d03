"""Schedulers of diffusers as samplers: they compute what diffusers computes, and keep no state."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.diffusers_schedulers import schedulers
from samplerzoo_plugins.diffusers_schedulers.noise import drawing
from samplerzoo_plugins.diffusers_schedulers.scheduler import SchedulerSampler

from samplerzoo import registry
from samplerzoo.bench import screening as verdict
from samplerzoo.core.condition import Condition
from samplerzoo.core.level import Grid
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import FLOW, PARAMETRIZATIONS
from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.prediction import Clip, Denoiser
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian, is_stochastic, mixture, moments

OFFERED = [
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "UniPCMultistepScheduler",
]
SHAPE = (2, 1, 4, 4)
STEPS = 6


@pytest.fixture(scope="module")
def model(linear: Schedule) -> Model:
    """Make a model that is not linear: the unconditional side of a mixture."""
    means = torch.linspace(-1, 1, 2 * 16, dtype=torch.float64).reshape(2, *SHAPE[1:])
    exact = mixture(linear, means, 0.3)
    return Model(
        lambda x, tau, _: exact.net(x, tau, exact.condition(torch.full((len(x),), 2))), linear, shape=SHAPE[1:]
    )


def made(name: str, **options: Any) -> SchedulerSampler:
    return registry.make("sampler", f"diffusers:{name}", options)  # type: ignore[return-value]


def draws() -> Callable[..., torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda *_, **__: torch.randn(SHAPE, generator=generator, dtype=torch.float32)


def ours(sampler: Sampler, model: Model, grid: Grid, clip: Clip | None = None) -> list[torch.Tensor]:
    noise = draws()
    predict = model.denoise if clip is None else lambda x, t: clip(model.denoise(x, t))
    return list(sampler.walk(noise(), grid, Denoiser(predict, model.schedule), noise))


def theirs(scheduler: Any, model: Model, monkeypatch: pytest.MonkeyPatch, **of_step: Any) -> torch.Tensor:
    """Run the loop of a pipeline from the same x_T; the state of some schedulers is x / alpha."""
    noise = draws()
    module = sys.modules[type(scheduler).__module__]
    monkeypatch.setattr(module, "randn_tensor", noise, raising=False)
    x, first = noise(), scheduler.timesteps[0]
    x = x / scheduler.scale_model_input(torch.ones(1), first)
    for t in scheduler.timesteps:
        eps = model.net(scheduler.scale_model_input(x, t), torch.full((SHAPE[0],), float(t) + 1), Condition())
        x = scheduler.step(eps, t, x, **of_step).prev_sample
    return x


OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((name, {}, {}) for name in OFFERED),
    ("DDIMScheduler", {}, {"eta": 0.7}),
    ("DDPMScheduler", {"variance_type": "fixed_large"}, {}),
    ("UniPCMultistepScheduler", {"solver_order": 3, "disable_corrector": [0, 1]}, {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"}, {}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}, {"s_churn": 2.0}),
    ("HeunDiscreteScheduler", {"use_karras_sigmas": True}, {}),
    ("LMSDiscreteScheduler", {}, {"order": 2}),
    ("PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": True}, {}),
]


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize(("name", "options", "of_step"), OPTIONS, ids=[f"{n}-{o | s}" for n, o, s in OPTIONS])
def test_what_is_computed_is_what_diffusers_computes(
    name: str, options: dict, of_step: dict, spacing: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare up to float32, in which diffusers makes its betas."""
    cls = getattr(diffusers, name)
    known = {"beta_start": 1e-4, "beta_end": 0.02, "clip_sample": False, "timestep_spacing": spacing, **options}
    if name == "DPMSolverSinglestepScheduler" and spacing != "linspace":  # it knows no other, and takes timesteps
        scheduler = cls(beta_start=1e-4, beta_end=0.02)
        grid = model.schedule.grid(STEPS, spacing)
        scheduler.set_timesteps(timesteps=[int(t) for t in model.schedule.timesteps(grid)])
    else:
        parameters = [*cls.__init__.__wrapped__.__code__.co_varnames]
        scheduler = cls(**{key: value for key, value in known.items() if key in parameters})
        scheduler.set_timesteps(STEPS)
    fields = {("step_order" if key == "order" else key): value for key, value in {**options, **of_step}.items()}
    sampler = made(name, **fields)
    grid = sampler.grid(model.schedule, STEPS, spacing)
    states = ours(sampler, model, grid)
    assert len(states) == len(grid) == STEPS
    torch.testing.assert_close(states[-1], theirs(scheduler, model, monkeypatch, **of_step), rtol=0, atol=1e-4)


def test_ddim_on_leading_is_ours(model: Model) -> None:
    sampler = made("DDIMScheduler")
    grid = model.schedule.grid(20, "leading")
    assert sampler.grid(model.schedule, 20, "leading").levels == grid.levels
    for a, b in zip(ours(sampler, model, grid), ours(DDIM(), model, grid), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_clipping_is_in_one_place(model: Model, eta: float) -> None:
    """Check that our clip is used, which derives eps again; theirs would keep the old eps by default."""
    grid = model.schedule.grid(20, "leading")
    a, b = (
        ours(sampler, model, grid, Clip("static", 0.5)) for sampler in (made("DDIMScheduler", eta=eta), DDIM(eta=eta))
    )
    torch.testing.assert_close(a[-1], b[-1], rtol=0, atol=1e-4)
    assert (a[-1] - ours(made("DDIMScheduler", eta=eta), model, grid)[-1]).abs().max() > 0.1


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_draws_our_noise_and_is_ours_on_leading(model: Model, variance: str) -> None:
    grid = model.schedule.grid(20, "leading")
    theirs = ours(made("DDPMScheduler", variance_type=f"fixed_{variance}"), model, grid)
    torch.testing.assert_close(theirs[-1], ours(DDPM(variance=variance), model, grid)[-1], rtol=0, atol=1e-4)


def test_the_wrong_grid_is_theirs(linear: Schedule) -> None:
    """Check that on linspace theirs reads the previous alpha at t - T // S, which is not the next timestep."""
    normal = gaussian(linear, 0.5, 0.5)
    sampler = made("DDIMScheduler")
    stds = {
        spacing: moments(normal, sampler, sampler.grid(linear, 20, spacing)).std.item()
        for spacing in ("linspace", "leading")
    }
    assert stds["linspace"] == pytest.approx(0.4530, abs=1e-4)
    right = moments(normal, DDIM(), linear.grid(20, "leading")).std.item()
    assert stds["leading"] == pytest.approx(right, abs=1e-6)


def test_noise_in_the_final_image_is_theirs(linear: Schedule) -> None:
    """Check that fixed_large adds noise of 0.076 at the end: on trailing the last of 50 timesteps is 19."""
    sampler = made("DDPMScheduler", variance_type="fixed_large")
    point = gaussian(linear, 0.5, 0.0)
    assert moments(point, sampler, sampler.grid(linear, 50, "trailing")).std.item() == pytest.approx(
        linear.at(20).sigma, rel=1e-4
    )
    assert moments(point, sampler, sampler.grid(linear, 50, "leading")).std.item() < 1e-4


def test_two_runs_are_equal_and_the_global_random_state_is_left_alone(model: Model) -> None:
    for name in ("UniPCMultistepScheduler", "EulerAncestralDiscreteScheduler", "PNDMScheduler"):
        sampler = made(name)
        before = torch.random.get_rng_state()
        first, second = (sample(model, sampler, steps=STEPS, num_images=3, seed=5) for _ in range(2))
        assert torch.equal(first.images, second.images)
        assert torch.equal(before, torch.random.get_rng_state())
        alone = sample(model, sampler, steps=STEPS, num_images=3, seed=5, batch_size=1)
        torch.testing.assert_close(alone.images, first.images, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "nfe"),
    [("DDIMScheduler", 10), ("HeunDiscreteScheduler", 19), ("KDPM2DiscreteScheduler", 19), ("PNDMScheduler", 19)],
)
def test_evaluations_are_counted_and_steps_are_the_grid(model: Model, name: str, nfe: int) -> None:
    """Count evaluations: Heun's last step is Euler's, and PNDM's first three steps take four each."""
    seen: list[int] = []
    result = sample(
        model, f"diffusers:{name}", steps=10, num_images=2, on_step=lambda number, level, x: seen.append(number)
    )
    assert result.nfe == nfe
    assert seen == [*range(11)]
    assert result.grid.levels[:-1] == model.schedule.grid(10).levels[:-1]


def test_states_on_the_way_are_those_of_the_levels(linear: Schedule) -> None:
    """Check that yielded states are x, even where theirs are x / alpha, so that trajectories can be looked at."""
    normal = gaussian(linear, 2.0, 0.0, shape=SHAPE[1:])
    for name in ("EulerDiscreteScheduler", "HeunDiscreteScheduler", "DDIMScheduler", "KDPM2DiscreteScheduler"):
        sampler = made(name)
        grid = sampler.grid(linear, 5, "trailing")
        z = draws()()
        for x, level in zip(ours(sampler, normal, grid), grid.levels[1:], strict=True):
            torch.testing.assert_close(x, level.alpha * 2.0 + level.sigma * z, rtol=0, atol=2e-2)


@pytest.mark.parametrize("failure", [KeyError, KeyboardInterrupt])
def test_their_function_is_back_whatever_happens(failure: type[BaseException]) -> None:
    from diffusers.schedulers import scheduling_ddpm

    before = scheduling_ddpm.randn_tensor

    def noise() -> torch.Tensor:
        return torch.ones(2)

    def step() -> None:
        with drawing(scheduling_ddpm, noise):
            z = scheduling_ddpm.randn_tensor((2,), generator=None, dtype=torch.float64)
            assert torch.equal(z, torch.ones(2).double())
            raise failure

    with pytest.raises(failure):
        step()
    assert scheduling_ddpm.randn_tensor is before
    with pytest.raises(ZooError, match="shape"), drawing(scheduling_ddpm, noise):
        scheduling_ddpm.randn_tensor((3,))
    assert scheduling_ddpm.randn_tensor is before


def test_what_fails_in_a_step_is_one_line(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.schedulers import scheduling_ddpm

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of order\nand more")

    before = scheduling_ddpm.randn_tensor
    monkeypatch.setattr(diffusers.DDPMScheduler, "_get_variance", broken)
    with pytest.raises(ZooError, match=r"diffusers:DDPMScheduler fails at timestep 999: RuntimeError: out of order$"):
        sample(model, "diffusers:DDPMScheduler", steps=3, num_images=1)
    assert scheduling_ddpm.randn_tensor is before


def test_options_are_typed_and_survive() -> None:
    sampler = made("UniPCMultistepScheduler", solver_order=3, disable_corrector=[0])
    cls = type(sampler)
    assert cls.model_validate_json(sampler.model_dump_json()) == sampler
    assert pickle.loads(pickle.dumps(sampler)) == sampler
    for wrong in ({"solver_order": "three"}, {"solver_type": "bh3"}, {"disable_corrector": ["x"]}, {"solver_ordr": 2}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            made("UniPCMultistepScheduler", **wrong)
    owned = {"beta_start", "trained_betas", "prediction_type", "timestep_spacing", "clip_sample", "thresholding"}
    for name in OFFERED:
        fields = getattr(schedulers, name).model_fields
        assert not owned & set(fields)
        assert all(field.description for field in fields.values())
    assert set(schedulers.LMSDiscreteScheduler.model_fields) > {"step_order", "use_karras_sigmas"}


def test_whether_they_draw_noise_is_found_out() -> None:
    assert is_stochastic(made("DDPMScheduler"))
    assert is_stochastic(made("DDIMScheduler", eta=0.5))
    assert not is_stochastic(made("DDIMScheduler"))
    assert is_stochastic(made("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++"))
    assert not is_stochastic(made("DPMSolverMultistepScheduler"))


def test_every_one_has_a_grid_to_see_that_on() -> None:
    drawing = {name for name in OFFERED if is_stochastic(made(name))}
    assert {"DDPMScheduler", "EulerAncestralDiscreteScheduler"} <= drawing
    assert not {"DDIMScheduler", "HeunDiscreteScheduler", "PNDMScheduler", "LMSDiscreteScheduler"} & drawing


def test_their_order() -> None:
    assert made("UniPCMultistepScheduler", solver_order=3).order == 3
    assert made("HeunDiscreteScheduler").order == 2


def test_grids_that_are_not_theirs(model: Model) -> None:
    schedule = model.schedule
    with pytest.raises(UsageError, match=r"no spacing 'karras': diffusers has trailing, leading, linspace$"):
        made("DDIMScheduler").grid(schedule, 10, "karras")
    with pytest.raises(UsageError, match="and --use-karras-sigmas of its own"):
        made("HeunDiscreteScheduler").grid(schedule, 10, "karras")
    with pytest.raises(UsageError, match="takes no timesteps of ours"):
        sample(model, "diffusers:DDIMScheduler", timesteps=[999, 500, 7], num_images=1)
    with pytest.raises(UsageError, match=r"whole timesteps, not 7\.5"):
        sample(model, "diffusers:DDPMScheduler", timesteps=[999, 500, 7.5], num_images=1)
    there = sample(model, "diffusers:DDPMScheduler", timesteps=[999, 500, 0], num_images=2)
    here = sample(model, "ddpm", timesteps=[999, 500, 0], num_images=2)
    torch.testing.assert_close(there.images, here.images, rtol=0, atol=1e-4)
    with pytest.raises(UsageError, match="diffusers:PNDMScheduler refuses num_inference_steps 2"):
        made("PNDMScheduler").grid(schedule, 2, "trailing")
    with pytest.raises(
        UsageError,
        match=r"UniPCMultistepScheduler has no grid of 1000 steps, leading: .*decrease strictly: tau 1 follows 1",
    ):
        made("UniPCMultistepScheduler").grid(schedule, 1000, "leading")
    with pytest.raises(UsageError, match="DDIMScheduler has no grid of 1000 steps, leading: timestep 1000 is outside"):
        made("DDIMScheduler", steps_offset=1).grid(schedule, 1000, "leading")
    with pytest.raises(UsageError, match="visits whole timesteps"):
        made("DPMSolverSinglestepScheduler").grid(schedule, 10, "karras")
    karras = made("DPMSolverSinglestepScheduler", use_karras_sigmas=True).grid(schedule, 10, "linspace")
    assert schedule.timesteps(karras)[1] % 1
    with pytest.raises(UsageError, match=r"refuses its options.*[Oo]nly one of"):
        made("HeunDiscreteScheduler", use_karras_sigmas=True, use_exponential_sigmas=True).grid(schedule, 5, "leading")


@pytest.mark.parametrize("schedule", [VE(), RectifiedFlow()], ids=lambda schedule: schedule.kind)
@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverSinglestepScheduler"])
def test_a_path_without_betas_is_refused(name: str, schedule: Schedule) -> None:
    said = f"diffusers:{name} is given the betas of a model, and a {schedule.kind} path has none"
    with pytest.raises(UsageError, match=said):
        made(name).grid(schedule, 5, "trailing")
    with pytest.raises(UsageError, match=said):
        sample(gaussian(schedule, parametrization=FLOW), f"diffusers:{name}", timesteps=[0.9, 0.5], num_images=1)


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_zero_terminal_snr(kind: str) -> None:
    """Check that schedulers get v at zero terminal SNR: at alpha = 2^-12 an eps does not determine x0."""
    schedule = VP.from_config({"rescale_betas_zero_snr": True})
    normal = gaussian(schedule, 0.5, 0.5, parametrization=PARAMETRIZATIONS[kind])
    for name in ("DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler"):
        sampler = made(name)
        out = moments(normal, sampler, sampler.grid(schedule, 50, "trailing"))
        assert out.mean.item() == pytest.approx(0.5, abs=5e-3), name
        assert out.std.item() == pytest.approx(0.5, abs=0.03), name


def test_betas_are_those_of_the_model() -> None:
    schedule = VP.from_config({"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 500})
    normal = gaussian(schedule, 0.5, 0.5)
    sampler = made("DDIMScheduler")
    grid = sampler.grid(schedule, 10, "leading")
    assert moments(normal, sampler, grid).std.item() == pytest.approx(
        moments(normal, DDIM(), grid).std.item(), abs=1e-6
    )
    with pytest.raises(UsageError, match="does not keep to the betas"):
        made("CogVideoXDDIMScheduler").grid(schedule, 10, "leading")
    shifted = made("CogVideoXDDIMScheduler", snr_shift_scale=1.0)
    assert moments(normal, shifted, shifted.grid(schedule, 10, "leading")).std.item() == pytest.approx(
        moments(normal, DDIM(), grid).std.item(), abs=1e-5
    )


def test_who_is_offered() -> None:
    """Check that each scheduler either is right when measured, or says why it is not offered."""
    found = {each.name: each for each in verdict.verdicts("diffusers")}
    assert sorted(name for name, each in found.items() if each.offered) == OFFERED
    assert all(each.error < verdict.BOUND for each in found.values() if each.offered and each.error is not None)
    reasons = {name: each.reason for name, each in found.items() if not each.offered}
    assert len(reasons) > 20
    for name, words in {
        "LCMScheduler": "distilled",
        "TCDScheduler": "distilled",
        "IPNDMScheduler": "betas of the model",
        "RePaintScheduler": "mask, original_image",
        "DDIMInverseScheduler": "from image to noise",
        "FlowMatchEulerDiscreteScheduler": "flow matching",
        "ScoreSdeVeScheduler": "no step",
        "DPMSolverSDEScheduler": "Brownian tree",
    }.items():
        assert words in (reasons[name] or ""), name
    assert found["LCMScheduler"].error == pytest.approx(2.94e-2, rel=0.01)


def test_more_steps_do_not_help_those_that_are_not(linear: Schedule) -> None:
    """Check that the bound separates: at 1000 steps ancestral sampling has an error of 1.5e-5, TCD 100 times that."""
    normal = gaussian(linear, 0.5, 0.5)
    stds = {}
    for name, options in (("TCDScheduler", {"original_inference_steps": 1000}), ("DDPMScheduler", {})):
        sampler = made(name, **options)
        stds[name] = moments(normal, sampler, sampler.grid(linear, 1000, "trailing")).std.item()
    assert (stds["DDPMScheduler"] - 0.5) ** 2 < 2e-5
    assert (stds["TCDScheduler"] - 0.5) ** 2 > 1e-3


def test_names_that_are_none() -> None:
    with pytest.raises(UsageError, match=r"no scheduler 'DDIMSchedular' \(did you mean DDIMScheduler\?\)"):
        registry.get("sampler", "diffusers:DDIMSchedular")
    with pytest.raises(UsageError, match="is called diffusers:DDIMScheduler"):
        registry.get("sampler", "DDIMScheduler")
    with pytest.raises(UsageError, match="cannot be a sampler here: its step needs mask"):
        registry.get("sampler", "diffusers:RePaintScheduler")
    assert not any(plugin.source == "diffusers" for plugin in registry.plugins("sampler"))
