"""Training commands: load the data, build the task and run the loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from samplerzoo.data import image_sets as data
from samplerzoo.data.image_sets import ImageData
from samplerzoo.errors import ZooError
from samplerzoo.training.classifier_task import ClassifierTask
from samplerzoo.training.launch import hold_folder, make_accelerator, with_precision
from samplerzoo.training.options import ClassifierOptions, LoopOptions, TrainOptions
from samplerzoo.training.task import Report, Task
from samplerzoo.training.trainer import Trainer
from samplerzoo.training.unet_task import UNetTask

Chosen = TypeVar("Chosen", bound=LoopOptions)


def train(options: TrainOptions) -> Report:
    """Train a diffusion U-Net and write it to `options.output_dir` as a model folder."""
    return _run(options, lambda chosen: UNetTask(chosen, data.load_images(chosen)))


def train_classifier(options: ClassifierOptions) -> Report:
    """Train a classifier and write it to `options.output_dir` as a transformers folder."""
    return _run(options, _classifier_task)


def _run(options: Chosen, make_task: Callable[[Chosen], Task]) -> Report:
    options = with_precision(options)
    accelerator = make_accelerator(options)
    with hold_folder(options):  # locked before the data are read, which may take minutes
        return Trainer(make_task(options), options, accelerator).run()


def _classifier_task(options: ClassifierOptions) -> ClassifierTask:
    images = data.load_images(options)
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
    if test.class_names != images.class_names:
        raise ZooError(f"{options.dataset}: its splits {options.split} and {options.test_split} have other classes")
    return test
