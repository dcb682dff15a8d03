"""More tiny pipelines of diffusers, each with a sampler that is the method of its own scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import torch
from pipelines import CALLS, KL, MILD, TEXT_UNET, drawn, draws, flux, quiet, sdxl, stable_diffusion

STEPS = 8
TRAILING = {**MILD, "timestep_spacing": "trailing"}
LEADING = {"variance_type": "learned_range", "timestep_spacing": "leading"}
"""Of a DDPMScheduler: on trailing timesteps it puts noise into the last state."""


@dataclass(frozen=True)
class Hosted:
    """Pipeline, the arguments of a call, and a sampler that makes the same as the pipeline's own scheduler."""

    build: Callable[[], Any]
    given: Mapping[str, Any]
    sampler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = STEPS
    tolerance: float = 1e-4
    """Tolerance, relative to the largest value."""


def prompts(width: int, length: int = 4, masks: bool = False) -> dict[str, Any]:
    """Return embeddings of a prompt and of a negative one, with masks or without."""
    found: dict[str, Any] = {
        "prompt_embeds": draws(1, length, width, seed=1), "negative_prompt_embeds": draws(1, length, width, seed=2)
    }  # fmt: skip
    if masks:
        found |= {f"{sign}prompt_attention_mask": torch.ones(1, length, dtype=torch.bool) for sign in ("", "negative_")}
    return found


def sized(side: int, **more: Any) -> dict[str, Any]:
    return {"height": side, "width": side, "output_type": "latent", **more}


def kl(**config: Any) -> Any:
    return drawn(diffusers.AutoencoderKL, 1, **KL, **config)


def flow(**config: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**config)


def kandinsky() -> Any:
    unet = drawn(
        diffusers.UNet2DConditionModel, 0, **{
            **TEXT_UNET, "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        }, mid_block_type="UNetMidBlock2DSimpleCrossAttn", in_channels=4, out_channels=8, addition_embed_type="image",
        encoder_hid_dim=16, encoder_hid_dim_type="image_proj", resnet_time_scale_shift="scale_shift",
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler(**MILD, clip_sample=False, **LEADING)
    return diffusers.KandinskyV22Pipeline(unet, scheduler, drawn(diffusers.VQModel, 1, **KL, latent_channels=4))


def deepfloyd() -> Any:
    unet = drawn(
        diffusers.UNet2DConditionModel, 0, sample_size=16, layers_per_block=1, block_out_channels=(8, 16),
        norm_num_groups=4, in_channels=3, out_channels=6, cross_attention_dim=16, encoder_hid_dim=16,
        attention_head_dim=8, down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), addition_embed_type="text",
        addition_embed_type_num_heads=2, resnet_time_scale_shift="scale_shift",
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", thresholding=True, dynamic_thresholding_ratio=0.95, sample_max_value=1.5,
        **LEADING,
    )  # fmt: skip
    return diffusers.IFPipeline(None, None, unet, scheduler, None, None, None, False)


def sana() -> Any:
    """Make Sana, with a flow scheduler whose timesteps are not cut to whole ones."""
    transformer = drawn(
        diffusers.SanaTransformer2DModel, 0, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2,
        attention_head_dim=4, num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8,
        caption_channels=8, sample_size=32, patch_size=1,
    )  # fmt: skip
    vae = drawn(
        diffusers.AutoencoderDC, 1, in_channels=3, latent_channels=4, attention_head_dim=2,
        encoder_block_types=("ResBlock",) * 2, decoder_block_types=("ResBlock",) * 2,
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1), encoder_qkv_multiscales=((), ()), decoder_qkv_multiscales=((), ()),
    )  # fmt: skip
    return diffusers.SanaPipeline(None, None, vae, transformer, flow())


def lumina() -> Any:
    transformer = drawn(
        diffusers.Lumina2Transformer2DModel, 0, sample_size=4, patch_size=2, in_channels=4, hidden_size=8,
        num_layers=2, num_attention_heads=1, num_kv_heads=1, multiple_of=16, axes_dim_rope=(4, 2, 2),
        axes_lens=(128, 128, 128), cap_feat_dim=8,
    )  # fmt: skip
    return diffusers.Lumina2Pipeline(transformer, flow(shift=6.0), kl(shift_factor=0.1), None, None)


def ltx() -> Any:
    transformer = drawn(
        diffusers.LTXVideoTransformer3DModel, 0, in_channels=8, out_channels=8, num_attention_heads=4,
        attention_head_dim=8, cross_attention_dim=32, num_layers=1, caption_channels=32,
    )  # fmt: skip
    vae = drawn(
        diffusers.AutoencoderKLLTXVideo, 1, latent_channels=8, block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8), layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, False, False), decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False,) * 5, upsample_residual=(False,) * 4, upsample_factor=(1,) * 4,
        timestep_conditioning=False, patch_size=1, patch_size_t=1, encoder_causal=True, decoder_causal=False,
    )  # fmt: skip
    scheduler = flow(use_dynamic_shifting=True, shift_terminal=0.1, base_shift=0.95, max_shift=2.05)
    return diffusers.LTXPipeline(scheduler, vae, None, None, transformer)


def video_diffusion() -> Any:
    """Make Stable Video Diffusion, whose network is preconditioned as those of EDM."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    unet = drawn(
        diffusers.UNetSpatioTemporalConditionModel, 0, block_out_channels=(32, 64), layers_per_block=1, sample_size=8,
        in_channels=8, out_channels=4, down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), cross_attention_dim=16,
        num_attention_heads=8, projection_class_embeddings_input_dim=96, addition_time_embed_dim=32,
    )  # fmt: skip
    vae = drawn(
        diffusers.AutoencoderKLTemporalDecoder, 1, block_out_channels=(32, 32), latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
    )  # fmt: skip
    eye = CLIPVisionConfig(
        hidden_size=16, projection_dim=16, num_hidden_layers=1, num_attention_heads=2, image_size=16,
        intermediate_size=16, patch_size=4,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = CLIPVisionModelWithProjection(eye).eval()
    scheduler = diffusers.EulerDiscreteScheduler(
        prediction_type="v_prediction", timestep_type="continuous", timestep_spacing="leading", use_karras_sigmas=True,
        sigma_min=0.002, sigma_max=700.0,
    )  # fmt: skip
    processor = CLIPImageProcessor(crop_size=16, size=16)
    return diffusers.StableVideoDiffusionPipeline(vae, encoder, unet, scheduler, processor)


def latent_consistency() -> Any:
    unet = drawn(diffusers.UNet2DConditionModel, 0, **TEXT_UNET, time_cond_proj_dim=8)
    return diffusers.LatentConsistencyModelPipeline(
        kl(), None, None, unet, diffusers.LCMScheduler(**MILD), None, None, requires_safety_checker=False
    )


def consistency() -> Any:
    unet = drawn(
        diffusers.UNet2DModel, 0, sample_size=8, layers_per_block=1, norm_num_groups=4, block_out_channels=(8, 16),
        attention_head_dim=8, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), num_class_embeds=3,
    )  # fmt: skip
    return diffusers.ConsistencyModelPipeline(unet, diffusers.CMStochasticIterativeScheduler())


def animatediff() -> Any:
    unet = drawn(diffusers.UNet2DConditionModel, 0, **TEXT_UNET)
    adapter = drawn(
        diffusers.MotionAdapter, 2, block_out_channels=(8, 16), motion_layers_per_block=1, motion_norm_num_groups=2,
        motion_num_attention_heads=4,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(**TRAILING, clip_sample=False)
    return diffusers.AnimateDiffPipeline(kl(), None, None, unet, adapter, scheduler)


def cogview() -> Any:
    """Make CogView4, whose network is told timesteps that are not shifted."""
    transformer = drawn(
        diffusers.CogView4Transformer2DModel, 0, in_channels=4, num_layers=1, attention_head_dim=4,
        num_attention_heads=4, out_channels=4, text_embed_dim=32, time_embed_dim=8, condition_dim=4,
    )  # fmt: skip
    scheduler = flow(base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True, time_shift_type="linear")
    return diffusers.CogView4Pipeline(None, None, kl(), transformer, scheduler)


def hunyuan() -> Any:
    transformer = drawn(
        diffusers.HunyuanDiT2DModel, 0, sample_size=16, num_layers=2, patch_size=2, attention_head_dim=8,
        num_attention_heads=3, in_channels=4, cross_attention_dim=32, cross_attention_dim_t5=32,
        pooled_projection_dim=16, hidden_size=24, text_len=4, text_len_t5=4,
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler(**TRAILING, prediction_type="v_prediction", clip_sample=False)
    return diffusers.HunyuanDiTPipeline(kl(), None, None, transformer, scheduler, None, None, False)


def stable_audio() -> Any:
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel

    transformer = drawn(
        diffusers.StableAudioDiTModel, 0, sample_size=4, in_channels=3, num_layers=2, attention_head_dim=4,
        num_key_value_attention_heads=2, out_channels=3, cross_attention_dim=4, time_proj_dim=8,
        global_states_input_dim=8, cross_attention_input_dim=4,
    )  # fmt: skip
    vae = drawn(
        diffusers.AutoencoderOobleck, 1, encoder_hidden_size=6, downsampling_ratios=[1, 2], decoder_channels=3,
        decoder_input_channels=3, audio_channels=2, channel_multiples=[2, 4], sampling_rate=4,
    )  # fmt: skip
    projection = drawn(StableAudioProjectionModel, 2, text_encoder_dim=4, conditioning_dim=4, min_value=0, max_value=32)
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(
        prediction_type="v_prediction", sigma_data=1.0, sigma_schedule="exponential"
    )
    return diffusers.StableAudioPipeline(vae, None, projection, None, transformer, scheduler)


def auraflow() -> Any:
    transformer = drawn(
        diffusers.AuraFlowTransformer2DModel, 0, sample_size=8, patch_size=2, in_channels=4, num_mmdit_layers=1,
        num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=4, caption_projection_dim=32,
        joint_attention_dim=32, out_channels=4, pos_embed_max_size=256,
    )  # fmt: skip
    return diffusers.AuraFlowPipeline(None, None, kl(), transformer, flow(shift=1.73))


def controlnet() -> Any:
    net = drawn(
        diffusers.ControlNetModel, 3, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=16, attention_head_dim=8,
        conditioning_embedding_out_channels=(16, 32),
    )  # fmt: skip
    parts = stable_diffusion(scheduler=diffusers.UniPCMultistepScheduler(**TRAILING)).components
    return diffusers.StableDiffusionControlNetPipeline(**parts, controlnet=net, requires_safety_checker=False)


def flux_from_image() -> Any:
    return diffusers.FluxImg2ImgPipeline(**flux().components)


def sdxl_from_image() -> Any:
    parts = sdxl(diffusers.DPMSolverMultistepScheduler(**TRAILING)).components
    return diffusers.StableDiffusionXLImg2ImgPipeline(**parts, add_watermarker=False)


IMAGE = draws(1, 3, 16, 16).clamp(-1, 1)
SECOND = {f"{name}_2": value for name, value in prompts(32, masks=True).items()}

PIPELINES: dict[str, Hosted] = {
    "AnimateDiffPipeline": Hosted(
        animatediff, {**prompts(16), "num_frames": 4, "output_type": "latent"}, "ddim"
    ),
    "AuraFlowPipeline": Hosted(
        auraflow, sized(16, **prompts(32, masks=True), sigmas=np.linspace(1, 1 / STEPS, STEPS).tolist()),
        "probability-flow",
    ),
    "CogView4Pipeline": Hosted(cogview, sized(32, **prompts(32, 16)), "probability-flow"),
    "ConsistencyModelPipeline": Hosted(consistency, {"class_labels": [1], "output_type": "pt"}, "consistency", steps=4),
    "FluxImg2ImgPipeline": Hosted(
        flux_from_image, sized(
            32, prompt_embeds=draws(1, 4, 16), pooled_prompt_embeds=draws(1, 16), strength=0.6,
            image=draws(1, 3, 32, 32).clamp(-1, 1),
        ), "probability-flow",
    ),
    "HunyuanDiTPipeline": Hosted(
        hunyuan, sized(16, **prompts(32, masks=True), **SECOND, use_resolution_binning=False), "ddpm",
        {"variance": "small"},
    ),
    "IFPipeline": Hosted(
        deepfloyd, {**prompts(16), "output_type": "pt", "guidance_scale": 2.0}, "ddpm", {"spacing": "leading"}
    ),
    "KandinskyV22Pipeline": Hosted(
        kandinsky, sized(64, image_embeds=draws(1, 16), negative_image_embeds=draws(1, 16, seed=9), guidance_scale=2.0),
        "ddpm", {"spacing": "leading"},
    ),
    "LTXPipeline": Hosted(ltx, sized(32, **prompts(32, masks=True), num_frames=9), "probability-flow"),
    "LatentConsistencyModelPipeline": Hosted(
        latent_consistency, {"prompt_embeds": draws(1, 4, 16), "output_type": "latent"}, "consistency", steps=4
    ),
    "Lumina2Pipeline": Hosted(lumina, sized(32, **prompts(8, masks=True)), "probability-flow"),
    "SanaPipeline": Hosted(
        sana, sized(32, **prompts(8, masks=True), negative_prompt=None, use_resolution_binning=False),
        "probability-flow",
    ),
    "StableAudioPipeline": Hosted(
        stable_audio, {
            **prompts(4), "attention_mask": torch.ones(1, 4), "negative_attention_mask": torch.ones(1, 4),
            "audio_end_in_s": 1.0, "output_type": "latent",
        }, "dpm-solver++", tolerance=3e-4,  # its noise begins at sqrt(sigma^2 + 1), 8e-5 more than sigma
    ),
    "StableDiffusionControlNetPipeline": Hosted(
        controlnet, {**prompts(16), "image": IMAGE / 2 + 0.5, "output_type": "latent"}, "unipc"
    ),
    "StableDiffusionXLImg2ImgPipeline": Hosted(
        sdxl_from_image, {
            **{name: value for name, value in CALLS["StableDiffusionXLPipeline"][1].items() if name != "latents"},
            "image": IMAGE, "strength": 0.6, "output_type": "latent",
        }, "dpm-solver++",
    ),
    "StableVideoDiffusionPipeline": Hosted(
        video_diffusion, sized(16, image=IMAGE / 2 + 0.5, num_frames=2), "ddim"
    ),
}  # fmt: skip


def run(pipeline: Any, hosted: Hosted) -> torch.Tensor:
    """Run a pipeline, and return its latents, or the images of one that has none."""
    generator = torch.Generator().manual_seed(3)
    given = {**hosted.given, "num_inference_steps": hosted.steps, "return_dict": False}
    made: torch.Tensor = quiet(pipeline)(generator=generator, **given)[0]
    return made
