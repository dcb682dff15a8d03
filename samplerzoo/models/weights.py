"""Weights of networks and autoencoders: read from safetensors only, laid out in memory, compiled."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, StringConstraints

from samplerzoo.core.condition import Condition
from samplerzoo.core.model import Layout
from samplerzoo.errors import ZooError, reason
from samplerzoo.models.configs import refuse_kernels
from samplerzoo.models.parts import TOKENS, Part
from samplerzoo.trust.pointers import refuse_pointer
from samplerzoo.trust.records import BOM, read_record

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.architecture import NetworkArchitecture
    from samplerzoo.core.model import Network

STEM = "diffusion_pytorch_model"
TEXT_STEM = "model"
"""Stem of the names of weight files of transformers."""
PICKLED = {STEM: STEM, TEXT_STEM: "pytorch_model"}
"""Stems of the names of the same weights as pickles."""
TEXTS = (".json", *TOKENS)
"""Suffixes of files that a library reads as text."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class WeightIndex(BaseModel):
    """Index of weights that are split into several files of one folder: the file of each tensor."""

    weight_map: dict[str, Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*\.safetensors$")]]


def load_module(part: Part, cls: Any, dtype: str = "float32", variant: str | None = None) -> Any:
    """Load a network or an autoencoder. Its weights must be complete.

    Args:
        cls: its class, with a method `from_pretrained` as in diffusers.
        variant: variant of the weights to read, such as fp16.

    Raises:
        ZooError: the folder does not hold all of the weights.
    """
    if part.weights is not None:
        return _from_checkpoint(part, part.weights, cls, dtype)
    folder = part.path
    files = _check_files(folder, cls, variant)
    check_texts(folder, _library(cls))
    _check_size(part, cls, files)
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
    start = _common_start(report["missing_keys"], report["unexpected_keys"])
    if start:
        raise ZooError(
            f"{folder}: the names of its weights begin with {start!r}, as those of a network in a wrapper: save the "
            f"network itself{_renaming(files, start)}"
        )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise ZooError(f"{folder}: weights do not fit config.json: {kind} {sorted(map(str, report[kind]))[0]}, ...")
    return module.eval()


def _common_start(missing: Collection[str], found: Collection[str]) -> str:
    """Return what stands before each name that files have and a network lacks, if without it they are the same."""
    names = sorted(map(str, found))
    starts = {name.removesuffix(str(lost)) for name in names[:1] for lost in missing if name.endswith(f".{lost}")}
    return next((it for it in starts if {name.removeprefix(it) for name in names} == {*map(str, missing)}), "")


def _renaming(files: Sequence[Path], start: str) -> str:
    """Say how to take the start off each name in a file of weights; nothing of several, which have an index, too."""
    if len(files) > 1:
        return ""
    code = (
        "import sys; from safetensors.torch import load, save_file; start, file = sys.argv[1:]; save_file({"
        "name.removeprefix(start): value for name, value in load(open(file, 'rb').read()).items()}, file)"
    )
    return f", or take it off each name: {shlex.join(['python', '-c', code, start, str(files[0])])}"


def check_texts(folder: Path, library: str) -> None:
    """Refuse a folder of which git-lfs has not fetched a text, or of which a library cannot read one.

    Raises:
        ZooError: names the file.
    """
    for file in sorted(folder.glob("[!.]*")):
        if file.is_file() and file.suffix in TEXTS:
            refuse_pointer(file)
            if file.suffix == ".json" and file.read_bytes().startswith(BOM):
                raise ZooError(
                    f"{file} begins with a byte order mark (BOM), which {library} does not read: save it without one"
                )


def _check_weights(file: Path) -> None:
    """Refuse a file that holds no weights, as one that is cut short.

    Raises:
        ZooError: names the file.
    """
    from safetensors import SafetensorError, safe_open

    refuse_pointer(file)
    try:
        with safe_open(file, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise ZooError(
            f"{file}: cannot be read: it is cut short or damaged, or no safetensors: copy it again ({error})"
        ) from error


def _from_checkpoint(part: Part, file: Path, cls: Any, dtype: str) -> Any:
    """Load a network from a training checkpoint, which holds its parameters by name."""
    import torch
    from safetensors.torch import load_file

    _check_size(part, cls, [file])
    try:
        module = cls.from_config(part.config)
        module.load_state_dict(load_file(file))
    except Exception as error:  # the kind of error depends on how the file is broken
        raise ZooError(f"{file}: the network cannot be read: {reason(error)}") from error
    return module.to(getattr(torch, dtype)).eval()


def load_text_part(part: Part, variant: str | None = None, device: str = "cpu") -> Any:
    """Load a tokenizer or a text encoder of transformers, in float32. Its weights must be complete.

    Raises:
        ZooError: it cannot be read, or does not hold all of the weights.
    """
    import transformers
    from transformers import PreTrainedTokenizerBase

    cls: Any = getattr(transformers, part.kind)
    whole = {"local_files_only": True, "trust_remote_code": False}
    check_texts(part.path, _library(cls))
    try:
        if issubclass(cls, PreTrainedTokenizerBase):
            _check_vocabulary(part, cls)
            return cls.from_pretrained(part.path, **whole)
        refuse_kernels(part.path)
        _check_text_weights(part, cls, variant)
        module, report = cls.from_pretrained(
            part.path, use_safetensors=True, output_loading_info=True, variant=variant, ignore_mismatched_sizes=True,
            **whole,
        )  # fmt: skip
    except ZooError:
        raise
    except Exception as error:  # the kind of error depends on what is broken
        raise ZooError(f"{part.path}: the {part.kind} cannot be read: {reason(error)}") from error
    for kind in ("missing_keys", "mismatched_keys"):  # transformers would initialise them at random
        if report[kind]:
            raise ZooError(f"{part.path}: weights do not fit config.json: {kind} {min(map(str, report[kind]))}, ...")
    return module.float().to(device).eval()


def _check_vocabulary(part: Part, cls: Any) -> None:
    """Refuse a tokenizer without its files, for which transformers would silently make an empty one."""
    names = dict(cls.vocab_files_names)
    whole = names.pop("tokenizer_file", "tokenizer.json")
    lost = [name for name in names.values() if not (part.path / name).is_file()]
    if lost and not (part.path / whole).is_file():
        raise ZooError(f"{part.path}: neither {whole} nor {lost[0]} is there; the folder is not whole")


def _check_text_weights(part: Part, cls: Any, variant: str | None) -> None:
    """Refuse a text encoder's config with more values than its weights, before memory is allocated."""
    import torch

    files = _check_files(part.path, cls, variant, TEXT_STEM)
    with torch.device("meta"):
        check_values(part.path, part.kind, files, lambda: cls(cls.config_class.from_dict(part.config)))


def holds_variant(part: Part, variant: str) -> bool:
    """Tell whether a part has weights of this variant."""
    return any(
        any(part.path.glob(name))
        for stem in (STEM, TEXT_STEM)
        for name in (f"{stem}.{variant}*.safetensors", f"{stem}.safetensors.index.{variant}.json")
    )


def _check_size(part: Part, cls: Any, files: Sequence[Path]) -> None:
    from accelerate import init_empty_weights

    with init_empty_weights():
        check_values(part.path, part.kind, files, lambda: cls.from_config(part.config))


def check_values(folder: Path, kind: str, files: Sequence[Path], make: Callable[[], object]) -> None:
    """Refuse a network's config with more values than its weights.

    Values are counted while the network is made. It is interrupted as soon as there are too many, so that no config can
    take long.

    Args:
        kind: noun for the network in errors.
        files: files of its weights.
        make: function that makes the network without allocating memory for it.

    Raises:
        ZooError: a file holds no weights, no network can be made from the config, or it has more values than the files
            have bytes.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    for file in files:
        _check_weights(file)
    values, held = 0, sum(file.stat().st_size for file in files)

    def count(module: object, name: str, parameter: torch.Tensor | None) -> None:
        nonlocal values
        values += 0 if parameter is None else parameter.numel()
        if values > held:
            raise _Overfull

    counting = register_module_parameter_registration_hook(count)
    try:
        make()
    except _Overfull:
        raise ZooError(
            f"{folder}: weights do not fit config.json: it is of {values:,} values and more, and they have "
            f"{held:,} bytes"
        ) from None
    except Exception as error:  # the kind of error depends on what is wrong in the config
        raise ZooError(f"{folder}: its config makes no {kind}: {reason(error)}") from error
    finally:
        counting.remove()


class _Overfull(Exception):
    """Error raised when a network has more values than its weight files have bytes."""


def _sharded(index: Path) -> list[Path]:
    """Return the files that an index of weights names, which must be in its folder.

    Raises:
        ZooError: a file is elsewhere, or does not exist.
    """
    names = sorted({*read_record(index, WeightIndex).weight_map.values()})
    files = [index.parent / name for name in names]
    for file in files:
        if not file.is_file():
            raise ZooError(f"{index}: {file.name} is not there; the folder is not whole")
    return files


def _check_files(folder: Path, cls: Any, variant: str | None, stem: str = STEM) -> list[Path]:
    """Find the files of weights. Refuse a folder without them, and say what it has instead and what to do.

    Returns:
        The files of weights.
    """
    dot = "" if variant is None else f".{variant}"
    whole, index = folder / f"{stem}{dot}.safetensors", folder / f"{stem}.safetensors.index{dot}.json"
    if index.is_file():  # diffusers looks for it first, too
        return _sharded(index)
    if whole.is_file():
        return [whole]
    there = sorted(path.name for path in folder.glob("*.safetensors"))
    middles = [name.removeprefix(f"{stem}.").split(".")[0] for name in there if name.count(".") > 1]
    if middles:
        found = middles[0].split("-")[0]
        asked = "" if variant is None else f"--variant {variant}: "
        raise ZooError(f"{asked}{folder} holds the weights {', '.join(there)}: take --variant {shlex.quote(found)}")
    if variant is not None and there:
        raise ZooError(f"--variant {variant}: {folder} holds {', '.join(there)} alone: leave --variant out")
    if there:
        raise ZooError(f"{folder}: no {stem}.safetensors; it holds {', '.join(there)}")
    pickles = [path.name for pattern in PICKLES for path in folder.glob(pattern)]
    if pickles:
        way = "and not in the form of diffusers, whose from_single_file reads some of such files where you trust them"
        if pickles[0].startswith(PICKLED[stem]):
            way = f"convert it where you trust it: {_conversion(cls, str(folder))}"
        raise ZooError(f"{folder}: {pickles[0]} is a pickle, which may run code when read; {way}")
    raise ZooError(
        f"{folder}: no weights ({stem}.safetensors): the folder is not whole, or its repository has pickles (.bin) "
        f"alone, which are not fetched, since reading one may run code; where you trust it: {_conversion(cls, 'NAME')}"
    )


def _conversion(cls: Any, name: str) -> str:
    """Return a command that writes safetensors from pickles."""
    library = _library(cls)
    code = f"import sys, {library}; {library}.{cls.__name__}.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])"
    return shlex.join(["python", "-c", code, name])


def _library(cls: Any) -> str:
    return str(cls.__module__).partition(".")[0]


def with_layout(module: Any, layout: Layout) -> Any:
    """Change the memory layout of the weights, in place. Convolutions then return their outputs in this layout, too."""
    import torch

    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    return module.to(memory_format=formats[layout])


def compiled_network(architecture: NetworkArchitecture, module: Any) -> Network:
    """Compile a network at its first call with each batch size, with its weights as constants.

    The compiler packs constant weights once, in the best form for convolutions. Images have their channels last.
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
