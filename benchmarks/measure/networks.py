"""Networks to time: the embedded one, an unconditional copy of it, and one of the size for CIFAR-10."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel

from samplerzoo.core.model import Model
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import ModelFolder, save_model

CIFAR = {
    "sample_size": 32,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 2,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": None,
}
"""Config of the network of Ho, Jain, Abbeel (2020) for CIFAR-10, 35.7 million parameters, in diffusers."""

TINY = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (8,),
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",),
}
"""Config of a network so small that the time is spent on everything else."""


def unconditional_mnist() -> dict[str, Any]:
    """Return the config of the embedded network without labels, for peers that cannot pass any."""
    config = dict(ModelFolder.open("mnist").load_network("cpu", "float32").config)
    return {key: value for key, value in config.items() if not key.startswith("_")} | {"num_class_embeds": None}


def of_peers() -> list[tuple[str, dict[str, Any], int]]:
    """Return title, config and batch size of each network to compare with peers. Five steps take about a second."""
    return [
        ("embedded network, unconditional", unconditional_mnist(), 64),
        ("35.7 M parameters, 3x32x32", CIFAR, 4),
    ]


@functools.cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder that is deleted at exit."""
    return tempfile.TemporaryDirectory(prefix="samplerzoo-speed-")


def saved(name: str, config: dict[str, Any]) -> Path:
    """Write a model folder with random weights, once per name, and return it."""
    root = Path(scratch().name) / name
    if not root.exists():
        torch.manual_seed(0)
        save_model(root, UNet2DModel(**config), DDPMScheduler(), ModelInfo(), "for speed alone")
    return root


def call_of(model: Model, batch_size: int) -> Callable[[], torch.Tensor]:
    """Return a function that calls the network of a loaded model once, in its layout and compiled if it is."""
    x, t, labels = _input(model, batch_size)
    condition = model.condition(labels)

    @torch.no_grad()
    def call() -> torch.Tensor:
        return model.net(x, t, condition)

    return call


def forward_of(model: Model, batch_size: int) -> Callable[[], torch.Tensor]:
    """Return a function that calls the bare network of diffusers once, in the dtype of the model."""
    unet = ModelFolder.open(model.name).load_network(model.device, model.dtype)
    x, t, labels = _input(model, batch_size)
    x = x.to(unet.dtype)

    @torch.no_grad()
    def forward() -> torch.Tensor:
        sample: torch.Tensor = unet(x, t, class_labels=labels).sample
        return sample

    return forward


def _input(model: Model, batch_size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return states, timesteps and labels for a network call."""
    assert model.shape is not None
    x = torch.randn(batch_size, *model.shape, device=model.device)
    t = torch.full((batch_size,), 501.0, device=model.device)
    return x, t, None if model.num_classes is None else torch.zeros(batch_size, dtype=torch.long, device=model.device)
