"""Parts of a model folder, and the architecture that reads each part. No weights are read here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from samplerzoo import registry
from samplerzoo.core.architecture import Architecture, CodecArchitecture, NetworkArchitecture, PathArchitecture
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.folder import CLASSIFIER, FEATURES, read_json
from samplerzoo.system.files import is_set_aside

INDEX_FILE = "model_index.json"
CONFIG_FILES = ("config.json", "scheduler_config.json")
CHECKPOINT_FILES = ("ema.safetensors", "model.safetensors", "progress.json")
"""Files of a training checkpoint: its moving average, if it has one, its weights, and its progress."""
TOKENS = (".txt", ".model")
"""Suffixes of a tokenizer's files other than JSON, such as merges.txt."""
HOSTED = ("sampler", "sampler_options", "spacing", "clip_x0", "seed", "replaces")
"""Keys of a SamplerScheduler's config that do not come from the scheduler that it replaces."""
OURS = (CLASSIFIER, FEATURES, "checkpoints", "samples")
"""Folders beside the parts of a pipeline that are not parts of it."""

OTHERS = {
    "run.json": "images that `samplerzoo run` made",
    "results.jsonl": "a benchmark: `samplerzoo report {root}` shows it",
}
"""Files that mark folders other than models, with what such a folder holds."""


class Undriven(ZooError):
    """Error raised for a folder with a network or another part that no architecture reads."""


@dataclass(frozen=True)
class Part:
    """One part of a model folder: a network, a scheduler, an autoencoder, a text encoder.

    Attributes:
        name: name of its folder; empty if it lies in the root.
        path: folder that holds its files.
        config: content of its config.json or scheduler_config.json.
        weights: file of its weights, if they are elsewhere, as for a checkpoint.
    """

    name: str
    path: Path
    config: dict[str, Any]
    weights: Path | None = None

    @property
    def kind(self) -> str:
        """Name of its class."""
        architectures = self.config.get("architectures")  # as transformers names its classes
        listed = architectures[:1] if isinstance(architectures, list) else []
        return str(self.config.get("_class_name") or [*listed, "a thing without a class"][0])

    @property
    def files(self) -> list[Path]:
        """Files of configs, weights and tokens. Hidden files are left out: they are incomplete, or were abandoned."""
        files = sorted(self.path.glob("[!.]*")) if self.path.is_dir() else [self.path]
        files += [] if self.weights is None else [self.weights]
        return [file for file in files if file.is_file() and file.suffix in (".json", ".safetensors", *TOKENS)]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})" if self.name else self.kind


@dataclass(frozen=True)
class Parts:
    """Parts of a folder with their architectures.

    Attributes:
        pipeline: name of the pipeline's class, if the folder says so.
        texts: parts that turn prompts into inputs of the network, if it takes prompts.
        settings: values of the folder's index that the network's architecture asks for.
        unused: parts that are not run.
    """

    root: Path
    pipeline: str | None
    network: tuple[Part, NetworkArchitecture]
    scheduler: tuple[Part, PathArchitecture]
    codec: tuple[Part, CodecArchitecture] | None
    texts: tuple[Part, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    unused: tuple[Part, ...] = ()

    def __iter__(self) -> Iterator[Part]:
        yield from (part for part, _ in filter(None, (self.network, self.scheduler, self.codec)))
        yield from self.texts


def read_parts(root: Path, scheduler: str | None = None) -> Parts:
    """Find the parts of a folder, each with the one architecture that reads it.

    Args:
        scheduler: folder or file of the scheduler's config, for a network that lies by itself.

    Raises:
        ZooError: a part is missing, or no architecture reads it. The message says what the folder is.
    """
    if (root / CHECKPOINT_FILES[-1]).is_file() and (root.parent.parent / "scheduler").is_dir():
        return _checkpoint(root, scheduler)
    pipeline, parts = _parts(root)
    return assemble(root, pipeline, parts, scheduler)


def assemble(root: Path, pipeline: str | None, parts: list[Part], scheduler: str | None = None) -> Parts:
    """Give each part its architecture, and refuse parts that do not make a model; see `read_parts`."""
    claimed = [(part, architecture_of(part)) for part in parts]
    if scheduler is not None:
        if any(isinstance(found, PathArchitecture) for _, found in claimed):
            raise UsageError(f"--scheduler {scheduler}: {root} has a scheduler of its own; leave --scheduler out")
        claimed = [(part, found) for part, found in claimed if found is not None or not part.kind.endswith("Scheduler")]
    networks = [(part, found) for part, found in claimed if isinstance(found, NetworkArchitecture)]
    beside = {name for _, network in networks for name in (*network.texts, *network.unused)}
    lost = [part for part, found in claimed if found is None and part.name not in beside]
    if lost:
        for part, network in networks:
            _check_network(part, network, pipeline)
        raise Undriven(_refusal(root, pipeline, parts, lost))
    schedulers = [(part, found) for part, found in claimed if isinstance(found, PathArchitecture)]
    codecs = [(part, found) for part, found in claimed if isinstance(found, CodecArchitecture)]
    if not networks:
        raise ZooError(f"{root}: no network in it (it has {_listed(parts)}); give the folder of a whole pipeline")
    if len(networks) > 1:
        names = " and ".join(part.name for part, _ in networks)
        first = shlex.quote(str(root / networks[-1][0].name))
        raise ZooError(f"{root} holds {len(networks)} networks, {names}: name one of them, as --model {first}")
    if scheduler is not None:
        schedulers = [_named_scheduler(scheduler)]
    if not schedulers:
        raise ZooError(
            f"{root}: {networks[0][0]} without a scheduler, so that its noise path is not known; add "
            "--scheduler FOLDER, such as the scheduler/ of the pipeline that it was trained in"
        )
    if len(schedulers) > 1 or len(codecs) > 1:
        raise ZooError(f"{root} holds {_listed(parts)}: one network, one scheduler and one autoencoder make a model")
    chosen, reader = networks[0]
    texts = tuple(_text(root, chosen, name, kinds, parts) for name, kinds in reader.texts.items())
    unused = tuple(part for part in parts if part.name in reader.unused)
    codec = codecs[0] if codecs else None
    return Parts(root, pipeline, networks[0], schedulers[0], codec, texts, _settings(root, reader), unused)


def _settings(root: Path, reader: NetworkArchitecture) -> dict[str, Any]:
    """Read the values of the index that an architecture asks for.

    Raises:
        ZooError: a value has a wrong type.
    """
    index = read_json(root, INDEX_FILE) if reader.settings and (root / INDEX_FILE).is_file() else {}
    found = {name: index.get(name, usual) for name, usual in reader.settings.items()}
    for name, usual in reader.settings.items():
        if type(found[name]) is not type(usual):
            raise ZooError(f"{root / INDEX_FILE}: {name} is {found[name]!r:.60}, and has to be like {usual!r}")
    return found


def _check_network(network: Part, architecture: NetworkArchitecture, pipeline: str | None) -> None:
    """Refuse a network that cannot be driven. This comes first, as its reason is more useful than an unknown part."""
    with suppress(TypeError, ValueError, KeyError, ArithmeticError):
        try:
            architecture.facts(network.config)
        except ZooError as error:
            raise Undriven(f"{network.path}{f' of a {pipeline}' if pipeline else ''}: {error}") from error


def _text(root: Path, network: Part, name: str, kinds: tuple[str, ...], parts: list[Part]) -> Part:
    """Find a part that turns prompts into inputs of a network.

    Raises:
        ZooError: the part is missing, or of another class.
    """
    found = next((part for part in parts if part.name == name), None)
    if found is None and (root / name).is_dir():
        config = read_json(root / name, CONFIG_FILES[0]) if (root / name / CONFIG_FILES[0]).is_file() else {}
        found = Part(name, root / name, config if config.get("architectures") else {"_class_name": kinds[0]})
    if found is None:
        raise ZooError(
            f"{root}: {network} is told prompts by {name} ({' or '.join(kinds)}), and there is none; give the folder "
            "of a whole pipeline, or add --hosted for one that does without"
        )
    if found.kind not in kinds:
        raise ZooError(
            f"{found.path}: {found.kind}, and what tells {network} prompts is known as {' or '.join(kinds)}; --hosted "
            "runs a pipeline by its own code"
        )
    return found


def _checkpoint(root: Path, scheduler: str | None) -> Parts:
    """Read a training checkpoint of samplerzoo: its weights, and the other parts of the model folder around it."""
    file = next((root / name for name in CHECKPOINT_FILES[:-1] if (root / name).is_file()), None)
    if file is None:
        raise ZooError(f"{root}: a checkpoint of training without {' or '.join(CHECKPOINT_FILES[:-1])}")
    parts = read_parts(root.parent.parent, scheduler)
    part, architecture = parts.network
    return replace(parts, root=root.parent.parent, network=(replace(part, weights=file), architecture))


def architectures() -> list[tuple[str, Architecture]]:
    """Return every installed architecture with its name. Broken ones are left out."""
    found: list[tuple[str, Architecture]] = []
    for plugin in registry.plugins("architecture"):
        try:
            cls: Any = plugin.load()
            found.append((plugin.name, cls()))
        except ZooError:  # `list --check` says why
            continue
    return found


def architecture_of(part: Part) -> Architecture | None:
    """Find the architecture that reads a part.

    Raises:
        ZooError: two architectures claim the part.
    """
    claiming = []
    for name, each in architectures():
        try:
            if each.claims(part.config):
                claiming.append((name, each))
        except Exception:  # a broken plugin must not disable the others
            continue
    if len(claiming) > 1:
        names = " and ".join(name for name, _ in claiming)
        raise ZooError(f"{part.path}: {part.kind} is read by {len(claiming)} architectures, {names}")
    return claiming[0][1] if claiming else None


def _parts(root: Path) -> tuple[str | None, list[Part]]:
    if (root / INDEX_FILE).is_file():
        index = read_json(root, INDEX_FILE)
        pipeline = index.get("_class_name")
        if not isinstance(pipeline, str | None):
            where = root / INDEX_FILE
            raise ZooError(f"{where}: _class_name is {pipeline!r:.60}, code of its own: no code of a folder is run")
        named = named_parts(root, index)
        return pipeline, [_part(root, name, kind, index[name][0]) for name, kind in named.items()]
    parts = [Part("", root, read_json(root, file)) for file in CONFIG_FILES if (root / file).is_file()]
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not _ours(path.name))
    if (root / CONFIG_FILES[1]).is_file():  # in the root, as in early repositories of diffusers
        folders = [name for name in folders if name != "scheduler"]
    holding = [name for name in folders if any((root / name / file).is_file() for file in CONFIG_FILES)]
    parts += [part for part in (_part(root, name, "") for name in holding) if _is_module(part)]
    if not parts:
        known = [what for file, what in OTHERS.items() if (root / file).is_file()]
        if known:
            raise ZooError(f"{root} is no model folder: it holds {known[0].format(root=shlex.quote(str(root)))}")
        raise ZooError(
            f"{root}: no {INDEX_FILE}, and no folder with a config.json in it; it is no model folder of diffusers"
        )
    return None, parts


def named_parts(root: Path, index: dict[str, Any]) -> dict[str, str]:
    """Return the classes of the parts that an index names.

    Raises:
        ZooError: an entry does not have the form that diffusers writes, so that the part would be ignored.
    """
    named = {}
    for name, value in index.items():
        pair = isinstance(value, list) and len(value) == 2 and all(it is None or isinstance(it, str) for it in value)
        if name.startswith("_") or (pair and value[1] is None):
            continue
        if pair and not name.isidentifier():
            raise ZooError(f"{root / INDEX_FILE}: {name!r:.60} is no name of a part: it would lie elsewhere")
        if pair:
            named[name] = value[1]
        elif name.isidentifier() and any((root / name / file).is_file() for file in CONFIG_FILES):
            raise ZooError(f'{root / INDEX_FILE}: {name} is {value!r:.60}; write the pair ["LIBRARY", "CLASS"]')
    return named


def unhosted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the scheduler that a SamplerScheduler replaces; return any other config unchanged."""
    if "replaces" not in config:
        return dict(config)
    left = {name: value for name, value in config.items() if name not in (*HOSTED, "_class_name")}
    return left if config["replaces"] is None else {**left, "_class_name": config["replaces"]}


def _is_module(part: Part) -> bool:
    """Tell whether a config belongs to a module, and not to another folder, such as logs."""
    said = part.config.get("_class_name") or part.config.get("architectures")
    return bool(said) or (part.path / CONFIG_FILES[1]).is_file() or architecture_of(part) is not None


def _ours(name: str) -> bool:
    """Tell whether a folder in a model folder is not a part of the pipeline, or is still being written."""
    return name in OURS or name.startswith(".") or is_set_aside(name)


def _part(root: Path, name: str, kind: str, library: str | None = None) -> Part:
    folder = root / name
    if not folder.is_dir():
        raise ZooError(f"{root}: {INDEX_FILE} names {name} ({kind}), and there is no such folder: it is not whole")
    if not any((folder / file).is_file() for file in CONFIG_FILES):
        part = Part(name, folder, {"_class_name": kind})  # without a config, as a tokenizer
        if architecture_of(part) is not None:
            raise ZooError(f"{folder}: neither {' nor '.join(CONFIG_FILES)} in it; the folder is not whole")
        return part
    config = read_json(folder, *CONFIG_FILES)
    hosted, config = "replaces" in config, unhosted(config)
    # a scheduler of diffusers is of the class that the index names, as for diffusers; of a network the weights tell
    indexed = kind.endswith("Scheduler") and library == "diffusers" and not hosted
    if kind and ("_class_name" not in config or indexed):
        config["_class_name"] = kind
    return Part(name, folder, config)


def _named_scheduler(name: str) -> tuple[Part, PathArchitecture]:
    """Read the scheduler that the user names.

    Raises:
        UsageError: it does not exist, or no architecture reads it.
    """
    path = Path(os.path.expanduser(name))
    if path.is_file():
        part = Part("scheduler", path, read_json(path.parent, path.name))
    elif (path / "scheduler_config.json").is_file():
        part = Part("scheduler", path, read_json(path, "scheduler_config.json"))
    elif (path / "scheduler" / "scheduler_config.json").is_file():
        part = Part("scheduler", path / "scheduler", read_json(path / "scheduler", "scheduler_config.json"))
    else:
        raise UsageError(f"--scheduler {name}: no such file, and no folder with a scheduler_config.json")
    found = architecture_of(part)
    if not isinstance(found, PathArchitecture):
        raise UsageError(f"--scheduler {name}: no architecture reads {part.kind}{_known(PathArchitecture)}")
    return part, found


def _refusal(root: Path, pipeline: str | None, parts: list[Part], lost: list[Part]) -> str:
    """Say what a folder is that cannot be driven, and what to do."""
    whole = f"a {pipeline} of {_listed(parts)}" if pipeline else _listed(parts)
    return (
        f"{root} is {whole}, and no architecture reads {_listed(lost)}: samplerzoo drives unconditional, "
        f"class-conditional and text-to-image models{_known(NetworkArchitecture)}, on paths of"
        f"{_known(PathArchitecture)}; for another, write a plugin of samplerzoo.architectures"
    )


def _known(kind: type[Architecture]) -> str:
    names = sorted({name for _, each in architectures() if isinstance(each, kind) for name in each.reads})
    return f" ({', '.join(names)})"


def _listed(parts: list[Part]) -> str:
    return ", ".join(map(str, parts))
