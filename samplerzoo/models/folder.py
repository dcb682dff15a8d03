"""Model folders on disk: find one by name and read its JSON files. Imports no heavy library."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from samplerzoo.errors import UsageError, ZooError, path_text
from samplerzoo.trust.records import read_object

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""Folder of the embedded models."""
EXACT = "exact:"
"""Prefix of the names of models that are computed from data, and have no folder."""
GAUSSIAN = "gaussian"
"""Name of the model whose denoiser and output distribution are exact. `gaussian:ve` is the same on another path."""
INFO_FILE = "samplerzoo.json"
"""Name of samplerzoo's own file in a model folder."""

CLASSIFIER = "classifier"
"""Folder of a model's noise-aware classifier, beside the parts of the pipeline."""
FEATURES = "features"
"""Folder of a model's own feature network, with its references."""

FETCHED = ("*.json", "*.safetensors", "*.md", "*merges.txt", "*.model")
"""Patterns of the files that are fetched from the hub; the last two are files of tokenizers."""

UNBOUNDED = ("lambda_min_clipped",)
"""Keys of diffusers' configs that may be -Infinity, as DPMSolverMultistepScheduler writes its default."""


def pretrained() -> list[str]:
    """Return the names of the embedded models."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/model_index.json"))


def is_exact(name: str) -> bool:
    """Tell whether a model of this name is computed from data."""
    return name.startswith(EXACT)


def is_gaussian(name: str) -> bool:
    """Tell whether a model is the exact Gaussian, on whatever path."""
    return name.partition(":")[0] == GAUSSIAN


def is_hub_id(name: str) -> bool:
    """Tell whether a name may be a hub id, OWNER/NAME."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def find_model(name: str | os.PathLike[str], *, revision: str | None = None) -> Path:
    """Return the folder of an embedded model, a local path or a hub id. Only a hub id may use the network.

    Raises:
        UsageError: the name is none of these.
        ZooError: the hub has no such model, or cannot be reached.
    """
    name = path_text("the name of a model", name)
    if revision is not None and (name in pretrained() or os.path.isdir(os.path.expanduser(name))):
        raise UsageError(f"--revision is for a model of the hub, and {name} lies here: leave it out")
    if name in pretrained():
        return PRETRAINED / name
    if is_exact(name):
        raise UsageError(f"{name} is computed from data, and has no folder: a model with weights is needed here")
    path = Path(os.path.expanduser(name))
    if path.is_dir():
        return path
    known = ", ".join(pretrained()) or "none"
    if path.exists():
        raise UsageError(f"model {name!r} is a file; give the folder that it lies in")
    if is_gaussian(name):
        raise UsageError(f"{name} has numbers and no images, and is for `samplerzoo bench --model {shlex.quote(name)}`")
    if not is_hub_id(name):
        raise UsageError(f"no model {name!r}: no folder, no hub id (owner/name), and the embedded models are: {known}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[*FETCHED]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ZooError(
            f"no folder {name!r} here, and the hub did not give a model of that name ({type(error).__name__}); "
            f"embedded models: {known}"
        ) from error


def has_features(name: str) -> bool:
    """Tell whether a model may have its own feature network. The hub is not contacted for that."""
    if is_exact(name):
        return False
    root = PRETRAINED / name if name in pretrained() else Path(os.path.expanduser(name))
    return not root.is_dir() or (root / FEATURES).is_dir()


def read_json(folder: Path, *names: str) -> dict[str, Any]:
    """Read the first of these files that exists, which must hold a JSON object.

    Raises:
        ZooError: there is none, or it cannot be read.
    """
    for name in names:
        path = folder / name
        if path.is_file():
            return read_object(path, UNBOUNDED)
    raise ZooError(f"{folder}: no {names[0]}; the folder is not a whole diffusers model")
