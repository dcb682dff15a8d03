"""Cost of guidance, compared with a conditional run of the same images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from measure.figure import Figure, paired
from measure.networks import call_of
from samplerzoo.core.model import Model
from samplerzoo.models.load import load
from samplerzoo.sampling.sample import sample

STEPS, ROUNDS = 10, 7


def measure() -> list[Figure]:
    model = load("mnist", dtype="float32")
    cfg = {"guidance": "cfg", "guidance_scale": 2.0}
    works: list[tuple[str, dict[str, Any], int, str]] = [
        *((f"cfg, batch {batch}", cfg, batch, "<= 2.05") for batch in (1, 4, 64)),
        ("cfg in the interval 0.3 to 5, batch 64", {**cfg, "guidance_low": 0.3, "guidance_high": 5.0}, 64, ""),
        ("classifier, batch 64", {"guidance": "classifier", "guidance_scale": 1.0}, 64, ""),
    ]
    figures = []
    for what, options, batch, bar in works:
        costs: list[float] = []
        pairs = paired(_run(model, batch, options, costs), _run(model, batch, {}), ROUNDS)
        facts: dict[str, float | str] = {"NFE against the plain run": costs[-1] / STEPS}
        if options["guidance"] == "classifier":
            facts["a gradient in network calls"] = _gradient_in_calls(model, batch)
        figures.append(Figure(what, [guided / plain for guided, plain in pairs], bar, facts=facts))
    return figures


def _run(model: Model, batch: int, options: dict[str, Any], costs: list[float] | None = None) -> Callable[[], None]:
    def run() -> None:
        made = sample(model, "ddim", steps=STEPS, num_images=batch, batch_size=batch, **options)
        if costs is not None:
            costs.append(made.nfe)

    return run


def _gradient_in_calls(model: Model, batch: int) -> float:
    """Time the bare work of classifier guidance, one forward and backward pass, in units of a network call."""
    assert model.classifier is not None
    assert model.shape is not None
    x, level = torch.randn(batch, *model.shape, device=model.device), model.schedule.at(501.0)

    def gradient() -> None:
        at = x.requires_grad_()
        torch.autograd.grad(model.classifier(at, level).log_softmax(1)[:, 0].sum(), at)  # type: ignore[misc]

    pairs = sorted(first / second for first, second in paired(gradient, call_of(model, batch), 9))
    return pairs[len(pairs) // 2]
