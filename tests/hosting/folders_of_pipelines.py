"""Folders of whole tiny pipelines, with text encoders and tokenizers that know letters and no words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
from more_pipelines import animatediff
from pipelines import TEXT_UNET, drawn, flux, pixart, reader_of_prompts, sdxl, stable_diffusion


@cache
def clip() -> dict[str, Any]:
    """Make a tokenizer and a text encoder of CLIP."""
    with TemporaryDirectory() as folder:
        return reader_of_prompts(Path(folder))


def with_projection(seed: int) -> Any:
    """Make a text encoder of CLIP that projects its answer."""
    from transformers import CLIPTextModelWithProjection

    config = clip()["text_encoder"].config
    return drawn(CLIPTextModelWithProjection, seed, config=type(config)(**{**config.to_dict(), "projection_dim": 16}))


def t5(width: int) -> tuple[Any, Any]:
    """Make a tokenizer and a text encoder of T5."""
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0)]
    vocabulary += [(chr(code), -3.0) for code in range(33, 127)]
    config = T5Config(vocab_size=len(vocabulary), d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    tokenizer = T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=32)
    return tokenizer, drawn(T5EncoderModel, 4, config=config)


def whole_stable_diffusion() -> Any:
    return stable_diffusion(**clip())


def whole_sdxl() -> Any:
    pipeline = sdxl()
    unet = drawn(
        diffusers.UNet2DConditionModel, 0, **{**TEXT_UNET, "cross_attention_dim": 32},
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 16,
    )  # fmt: skip
    tokenizer = clip()["tokenizer"]
    encoders = {"text_encoder": with_projection(5), "text_encoder_2": with_projection(6)}
    pipeline.register_modules(unet=unet, tokenizer=tokenizer, tokenizer_2=tokenizer, **encoders)
    return pipeline


def whole_flux() -> Any:
    pipeline = flux()
    tokenizer, encoder = t5(16)
    pipeline.register_modules(**clip(), tokenizer_2=tokenizer, text_encoder_2=encoder)
    return pipeline


def whole_pixart() -> Any:
    pipeline = pixart()
    tokenizer, encoder = t5(12)
    pipeline.register_modules(tokenizer=tokenizer, text_encoder=encoder)
    return pipeline


def whole_animatediff() -> Any:
    pipeline = animatediff()
    pipeline.register_modules(**clip())
    return pipeline


BUILDERS: dict[str, Callable[[], Any]] = {
    "sd": whole_stable_diffusion,
    "sdxl": whole_sdxl,
    "flux": whole_flux,
    "pixart": whole_pixart,
    "animatediff": whole_animatediff,
}
READING: dict[str, dict[str, Any]] = {
    "sd": {"hosted": True},
    "sdxl": {"hosted": True},
    "flux": {"height": 32, "width": 32},
    "pixart": {"height": 16, "width": 16, "pipeline_options": {"use_resolution_binning": False}},
}
"""Keywords of `samplerzoo.load` with which a folder is read: these networks are smaller than any real one."""
