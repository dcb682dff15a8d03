"""Tiny model folders as diffusers saves them, built offline, and what diffusers itself makes of them at given draws.

Builders write a folder whose weights depend on the seed only. Every weight is drawn anew, as diffusers leaves some near
zero, and a network that ignores its time, label or input would hide what tests look for. Defaults of schedulers with
which the network answers with noise are mild: though these networks know nothing, images stay near [-1, 1], and float32
is good for 1e-5.

The functions `stock_*` run the loop of diffusers with its own networks, schedulers and decoders, since pipelines clamp
images and take neither labels nor draws. Where there is a pipeline for the folder, it is then run with the same draws,
and has to make the same images.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import diffusers
import torch
import transformers
from torch import Tensor, nn

import samplerzoo as zoo

MILD = {"beta_end": 0.004}
"""Betas up to alpha = 0.36. With the usual 0.02, what a network answers first counts 157-fold in the image."""

UNET = {
    "sample_size": 8, "layers_per_block": 1, "norm_num_groups": 4, "block_out_channels": (8, 16),
    "attention_head_dim": 8, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip

TRANSFORMER = {
    "sample_size": 8, "patch_size": 2, "in_channels": 4, "num_layers": 2, "num_attention_heads": 2,
    "attention_head_dim": 8,
}  # fmt: skip

DECODER = {
    "sample_size": 16, "layers_per_block": 1, "norm_num_groups": 4, "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2, "scaling_factor": 2.0,
}  # fmt: skip

TEXT_UNET = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "norm_num_groups": 4,
    "block_out_channels": (8, 16), "attention_head_dim": 2, "cross_attention_dim": 16,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip

TEXT_ENCODER = {
    "vocab_size": 514, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513,
}  # fmt: skip

STABLE = {"beta_start": 0.00085, "beta_end": 0.004, "beta_schedule": "scaled_linear", "steps_offset": 1}
"""Scheduler of Stable Diffusion, with betas that are mild at the end, as `MILD`."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""Answer of a network to a scaled state and a time."""


@dataclass(frozen=True)
class Stock:
    """Result of the stock code, float32.

    Attributes:
        pixels: images (N, C, H, W), nominally in [-1, 1], neither clamped nor rounded.
        latents: the last state, which is the images where there is no decoder.
        times: what the network was told at each step.
        sigmas: levels of the scheduler, one more than steps; None for those that have betas only.
        start: what the initial noise was multiplied by.
    """

    pixels: Tensor
    latents: Tensor
    times: Tensor
    sigmas: Tensor | None
    start: float


# -- builders


def loaded(folder: Path, dtype: str = "float32", **reading: Any) -> zoo.Model:
    """Load a folder on the CPU as samplerzoo does."""
    return zoo.load(folder, device="cpu", dtype=dtype, **reading)


def off(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two tensors of one shape."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max())


def ddpm(
    folder: Path,
    *,
    seed: int = 0,
    scheduler_class: str = "DDPMScheduler",
    classes: int | None = None,
    channels: int = 3,
    **scheduler: Any,
) -> Path:
    """Save a pixel network of a schedule of betas."""
    made = getattr(diffusers, scheduler_class)(**{**MILD, **scheduler})
    return _save(diffusers.DDPMPipeline(_unet(seed, classes, channels), made), folder)


def flow(folder: Path, *, seed: int = 0, classes: int | None = None, channels: int = 3, **scheduler: Any) -> Path:
    """Save a pixel network of flow matching."""
    made = diffusers.FlowMatchEulerDiscreteScheduler(**scheduler)
    return _save(diffusers.DDPMPipeline(_unet(seed, classes, channels), made), folder)


def edm(
    folder: Path,
    *,
    seed: int = 0,
    scheduler_class: str = "EDMEulerScheduler",
    classes: int | None = None,
    channels: int = 3,
    **scheduler: Any,
) -> Path:
    """Save a pixel network with the preconditioning of EDM, which the pipeline's own call ignores: it makes noise."""
    made = getattr(diffusers, scheduler_class)(**scheduler)
    return _save(diffusers.DDPMPipeline(_unet(seed, classes, channels), made), folder)


def continuous(folder: Path, *, seed: int = 0, classes: int | None = None, channels: int = 3, **scheduler: Any) -> Path:
    """Save a pixel network of continuous levels: by default v, which is EDM for data of standard deviation 1."""
    base = {"timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": True,
            "sigma_min": 0.01, "sigma_max": 3.0}  # fmt: skip
    made = diffusers.EulerDiscreteScheduler(**{**base, **scheduler})
    return _save(diffusers.DDPMPipeline(_unet(seed, classes, channels), made), folder)


def ve(folder: Path, *, seed: int = 0, **scheduler: Any) -> Path:
    """Save a pixel network that answers with the score, for data in [0, 1]. The pipeline knows three channels only."""
    made = diffusers.ScoreSdeVeScheduler(**{"num_train_timesteps": 100, "sigma_max": 1.0, **scheduler})
    return _save(diffusers.ScoreSdeVePipeline(_unet(seed, time_embedding_type="fourier"), made), folder)


def consistency(folder: Path, *, seed: int = 0, classes: int | None = None, **scheduler: Any) -> Path:
    """Save a consistency model. The pipeline takes latents of three channels only."""
    made = diffusers.CMStochasticIterativeScheduler(**scheduler)
    return _save(diffusers.ConsistencyModelPipeline(_unet(seed, classes), made), folder)


def ldm(folder: Path, *, seed: int = 0, vqvae: Mapping[str, Any] | None = None, **scheduler: Any) -> Path:
    """Save a network of latents with a VQ decoder, which makes images twice as large."""
    made = diffusers.DDIMScheduler(**{**MILD, "clip_sample": False, **scheduler})
    decoder = _drawn(diffusers.VQModel, seed + 1, {**DECODER, "latent_channels": 3, **(vqvae or {})})
    return _save(diffusers.LDMPipeline(decoder, _unet(seed), made), folder)


def dit(
    folder: Path,
    *,
    seed: int = 0,
    classes: int = 10,
    learned_variance: bool = True,
    scheduler_class: str = "DDIMScheduler",
    vae: Mapping[str, Any] | None = None,
    **scheduler: Any,
) -> Path:
    """Save a class-conditional transformer of latents. Its null label is `classes`; the pipeline's is always 1000."""
    made = getattr(diffusers, scheduler_class)(**{**MILD, "clip_sample": False, **scheduler})
    return _save(_dit_pipeline(seed, classes, 8 if learned_variance else 4, vae, made), folder)


def dit_flow(
    folder: Path, *, seed: int = 0, classes: int = 10, vae: Mapping[str, Any] | None = None, **scheduler: Any
) -> Path:
    """Save a class-conditional transformer of latents and flow matching. The pipeline's own call fails on it."""
    made = diffusers.FlowMatchEulerDiscreteScheduler(**scheduler)
    return _save(_dit_pipeline(seed, classes, 4, vae, made), folder)


def sd(
    folder: Path,
    *,
    seed: int = 0,
    scheduler_class: str = "DDIMScheduler",
    unet: Mapping[str, Any] | None = None,
    vae: Mapping[str, Any] | None = None,
    text: Mapping[str, Any] | None = None,
    text_seed: int = 2,
    **scheduler: Any,
) -> Path:
    """Save a text-to-image pipeline: a text U-Net on latents, CLIP's text encoder, and a tokenizer of bytes."""
    base = {"clip_sample": False} if scheduler_class == "DDIMScheduler" else {}
    made = getattr(diffusers, scheduler_class)(**{**STABLE, **base, **scheduler})
    network = text_unet(seed, **(unet or {}))
    decoder = _drawn(diffusers.AutoencoderKL, seed + 1, {**DECODER, "latent_channels": 4, **(vae or {})})
    config = transformers.CLIPTextConfig(**{**TEXT_ENCODER, **(text or {})})
    encoder = _drawn(lambda: transformers.CLIPTextModel(config), text_seed, {})
    pipeline = diffusers.StableDiffusionPipeline(
        decoder, encoder, clip_tokenizer(), network, made, None, None, requires_safety_checker=False
    )
    return _save(pipeline, folder)


def sdxl(folder: Path, *, seed: int = 0, zeros: bool = True, **scheduler: Any) -> Path:
    """Save a Stable Diffusion XL pipeline: two text encoders, of which the second one projects, with own tokenizers."""
    made = diffusers.DDIMScheduler(**{**STABLE, "clip_sample": False, **scheduler})
    wide = {**TEXT_ENCODER, "hidden_size": 24, "num_attention_heads": 3, "projection_dim": 20}
    configs = [transformers.CLIPTextConfig(**options) for options in (TEXT_ENCODER, wide)]
    first = _drawn(lambda: transformers.CLIPTextModel(configs[0]), seed + 2, {})
    second = _drawn(lambda: transformers.CLIPTextModelWithProjection(configs[1]), seed + 3, {})
    other = clip_tokenizer()
    other.pad_token = "!"
    network = text_unet(
        seed, cross_attention_dim=16 + 24, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=20 + 6 * 8,
    )  # fmt: skip
    decoder = _drawn(diffusers.AutoencoderKL, seed + 1, {**DECODER, "latent_channels": 4})
    pipeline = diffusers.StableDiffusionXLPipeline(
        decoder, first, second, clip_tokenizer(), other, network, made, force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )  # fmt: skip
    return _save(pipeline, folder)


def text_unet(seed: int = 0, **options: Any) -> nn.Module:
    """Make a text U-Net on latents."""
    return _drawn(diffusers.UNet2DConditionModel, seed, {**TEXT_UNET, **options})


def clip(folder: Path, *, seed: int = 0) -> Path:
    """Save a CLIP model with image processor and tokenizer, for images of 16 pixels."""
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
              "image_size": 16, "patch_size": 8}  # fmt: skip
    config = transformers.CLIPConfig(text_config=TEXT_ENCODER, vision_config=vision, projection_dim=12)
    _drawn(lambda: transformers.CLIPModel(config), seed, {}).save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(
        folder
    )
    clip_tokenizer().save_pretrained(folder)
    return folder


def clip_tokenizer() -> transformers.CLIPTokenizer:
    """Make a tokenizer of CLIP without merges: a token for each byte, another for each byte that ends a word."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    letters = [chr(byte) for byte in printed] + [chr(256 + number) for number in range(len(others))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def text_encoder(folder: Path) -> nn.Module:
    """Load the text encoder of a folder of `sd`."""
    return transformers.CLIPTextModel.from_pretrained(folder / "text_encoder").eval()


def _save(pipeline: diffusers.DiffusionPipeline, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


def _unet(seed: int, classes: int | None = None, channels: int = 3, **options: Any) -> nn.Module:
    base = {**UNET, "in_channels": channels, "out_channels": channels, "num_class_embeds": classes}
    return _drawn(diffusers.UNet2DModel, seed, {**base, **options})


def _dit_pipeline(
    seed: int, classes: int, out_channels: int, vae: Mapping[str, Any] | None, scheduler: Any
) -> diffusers.DiTPipeline:
    options = {**TRANSFORMER, "out_channels": out_channels, "num_embeds_ada_norm": classes}
    transformer = _drawn(diffusers.DiTTransformer2DModel, seed, options)
    decoder = _drawn(diffusers.AutoencoderKL, seed + 1, {**DECODER, "latent_channels": 4, **(vae or {})})
    return diffusers.DiTPipeline(transformer, decoder, scheduler, {i: f"class {i}" for i in range(classes)})


def _drawn(make: Callable[..., nn.Module], seed: int, options: Mapping[str, Any]) -> nn.Module:
    """Make a network with all its weights drawn, so that answers are near 1 and depend on all that it is told."""
    with torch.random.fork_rng(devices=[]):
        network = make(**options).eval()
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            drawn = torch.randn(weight.shape, generator=generator)
            if name == "bias":
                drawn *= 0.2
            elif weight.ndim < 2:
                drawn = 1 + 0.2 * drawn
            elif not isinstance(module, nn.Embedding):
                drawn *= 1.2 / weight[0].numel() ** 0.5
            weight.data.copy_(drawn)
    return network


# -- draws


def latents(folder: Path, count: int = 3, *, seed: int = 0) -> Tensor:
    """Draw standard normal noise of the shape that the network of a folder takes, float32."""
    part = "transformer" if (folder / "transformer").is_dir() else "unet"
    config = json.loads((folder / part / "config.json").read_text())
    shape = (count, config["in_channels"], config["sample_size"], config["sample_size"])
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@contextmanager
def _drawing(draws: Sequence[Tensor], *drawers: object) -> Iterator[None]:
    """Give these tensors, in turn, to the modules of these objects in place of their own draws."""
    left = iter(draws)

    def give(shape: Sequence[int], **_: object) -> Tensor:
        drawn = next(left)
        assert drawn.shape == tuple(shape)
        return drawn

    modules = [sys.modules[type(drawer).__module__] for drawer in drawers]
    with ExitStack() as stack:
        for module in (module for module in modules if hasattr(module, "randn_tensor")):
            stack.enter_context(mock.patch.object(module, "randn_tensor", give))
        yield
    assert next(left, None) is None, "fewer draws were taken than given"


# -- the stock code


def stock_answer(folder: Path, x: Tensor, times: Tensor, labels: Sequence[int] | None = None) -> Tensor:
    """Ask the network of a folder as diffusers does. That of `ve` answers with the score, and its times are sigmas."""
    parts = diffusers.DiffusionPipeline.from_pretrained(folder).components
    return _ask(parts.get("transformer", parts.get("unet")), labels)(x, times)


def stock_decode(folder: Path, z: Tensor) -> Tensor:
    """Decode latents as LDMPipeline and DiTPipeline do, to pixels in [-1, 1] that are not clamped."""
    return _decode(diffusers.DiffusionPipeline.from_pretrained(folder), z)


def stock_ddim(
    folder: Path, noise: Tensor, steps: int, *, spacing: str = "leading", labels: Sequence[int] | None = None
) -> Stock:
    """Run DDIM with eta = 0 on a pixel network. Trailing is right only where the steps divide T."""
    saved = diffusers.DDPMPipeline.from_pretrained(folder)
    scheduler = diffusers.DDIMScheduler.from_config(saved.scheduler.config, timestep_spacing=spacing)
    pipeline = diffusers.DDIMPipeline(saved.unet, scheduler)
    pipeline.scheduler.set_timesteps(steps)
    result = _run(pipeline, _ask(pipeline.unet, labels), noise)
    if labels is None:
        _same_images(result, pipeline, [noise], batch_size=len(noise), num_inference_steps=steps)
    return result


def stock_flow_euler(
    folder: Path,
    noise: Tensor,
    steps: int,
    *,
    labels: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
    mu: float | None = None,
) -> Stock:
    """Run Euler's method on a pixel network of flow matching.

    Args:
        folder: see `flow`.
        noise: see `latents`.
        steps: number of steps.
        labels: one class for each image.
        sigmas: levels before the shift, without the zero at the end. The default ones are shifted already, so twice.
        mu: the shift, if it is dynamic.
    """
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
    pipeline.scheduler.set_timesteps(steps, sigmas=sigmas, mu=mu)
    result = _run(pipeline, _ask(pipeline.unet, labels), noise)
    if labels is None and sigmas is None and mu is None:
        _same_images(result, pipeline, [noise], batch_size=len(noise), num_inference_steps=steps)
    return result


def stock_edm(
    folder: Path,
    noise: Tensor,
    steps: int,
    *,
    labels: Sequence[int] | None = None,
    start: float | None = None,
) -> Stock:
    """Run the scheduler of a folder of `edm` or `continuous`, for which diffusers has no pipeline.

    Args:
        folder: see `edm` and `continuous`.
        noise: see `latents`.
        steps: number of steps.
        labels: one class for each image.
        start: what the noise is multiplied by. By default it is the scheduler's init_noise_sigma, which for EDM is
            sqrt(sigma_max^2 + 1), and not the first level.
    """
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
    pipeline.scheduler.set_timesteps(steps)
    return _run(pipeline, _ask(pipeline.unet, labels), noise, start=start)


def stock_ldm(folder: Path, noise: Tensor, steps: int) -> Stock:
    """Run an LDMPipeline. Its decoder rounds latents to those of a codebook, so compare the latents, too."""
    pipeline = diffusers.LDMPipeline.from_pretrained(folder)
    pipeline.scheduler.set_timesteps(steps)
    result = _run(pipeline, _ask(pipeline.unet), noise)
    _same_images(result, pipeline, [noise], batch_size=len(noise), num_inference_steps=steps)
    return result


def stock_dit(
    folder: Path,
    noise: Tensor,
    labels: Sequence[int],
    steps: int,
    guidance_scale: float = 1.0,
    *,
    spacing: str = "leading",
    sigmas: Sequence[float] | None = None,
    mu: float | None = None,
) -> Stock:
    """Run a DiTPipeline: it guides above scale 1, on all channels of the latents, and drops a learned variance.

    Args:
        folder: see `dit`, which is run with DDIM, and `dit_flow`.
        noise: see `latents`.
        labels: one class for each image.
        steps: number of steps.
        guidance_scale: the pipeline itself is run and compared with if there are 1000 classes or no guidance.
        spacing: of the timesteps of DDIM.
        sigmas: see `stock_flow_euler`.
        mu: see `stock_flow_euler`.
    """
    pipeline = diffusers.DiTPipeline.from_pretrained(folder)
    flows = isinstance(pipeline.scheduler, diffusers.FlowMatchEulerDiscreteScheduler)
    if flows:
        pipeline.scheduler.set_timesteps(steps, sigmas=sigmas, mu=mu)
    else:
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing=spacing)
        pipeline.scheduler.set_timesteps(steps)
    result = _run(pipeline, _guided(pipeline.transformer, labels, guidance_scale), noise)
    if not flows and (guidance_scale <= 1 or pipeline.transformer.config.num_embeds_ada_norm == 1000):
        call = {"class_labels": list(labels), "guidance_scale": guidance_scale, "num_inference_steps": steps}
        _same_images(result, pipeline, [noise], **call)
    return result


def stock_sd(
    folder: Path,
    noise: Tensor,
    prompts: Sequence[str],
    steps: int,
    guidance_scale: float = 7.5,
    *,
    negative_prompt: str | None = None,
    **scheduler: Any,
) -> Stock:
    """Run the StableDiffusionPipeline of a folder with DDIM, eta = 0, trailing: it guides above scale 1."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    options = {"timestep_spacing": "trailing", **scheduler}
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    told: list[Tensor] = []
    hook = pipeline.unet.register_forward_pre_hook(lambda _, args: told.append(torch.as_tensor(args[1]).clone()))
    negative = None if negative_prompt is None else [negative_prompt] * len(prompts)
    z = pipeline(
        list(prompts), negative_prompt=negative, latents=noise.clone(), num_inference_steps=steps,
        guidance_scale=guidance_scale, output_type="latent",
    ).images  # fmt: skip
    hook.remove()
    return Stock(_decode(pipeline, z), z, torch.stack(told).float(), None, 1.0)


def stock_consistency(
    folder: Path,
    noise: Tensor,
    draws: Sequence[Tensor],
    timesteps: Sequence[int],
    *,
    labels: Sequence[int] | None = None,
) -> Stock:
    """Run a ConsistencyModelPipeline.

    Args:
        folder: see `consistency`.
        noise: see `latents`.
        draws: one for each timestep, of which the last adds nothing; none if there is one timestep only.
        timesteps: indices of levels, descending to 0, where 0 is sigma_max and T - 1 is sigma_min: the last is used
            first.
        labels: one class for each image.
    """
    pipeline = diffusers.ConsistencyModelPipeline.from_pretrained(folder)
    pipeline.scheduler.set_timesteps(timesteps=list(timesteps))
    with _drawing(draws, pipeline.scheduler):
        result = _run(pipeline, _ask(pipeline.unet, labels), noise)
    call = {"timesteps": list(timesteps), "num_inference_steps": None, "latents": noise, "batch_size": len(noise)}
    _same_images(result, pipeline, draws, class_labels=None if labels is None else torch.tensor(labels), **call)
    return result


def stock_ve(folder: Path, noise: Tensor, draws: Sequence[Tensor], steps: int) -> Stock:
    """Run a ScoreSdeVePipeline: at each step its corrections, then a prediction, of which the last adds no noise.

    Args:
        folder: see `ve`.
        noise: see `latents`.
        draws: correct_steps + 1 for each step, of which the very last adds nothing.
        steps: number of steps.

    Returns:
        Pixels in [-1, 1], and latents in [0, 1], which are the last state.
    """
    pipeline = diffusers.ScoreSdeVePipeline.from_pretrained(folder)
    scheduler, predict = pipeline.scheduler, _ask(pipeline.unet)
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    x = mean = noise * scheduler.init_noise_sigma
    with _drawing(draws, scheduler):
        for t, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=True):
            sigmas = sigma.expand(len(x))
            for _ in range(scheduler.config.correct_steps):
                x = scheduler.step_correct(predict(x, sigmas), x).prev_sample
            x, mean = scheduler.step_pred(predict(x, sigmas), t, x, return_dict=False)
    result = Stock(2 * mean - 1, mean, scheduler.sigmas, scheduler.sigmas, scheduler.init_noise_sigma)
    _same_images(result, pipeline, [noise, *draws], batch_size=len(noise), num_inference_steps=steps)
    return result


def _ask(network: nn.Module, labels: Sequence[int] | None = None) -> Predict:
    """Return the network as a function of state and time."""
    classes = None if labels is None else torch.tensor(labels)

    @torch.no_grad()
    def predict(x: Tensor, t: Tensor) -> Tensor:
        return network(x, t.expand(len(x)), class_labels=classes).sample

    return predict


def _guided(transformer: nn.Module, labels: Sequence[int], scale: float) -> Predict:
    """Return a transformer as DiTPipeline asks it, less the channels of a learned variance."""
    channels, null = transformer.config.in_channels, transformer.config.num_embeds_ada_norm
    if scale <= 1:
        plain = _ask(transformer, labels)
        return lambda x, t: plain(x, t)[:, :channels]
    both = _ask(transformer, [*labels, *[null] * len(labels)])

    def predict(x: Tensor, t: Tensor) -> Tensor:
        conditional, unconditional = both(torch.cat([x, x]), t)[:, :channels].chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return predict


def _decoder(pipeline: Any) -> Any:
    return pipeline.components.get("vae", pipeline.components.get("vqvae"))


@torch.no_grad()
def _decode(pipeline: Any, z: Tensor) -> Tensor:
    decoder = _decoder(pipeline)
    return decoder.decode(z / decoder.config.scaling_factor).sample


def _run(pipeline: Any, predict: Predict, noise: Tensor, *, start: float | None = None) -> Stock:
    """Run the loop that all pipelines of diffusers have, with the scheduler as it is set, then the decoder if any."""
    scheduler = pipeline.scheduler
    start = float(getattr(scheduler, "init_noise_sigma", 1.0)) if start is None else start
    scale = getattr(scheduler, "scale_model_input", lambda x, _: x)
    x = noise * start
    for t in scheduler.timesteps:
        x = scheduler.step(predict(scale(x, t), t), t, x).prev_sample
    pixels = x if _decoder(pipeline) is None else _decode(pipeline, x)
    return Stock(pixels, x, scheduler.timesteps, getattr(scheduler, "sigmas", None), start)


def _same_images(result: Stock, pipeline: Any, draws: Sequence[Tensor], **call: Any) -> None:
    """Check that the pipeline's own call with these draws makes the same images, which it clamps to [0, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    with _drawing(draws, pipeline, pipeline.scheduler):
        images = torch.from_numpy(pipeline(output_type="np", return_dict=False, **call)[0]).permute(0, 3, 1, 2)
    torch.testing.assert_close(images, (result.pixels / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-6)
