from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo import Condition, NetworkArchitecture, NetworkFacts, TextEncoder, ZooError
from samplerzoo_plugins.architectures.configs import NetworkConfig
from samplerzoo_plugins.architectures.unet2d_condition import OTHERS, XL, facts_of, most_tokens

if TYPE_CHECKING:
    import torch

SCALE = 5.0
"""Scale of classifier-free guidance in the pipeline of diffusers."""
SIZES = 6
"""Numbers of the size of a picture: height and width of the original, what was cropped from it, and the target."""
BESIDE = {key: told for key, told in OTHERS.items() if key != "addition_embed_type"}


class UNet2DConditionXL(NetworkArchitecture):
    """Text U-Net on latents of Stable Diffusion XL (Podell et al. 2023).

    The network is told the last layer but one of two text encoders, side by side; the projected text of the one that
    projects; and that the picture has its own size, with nothing cropped. What asks for nothing in particular is zeros
    in the place of text, unless the pipeline's index says that it is the empty prompt.
    """

    reads: ClassVar[tuple[str, ...]] = ("UNet2DConditionModel",)
    texts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
        "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
        "text_encoder_2": ("CLIPTextModelWithProjection",),
        "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
    }
    settings: ClassVar[Mapping[str, Any]] = {"force_zeros_for_empty_prompt": True}
    unused: ClassVar[tuple[str, ...]] = ("feature_extractor", "image_encoder")

    def claims(self, config: Any) -> bool:
        return super().claims(config) and config.get("addition_embed_type") == XL

    def facts(self, config: Any) -> NetworkFacts:
        config = NetworkConfig.read(config)
        known = facts_of(config, BESIDE, SCALE)
        told, each = config.get("projection_class_embeddings_input_dim"), config.get("addition_time_embed_dim")
        if told is None or each is None or each * SIZES >= told:
            raise ZooError(
                f"projection_class_embeddings_input_dim {told!r} and addition_time_embed_dim {each!r}: the network is "
                f"told projected text and {SIZES} numbers of the picture's size"
            )
        return dataclasses.replace(
            known, prompt={**known.prompt, "text_embeds": (told - each * SIZES,), "time_ids": (SIZES,)}
        )

    def module(self, config: Any) -> Any:
        from diffusers import UNet2DConditionModel

        return UNet2DConditionModel

    def text(self, modules: Mapping[str, Any]) -> TextEncoder:
        import torch

        readers = [(modules[f"tokenizer{number}"], modules[f"text_encoder{number}"]) for number in ("", "_2")]
        most, other = (most_tokens(*reader) for reader in readers)
        if most != other:
            raise ZooError(f"text_encoder reads {most} tokens, and text_encoder_2 {other}: they are not of one model")
        height, width = modules["image_shape"][-2:]

        def encode(prompt: str) -> dict[str, torch.Tensor]:
            layers, projected = [], []
            for tokenizer, encoder in readers:
                tokens = tokenizer(prompt, padding="max_length", max_length=most, truncation=True, return_tensors="pt")
                answer = encoder(tokens.input_ids.to(encoder.device), output_hidden_states=True)
                layers.append(answer.hidden_states[-2][0])
                projected += [answer.text_embeds[0]] if "text_embeds" in answer else []
            size = layers[0].new_tensor([height, width, 0, 0, height, width])
            return {"encoder_hidden_states": torch.cat(layers, dim=-1), "text_embeds": projected[0], "time_ids": size}

        def nothing() -> dict[str, torch.Tensor]:
            told = encode("")
            return {name: value if name == "time_ids" else torch.zeros_like(value) for name, value in told.items()}

        return TextEncoder(
            encode,
            lambda prompt: max(len(tokenizer(prompt, verbose=False).input_ids) for tokenizer, _ in readers),
            most,
            nothing if modules["force_zeros_for_empty_prompt"] else None,
        )

    def call(self, module: Any) -> Any:
        def network(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
            dtype = next(module.parameters(), x).dtype
            told = condition.inputs
            beside = {"text_embeds": told["text_embeds"].to(dtype), "time_ids": told["time_ids"]}
            text = told["encoder_hidden_states"].to(dtype)
            return module(x.to(dtype), time, encoder_hidden_states=text, added_cond_kwargs=beside).sample.to(x.dtype)

        return network
