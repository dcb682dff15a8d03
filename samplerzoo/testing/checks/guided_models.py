"""Checks that models are guided alike which differ only in how they are told labels."""

from __future__ import annotations

import dataclasses
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.testing.fixtures import farthest
from samplerzoo.testing.guiding import Bench, eps, guiding_settings
from samplerzoo.testing.settings import difference

NEVER = -1e6
"""Log-probability of a class that no image is of."""


def check_null_label_may_be_any(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a network whose null label stands before its classes is guided as one where it stands behind them."""
    if model is not None:
        raise SkipTest("the labels of a model of one's own are as they are")
    bench = Bench.of(model)
    shifted = dataclasses.replace(bench, model=_null_first(bench.model), labels=bench.labels + 1)
    for made in guiding_settings(guidance, model):
        for t, x in bench.states():
            found, expected = (eps(each.guide(made)(x, t)) for each in (shifted, bench))
            off = farthest(found, expected)
            assert off <= bench.tolerance * max(1, float(expected.abs().max())), (
                "with null label 0 and classes from 1 on it guides otherwise than with a null label behind all, by "
                f"{off:.2g} at tau {t.tau:g}{difference(guidance, made)}: take model.unconditional(condition)"
            )


def _null_first(model: Model) -> Model:
    """Give a model the null label 0, and its classes the labels from 1 on. A label behind those is that of a class."""
    K, classifier = model.num_classes, model.classifier
    assert K is not None
    assert classifier is not None
    meant = torch.tensor([K, *range(K), 0])

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return model.net(x, time, model.condition(meant[condition.inputs["class_labels"]]))

    def more(x: Tensor, t: Level) -> Tensor:
        log_p = classifier(x, t)
        return torch.cat([torch.full_like(log_p[:, :1], NEVER), log_p], dim=1)

    second = None if model.second is None else _null_first(model.second)
    return dataclasses.replace(
        model, net=net, num_classes=K + 1, null_label=0, classifier=more, classifier_classes=K + 1, second=second
    )
