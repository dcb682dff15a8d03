"""Training commands: load the data, build the task and run the loop."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from samplerzoo.data import image_sets as data
from samplerzoo.data.class_names import listed
from samplerzoo.data.image_sets import ImageData
from samplerzoo.data.options import DIGITS
from samplerzoo.data.tables import open_table
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.load import ModelFolder
from samplerzoo.system.processes import processes
from samplerzoo.training.classifier_task import ClassifierTask
from samplerzoo.training.launch import hold_folder, make_accelerator, with_launcher
from samplerzoo.training.options import ClassifierOptions, LoopOptions, TrainOptions, check_flags
from samplerzoo.training.task import Report, Task
from samplerzoo.training.trainer import Trainer
from samplerzoo.training.unet_task import UNetTask

Chosen = TypeVar("Chosen", bound=LoopOptions)


def train(options: TrainOptions) -> Report:
    """Train a diffusion U-Net and write it to `options.output_dir` as a model folder."""
    return _run(options, lambda chosen: UNetTask(chosen, _images(chosen)))


def train_classifier(options: ClassifierOptions) -> Report:
    """Train a classifier and write it to `options.output_dir` as a transformers folder."""
    return _run(options, _classifier_task)


def _run(options: Chosen, make_task: Callable[[Chosen], Task]) -> Report:
    check_flags(options)
    _check_apart(options)
    options = with_launcher(options)
    accelerator = make_accelerator(options)
    with hold_folder(options):  # locked before the data are read, which may take minutes
        return Trainer(make_task(options), options, accelerator).run()


def _images(options: LoopOptions) -> ImageData:
    """Load the training images, and print a summary of them."""
    images = data.load_images(options)
    if not processes()[0]:
        print(images.summary)
    return images


def _check_apart(options: LoopOptions) -> None:
    """Refuse to write into the folder of the images, where pictures of the training would later be read as data.

    Raises:
        UsageError: the output is in the folder of the images, and these are files.
    """
    folder, output = Path(os.path.expanduser(options.dataset)), Path(options.output_dir)
    if options.dataset == DIGITS or not folder.is_dir() or not output.resolve().is_relative_to(folder.resolve()):
        return
    first = open_table(options, options.split).path(0)
    if first is not None and Path(first).is_file() and Path(first).is_relative_to(folder):
        raise UsageError(
            f"--output-dir {output} lies in the folder of the images, and what is drawn there would be read as data: "
            f"give one outside of {folder}"
        )


def _classifier_task(options: ClassifierOptions) -> ClassifierTask:
    images = _images(options)
    if options.model is not None:
        names = ModelFolder.open(options.model, options.reading).stub.class_names
        images = images if names is None else _with_classes(images, names, options.dataset, options.model)
    return ClassifierTask(options, images, _test_images(options, images))


def _test_images(options: ClassifierOptions, images: ImageData) -> ImageData | None:
    """Load the test split. Return None if it cannot be loaded and the user did not name it.

    Raises:
        ZooError: the named split cannot be loaded, or its classes differ from the training split.
    """
    try:
        test = data.load_images(options, options.test_split)
    except ZooError as error:
        if "test_split" in options.model_fields_set:
            raise
        print(f"no accuracy will be measured: {error}", file=sys.stderr)
        return None
    split = f"{options.dataset}, split {options.test_split},"
    return _with_classes(test, images.class_names, split, f"split {options.split}")


def _with_classes(images: ImageData, names: tuple[str, ...], what: str, other: str) -> ImageData:
    """Return the images with labels renumbered to these class names. Some classes may have no images.

    Args:
        what, other: words for the images and for the origin of the names, for errors.

    Raises:
        ZooError: the images have other classes, or no labels.
    """
    others = [name for name in images.class_names if name not in names]
    if others or not images.class_names:
        lacking = f"has the class {listed(others)}" if others else "has no labels"
        raise ZooError(f"{what} {lacking}, and {other} has the classes {listed(names)}")
    number = torch.tensor([names.index(name) for name in images.class_names])
    return dataclasses.replace(images, labels=number[images.labels], class_names=names)
