"""Model folders: what their configs say, read once, and the models that are loaded from them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from samplerzoo.core.model import Layout, Model
from samplerzoo.core.parametrization import PredictionType
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.configs import ModelInfo, NetworkConfig, SchedulerConfig, parse
from samplerzoo.models.folder import INFO_FILE, find_model, read_json
from samplerzoo.models.unet2d import (
    compiled_network,
    load_unet,
    network_config,
    network_folder,
    unet_network,
    with_layout,
)
from samplerzoo.system.environment import choose_device, choose_dtype
from samplerzoo.system.files import atomic_folder

if TYPE_CHECKING:
    import torch
    from diffusers import SchedulerMixin, UNet2DModel

    from samplerzoo.core.model import Classifier


def load(
    name: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    compiled: bool = False,
    layout: Layout = "contiguous",
    revision: str | None = None,
) -> Model:
    """Load a model from its folder: one that samplerzoo trained, or any that diffusers saved with a UNet2DModel.

    Args:
        name: an embedded model ("mnist"), a local folder, or a hub id.
        device: "auto" is the first of cuda, mps, cpu that there is.
        dtype: "float32", "bfloat16" or "float16"; "auto" is bfloat16 where the device computes it natively, else
            float32.
        compiled: let torch.compile make the network faster. It takes half a minute at the first batch of each size,
            and needs a C++ compiler. Images are the same but for rounding.
        layout: layout of the weights in memory; a compiled network has its own. Images are the same but for rounding.
        revision: branch, tag or commit of a hub id.

    Raises:
        UsageError: there is no such model.
        ZooError: the folder is not whole, or not one that can be sampled from.
    """
    folder = ModelFolder.open(name, revision=revision)
    return folder.load(device=device, dtype=dtype, compiled=compiled, layout=layout)


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """A model on disk, by its configs, which are read once; `load` reads the weights.

    Attributes:
        path: the folder.
        info: content of samplerzoo.json.
        stub: the model with functions in place of its networks, for dry runs. They answer with their input: never
            zero, so that a sampler that divides by an answer can.
    """

    path: Path
    info: ModelInfo
    stub: Model

    @classmethod
    def open(cls, name: str | os.PathLike[str], *, revision: str | None = None) -> Self:
        """Find a model by its embedded name, local folder or hub id, and read its configs.

        Raises:
            UsageError: there is no such model.
            ZooError: the folder is not whole, or not one that can be sampled from.
        """
        root = find_model(os.fspath(name), revision=revision)
        network = network_config(root)
        scheduler = read_json(root, "scheduler/scheduler_config.json", "scheduler_config.json")
        info = read_info(root)
        return cls(root, info, _stub(network, scheduler, info, root, os.fspath(name)))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the files that images depend on: weights and configs of network, schedule and classifier."""
        return fingerprint(self.path)

    def load(
        self,
        *,
        device: str = "auto",
        dtype: str = "auto",
        compiled: bool = False,
        layout: Layout = "contiguous",
    ) -> Model:
        """Read the weights; the arguments are those of `samplerzoo.load`."""
        device = choose_device(device)
        dtype = choose_dtype(dtype, device)
        unet = with_layout(load_unet(self.path, dtype).to(device).eval(), layout)
        model = dataclasses.replace(self.stub, device=device, dtype=dtype, compiled=compiled, layout=layout)
        return _with_networks(model, compiled_network(unet) if compiled else unet_network(unet), self.path)

    def load_like(self, model: Model) -> Model:
        """Read the weights to the device of another model, in its dtype and layout, compiled if it is."""
        return self.load(device=model.device, dtype=model.dtype, compiled=model.compiled, layout=model.layout)


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 of the files that images depend on, of the model in a folder."""
    digest = hashlib.sha256()
    parts = [part for part in ("unet", "scheduler", "classifier") if (folder / part).is_dir()]
    files = [path for part in parts or ["."] for path in (folder / part).glob("*") if path.is_file()]
    for path in sorted(path for path in files if path.suffix in (".json", ".safetensors")):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def check_second(second: Model, model: Model) -> None:
    """Refuse a second model for a guidance that is not one of the same images, classes and noise.

    Raises:
        UsageError: names what differs.
    """
    if second.shape != model.shape:
        raise UsageError(
            f"the second model, {second.name}, makes images {second.shape}, and {model.name} {model.shape}"
        )
    if second.num_classes not in (None, model.num_classes):
        raise UsageError(f"the second model, {second.name}, has other classes than {model.name}")
    if not np.array_equal(second.schedule.alphas, model.schedule.alphas):
        raise UsageError(f"the second model, {second.name}, was trained on another noise schedule than {model.name}")


def model_of_parts(unet: UNet2DModel, scheduler: SchedulerMixin, info: ModelInfo, folder: Path | None = None) -> Model:
    """Make a model of what a pipeline has in memory; the folder that it was loaded from may add a classifier."""
    stub = _stub(dict(unet.config), dict(scheduler.config), info, folder, "the pipeline's network")
    dtype = str(unet.dtype).removeprefix("torch.")
    return _with_networks(dataclasses.replace(stub, device=str(unet.device), dtype=dtype), unet_network(unet), folder)


def read_info(root: Path) -> ModelInfo:
    """Read samplerzoo.json; a folder that another program wrote has none, and gets the defaults."""
    if not (root / INFO_FILE).exists():
        return ModelInfo()
    return parse(ModelInfo, read_json(root, INFO_FILE), root / INFO_FILE)


def save_model(root: Path, unet: UNet2DModel, scheduler: SchedulerMixin, info: ModelInfo, card: str) -> None:
    """Write a DDPMPipeline folder with samplerzoo.json and a model card, each file whole or not at all.

    The folder may already hold an older model and anything else; it is loadable at every moment in between, since
    what changes from one checkpoint to the next is the weights, and they are one file.
    """
    from diffusers import DDPMPipeline

    with atomic_folder(root) as beside:
        DDPMPipeline(unet, scheduler).save_pretrained(beside, safe_serialization=True)
        (beside / INFO_FILE).write_text(info.model_dump_json(indent=2) + "\n")
        (beside / "README.md").write_text(card)


def _stub(unet: dict[str, Any], scheduler: dict[str, Any], info: ModelInfo, folder: Path | None, name: str) -> Model:
    """Make a model of what the configs say, with functions in place of network and classifier."""
    root = Path(name) if folder is None else folder
    network = parse(NetworkConfig, unet, network_folder(root) / "config.json")
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
        cast(PredictionType, config.prediction_type),  # Model refuses an unknown one
        shape=network.shape,
        num_classes=num_classes,
        null_label=info.null_label,
        class_names=None if info.class_names is None else tuple(info.class_names),
        class_counts=None if info.class_counts is None else tuple(info.class_counts),
        classifier=None if classes is None else slope,
        classifier_classes=classes,
        clip=config.clip(network.in_channels),
        name=name,
    )


def _with_networks(stub: Model, net: Any, folder: Path | None) -> Model:
    """Put the network in the place of its stub, and the folder's classifier in the place of the classifier's."""
    classifier = None
    if stub.classifier is not None and folder is not None:
        classifier = _deferred_classifier(folder / "classifier", stub.schedule, stub.device)
    return dataclasses.replace(stub, net=net, classifier=classifier)


def _deferred_classifier(folder: Path, schedule: Schedule, device: str) -> Classifier:
    """Load a classifier at its first call: most runs make none, and transformers takes seconds to import."""

    @functools.cache
    def loaded() -> Classifier:
        from samplerzoo.models.classifier import load_classifier

        return load_classifier(folder, schedule, device)

    def classifier(x: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        return loaded()(x, tau)

    return classifier
