"""Folder that runs the page as a Space of Hugging Face: this code, the model, and what has to be installed."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import shutil
from collections.abc import Sequence
from pathlib import Path

from samplerzoo.errors import UsageError
from samplerzoo.models.folder import pretrained
from samplerzoo.models.load import open_model
from samplerzoo.models.options import ReadingOptions
from samplerzoo.system.files import atomic_folder
from samplerzoo.version import __version__

MODEL, PLUGINS = "model", "plugins"
"""Folders of a Space with a local model, and with the files of plugins."""

APP = '''"""The page of samplerzoo on one model."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from samplerzoo import registry
from samplerzoo.models.load import open_model
from samplerzoo.models.options import ReadingOptions
from samplerzoo.play.page import LOCAL, page
from samplerzoo.play.studio import Studio

plugins = {plugins!r}
for file in plugins:
    registry.load_file(file)
page(Studio.open({model!r}, reading=ReadingOptions(**{reading!r}), plugins=plugins)).launch(**LOCAL)
'''

README = """---
title: samplerzoo
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
---

The page of `samplerzoo play` on {model}: samplers of diffusion models beside each other.
"""

LARGE_FILES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


def export_space(folder: Path, model: str, reading: ReadingOptions, plugins: Sequence[str]) -> None:
    """Write the folder.

    Args:
        model: embedded name, hub id or exact model; a local folder is copied.
        plugins: files of plugins, which are copied.

    Raises:
        UsageError: the folder is there already, or there is no such model.
    """
    if folder.exists():
        raise UsageError(f"{folder} is there already: give --export-space a folder that is not")
    open_model(model, reading)  # refuses what could not be loaded there either
    distribution = importlib.metadata.distribution("samplerzoo")
    with atomic_folder(folder) as partial:
        for package in {point.module.partition(".")[0] for point in distribution.entry_points}:
            source = str(importlib.resources.files(package))
            shutil.copytree(source, partial / package, ignore=shutil.ignore_patterns("__pycache__"))
        about = partial / f"samplerzoo-{__version__}.dist-info"  # by its entry points the built-in plugins are found
        about.mkdir()
        for name in ("METADATA", "entry_points.txt"):
            (about / name).write_text(distribution.read_text(name) or "")
        copied = []
        for file in plugins:
            (partial / PLUGINS).mkdir(exist_ok=True)
            copied.append(f"{PLUGINS}/{Path(file).name}")
            shutil.copyfile(file, partial / copied[-1])
        local = model not in pretrained() and Path(model).is_dir()
        if local:
            shutil.copytree(model, partial / MODEL)
        name = f"./{MODEL}" if local else model
        told = reading.model_dump(mode="json", exclude_defaults=True)
        (partial / "app.py").write_text(APP.format(plugins=copied, model=name, reading=told))
        (partial / "requirements.txt").write_text("\n".join(_requirements(distribution)) + "\n")
        gradio = importlib.metadata.version("gradio")
        (partial / "README.md").write_text(README.format(gradio=gradio, model=Path(model).name))
        (partial / ".gitattributes").write_text(LARGE_FILES)


def _requirements(distribution: importlib.metadata.Distribution) -> list[str]:
    """Return what the page needs beside gradio, which the Space installs by the version in its README."""
    found = [requirement.partition(";")[::2] for requirement in distribution.requires or ()]
    return [requirement.strip() for requirement, marker in found if "extra" not in marker]
