"""Does a sampler cost anything? The wall time of a run against that of its network calls."""

from __future__ import annotations

import dataclasses
import statistics
import time

import torch

from measure.figure import Figure, seconds
from measure.networks import forward_of
from samplerzoo import models, registry
from samplerzoo.driver import sample
from samplerzoo.models import Model

STEPS, BATCH, ROUNDS, CALLS = 50, 64, 3, 8


def measure() -> list[Figure]:
    """Two figures a sampler.

    Its run over the time inside the network calls of the same run, which is exact to the clock; and over as many calls
    of the bare network, timed right before and after, which also sees a network that is slower in a run than alone.
    """
    model = models.load("mnist")
    forward = forward_of(model, BATCH)
    forward()
    figures = []
    for name in sorted(plugin.name for plugin in registry.plugins("sampler") if plugin.source == "samplerzoo"):
        own, bare = [], []
        for _ in range(ROUNDS):
            clocked, inside = _clocked(model)
            before = seconds(lambda: [forward() for _ in range(CALLS)])
            start = time.perf_counter()
            made = sample(clocked, name, steps=STEPS, num_images=BATCH, batch_size=BATCH)
            wall = time.perf_counter() - start
            after = seconds(lambda: [forward() for _ in range(CALLS)])
            own.append(wall / sum(inside))
            bare.append(wall / (made.cost.evaluations / BATCH * (before + after) / (2 * CALLS)))
        facts: dict[str, float | str] = {"against as many bare calls": statistics.median(bare), "NFE": made.nfe}
        figures.append(Figure(f"{name}, {STEPS} steps, batch {BATCH}", own, "<= 1.02", facts=facts))
    return figures


def _clocked(model: Model) -> tuple[Model, list[float]]:
    """The model, and the seconds of every network call that is going to be made."""
    inside: list[float] = []

    def net(x: torch.Tensor, tau: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        start = time.perf_counter()
        output = model.net(x, tau, labels)
        if output.is_cuda:
            torch.cuda.synchronize()
        inside.append(time.perf_counter() - start)
        return output

    return dataclasses.replace(model, net=net), inside
