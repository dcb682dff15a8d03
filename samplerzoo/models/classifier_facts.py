"""What the config of a model's noise-aware classifier says, and whether the classifier goes with the model.

Imports no heavy library; `samplerzoo.models.classifier` reads the weights.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samplerzoo.data.class_names import listed, order_among
from samplerzoo.errors import ZooError
from samplerzoo.models.configs import ClassifierConfig, parse
from samplerzoo.models.folder import CLASSIFIER, read_json

if TYPE_CHECKING:
    from samplerzoo.core.model import Model
    from samplerzoo.core.schedule import Schedule

NOTED_LEVELS = 8
"""Levels of the noise path that a classifier's config notes."""
NEAR = 1e-3
"""Difference of log-SNR up to which two levels are one: the classifier sees a tenth of it."""


@dataclass(frozen=True)
class ClassifierFacts:
    """Facts from the config of a noise-aware classifier.

    Attributes:
        folder: where it lies.
        classes: number of its classes.
        names: their names, if it has been given some.
        log_snr: log-SNR at levels of the noise path that it was trained on, as `noted_levels` gives them, if noted.
    """

    folder: Path
    classes: int
    names: tuple[str, ...] | None
    log_snr: tuple[float, ...] | None

    def order_for(self, model: Model) -> tuple[int, ...]:
        """Return the number that each class of a model has here: by name where both have names, else the same.

        Raises:
            ZooError: it was trained for other classes, or on another noise path; says how to train one again.
        """
        known = model.class_names if self.names is not None else None
        wanted = model.num_classes if known is None else len(known)
        order = tuple(range(self.classes)) if known is None else order_among(known, self.names or ())
        if order is None or wanted not in (None, self.classes):
            has = [listed(known), listed(self.names or ())] if known else [f"{wanted} classes", f"{self.classes}"]
            raise self._unfit(model, f"was trained for other classes ({has[1]}) than {model.name} has ({has[0]})")
        if self.log_snr is not None and not _alike(self.log_snr, noted_levels(model.schedule)):
            raise self._unfit(model, f"was trained on another noise path than that of {model.name}")
        return order

    def _unfit(self, model: Model, why: str) -> ZooError:
        words = ["samplerzoo", "train-classifier", "--model", model.name, "--dataset", "DATA"]
        command = shlex.join([*words, "--output-dir", str(self.folder), "--overwrite"])
        return ZooError(f"the classifier in {self.folder} {why}: train one again, of the model's data DATA: {command}")


def noted_levels(schedule: Schedule) -> tuple[float, ...]:
    """Return the log-SNR at levels by which noise paths are told apart."""
    return tuple(schedule.at(schedule.T * k / NOTED_LEVELS).log_snr for k in range(1, NOTED_LEVELS + 1))


def _alike(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return len(one) == len(other) and all(math.isclose(a, b, abs_tol=NEAR) for a, b in zip(one, other, strict=True))


def holds_classifier(root: Path) -> bool:
    """Return True if a folder has a classifier: its weights are there, which training writes last."""
    return any((root / CLASSIFIER).glob("*.safetensors"))


def read_classifier_facts(root: Path) -> ClassifierFacts | None:
    """Read what a model's folder says of its noise-aware classifier, if there is one.

    Raises:
        ZooError: its config cannot be read.
    """
    if not holds_classifier(root):
        return None
    folder = root / CLASSIFIER
    config = parse(ClassifierConfig, read_json(folder, "config.json"), folder / "config.json")
    classes = len(config.id2label or ()) or 2  # transformers leaves its default, two labels, out of the file
    return ClassifierFacts(folder, classes, config.names, config.log_snr)
