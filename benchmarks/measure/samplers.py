"""Cost of samplers: the wall time of a run compared with that of its network calls."""

from __future__ import annotations

import dataclasses
import statistics
import time

import torch

from measure.figure import Figure, seconds
from measure.networks import CIFAR, forward_of, saved
from samplerzoo import registry
from samplerzoo.core.condition import Condition
from samplerzoo.core.model import Model
from samplerzoo.models.load import load
from samplerzoo.sampling.sample import sample

STEPS, ROUNDS, CALLS = 50, 3, 8


def measure() -> list[Figure]:
    """Measure every built-in sampler on the embedded network, and the simplest of each kind on a large one."""
    names = sorted(plugin.name for plugin in registry.plugins("sampler") if plugin.source == "samplerzoo")
    figures = [_share(name, load("mnist", dtype="float32"), 64, f"{STEPS} steps, batch 64") for name in names]
    large, setting = load(saved("35.7", CIFAR), dtype="float32"), f"35.7 M parameters, {STEPS} steps, batch 4"
    return [*figures, *(_share(name, large, 4, setting) for name in ("ddim", "ddpm"))]


def _share(name: str, model: Model, batch: int, setting: str) -> Figure:
    """Measure the time of a run divided by the time inside its own network calls.

    A fact gives the ratio to as many bare network calls, timed right before and after. It also shows if the network
    is slower in a run than alone.
    """
    forward = forward_of(model, batch)
    forward()
    own, bare, nfe = [], [], 0.0
    for _ in range(ROUNDS):
        clocked, inside = _clocked(model)
        before = seconds(lambda: [forward() for _ in range(CALLS)])
        start = time.perf_counter()
        made = sample(clocked, name, steps=STEPS, num_images=batch, batch_size=batch)
        wall = time.perf_counter() - start
        after = seconds(lambda: [forward() for _ in range(CALLS)])
        own.append(wall / sum(inside))
        bare.append(wall / (made.cost.evaluations / batch * (before + after) / (2 * CALLS)))
        nfe = made.nfe
    facts: dict[str, float | str] = {"against as many bare calls": statistics.median(bare), "NFE": nfe}
    return Figure(f"{name}, {setting}", own, "<= 1.02", facts=facts)


def _clocked(model: Model) -> tuple[Model, list[float]]:
    """Return a copy of the model, and a list to which each network call appends its seconds."""
    inside: list[float] = []

    def net(x: torch.Tensor, time_told: torch.Tensor, condition: Condition) -> torch.Tensor:
        start = time.perf_counter()
        output = model.net(x, time_told, condition)
        if output.is_cuda:
            torch.cuda.synchronize()
        inside.append(time.perf_counter() - start)
        return output

    return dataclasses.replace(model, net=net), inside
