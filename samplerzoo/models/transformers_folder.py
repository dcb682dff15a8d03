"""Folders of transformers: checks before transformers reads one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samplerzoo.errors import ZooError, path_text, reason
from samplerzoo.models.configs import refuse_kernels
from samplerzoo.models.folder import read_json
from samplerzoo.models.weights import check_texts, check_values
from samplerzoo.trust.limits import MOST_SIDE

PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
"""Files of an image processor: alone, or as a part of a processor of images and text."""
SIDES = ("size", "height", "width", "edge")
"""Suffixes of an image processor's keys for the sides of the images that it makes."""


def check_transformers(folder: str | os.PathLike[str]) -> None:
    """Refuse a transformers folder that names code to run, or needs more memory than its weights fill.

    Raises:
        ZooError: names the file and the reason, or says that it cannot be read.
    """
    folder = Path(path_text("the folder of a transformers model", folder))
    config = read_json(folder, "config.json")
    check_texts(folder, "transformers")
    refuse_kernels(folder)
    for name in PREPROCESSING:
        for key, value in _entries(read_json(folder, name)) if (folder / name).is_file() else ():
            if key.endswith(SIDES) and isinstance(value, (int, float)) and value > MOST_SIDE:
                raise ZooError(f"{folder / name}: {key} is {value}, and images are prepared to {MOST_SIDE} at most")
    _check_fits(folder, config)


def _check_fits(folder: Path, config: dict[str, Any]) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    files = sorted(folder.glob("[!.]*.safetensors"))
    labels, held = config.get("num_labels"), sum(file.stat().st_size for file in files)
    if isinstance(labels, int) and labels > held:  # transformers makes a name for each label
        raise ZooError(
            f"{folder}: weights do not fit config.json: num_labels is {labels}, and they have {held:,} bytes"
        )
    try:
        known = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the kind of error depends on what is wrong
        asks = "trust_remote_code" in str(error)
        why = "it needs code of its own (auto_map), and no code of a folder is run" if asks else reason(error)
        raise ZooError(f"{folder}: the network cannot be read: {why}") from error
    with torch.device("meta"):
        check_values(folder, "network", files, lambda: AutoModel.from_config(known, trust_remote_code=False))


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of JSON, at any depth. The entries of a list have the key of the list."""
    left: list[tuple[str, Any]] = [("", content)]
    while left:
        key, found = left.pop()
        yield key, found
        if isinstance(found, dict):
            left += found.items()
        elif isinstance(found, list):
            left += [(key, each) for each in found]
