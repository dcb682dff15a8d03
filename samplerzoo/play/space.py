"""Folder that runs the page as a Hugging Face Space: this code, the model, and the requirements."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from samplerzoo.errors import UsageError
from samplerzoo.models.exact import ExactOptions
from samplerzoo.models.folder import is_exact, pretrained
from samplerzoo.models.load import open_model, title
from samplerzoo.models.options import ReadingOptions
from samplerzoo.system.files import atomic_folder, user_path
from samplerzoo.version import __version__

MODEL, PLUGINS = "model", "plugins"
"""Folders of a Space with a local model, and with the files of plugins."""

DATA = "digits"
"""Extra with the data of exact models."""

APP = '''"""The page of samplerzoo on one model."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from samplerzoo import registry
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
python_version: "{python}"
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
        UsageError: the folder is there already, there is no such model, or it needs a file that is not in its folder.
    """
    if folder.exists():
        raise UsageError(f"{folder} is there already: give --export-space a folder that is not")
    open_model(model, reading)  # raises an error for a model that the Space could not load either
    if is_exact(model) and Path(user_path(ExactOptions.parse(model).dataset)).exists():
        raise UsageError(f"{model}: a Space has no files of this machine; exact:digits has its data in a package")
    if reading.scheduler is not None and Path(user_path(reading.scheduler)).exists():
        raise UsageError(
            f"--scheduler {reading.scheduler}: put it into the model's folder, which is all that is copied"
        )
    distribution = importlib.metadata.distribution("samplerzoo")
    with atomic_folder(folder) as partial:
        for package in {point.module.partition(".")[0] for point in distribution.entry_points}:
            source = str(importlib.resources.files(package))
            shutil.copytree(source, partial / package, ignore=shutil.ignore_patterns("__pycache__"))
        about = partial / f"samplerzoo-{__version__}.dist-info"  # its entry points make the built-in plugins known
        about.mkdir()
        for name in ("METADATA", "entry_points.txt"):
            (about / name).write_text(distribution.read_text(name) or "")
        copied = []
        for file in plugins:
            (partial / PLUGINS).mkdir(exist_ok=True)
            copied.append(f"{PLUGINS}/{Path(file).name}")
            shutil.copyfile(file, partial / copied[-1])
        source_folder = Path(user_path(model))
        local = model not in pretrained() and source_folder.is_dir()
        if local:
            shutil.copytree(source_folder, partial / MODEL)
        name = f"./{MODEL}" if local else model
        told = reading.model_dump(mode="json", exclude_defaults=True)
        (partial / "app.py").write_text(APP.format(plugins=copied, model=name, reading=told))
        (partial / "requirements.txt").write_text("\n".join(_requirements(distribution)) + "\n")
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        gradio = importlib.metadata.version("gradio")
        (partial / "README.md").write_text(README.format(gradio=gradio, python=python, model=title(model)))
        (partial / ".gitattributes").write_text(LARGE_FILES)


def _requirements(distribution: importlib.metadata.Distribution) -> list[str]:
    """Return the requirements of the page, in the versions that are installed here.

    gradio is not among them, since the Space installs the version in its README.
    """
    found = [Requirement(text) for text in distribution.requires or ()]
    needed = [each for each in found if each.marker is None or each.marker.evaluate({"extra": DATA})]
    return [
        f"{each.name}=={Version(importlib.metadata.version(each.name)).public}" for each in needed if _is_here(each)
    ]


def _is_here(requirement: Requirement) -> bool:
    """Tell whether a package is installed. The package with the data of exact models may be missing."""
    return any(importlib.metadata.distributions(name=requirement.name))
