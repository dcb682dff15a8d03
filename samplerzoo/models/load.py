"""Loading of models by name, and model folders, whose configs are read once."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from samplerzoo import registry
from samplerzoo.core import finder
from samplerzoo.core.blame import bad_answer, blaming
from samplerzoo.core.codec import Codec, Latents
from samplerzoo.core.level import Level
from samplerzoo.core.model import LAYOUTS, Layout, Model, Offload
from samplerzoo.core.stopwatch import Stopwatch
from samplerzoo.core.text import TextEncoder
from samplerzoo.data.options import DIGITS
from samplerzoo.errors import UsageError, expect, path_text, reason
from samplerzoo.models.classifier_facts import holds_classifier, read_classifier_facts
from samplerzoo.models.configs import ModelInfo, parse
from samplerzoo.models.exact import ExactModel, ExactOptions
from samplerzoo.models.folder import CLASSIFIER, INFO_FILE, find_model, is_exact, pretrained, read_json
from samplerzoo.models.handle import ModelHandle
from samplerzoo.models.options import AS_FOUND, ReadingOptions
from samplerzoo.models.parts import INDEX_FILE, Part, Parts, Undriven, assemble, read_parts
from samplerzoo.models.understand import HALVED, NULL_LABEL, understand
from samplerzoo.models.weights import compiled_network, holds_variant, load_module, load_text_part, with_layout
from samplerzoo.system.environment import choose_device, choose_dtype
from samplerzoo.system.files import atomic_folder

if TYPE_CHECKING:
    import torch
    from diffusers import SchedulerMixin, UNet2DModel

    from samplerzoo.core.architecture import NetworkArchitecture
    from samplerzoo.core.model import Classifier, Network


def load(
    name: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    compiled: bool = False,
    layout: Layout = "contiguous",
    offload: Offload | None = None,
    **reading: Any,
) -> Model:
    """Load a model from its folder: one that samplerzoo trained, or any that diffusers saved and an architecture reads.

    Args:
        name: an embedded model ("mnist"), a local folder, a hub id, or an exact model ("exact:digits").
        device: "auto" is the first of cuda, mps and cpu that is available.
        dtype: "float32", "bfloat16" or "float16"; "auto" is bfloat16 where the device computes it natively, else
            float32.
        compiled: make the network faster with torch.compile. It takes half a minute at the first batch of each size,
            and needs a C++ compiler. Images are the same but for rounding.
        layout: layout of the weights in memory; a compiled network has its own. Images are the same but for rounding.
        offload: "model", "sequential" or "group": keep weights of a whole pipeline in main memory until they are used.
        reading: `revision`, `variant`, `scheduler`, `shape` and `null_label`, for what the folder leaves open;
            `hosted`, `height`, `width` and `pipeline_options`, for a whole pipeline.

    Raises:
        UsageError: there is no such model.
        ZooError: the folder is not whole, or not one that can be sampled from.
    """
    for what, text in (("dtype", dtype), ("layout", layout)):  # a device may be a torch.device
        expect(what, text, str)
    expect("compiled", compiled, bool)
    if layout not in LAYOUTS:
        raise UsageError(f"layout is {' or '.join(LAYOUTS)}, not {layout!r:.60}")
    try:
        options = ReadingOptions.model_validate(reading)
    except ValueError as error:
        raise UsageError(reason(error)) from error
    found = open_model(name, options).offloaded(offload, choose_device(device))
    return found.load(device=device, dtype=dtype, compiled=compiled, layout=layout)


def open_model(name: str | os.PathLike[str], reading: ReadingOptions = AS_FOUND) -> ModelHandle:
    """Find a model by its name: an embedded model, a folder, a hub id, or exact:DATASET.

    If no architecture reads the network of a pipeline's folder, the whole pipeline is run by its own code.

    Raises:
        UsageError: there is no such model.
        ZooError: its folder is not whole, or not one that can be sampled from.
    """
    name = path_text("the name of a model", name)
    if is_exact(name):
        return ExactModel.open(name, reading)
    if reading.hosted:
        return finder.open_pipeline(name, find_model(name, revision=reading.revision), reading)
    try:
        found = ModelFolder.open(name, reading)
    except Undriven as error:
        if reading.hosted is None:
            return finder.open_pipeline(name, find_model(name, revision=reading.revision), reading, error)
        raise
    reading.check_native(name)
    return found


@dataclass(frozen=True, eq=False)
class ModelFolder(ModelHandle):
    """Model on disk. Its configs are read once; `load` reads the weights.

    Attributes:
        path: the folder.
        info: content of samplerzoo.json.
        reading: facts that the user gave about the folder.
    """

    path: Path
    info: ModelInfo
    reading: ReadingOptions
    parts: Parts
    stub: Model
    guesses: tuple[str, ...]

    @classmethod
    def open(cls, name: str | os.PathLike[str], reading: ReadingOptions = AS_FOUND) -> Self:
        """Find a model by its embedded name, local folder or hub id, and read its configs.

        Raises:
            UsageError: there is no such model.
            ZooError: the folder is not whole, or not one that can be sampled from.
        """
        root = find_model(os.fspath(name), revision=reading.revision)
        parts = read_parts(root, reading.scheduler)
        info = read_info(parts.root)
        stub, guesses = understand(parts, info, reading, os.fspath(name))
        return cls(root, info, reading, parts, stub, guesses)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the files that images depend on: weights and configs of all parts and of the classifier."""
        return fingerprint(self.parts.root, self.parts)

    @property
    def family(self) -> str:
        """Names of network and scheduler."""
        codec = self.parts.codec
        latents = f" on the latents of {codec[0].kind}" if codec else ""
        return f"{self.parts.network[0].kind} with {self.parts.scheduler[0].kind}{latents}"

    def load_network(self, device: str, dtype: str) -> Any:
        """Read only the weights of the network, as a torch module."""
        part, architecture = self.parts.network
        with blaming(architecture):
            cls = architecture.module(part.config)
        return load_module(part, cls, dtype, self._variant(part)).to(device)

    def load(
        self,
        *,
        device: str = "auto",
        dtype: str = "auto",
        compiled: bool = False,
        layout: Layout = "contiguous",
    ) -> Model:
        """Read the weights; the arguments are those of `samplerzoo.load`."""
        _warn_of_guesses(self.stub.name, self.guesses)
        if is_unfinished(self.parts.root):  # said here, since to train that classifier only opens the folder
            warn_once(f"warning: {self.parts.root / CLASSIFIER} is not whole, and is passed over")
        device = choose_device(device)
        dtype = choose_dtype(dtype, device)
        architecture = self.parts.network[1]
        module = with_layout(self.load_network(device, dtype), layout)
        model = dataclasses.replace(
            self.stub, device=device, dtype=dtype, compiled=compiled, layout=layout, codec=self._codec(device),
            text=self._text(device),
        )  # fmt: skip
        net = compiled_network(architecture, module) if compiled else architecture.call(module)
        return with_networks(model, net, self.parts.root)

    def network_in(self, device: str, dtype: str) -> Callable[[Layout], Network]:
        architecture, module = self.parts.network[1], self.load_network(device, dtype)
        return lambda layout: architecture.call(with_layout(module, layout))

    def about(self) -> dict[str, Any]:
        return {"folder": str(self.path), "data": self.info.data, "recipe": self.info.recipe}

    def load_codec(self, device: str) -> Any:
        """Read the weights of the autoencoder, as a torch module in float32: half precision would be visible."""
        assert self.parts.codec is not None
        part, architecture = self.parts.codec
        return load_module(part, architecture.module(part.config), "float32", self._variant(part)).to(device)

    def _codec(self, device: str) -> Codec:
        """Return the codec of the model, with the weights of the autoencoder if there is one."""
        codec = self.stub.codec
        return codec.with_weights(self.load_codec(device)) if isinstance(codec, Latents) else codec

    def _text(self, device: str) -> TextEncoder | None:
        """Return the text encoder of the model, with its weights, if it takes prompts. It computes in float32."""
        if self.stub.text is None:
            return None
        modules = {part.name: load_text_part(part, self._variant(part), device) for part in self.parts.texts}
        modules |= {**self.parts.settings, "image_shape": self.stub.image_shape}
        found = text_encoder(self.parts.network[1], modules, self.stub.text.identity)
        return dataclasses.replace(found, watch=Stopwatch(device))

    def _variant(self, part: Part) -> str | None:
        """Return the variant of a part's weights that the user asks for, or None if only other parts have it."""
        variant = self.reading.variant
        elsewhere = variant is not None and any(holds_variant(other, variant) for other in self.parts)
        return None if variant is None or (elsewhere and not holds_variant(part, variant)) else variant


def text_encoder(
    architecture: NetworkArchitecture, modules: Mapping[str, Any], identity: Callable[[], str]
) -> TextEncoder:
    """Ask an architecture for the text encoder that is made of these parts."""
    with blaming(architecture):
        found: Any = architecture.text(modules)
    if not isinstance(found, TextEncoder):
        raise bad_answer(architecture, "text", found, "a TextEncoder")
    return dataclasses.replace(found, identity=identity)


def is_unasked(name: str) -> bool:
    """Tell whether a model may be opened only because a file names it: an embedded model, or a local folder.

    Other models would be downloaded, or computed from data that a stranger chose.
    """
    if is_exact(name):
        return ExactOptions.parse(name).dataset == DIGITS
    return name in pretrained() or Path(os.path.expanduser(name)).is_dir()


def lasting(name: str) -> str:
    """Make the path in a model's name absolute, so that a recipe works from any directory; keep other names."""
    if is_exact(name):
        options = ExactOptions.parse(name)
        path = Path(os.path.expanduser(options.dataset))
        local = options.dataset != DIGITS and path.exists()
        return options.name(str(path.resolve()) if local else options.dataset)
    folder = Path(os.path.expanduser(name))
    return str(folder.resolve()) if name not in pretrained() and folder.is_dir() else name


def title(name: str) -> str:
    """Return the name of a model for reports, without a path of this machine."""
    if is_exact(name):
        options = ExactOptions.parse(name)
        path = Path(os.path.expanduser(options.dataset))
        return options.name(path.name if path.is_absolute() or path.exists() else options.dataset)
    return name if name in pretrained() or not Path(name).is_dir() else Path(name).name


def fingerprint(folder: Path, parts: Parts) -> str:
    """Return the SHA-256 of the files in a model folder that images depend on."""
    digest = hashlib.sha256()
    for architecture in (parts.network[1], parts.scheduler[1], *([parts.codec[1]] if parts.codec else [])):
        for plugin in registry.plugins("architecture"):
            if plugin.file is not None and plugin.target is type(architecture):  # its code says how the folder is read
                digest.update(plugin.file.read_bytes())
    files = {path for part in (*parts, Part(CLASSIFIER, folder / CLASSIFIER, {})) for path in part.files}
    for path in sorted(files):
        digest.update(str(path.relative_to(folder) if path.is_relative_to(folder) else path.name).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if parts.settings:
        digest.update(json.dumps(parts.settings, sort_keys=True).encode())
    return digest.hexdigest()


def model_of_modules(
    modules: Mapping[str, Any], info: ModelInfo, folder: Path | None = None, name: str = "the pipeline's model"
) -> Model:
    """Make a model from a pipeline's modules in memory. The folder that they were loaded from may add a classifier.

    Args:
        modules: network, scheduler and perhaps an autoencoder, by their names in the pipeline.
    """
    root = folder or Path(name)
    named = [Part(part, root / part, dict(module.config)) for part, module in modules.items()]
    for part, module in zip(named, modules.values(), strict=True):
        part.config["_class_name"] = type(module).__name__
    parts = assemble(root, None, named)
    stub, guesses = understand(parts, info, AS_FOUND, name)
    _warn_of_guesses(name, guesses)
    module, codec = modules[parts.network[0].name], stub.codec
    if parts.codec is not None and isinstance(codec, Latents):
        codec = codec.with_weights(modules[parts.codec[0].name])
    dtype = str(module.dtype).removeprefix("torch.")
    model = dataclasses.replace(stub, device=str(module.device), dtype=dtype, codec=codec)
    return with_networks(model, parts.network[1].call(module), folder)


def read_info(root: Path) -> ModelInfo:
    """Read samplerzoo.json, or return the defaults if another program wrote the folder."""
    if not (root / INFO_FILE).exists():
        return ModelInfo()
    return parse(ModelInfo, read_json(root, INFO_FILE), root / INFO_FILE)


def save_model(
    root: Path, unet: UNet2DModel, scheduler: SchedulerMixin, info: ModelInfo, card: str, *, scaled: bool = False
) -> None:
    """Write a model folder with samplerzoo.json and a model card. Each file is written atomically.

    The folder may already hold an older model and other files. It can be loaded at every moment, since only the weights
    change from one checkpoint to the next, and they are one file.

    Args:
        scaled: True if the network's input has to be scaled. DDPMPipeline would not scale it, and would silently make
            noise. So the folder gets no index of a pipeline; network and scheduler can be loaded by their own classes.
    """
    from diffusers import DDPMPipeline

    with atomic_folder(root) as beside:
        if scaled:
            unet.save_pretrained(beside / "unet", safe_serialization=True)
            scheduler.save_pretrained(beside / "scheduler")
            (root / INDEX_FILE).unlink(missing_ok=True)  # index of an older model
        else:
            DDPMPipeline(unet, scheduler).save_pretrained(beside, safe_serialization=True)
        (beside / INFO_FILE).write_text(info.model_dump_json(indent=2) + "\n")
        (beside / "README.md").write_text(card)


def is_unfinished(root: Path) -> bool:
    """Return True if a folder has an incomplete classifier, as during training or after a refused one."""
    return (root / CLASSIFIER).is_dir() and not holds_classifier(root)


@functools.cache
def warn_once(text: str) -> None:
    """Print a line on stderr once, on the main process only."""
    warn(text)


def warn(text: str) -> None:
    """Print a line on stderr, on the main process only."""
    from samplerzoo.system.processes import processes  # imports torch

    if not processes()[0]:
        print(text, file=sys.stderr)


def _warn_of_guesses(name: str, guesses: Sequence[str]) -> None:
    """Warn once of each guess about a network's output and labels, since a wrong guess makes wrong images."""
    for guess in guesses:
        if guess == HALVED or NULL_LABEL in guess:
            warn_once(f"samplerzoo: {name}: {guess}")


def with_networks(stub: Model, net: Any, folder: Path | None) -> Model:
    """Replace the stubs of a model by its network and, if it has one, the classifier of its folder."""
    classifier = None
    if stub.classifier is not None and folder is not None:
        classifier = _deferred_classifier(folder, stub)
    return dataclasses.replace(stub, net=net, classifier=classifier)


def _deferred_classifier(root: Path, model: Model) -> Classifier:
    """Return a classifier that is loaded at its first call, since most runs need none and the import takes seconds."""

    @functools.cache
    def loaded() -> tuple[Classifier, list[int]]:
        from samplerzoo.models.classifier import load_classifier

        facts = read_classifier_facts(root)
        assert facts is not None, "the model has no classifier"
        order = facts.order_for(model)
        return load_classifier(facts.folder, model.device), [*order]

    def classifier(x: torch.Tensor, level: Level) -> torch.Tensor:
        classify, order = loaded()
        return classify(x, level)[:, order]

    return classifier
