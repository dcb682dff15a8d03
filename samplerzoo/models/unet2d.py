"""UNet2DModel of diffusers: its weights from a folder, and its call as the core makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo.core.model import Layout
from samplerzoo.core.schedule import to_timestep
from samplerzoo.errors import ZooError, reason
from samplerzoo.models.folder import read_json

if TYPE_CHECKING:
    import torch
    from diffusers import UNet2DModel

    from samplerzoo.core.model import Network


def unet_network(unet: UNet2DModel) -> Callable[..., torch.Tensor]:
    """Make a UNet2DModel a callable (x, tau, labels) -> output, float32 in and out.

    The network's time is given as a tensor: diffusers would cut a Python float down to an integer.
    """

    def network(x: torch.Tensor, tau: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        dtype = next(unet.parameters(), x).dtype  # unet.dtype walks through all its modules, for half a millisecond
        return unet(x.to(dtype), to_timestep(tau), class_labels=labels).sample.to(x.dtype)

    return network


def compiled_network(unet: UNet2DModel) -> Network:
    """Compile a UNet2DModel at its first call of each size of batch, with its weights as constants.

    The compiler packs constant weights once, in the form that convolutions like, and images lie with their channels
    last.
    """
    from torch._dynamo.exc import TorchDynamoException

    with_layout(unet, "channels_last").compile(dynamic=False, options={"freezing": True})
    network = unet_network(unet)

    def compiled(x: torch.Tensor, tau: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        try:
            return network(x, tau, labels)
        except TorchDynamoException as error:
            inner = getattr(error, "inner_exception", error)  # the outer error names the backend and nothing else
            raise ZooError(f"--compile: {reason(inner)}; leave --compile out") from error

    return compiled


def with_layout(unet: UNet2DModel, layout: Layout) -> UNet2DModel:
    """Lay out the weights in memory, in place; convolutions then give their images in this layout, too."""
    import torch

    return unet.to(memory_format={"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[layout])


def load_unet(root: Path, dtype: str = "float32") -> UNet2DModel:
    """Load the network of a model folder.

    Weights are read from safetensors alone, and must be complete.

    Raises:
        ZooError: the folder holds no UNet2DModel, or not all of its weights.
    """
    network_config(root)
    folder = network_folder(root)
    if not any(folder.glob("*.safetensors")):
        pickles = [path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth"))]
        if pickles:
            raise ZooError(
                f"{folder}: {pickles[0]} is a pickle, which may run code when read; convert it to safetensors"
            )
        raise ZooError(f"{folder}: no weights (diffusion_pytorch_model.safetensors); the folder is not whole")
    import torch
    from diffusers import UNet2DModel

    try:
        unet, report = UNet2DModel.from_pretrained(
            folder,
            torch_dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except Exception as error:  # the kind of error depends on how the file is broken
        raise ZooError(f"{folder}: the network cannot be read: {reason(error)}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise ZooError(f"{folder}: weights do not fit config.json: {kind} {sorted(map(str, report[kind]))[0]}, ...")
    return unet


def network_folder(root: Path) -> Path:
    """Return the folder of the network: `unet` in a pipeline folder, else the folder itself."""
    return root / "unet" if (root / "unet").is_dir() else root


def network_config(root: Path) -> dict[str, Any]:
    """Read the network's config.json.

    Raises:
        ZooError: it is of another network than a UNet2DModel.
    """
    folder = network_folder(root)
    config = read_json(folder, "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise ZooError(f"{folder}: the network is a {config.get('_class_name')}, and samplerzoo drives UNet2DModel")
    return config
