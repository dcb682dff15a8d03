"""Overhead of a hosted sampler: a pipeline of diffusers with it, against the same pipeline with its own scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch

import samplerzoo
from measure.figure import Figure, Work, ratio

STEPS, ROUNDS = 10, 15
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "timestep_spacing": "trailing"}
"""Betas of Stable Diffusion."""

KL = {"block_out_channels": (16, 16, 16, 16), "norm_num_groups": 8, "layers_per_block": 1, "sample_size": 256}
KL |= {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}  # type: ignore[dict-item]

METHODS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "ddim": (diffusers.DDIMScheduler, {"clip_sample": False}),
    "dpm-solver++": (diffusers.DPMSolverMultistepScheduler, {}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "heun": (diffusers.HeunDiscreteScheduler, {}),
}
"""Schedulers of diffusers with the same method, by the names of samplers."""


def measure() -> list[Figure]:
    """Measure in float32, batch 1 with guidance, so that a call of the network has two rows."""
    figures = []
    for title, make in (("Stable-Diffusion-shaped U-Net", _stable_diffusion), ("DiT", _dit)):
        network, pipeline, run = make()
        size = sum(weight.numel() for weight in network.parameters()) / 1e6
        for name, (scheduler, options) in METHODS.items():
            own = scheduler(**BETAS, **options)
            hosted = samplerzoo.as_scheduler(name, own)
            what = f"{name} against {scheduler.__name__}: {title}, {size:.1f} M parameters, {STEPS} steps"
            works = _with(pipeline, hosted, run), _with(pipeline, own, run)
            figures.append(ratio(what, *works, ROUNDS, "<= 1.01"))
    return figures


def _with(pipeline: Any, scheduler: Any, run: Work) -> Work:
    def work() -> None:
        pipeline.scheduler = scheduler
        run()

    return work


def _stable_diffusion() -> tuple[torch.nn.Module, Any, Work]:
    """Make network, pipeline and one run of it, from embedded prompts to latents."""
    unet = diffusers.UNet2DConditionModel(
        sample_size=32, block_out_channels=(64, 128), layers_per_block=1, cross_attention_dim=64, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        diffusers.AutoencoderKL(**KL), None, None, unet, diffusers.DDIMScheduler(**BETAS, clip_sample=False), None,
        None, requires_safety_checker=False,
    )  # fmt: skip
    prompts = {name: torch.randn(1, 77, 64) for name in ("prompt_embeds", "negative_prompt_embeds")}
    return unet, *_quiet(pipeline, lambda: pipeline(**prompts, num_inference_steps=STEPS, output_type="latent"))


def _dit() -> tuple[torch.nn.Module, Any, Work]:
    """Make network, pipeline and one run of it, from a label to pixels, of which decoding is a small part."""
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=32, num_layers=6, num_attention_heads=4, attention_head_dim=48, in_channels=4, out_channels=8
    ).eval()
    scheduler = diffusers.DDIMScheduler(**BETAS, clip_sample=False)
    pipeline = diffusers.DiTPipeline(transformer, diffusers.AutoencoderKL(**KL), scheduler)
    return transformer, *_quiet(pipeline, lambda: pipeline([1], num_inference_steps=STEPS, output_type="pt"))


def _quiet(pipeline: Any, run: Callable[[], Any]) -> tuple[Any, Work]:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, run
