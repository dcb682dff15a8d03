from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo import CodecArchitecture, Latents, ZooError
from samplerzoo_plugins.architectures.configs import NetworkConfig

if TYPE_CHECKING:
    import torch


class KL(CodecArchitecture):
    """AutoencoderKL of diffusers (Rombach et al. 2022): states are (latents - mean) / std * scaling_factor.

    Configs say mean and std as shift_factor, or one number a channel, as latents_mean and latents_std, or not at all.
    """

    reads: ClassVar[tuple[str, ...]] = ("AutoencoderKL",)

    def codec(self, config: Any) -> Latents:
        config = NetworkConfig.read(config)
        _check_statistics(config)

        def decode(module: Any, states: torch.Tensor) -> torch.Tensor:
            mean, scale = _statistics(config, states)
            latents = states * scale + mean
            return module.decode(latents.to(module.dtype), return_dict=False)[0].to(states.dtype)

        def encode(module: Any, images: torch.Tensor) -> torch.Tensor:
            latents = module.encode(images.to(module.dtype)).latent_dist.mode().to(images.dtype)
            mean, scale = _statistics(config, latents)
            return (latents - mean) / scale

        return Latents(
            _name("AutoencoderKL", config),
            config.get("latent_channels", 4),
            config.get("out_channels", 3),
            _factor(config),
            decode,
            encode,
        )

    def module(self, config: Any) -> Any:
        from diffusers import AutoencoderKL

        return AutoencoderKL


class VQ(CodecArchitecture):
    """VQModel of diffusers: states are latents times scaling_factor, and decoding takes the nearest code of each."""

    reads: ClassVar[tuple[str, ...]] = ("VQModel",)

    def codec(self, config: Any) -> Latents:
        config = NetworkConfig.read(config)
        _check_statistics(config)
        factor = float(config.get("scaling_factor", 0.18215))

        def decode(module: Any, states: torch.Tensor) -> torch.Tensor:
            return module.decode((states / factor).to(module.dtype)).sample.to(states.dtype)

        def encode(module: Any, images: torch.Tensor) -> torch.Tensor:
            return module.encode(images.to(module.dtype)).latents.to(images.dtype) * factor

        return Latents(
            _name("VQModel", config),
            (config.get("vq_embed_dim") or config.get("latent_channels", 3)),
            config.get("out_channels", 3),
            _factor(config),
            decode,
            encode,
        )

    def module(self, config: Any) -> Any:
        from diffusers import VQModel

        return VQModel


def _check_statistics(config: Any) -> None:
    """Refuse numbers that latents cannot be scaled by."""
    factor, mean, std = (config.get(name) for name in ("scaling_factor", "latents_mean", "latents_std"))
    if "scaling_factor" in config and not (isinstance(factor, (int, float)) and factor > 0):
        raise ZooError(f"scaling_factor {factor!r} is no number above 0")
    if not isinstance(config.get("shift_factor") or 0.0, (int, float)):
        raise ZooError(f"shift_factor {config['shift_factor']!r} is no number")
    if (mean is None) != (std is None):
        raise ZooError("latents_mean and latents_std go together, and one of them is missing")
    if mean is not None and not len(mean) == len(std) == config.get("latent_channels", 4):
        raise ZooError("latents_mean and latents_std have to have a number for each of the latent_channels")


def _statistics(config: Any, states: torch.Tensor) -> tuple[Any, Any]:
    """Return mean and scale of the latents, as numbers or as tensors (1, C, 1, 1)."""
    factor = float(config.get("scaling_factor", 0.18215))
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and std is not None:
        shaped = (1, -1, *[1] * (states.ndim - 2))
        return states.new_tensor(mean).reshape(shaped), states.new_tensor(std).reshape(shaped) / factor
    return float(config.get("shift_factor") or 0.0), 1 / factor


def _factor(config: Any) -> int:
    """Return how many pixels there are to a latent, along each side."""
    return 2 ** (len(config.get("block_out_channels", (64,))) - 1)


def _name(kind: str, config: Any) -> str:
    """Return what tells codecs apart: the kind, and the numbers that latents are scaled by."""
    names = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")
    given = [f"{name} {config[name]}" for name in names if config.get(name) is not None]
    return ", ".join([kind, *given])
