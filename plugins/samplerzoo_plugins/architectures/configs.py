"""Configs of diffusers as its files hold them, which any hand may have written: each key with its type and bounds.

A key that is not here is left as it is. What a key means is said where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from samplerzoo import MOST_CLASSES, MOST_TIMESTEPS, Field

Listed = BeforeValidator(
    lambda value: list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value
)
"""Take what a program in memory has in place of a list: a tuple or an array."""
Width = Annotated[int, Field(gt=0, le=2**20)]
"""Width of a layer, or number of its heads or groups."""
Sigma = Annotated[float, Field(gt=0, le=1e9)]
"""Level of noise, whose square float32 holds."""
Depth = Annotated[int, Field(gt=0, le=100)]
"""Number of layers."""


class Config(BaseModel):
    """Config of diffusers, with the keys that an architecture reads."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config with its keys checked.

        Raises:
            ValueError: a value is of another type, or out of bounds; names the key.
        """
        return cls.model_validate(dict(config)).model_dump(exclude_unset=True)


class SchedulerConfig(Config):
    """Config of a scheduler, of whatever kind of path."""

    num_train_timesteps: int = Field(1000, gt=0, le=MOST_TIMESTEPS)
    prediction_type: str | None = None
    timestep_type: str | None = None
    # betas
    beta_schedule: str = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    trained_betas: Annotated[Annotated[list[float], Field(max_length=MOST_TIMESTEPS)] | None, Listed] = None
    rescale_betas_zero_snr: bool | None = False
    variance_type: Literal[
        "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"
    ] | None = None  # fmt: skip
    original_inference_steps: PositiveInt = 50
    timestep_scaling: PositiveFloat = 10.0
    # bounds on x0
    thresholding: bool | None = False
    dynamic_thresholding_ratio: float = Field(0.995, gt=0, le=1)
    sample_max_value: PositiveFloat = 1.0
    clip_sample: bool | None = None
    clip_sample_range: PositiveFloat = 1.0
    clip_denoised: bool | None = None
    # noise levels sigma
    sigma_min: Sigma | None = None
    sigma_max: Sigma | None = None
    sigma_data: Sigma = 0.5
    sigma_schedule: Literal["karras", "exponential"] = "karras"
    rho: PositiveFloat = 7.0
    s_noise: NonNegativeFloat = 1.0
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    # flows
    use_flow_sigmas: bool | None = False
    invert_sigmas: bool | None = False
    shift: PositiveFloat | None = None
    flow_shift: PositiveFloat | None = None
    shift_terminal: float | None = Field(None, ge=0, lt=1)
    use_dynamic_shifting: bool | None = False
    time_shift_type: Literal["exponential", "linear"] = "exponential"
    base_shift: float | None = None
    max_shift: float | None = None
    base_image_seq_len: int | None = 256
    max_image_seq_len: int | None = 4096

    @model_validator(mode="after")
    def _together(self) -> Self:
        steps, T = self.original_inference_steps, self.num_train_timesteps
        if "original_inference_steps" in self.model_fields_set and steps > T:
            raise ValueError(f"original_inference_steps {steps} is more than num_train_timesteps {T}")
        if self.use_dynamic_shifting and self.base_image_seq_len == self.max_image_seq_len:
            raise ValueError(f"base_image_seq_len and max_image_seq_len are both {self.max_image_seq_len}")
        return self


class NetworkConfig(Config):
    """Config of a network or an autoencoder."""

    in_channels: Width = 3
    out_channels: Width | None = None
    latent_channels: Width = 4
    vq_embed_dim: Width | None = None
    num_class_embeds: Annotated[int, Field(ge=0, le=MOST_CLASSES)] | None = None
    num_embeds_ada_norm: Annotated[int, Field(gt=0, le=MOST_CLASSES)] | None = None
    time_embedding_type: Literal["positional", "fourier", "learned"] | None = None
    block_out_channels: Annotated[list[Width], Field(min_length=1, max_length=16), Listed] = [64]
    layers_per_block: Depth | Annotated[list[Depth], Listed] = 2
    num_layers: Depth = 1
    num_attention_heads: Width | None = 1
    attention_head_dim: Width | Annotated[list[Width], Listed] | None = None
    norm_num_groups: Width | None = None
    patch_size: Width | None = None
    cross_attention_dim: Width | Annotated[list[Width], Listed] = 1280
    projection_class_embeddings_input_dim: Width | None = None
    addition_time_embed_dim: Width | None = None
    transformer_layers_per_block: Depth | Annotated[list[Depth], Listed] = 1
    scaling_factor: PositiveFloat | None = None
    shift_factor: float | None = None
    latents_mean: Annotated[list[float] | None, Listed] = None
    latents_std: Annotated[list[PositiveFloat] | None, Listed] = None
