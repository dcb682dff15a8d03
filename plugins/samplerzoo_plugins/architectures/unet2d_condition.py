from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo import Condition, NetworkArchitecture, NetworkFacts, TextEncoder, ZooError
from samplerzoo_plugins.architectures.configs import NetworkConfig

if TYPE_CHECKING:
    import torch

TOKENS = 77
"""Tokens that CLIP reads of a prompt."""
SCALE = 7.5
"""Scale of classifier-free guidance in the pipelines of diffusers."""

OTHERS = {
    "addition_embed_type": "is told text or an image in a second way",
    "class_embed_type": "is told a class or an image beside the prompt",
    "encoder_hid_dim_type": "is told an image, or text that is projected first",
    "num_class_embeds": "is told a class or a noise level beside the prompt",
    "time_cond_proj_dim": "is told the scale of a guidance that was distilled into it",
}
"""Keys of networks that are told more than a prompt, and what it is."""


XL = "text_time"
"""Value of addition_embed_type of the network of Stable Diffusion XL, which has an architecture of its own."""


class UNet2DCondition(NetworkArchitecture):
    """Text U-Net on latents (Rombach et al. 2022), as Stable Diffusion 1 and 2 have it.

    The network is told the last layer of CLIP's text encoder. A prompt is cut or filled up to the tokens that CLIP
    reads, and the empty prompt asks for nothing in particular.
    """

    reads: ClassVar[tuple[str, ...]] = ("UNet2DConditionModel",)
    texts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "text_encoder": ("CLIPTextModel",),
        "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    }
    unused: ClassVar[tuple[str, ...]] = ("safety_checker", "feature_extractor", "image_encoder")

    def claims(self, config: Any) -> bool:
        return super().claims(config) and config.get("addition_embed_type") != XL

    def facts(self, config: Any) -> NetworkFacts:
        return facts_of(config, OTHERS, SCALE)

    def module(self, config: Any) -> Any:
        from diffusers import UNet2DConditionModel

        return UNet2DConditionModel

    def text(self, modules: Mapping[str, Any]) -> TextEncoder:
        encoder, tokenizer = modules["text_encoder"], modules["tokenizer"]
        most = most_tokens(tokenizer, encoder)
        masked = getattr(encoder.config, "use_attention_mask", False)

        def encode(prompt: str) -> dict[str, torch.Tensor]:
            tokens = tokenizer(prompt, padding="max_length", max_length=most, truncation=True, return_tensors="pt")
            mask = tokens.attention_mask.to(encoder.device) if masked else None
            answer = encoder(tokens.input_ids.to(encoder.device), attention_mask=mask)
            return {"encoder_hidden_states": answer.last_hidden_state[0]}

        return TextEncoder(encode, lambda prompt: len(tokenizer(prompt, verbose=False).input_ids), most)

    def call(self, module: Any) -> Any:
        def network(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
            dtype = next(module.parameters(), x).dtype
            told = condition.inputs["encoder_hidden_states"].to(dtype)
            return module(x.to(dtype), time, encoder_hidden_states=told).sample.to(x.dtype)

        return network


def facts_of(config: Any, others: Mapping[str, str], scale: float) -> NetworkFacts:
    """Return the facts of a text U-Net, and refuse one that is told more than a prompt.

    Args:
        others: keys of what it must not be told, and words for that.
        scale: usual scale of classifier-free guidance.
    """
    config = NetworkConfig.read(config)
    for key, told in others.items():
        if config.get(key) is not None:
            raise ZooError(f"{key} {config[key]!r}: the network {told}, and a prompt alone is known")
    channels, out = config.get("in_channels", 4), config.get("out_channels", 4)
    if out != channels:
        raise ZooError(
            f"in_channels {channels} and out_channels {out}: the network is told an image beside its state, as for "
            "inpainting, and a prompt alone is known"
        )
    size, width = config.get("sample_size"), config.get("cross_attention_dim", 1280)
    if not isinstance(width, int):
        raise ZooError(f"cross_attention_dim {width!r}: one width for all blocks is known")
    sides = (size, size) if isinstance(size, int) else size
    return NetworkFacts(
        shape=None if sides is None else (channels, *sides),
        channels=channels,
        prompt={"encoder_hidden_states": (TOKENS, width)},
        guesses=(f"no guidance unless asked for; the usual one is --guidance cfg --guidance-scale {scale}",),
    )


def most_tokens(tokenizer: Any, encoder: Any) -> int:
    """Return how many tokens are read of a prompt, and refuse a tokenizer of another text encoder."""
    if not isinstance(tokenizer.model_max_length, int) or tokenizer.model_max_length < 2:
        raise ZooError(f"model_max_length of the tokenizer is {tokenizer.model_max_length!r}: 2 tokens at least")
    if len(tokenizer) > encoder.config.vocab_size:
        raise ZooError(
            f"a tokenizer of {len(tokenizer)} tokens beside a text encoder of {encoder.config.vocab_size}: they "
            "are not of one model"
        )
    return min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
