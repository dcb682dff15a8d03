"""Comparison of hosted samplers with diffusers' own scheduler of the same method, in the same pipeline.

Latents have to be equal to 1e-4 of their size: tables of diffusers are float32, ours float64.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from pipelines import CALLS, MILD, PNDM, dit, draws, latents_of, ldm, stable_diffusion

import samplerzoo as zoo

STEPS = 10
TOLERANCE = 1e-4
TRAILING = {**MILD, "timestep_spacing": "trailing"}
EVEN = [*map(float, np.linspace(1.0, 1 / STEPS, STEPS))]
"""Sigmas that Flux asks for by itself, and other flow pipelines if they are told to."""


FLOWS = ["StableDiffusion3Pipeline", "FluxPipeline", "WanPipeline"]


@pytest.fixture(scope="module")
def pipeline(request: pytest.FixtureRequest) -> Any:
    """Make each pipeline once."""
    return CALLS[request.param][0]()


def same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Compare latents, relative to the largest value."""
    assert theirs.abs().max() > 0.5  # there is something to compare
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE * float(theirs.abs().max()))


@pytest.fixture
def put(pipeline: Any) -> Iterator[Any]:
    """Return a function that puts another scheduler into the pipeline, and put the old one back at the end."""
    before = pipeline.scheduler

    def put(scheduler: Any) -> None:
        pipeline.scheduler = scheduler

    yield put
    pipeline.scheduler = before


VP_METHODS: dict[str, tuple[dict[str, Any], Any, Mapping[str, Any]]] = {
    "ddim": ({}, diffusers.DDIMScheduler, {"clip_sample": False}),
    "dpm-solver++": ({"solver_order": 2}, diffusers.DPMSolverMultistepScheduler, {"solver_order": 2}),
    "unipc": ({"solver_order": 2}, diffusers.UniPCMultistepScheduler, {"solver_order": 2}),
    "heun": ({}, diffusers.HeunDiscreteScheduler, {}),
    "euler-ancestral": ({}, diffusers.EulerAncestralDiscreteScheduler, {}),
    "ddpm": ({"variance": "small"}, diffusers.DDPMScheduler, {"clip_sample": False}),
}


CASES = [
    *(("StableDiffusionPipeline", sampler, kind) for sampler in VP_METHODS for kind in ("epsilon", "v_prediction")),
    *(("PixArtAlphaPipeline", sampler, "epsilon") for sampler in VP_METHODS),
    ("StableDiffusionXLPipeline", "dpm-solver++", "epsilon"),
    ("StableDiffusionXLPipeline", "heun", "v_prediction"),
]


@pytest.mark.parametrize(("pipeline", "sampler", "kind"), CASES, indirect=["pipeline"])
def test_on_paths_with_betas(pipeline: Any, put: Any, sampler: str, kind: str) -> None:
    options, scheduler, config = VP_METHODS[sampler]
    theirs = scheduler(**TRAILING, **config, prediction_type=kind)
    start = CALLS[type(pipeline).__name__][1]["latents"]
    put(zoo.as_scheduler(sampler, diffusers.PNDMScheduler(**PNDM, prediction_type=kind), **options))
    here = latents_of(pipeline, STEPS, generator=torch.manual_seed(3))
    put(theirs)
    if float(theirs.init_noise_sigma) != 1.0:  # its states are x / alpha
        theirs.set_timesteps(STEPS)
        start = start / (math.sqrt(float(theirs.alphas_cumprod[-1])) * theirs.init_noise_sigma)
    same(here, latents_of(pipeline, STEPS, generator=torch.manual_seed(3), latents=start))


@pytest.mark.parametrize("pipeline", FLOWS, indirect=True)
def test_euler_on_flows(pipeline: Any, put: Any) -> None:
    """Compare flows, with a static shift and with one that depends on the size of the image.

    Wan takes no sigmas, and of its own ones diffusers shifts the ends twice, so that it is compared without a shift.
    """
    is_wan = type(pipeline).__name__ == "WanPipeline"
    dynamic = bool(pipeline.scheduler.config.get("use_dynamic_shifting"))
    shift = 1.0 if dynamic or is_wan else 3.0
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=dynamic)
    asked = {} if is_wan else {"sigmas": EVEN}
    put(zoo.as_scheduler("probability-flow", theirs))
    here = latents_of(pipeline, STEPS, **asked)
    put(theirs)
    same(here, latents_of(pipeline, STEPS, **asked))


def test_unipc_on_a_flow() -> None:
    """Compare below the top, where its alpha is 1e-6 and ours 2^-12, and where its whole timesteps are exact."""
    pipeline = CALLS["StableDiffusion3Pipeline"][0]()
    sigmas = np.arange(7, 0, -1) / 8
    theirs = diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    pipeline.scheduler = zoo.as_scheduler("unipc", theirs, solver_order=2)
    here = latents_of(pipeline, 7, sigmas=sigmas)
    pipeline.scheduler = theirs
    same(here, latents_of(pipeline, 7, sigmas=sigmas))


@pytest.mark.parametrize(("sampler", "scheduler"), [("ddim", "DDIMScheduler"), ("ddpm", "DDPMScheduler")])
@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
@pytest.mark.parametrize("out_channels", [4, 8])
def test_dit(out_channels: int, guidance_scale: float, sampler: str, scheduler: str) -> None:
    """Compare images of DiTPipeline, which takes no latents and returns none.

    Guided, its state is a batch twice as large, of which it overwrites a half after every step. It hands over no
    generator.
    """
    own = getattr(diffusers, scheduler)(**TRAILING, clip_sample=False)
    pipeline = dit(own, out_channels)

    def images() -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            return pipeline([1, 2], guidance_scale, torch.Generator().manual_seed(3), STEPS, "pt").images

    there = images()
    pipeline.scheduler = zoo.as_scheduler(sampler, own)
    torch.testing.assert_close(images(), there, rtol=0, atol=TOLERANCE)
    assert there.std() > 0.05


def test_ldm() -> None:
    pipeline = ldm(diffusers.DDIMScheduler(**TRAILING, clip_sample=False))
    ours = zoo.as_scheduler("ddim", pipeline.scheduler)

    def images() -> Any:
        return pipeline(1, torch.manual_seed(3), num_inference_steps=STEPS, output_type="np").images

    there = images()
    pipeline.scheduler = ours
    np.testing.assert_allclose(images(), there, rtol=0, atol=1e-3)  # a nearest code may be another one


MUTANTS = {
    "time of 1 / 1000": lambda s: _told(s, lambda t: (t.tau - 1) / 1000),
    "time that is one late": lambda s: _told(s, lambda t: t.tau),
    "sign of the output": lambda s: setattr(s, "step", lambda f, *a, step=s.step, **k: step(-f, *a, **k)),
}


def _told(scheduler: Any, c_noise: Any) -> None:
    """Have the network told another time."""
    read = scheduler._read

    def mutant(given: Any) -> Any:
        model = read(given)
        return dataclasses.replace(model, parametrization=dataclasses.replace(model.parametrization, c_noise=c_noise))

    scheduler._read = mutant


@pytest.mark.parametrize("mutant", MUTANTS)
def test_comparison_sees_mutants(mutant: str) -> None:
    pipeline = stable_diffusion(scheduler=diffusers.DDIMScheduler(**TRAILING, clip_sample=False))
    there = latents_of(pipeline, STEPS)
    pipeline.scheduler = zoo.as_scheduler("ddim", pipeline.scheduler)
    MUTANTS[mutant](pipeline.scheduler)
    with pytest.raises(AssertionError, match="not close"):
        same(latents_of(pipeline, STEPS), there)


def test_comparison_sees_a_double_shift() -> None:
    """Give a flow a shift of a shift, as diffusers gives the ends of its own grid."""
    pipeline = CALLS["StableDiffusion3Pipeline"][0]()
    there = latents_of(pipeline, STEPS, sigmas=EVEN)
    pipeline.scheduler = zoo.as_scheduler("probability-flow", pipeline.scheduler)
    shifted = pipeline.scheduler.timetable.model.schedule.shifted(EVEN)
    same(latents_of(pipeline, STEPS, sigmas=EVEN), there)
    with pytest.raises(AssertionError, match="not close"):
        same(latents_of(pipeline, STEPS, sigmas=shifted), there)


@pytest.mark.parametrize("sampler", ["ddim", "dpm-solver++", "unipc", "heun"])
@pytest.mark.parametrize("kind", ["StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"])
def test_from_the_middle(kind: str, sampler: str) -> None:
    """Compare runs that start in the middle; inpainting changes the state after every step."""
    options, scheduler, config = VP_METHODS[sampler]
    pipeline = stable_diffusion(kind, scheduler(**TRAILING, **config))
    image = draws(1, 3, 16, 16).clamp(-1, 1)
    given = {
        "prompt_embeds": draws(1, 4, 16, seed=1), "negative_prompt_embeds": draws(1, 4, 16, seed=2), "image": image,
        "strength": 0.6, "num_inference_steps": STEPS, "guidance_scale": 2.0, "output_type": "latent",
    }  # fmt: skip
    if "Inpaint" in kind:
        given |= {"mask_image": (draws(1, 1, 16, 16, seed=9) > 0).float(), "height": 16, "width": 16}

    there = pipeline(generator=torch.manual_seed(3), **given).images
    pipeline.scheduler = zoo.as_scheduler(sampler, pipeline.scheduler, **options)
    here = pipeline(generator=torch.manual_seed(3), **given).images
    same(here, there)
