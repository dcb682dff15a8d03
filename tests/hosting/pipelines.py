"""Tiny pipelines of diffusers, of weights drawn from a seed. Prompts are embeddings, so that no text encoder is needed.

Every weight is drawn anew, since diffusers leaves some near zero. Images are not decoded: what a scheduler has to do
with ends with the latents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

MILD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.006}
"""Betas up to alpha = 0.23. With Stable Diffusion's own, what a network answers first counts 15-fold in the image."""

PNDM = {**MILD, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}
"""Config of the scheduler in folders of Stable Diffusion."""

KL = {
    "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 16,
    "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
}  # fmt: skip
TEXT_UNET = {
    "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 16, "attention_head_dim": 8,
}  # fmt: skip


def drawn(cls: Any, seed: int = 0, **config: Any) -> nn.Module:
    """Make a network whose weights depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        module: nn.Module = cls(**config).eval()
    for name, weight in module.named_parameters():
        fan = weight[0].numel() if weight.ndim > 1 else 1
        weight.data = torch.randn(weight.shape, generator=generator) * (0.7 / fan**0.5 if weight.ndim > 1 else 0.1)
        if weight.ndim == 1 and "norm" in name and name.endswith("weight"):
            weight.data += 1
    return module


def draws(*shape: int, seed: int = 5) -> Tensor:
    """Return standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quiet(pipeline: Any) -> Any:
    """Return a pipeline that shows no progress."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stable_diffusion(
    kind: str = "StableDiffusionPipeline", scheduler: Any = None, *, tokenizer: Any = None, text_encoder: Any = None
) -> Any:
    """Make a Stable Diffusion pipeline, from text, from an image, or for inpainting."""
    return quiet(getattr(diffusers, kind)(
        vae=drawn(diffusers.AutoencoderKL, 1, **KL), tokenizer=tokenizer, text_encoder=text_encoder,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        unet=drawn(diffusers.UNet2DConditionModel, 0, **TEXT_UNET),
        scheduler=scheduler or diffusers.PNDMScheduler(**PNDM),
    ))  # fmt: skip


def reader_of_prompts(folder: Path) -> dict[str, Any]:
    """Make a tokenizer, which knows letters and no words, and a text encoder."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    start, end = len(words) - 2, len(words) - 1
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=32, bos_token_id=start, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=32)
    return {"tokenizer": tokenizer, "text_encoder": drawn(CLIPTextModel, 2, config=config)}


def sdxl(scheduler: Any = None) -> Any:
    """Make an SDXL pipeline."""
    unet = drawn(
        diffusers.UNet2DConditionModel, 0, **TEXT_UNET, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 16,
    )  # fmt: skip
    return quiet(diffusers.StableDiffusionXLPipeline(
        vae=drawn(diffusers.AutoencoderKL, 1, **KL), text_encoder=None, text_encoder_2=None, tokenizer=None,
        tokenizer_2=None, unet=unet, scheduler=scheduler or diffusers.EulerDiscreteScheduler(**MILD),
        add_watermarker=False,
    ))  # fmt: skip


def dit(scheduler: Any = None, out_channels: int = 8) -> Any:
    """Make a class-conditional DiT pipeline, with a learned variance unless it has four channels of output."""
    transformer = drawn(
        diffusers.DiTTransformer2DModel, 0, sample_size=8, patch_size=2, in_channels=4, out_channels=out_channels,
        num_layers=2, num_attention_heads=2, attention_head_dim=8, norm_num_groups=1,
    )  # fmt: skip
    scheduler = scheduler or diffusers.DDIMScheduler(**MILD, clip_sample=False)
    return quiet(diffusers.DiTPipeline(transformer, drawn(diffusers.AutoencoderKL, 1, **KL), scheduler))


def ldm(scheduler: Any = None) -> Any:
    """Make an unconditional pipeline of latents."""
    unet = drawn(
        diffusers.UNet2DModel, 0, sample_size=8, layers_per_block=1, norm_num_groups=4, block_out_channels=(8, 16),
        attention_head_dim=8, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vq = drawn(diffusers.VQModel, 1, **{**KL, "latent_channels": 3})
    return quiet(diffusers.LDMPipeline(vq, unet, scheduler or diffusers.DDIMScheduler(**MILD, clip_sample=False)))


def pixart(scheduler: Any = None) -> Any:
    """Make a PixArt-alpha pipeline, whose network has a learned variance that the pipeline leaves out."""
    transformer = drawn(
        diffusers.PixArtTransformer2DModel, 0, sample_size=8, patch_size=2, in_channels=4, out_channels=8,
        num_layers=2, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16, caption_channels=12,
        use_additional_conditions=False,
    )  # fmt: skip
    return quiet(diffusers.PixArtAlphaPipeline(
        tokenizer=None, text_encoder=None, vae=drawn(diffusers.AutoencoderKL, 1, **KL), transformer=transformer,
        scheduler=scheduler or diffusers.DPMSolverMultistepScheduler(**MILD),
    ))  # fmt: skip


def sd3(scheduler: Any = None, kind: str = "StableDiffusion3Pipeline") -> Any:
    """Make a Stable Diffusion 3 pipeline, a flow of static shift."""
    transformer = drawn(
        diffusers.SD3Transformer2DModel, 0, sample_size=8, patch_size=2, in_channels=4, num_layers=2,
        attention_head_dim=8, num_attention_heads=2, joint_attention_dim=16, caption_projection_dim=16,
        pooled_projection_dim=16, out_channels=4, pos_embed_max_size=8,
    )  # fmt: skip
    nothing = dict.fromkeys([
        "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3",
    ])  # fmt: skip
    return quiet(getattr(diffusers, kind)(
        transformer=transformer, vae=drawn(diffusers.AutoencoderKL, 1, **KL, shift_factor=0.1),
        scheduler=scheduler or diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), **nothing,
    ))  # fmt: skip


def flux(scheduler: Any = None) -> Any:
    """Make a Flux pipeline, a flow whose shift depends on the size of the image."""
    transformer = drawn(
        diffusers.FluxTransformer2DModel, 0, patch_size=1, in_channels=16, num_layers=1, num_single_layers=1,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=16, pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8), guidance_embeds=False,
    )  # fmt: skip
    return quiet(diffusers.FluxPipeline(
        scheduler=scheduler or diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=drawn(diffusers.AutoencoderKL, 1, **KL, shift_factor=0.1), text_encoder=None, tokenizer=None,
        text_encoder_2=None, tokenizer_2=None, transformer=transformer,
    ))  # fmt: skip


def wan(scheduler: Any = None) -> Any:
    """Make a Wan pipeline, which makes videos: latents (N, C, frames, H, W)."""
    transformer = drawn(
        diffusers.WanTransformer3DModel, 0, patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12,
        in_channels=16, out_channels=16, text_dim=16, freq_dim=32, ffn_dim=32, num_layers=2, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    )  # fmt: skip
    vae = drawn(diffusers.AutoencoderKLWan, 1, base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
                temperal_downsample=[False, True, True])  # fmt: skip
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    return quiet(diffusers.WanPipeline(
        tokenizer=None, text_encoder=None, vae=vae, transformer=transformer,
        scheduler=scheduler or diffusers.UniPCMultistepScheduler(**flow),
    ))  # fmt: skip


PROMPT = {"prompt_embeds": draws(1, 4, 16, seed=1), "negative_prompt_embeds": draws(1, 4, 16, seed=2)}
POOLED = {"pooled_prompt_embeds": draws(1, 16, seed=3)}

CALLS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "StableDiffusionPipeline": (stable_diffusion, {**PROMPT, "guidance_scale": 2.0, "latents": draws(1, 4, 8, 8)}),
    "StableDiffusionXLPipeline": (sdxl, {
        **PROMPT, **POOLED, "negative_pooled_prompt_embeds": draws(1, 16, seed=4), "guidance_scale": 2.0,
        "latents": draws(1, 4, 8, 8),
    }),
    "PixArtAlphaPipeline": (pixart, {
        "prompt_embeds": draws(1, 4, 12, seed=1), "negative_prompt_embeds": draws(1, 4, 12, seed=2),
        "prompt_attention_mask": torch.ones(1, 4), "negative_prompt_attention_mask": torch.ones(1, 4),
        "negative_prompt": None, "height": 16, "width": 16, "use_resolution_binning": False, "guidance_scale": 2.0,
        "latents": draws(1, 4, 8, 8),
    }),
    "StableDiffusion3Pipeline": (sd3, {
        **PROMPT, **POOLED, "negative_pooled_prompt_embeds": draws(1, 16, seed=4), "guidance_scale": 2.0,
        "height": 16, "width": 16, "latents": draws(1, 4, 8, 8),
    }),
    "FluxPipeline": (flux, {
        "prompt_embeds": PROMPT["prompt_embeds"], **POOLED, "height": 32, "width": 32, "guidance_scale": 1.0,
        "latents": draws(1, 64, 16),
    }),
    "WanPipeline": (wan, {
        **PROMPT, "height": 16, "width": 16, "num_frames": 5, "guidance_scale": 2.0,
        "latents": draws(1, 16, 2, 2, 2),
    }),
}  # fmt: skip
"""Pipelines that can return latents: builder, and arguments of a call."""


def latents_of(pipeline: Any, steps: int = 6, **more: Any) -> Tensor:
    """Run a pipeline of `CALLS`, and return its latents."""
    _, given = CALLS[type(pipeline).__name__]
    arguments = {**given, "num_inference_steps": steps, "output_type": "latent", "return_dict": False, **more}
    made: Tensor = pipeline(**{name: value for name, value in arguments.items() if value is not ...})[0]
    return made
