"""Weights of networks and autoencoders: read from safetensors alone, laid out, compiled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplerzoo.core.condition import Condition
from samplerzoo.core.model import Layout
from samplerzoo.errors import ZooError, reason
from samplerzoo.models.parts import Part

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.architecture import NetworkArchitecture
    from samplerzoo.core.model import Network

STEM = "diffusion_pytorch_model"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def load_module(part: Part, cls: Any, dtype: str = "float32", variant: str | None = None) -> Any:
    """Load a network or an autoencoder. Its weights must be complete.

    Args:
        cls: its class, which has `from_pretrained` as those of diffusers.
        variant: which weights, if there are several, such as fp16.

    Raises:
        ZooError: the folder does not hold all of the weights.
    """
    if part.weights is not None:
        return _from_checkpoint(part.config, part.weights, cls, dtype)
    folder = part.path
    _check_files(folder, cls, variant)
    import torch

    try:
        module, report = cls.from_pretrained(
            folder,
            torch_dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
            variant=variant,
        )
    except Exception as error:  # the kind of error depends on how the file is broken
        raise ZooError(f"{folder}: the network cannot be read: {reason(error)}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise ZooError(f"{folder}: weights do not fit config.json: {kind} {sorted(map(str, report[kind]))[0]}, ...")
    return module.eval()


def _from_checkpoint(config: dict[str, Any], file: Path, cls: Any, dtype: str) -> Any:
    """Load a network from a checkpoint of training, which holds its weights under their names."""
    import torch
    from safetensors.torch import load_file

    module = cls.from_config(config)
    try:
        module.load_state_dict(load_file(file))
    except Exception as error:  # the kind of error depends on how the file is broken
        raise ZooError(f"{file}: the network cannot be read: {reason(error)}") from error
    return module.to(getattr(torch, dtype)).eval()


def holds_variant(part: Part, variant: str) -> bool:
    """Tell whether a part has weights of this variant."""
    names = (f"{STEM}.{variant}*.safetensors", f"{STEM}.safetensors.index.{variant}.json")
    return any(any(part.path.glob(name)) for name in names)


def _check_files(folder: Path, cls: Any, variant: str | None) -> None:
    """Refuse a folder without the weights that are asked for; say what it has, and the way out."""
    dot = "" if variant is None else f".{variant}"
    wanted = (f"{STEM}{dot}.safetensors", f"{STEM}.safetensors.index{dot}.json")
    if any((folder / name).is_file() for name in wanted):
        return
    there = sorted(path.name for path in folder.glob("*.safetensors"))
    middles = [name.removeprefix(f"{STEM}.").split(".")[0] for name in there if name.count(".") > 1]
    if middles:
        found = middles[0].split("-")[0]
        asked = "" if variant is None else f"--variant {variant}: "
        raise ZooError(f"{asked}{folder} holds the weights {', '.join(there)}: take --variant {found}")
    if variant is not None and there:
        raise ZooError(f"--variant {variant}: {folder} holds {', '.join(there)} alone: leave --variant out")
    if there:
        raise ZooError(f"{folder}: no {STEM}.safetensors; it holds {', '.join(there)}")
    pickles = [path.name for pattern in PICKLES for path in folder.glob(pattern)]
    if pickles:
        way = "and not in the form of diffusers, whose from_single_file reads some of such files where you trust them"
        if pickles[0].startswith(STEM):
            way = f"convert it where you trust it: {_conversion(cls, str(folder))}"
        raise ZooError(f"{folder}: {pickles[0]} is a pickle, which may run code when read; {way}")
    raise ZooError(
        f"{folder}: no weights ({STEM}.safetensors): the folder is not whole, or its repository has pickles (.bin) "
        f"alone, which are not fetched, since reading one may run code; where you trust it: {_conversion(cls, 'NAME')}"
    )


def _conversion(cls: Any, name: str) -> str:
    """Return a command that writes safetensors from pickles."""
    code = f'import diffusers; diffusers.{cls.__name__}.from_pretrained("{name}").save_pretrained("{name}")'
    return f"python -c '{code}'"


def with_layout(module: Any, layout: Layout) -> Any:
    """Lay out the weights in memory, in place; convolutions then give their images in this layout, too."""
    import torch

    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    return module.to(memory_format=formats[layout])


def compiled_network(architecture: NetworkArchitecture, module: Any) -> Network:
    """Compile a network at its first call of each size of batch, with its weights as constants.

    The compiler packs constant weights once, in the form that convolutions like, and images lie with their channels
    last.
    """
    from torch._dynamo.exc import TorchDynamoException

    with_layout(module, "channels_last").compile(dynamic=False, options={"freezing": True})
    network = architecture.call(module)

    def compiled(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        try:
            return network(x, time, condition)
        except TorchDynamoException as error:
            inner = getattr(error, "inner_exception", error)  # the outer error names the backend and nothing else
            raise ZooError(f"--compile: {reason(inner)}; leave --compile out") from error

    return compiled
