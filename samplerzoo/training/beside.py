"""Networks beside a model in its folder, which were trained for it. Where another takes its place, they are set aside.

A classifier goes with the images and the noise path of a model, and a feature network with its images.
"""

from __future__ import annotations

from pathlib import Path

from samplerzoo.errors import ZooError
from samplerzoo.models.classifier_facts import noted_levels
from samplerzoo.models.folder import CLASSIFIER, FEATURES
from samplerzoo.models.load import ModelFolder
from samplerzoo.system.files import set_aside


def standing(folder: Path) -> ModelFolder | None:
    """Return the model of a folder that has networks beside it; None if it cannot be read, or has none."""
    if not any((folder / name).is_dir() for name in (CLASSIFIER, FEATURES)):
        return None
    try:
        return ModelFolder.open(folder)
    except ZooError:
        return None


def set_aside_strangers(folder: Path, before: ModelFolder | None) -> list[str]:
    """Rename the networks that do not go with the model of a folder; say of each where it is now.

    Args:
        before: the model that stood there until now, if there was one.
    """
    if before is None:
        return []
    now, told = ModelFolder.open(folder), []
    images = _images(before) == _images(now)
    path = noted_levels(before.stub.schedule) == noted_levels(now.stub.schedule)
    for name, fits in ((CLASSIFIER, images and path), (FEATURES, images)):
        if (folder / name).is_dir() and not fits:
            aside = set_aside(folder / name)
            told.append(f"{folder / name} was trained for the older model of this folder, and is now {aside}")
    return told


def _images(model: ModelFolder) -> tuple[object, ...]:
    """Return what tells the images of one training from those of another."""
    return model.stub.shape, model.info.class_names, model.info.class_counts, model.info.data
