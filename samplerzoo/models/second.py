"""Second model of a guidance: whether it goes with the first, and its classes in the numbering of the first."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from samplerzoo.core.condition import Condition
from samplerzoo.core.model import Model
from samplerzoo.data.class_names import listed, order_among
from samplerzoo.errors import UsageError
from samplerzoo.models.folder import INFO_FILE

if TYPE_CHECKING:
    import torch


def as_second(second: Model, model: Model) -> Model:
    """Return a second model that is told labels as the first one counts them: classes are matched by name.

    Where one of the two has no names, their numbers are taken to be the same.

    Raises:
        UsageError: it is not one of the same images, classes and noise; names what differs.
    """
    check_second(second, model)
    if second.class_names is None or model.class_names is None or second.num_classes is None:
        return second
    order = order_among(model.class_names, second.class_names)
    if order is None:
        raise UsageError(
            f"the second model, {second.name}, has the classes {listed(second.class_names)}, and {model.name} has "
            f"{listed(model.class_names)}: a second model is one of the same classes"
        )
    if order == tuple(range(len(order))):
        return second
    rows, net = (*order, len(order)), second.net  # a null label lies behind the classes of both

    def renumbered(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        labels = condition.inputs["class_labels"]
        own = labels.new_tensor(rows)[labels]
        return net(x, time, Condition({**condition.inputs, "class_labels": own}, condition.labels, condition.null))

    return dataclasses.replace(second, net=renumbered, class_names=model.class_names)


def check_second(second: Model, model: Model) -> None:
    """Refuse a guidance's second model unless it has the same images, classes, prompts and noise path.

    Raises:
        UsageError: names what differs.
    """
    if second.shape != model.shape:
        raise UsageError(
            f"the second model, {second.name}, makes images {second.shape}, and {model.name} {model.shape}"
        )
    if second.num_classes != model.num_classes:
        raise UsageError(
            f"the second model, {second.name}, has {_counted(second)}, and {model.name} has {_counted(model)}: a "
            f"second model is one of the same classes{_way_to_null(second, model)}"
        )
    if second.codec.name != model.codec.name:
        raise UsageError(f"the second model, {second.name}, is of {second.codec.name}, not of {model.codec.name}")
    if (second.text is None) != (model.text is None):
        told, other = (model, second) if second.text is None else (second, model)
        raise UsageError(f"{told.name} takes prompts and {other.name} none: a second model is one of the same images")
    if second.text is not None and model.text is not None and second.text.identity() != model.text.identity():
        raise UsageError(f"the second model, {second.name}, has another text encoder than {model.name}")
    if second.averages != model.averages:
        raise UsageError(f"the second model, {second.name}, is a consistency model, or {model.name} is, and not both")
    if not _same_path(second, model):
        raise UsageError(f"the second model, {second.name}, was trained on another noise schedule than {model.name}")


def _same_path(one: Model, other: Model) -> bool:
    """Tell whether two models have the same noise path, by comparing its levels at many times."""
    a, b = one.schedule, other.schedule
    if (a.kind, a.T) != (b.kind, b.T):
        return False
    taus = [a.T * k / 1000 for k in range(1, 1001)]
    return all((a.at(t).alpha, a.at(t).sigma) == (b.at(t).alpha, b.at(t).sigma) for t in taus)


def _counted(model: Model) -> str:
    return "no classes" if model.num_classes is None else f"{model.num_classes} classes"


def _way_to_null(second: Model, model: Model) -> str:
    """Say how to name the null label of a model that seems to have one class more, for it has not named one."""
    if model.num_classes is None or second.num_classes != model.num_classes + 1 or second.null_label is not None:
        return ""
    file = Path(os.path.expanduser(second.name)) / INFO_FILE
    entry = f'"null_label": {model.num_classes}'
    if file.exists():
        return f"; if its last label is a null label, add {entry} to {file}"
    command = f"; if its last label is a null label: echo {shlex.quote(f'{{{entry}}}')} > {shlex.quote(str(file))}"
    return command if file.parent.is_dir() else ""
