"""A model: a network with its schedule, labels and classifier, and the diffusers folder that it lives in."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from samplerzoo.core.prediction import Clip, Prediction, PredictionType, unet_network
from samplerzoo.core.schedule import Level, Schedule
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.models.configs import ModelInfo, NetworkConfig, SchedulerConfig, parse
from samplerzoo.models.folder import INFO_FILE, find_model, read_json
from samplerzoo.system.environment import choose_device, choose_dtype
from samplerzoo.system.files import atomic_folder

if TYPE_CHECKING:
    import torch
    from diffusers import SchedulerMixin, UNet2DModel

    Network = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
    Classifier = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

NO_CLIP = Clip("off")

Layout = Literal["contiguous", "channels_last"]
LAYOUTS: tuple[Layout, ...] = ("contiguous", "channels_last")


@dataclass(frozen=True, eq=False)
class Model:
    """What a sampler samples from.

    Attributes:
        net: any callable (x, tau, labels) -> output. x is float32 (N, *shape); tau is float32 (N,) in (0, T], one more
            than diffusers' timestep; labels is int64 (N,) or None. An output with twice the channels of x holds a
            learned variance in its second half (Nichol and Dhariwal 2021).
        schedule: the noise path that it was trained on.
        prediction: what the output is: "epsilon", "sample" or "v_prediction".
        shape: of one image, usually (C, H, W).
        num_classes: of the labels that the network takes; None for an unconditional one.
        null_label: the label that it was trained to read as "no label", if any.
        class_names, class_counts: one entry a class; the counts are those of the training data.
        classifier: a noise-aware classifier (x, tau) -> logits (N, classifier_classes).
        second: another model of the same images and the same schedule, for a guidance that takes one.
        clip: what happens to x0 unless a run says otherwise.
        device, dtype, compiled, layout: where the network computes, in what precision, whether by torch.compile, and
            how its weights lie in memory.
        name: what messages and records call it.
        folder: where it was loaded from, if it was.
    """

    net: Network
    schedule: Schedule
    prediction: PredictionType = "epsilon"
    shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    null_label: int | None = None
    class_names: tuple[str, ...] | None = None
    class_counts: tuple[int, ...] | None = None
    classifier: Classifier | None = None
    classifier_classes: int | None = None
    second: Model | None = None
    clip: Clip = NO_CLIP
    device: str = "cpu"
    dtype: str = "float32"
    compiled: bool = False
    layout: Layout = "contiguous"
    name: str = "a network in memory"
    folder: Path | None = None

    def __post_init__(self) -> None:
        known = get_args(PredictionType)
        if self.prediction not in known:
            raise ZooError(f"{self.name}: unknown prediction type {self.prediction!r}; known: {', '.join(known)}")
        if self.prediction == "epsilon" and self.schedule.zero_terminal_snr:
            raise ZooError(
                f"{self.name}: an epsilon network cannot tell x0 at zero terminal SNR; "
                "that schedule needs prediction type v_prediction or sample"
            )

    @property
    def classes(self) -> int | None:
        """How many classes an image can be asked for: the network's, else the classifier's."""
        return self.num_classes if self.num_classes is not None else self.classifier_classes

    def denoise(self, x: torch.Tensor, level: Level, labels: torch.Tensor | None = None) -> Prediction:
        """One network call; an unconditional network is not told the labels."""
        known = labels if self.num_classes is not None else None
        output = self.net(x, x.new_full((len(x),), level.tau), known)
        variance = None
        if output.shape[1] == 2 * x.shape[1]:
            output, raw = output.chunk(2, dim=1)
            variance = (raw + 1) / 2
        if output.shape != x.shape:
            raise ZooError(f"{self.name} answered {tuple(output.shape)} to images {tuple(x.shape)}")
        return Prediction.of(self.prediction, x, level, output, variance)


def load(
    name: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    compiled: bool = False,
    layout: Layout = "contiguous",
    revision: str | None = None,
) -> Model:
    """A model from its folder: one that samplerzoo trained, or any that diffusers saved with a UNet2DModel.

    Args:
        name: an embedded model ("mnist"), a local folder, or a hub id.
        device: "auto" is the first of cuda, mps, cpu that there is.
        dtype: "float32", "bfloat16" or "float16"; "auto" is bfloat16 on CUDA from compute capability 8.0, else float32.
        compiled: let torch.compile make the network faster, which takes half a minute at the first batch of each
            size, and needs a C++ compiler. Images are the same but for rounding.
        layout: of the weights in memory; a compiled network has its own. Images are the same but for rounding.

    Raises:
        UsageError: there is no such model.
        ZooError: the folder is not whole, or not one that can be sampled from.
    """
    model = outline(name, revision=revision)
    assert model.folder is not None
    device = choose_device(device)
    dtype = choose_dtype(dtype, device)
    unet = arranged(load_unet(model.folder, dtype).to(device).eval(), layout)
    net = _compiled(unet) if compiled else unet_network(unet)
    classifier = None if model.classifier is None else _deferred_classifier(model, device)
    return dataclasses.replace(
        model, net=net, classifier=classifier, device=device, dtype=dtype, compiled=compiled, layout=layout
    )


def outline(name: str | os.PathLike[str], *, revision: str | None = None) -> Model:
    """A model without its weights: all that its configs say, with a stand-in for network and classifier.

    The stand-ins answer with their input: never zero, so that who divides by the answer can.
    """
    root = find_model(os.fspath(name), revision=revision)
    network = _network_config(root)
    scheduler = read_json(root, "scheduler/scheduler_config.json", "scheduler_config.json")
    return _described(network, scheduler, load_info(root), root, os.fspath(name))


def of_parts(unet: UNet2DModel, scheduler: SchedulerMixin, info: ModelInfo, folder: Path | None = None) -> Model:
    """A model of what a pipeline has in memory; a folder that it was loaded from may add a classifier."""
    network, device = dict(unet.config), str(unet.device)
    model = _described(network, dict(scheduler.config), info, folder, "the pipeline's network")
    classifier = None if model.classifier is None else _deferred_classifier(model, device)
    dtype = str(unet.dtype).removeprefix("torch.")
    return dataclasses.replace(model, net=unet_network(unet), classifier=classifier, device=device, dtype=dtype)


def _described(
    unet: dict[str, Any], scheduler: dict[str, Any], info: ModelInfo, folder: Path | None, name: str
) -> Model:
    """What the configs say, with a stand-in for network and classifier."""
    root = Path(name) if folder is None else folder
    network = parse(NetworkConfig, unet, _network_folder(root) / "config.json")
    config = parse(SchedulerConfig, scheduler, root / "scheduler")
    try:
        schedule = Schedule.from_config(scheduler)
    except ZooError as error:
        raise ZooError(f"{root / 'scheduler'}: {error}") from error
    num_classes, room = info.num_classes, network.num_class_embeds or 0
    if num_classes is None and room:
        num_classes = room - (info.null_label is not None)
    if num_classes is not None and room < max(num_classes, (info.null_label or 0) + 1):
        raise ZooError(f"{root / INFO_FILE}: more classes than the network's num_class_embeds, {room}")
    classes = None
    if folder is not None and (folder / "classifier").is_dir():
        # transformers leaves its default, two labels, out of the file
        classes = len(read_json(folder / "classifier", "config.json").get("id2label", [])) or 2

    def echo(x: torch.Tensor, tau: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        return x.repeat(1, network.out_channels // network.in_channels, *[1] * (x.ndim - 2))

    def slope(x: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).mean(1, keepdim=True) * x.new_tensor(range(classes or 1))

    return Model(
        echo,
        schedule,
        cast(PredictionType, config.prediction_type),  # Model refuses what is none
        shape=network.shape,
        num_classes=num_classes,
        null_label=info.null_label,
        class_names=None if info.class_names is None else tuple(info.class_names),
        class_counts=None if info.class_counts is None else tuple(info.class_counts),
        classifier=None if classes is None else slope,
        classifier_classes=classes,
        clip=config.clip(network.in_channels),
        name=name,
        folder=folder,
    )


def accompanied(model: Model, name: str | None, *, weights: bool = True) -> Model:
    """The model with a second one, which computes where and as precisely as it does; the model itself without a name.

    Args:
        weights: leave them out, and the second one is an outline.

    Raises:
        UsageError: the two are not models of the same images, classes and noise.
    """
    if name is None:
        return model
    second = outline(name)
    if second.shape != model.shape:
        raise UsageError(f"the second model, {name}, makes images {second.shape}, and {model.name} {model.shape}")
    if second.num_classes not in (None, model.num_classes):
        raise UsageError(f"the second model, {name}, has other classes than {model.name}")
    if not np.array_equal(second.schedule.alphas, model.schedule.alphas):
        raise UsageError(f"the second model, {name}, was trained on another noise schedule than {model.name}")
    if weights:
        second = load(name, device=model.device, dtype=model.dtype, compiled=model.compiled, layout=model.layout)
    return dataclasses.replace(model, second=second)


def fingerprint(folder: Path) -> str:
    """SHA-256 of the files that images depend on: weights and configs of network, schedule and classifier."""
    digest = hashlib.sha256()
    parts = [part for part in ("unet", "scheduler", "classifier") if (folder / part).is_dir()]
    files = [path for part in parts or ["."] for path in (folder / part).glob("*") if path.is_file()]
    for path in sorted(path for path in files if path.suffix in (".json", ".safetensors")):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_unet(root: Path, dtype: str = "float32") -> UNet2DModel:
    """The network of a model folder. Weights are read from safetensors alone, and must be complete."""
    _network_config(root)
    folder = _network_folder(root)
    if not any(folder.glob("*.safetensors")):
        pickles = [path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth"))]
        if pickles:
            raise ZooError(
                f"{folder}: {pickles[0]} is a pickle, which may run code when read; convert it to safetensors"
            )
        raise ZooError(f"{folder}: no weights (diffusion_pytorch_model.safetensors); the folder is not whole")
    from diffusers import UNet2DModel

    try:
        unet, report = UNet2DModel.from_pretrained(
            folder,
            torch_dtype=getattr(_torch(), dtype),
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except Exception as error:  # what diffusers raises depends on how the file is broken
        raise ZooError(f"{folder}: the network cannot be read: {reason(error)}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise ZooError(f"{folder}: weights do not fit config.json: {kind} {sorted(map(str, report[kind]))[0]}, ...")
    return unet


def arranged(unet: UNet2DModel, layout: Layout) -> UNet2DModel:
    """The network with its weights in this layout, in which its convolutions then give their images."""
    torch = _torch()
    return unet.to(memory_format={"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[layout])


def _compiled(unet: UNet2DModel) -> Network:
    """The network, compiled at its first call of each size of batch, with its weights as constants.

    Then they can be packed once as convolutions like them, and the images lie with their channels last.
    """
    from torch._dynamo.exc import TorchDynamoException

    arranged(unet, "channels_last").compile(dynamic=False, options={"freezing": True})
    network = unet_network(unet)

    def compiled(x: torch.Tensor, tau: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        try:
            return network(x, tau, labels)
        except TorchDynamoException as error:
            inner = getattr(error, "inner_exception", error)  # theirs says no more than which backend it was
            raise ZooError(f"--compile: {reason(inner)}; leave --compile out") from error

    return compiled


def _network_folder(root: Path) -> Path:
    """In a pipeline folder the network has its own; a bare network is its own folder."""
    return root / "unet" if (root / "unet").is_dir() else root


def _network_config(root: Path) -> dict[str, Any]:
    folder = _network_folder(root)
    config = read_json(folder, "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise ZooError(f"{folder}: the network is a {config.get('_class_name')}, and samplerzoo drives UNet2DModel")
    return config


def load_info(root: Path) -> ModelInfo:
    """samplerzoo.json, or its defaults for a folder that another program wrote."""
    if not (root / INFO_FILE).exists():
        return ModelInfo()
    return parse(ModelInfo, read_json(root, INFO_FILE), root / INFO_FILE)


def save(root: Path, unet: UNet2DModel, scheduler: SchedulerMixin, info: ModelInfo, card: str) -> None:
    """Writes a DDPMPipeline folder with samplerzoo.json and a model card, each file whole or not at all.

    The folder may already hold an older model and anything else; it is loadable at every moment in between, since
    what changes from one checkpoint to the next is the weights, and they are one file.
    """
    from diffusers import DDPMPipeline

    with atomic_folder(root) as beside:
        DDPMPipeline(unet, scheduler).save_pretrained(beside, safe_serialization=True)
        (beside / INFO_FILE).write_text(info.model_dump_json(indent=2) + "\n")
        (beside / "README.md").write_text(card)


def _torch() -> Any:
    import torch

    return torch


def _deferred_classifier(model: Model, device: str) -> Classifier:
    """Read at its first call: most runs make none, and transformers takes seconds to import."""

    @functools.cache
    def loaded() -> Classifier:
        from samplerzoo.models.classifier import load_classifier

        assert model.folder is not None
        return load_classifier(model.folder / "classifier", model.schedule, device)

    def classifier(x: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        return loaded()(x, tau)

    return classifier
