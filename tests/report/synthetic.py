"""Synthetic rows of benchmarks, with figures by formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame
from safetensors.numpy import save_file

from samplerzoo.bench import shards
from samplerzoo.bench.evidence import Evidence, influence_file
from samplerzoo.bench.image_mean import interval
from samplerzoo.bench.results import ERROR, CostPerImage, ImageError, Metrics, Protocol, Row, Speed
from samplerzoo.metrics.influence import standard_error
from samplerzoo.sampling.labels import IN_PROPORTION
from samplerzoo.sampling.recipe import Recipe

IMAGES = 64
"""Images that rows of errors have."""


def protocol(**changes: Any) -> Protocol:
    base = {
        "model": "mnist", "fingerprint": "f" * 64, "images": 2000, "labels": IN_PROPORTION, "features": "mnist",
        "features_id": "0123456789abcdef gray 28x28", "reference": "train", "reference_id": "fedcba9876543210",
        "reference_images": 60_000, "dimensions": 128,
    }  # fmt: skip
    return Protocol(**{**base, **changes})


def row(
    sampler: str,
    steps: int,
    fd: float,
    *,
    options: dict[str, Any] | None = None,
    guidance: str | None = None,
    scale: float | None = None,
    seed: int = 0,
    under: Protocol | None = None,
    speed: Speed | None = None,
    metrics: dict[str, Any] | None = None,
    **changes: Any,
) -> Row:
    """Make a row of a sampler that calls the network once a step, and twice under guidance."""
    recipe = Recipe(
        sampler=sampler, sampler_options=options or {}, steps=steps, spacing="trailing", seed=seed, guidance=guidance,
        guidance_options={} if scale is None else {"scale": scale}, dtype="float32", clip_x0="off",
        class_labels="natural",
    )  # fmt: skip
    cost = CostPerImage(nfe=steps * (1 + (guidance == "cfg")), network_calls=steps, classifier_gradients=0)
    name = "-".join(map(str, [sampler, *(options or {}).values(), guidance, scale, steps, seed]))
    return Row(**{
        "cell": name, "recipe": recipe, "timesteps": tuple(range(steps)), "protocol": under or protocol(),
        "metrics": Metrics(fd=fd, **(metrics or {})), "cost": cost, "speed": speed, "versions": {"torch": "2.6.0"},
        "command": "samplerzoo bench suite.toml -o out", **changes,
    })  # fmt: skip


def of_errors(**changes: Any) -> Protocol:
    """Return the protocol of errors of images."""
    told = {"features": ERROR, "features_id": "rmse", "reference": "converged solution", "reference_images": None}
    return protocol(images=IMAGES, **{**told, **changes})


def erring(folder: Path, sampler: str, steps: int, errors: np.ndarray, **keys: Any) -> Row:
    """Save errors of single images, and return their row."""
    mean, *ends = interval(errors)
    low, high = (None if np.isnan(end) else end for end in ends)
    error = ImageError(mean=mean, low=low, high=high, solution="s")
    found = row(sampler, steps, 0.0, under=of_errors(), error=error, **keys).model_copy(update={"metrics": None})
    path = folder / "cells" / found.cell / "s" / f"errors-000000-{len(errors) - 1:06d}.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"errors": errors}, path)
    return found


def noise(seed: int, scale: float = 0.02) -> np.ndarray:
    """Make errors of images, none of which decides their mean."""
    return scale * (1 + np.abs(np.random.default_rng(seed).standard_normal(IMAGES)))


def cpu(images_per_second: float) -> Speed:
    return Speed(
        images_per_second=images_per_second, peak_memory=3 * 2**28, device="cpu", threads=2, processes=1, batch_size=250
    )


def shard(folder: Path, cell: str, pixels: np.ndarray) -> None:
    """Save the first images of a cell, uint8 (N, C, H, W), as the harness does."""
    path = folder / "cells" / cell / f"images-000000-{len(pixels) - 1:06d}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"images": pixels}, path)


def sure(found: Row, error: float = 0.0, **metrics: Any) -> Row:
    """Give a row what the statistics go by: jackknifed distance, error, distance at infinity, and kernel distance."""
    fd = found.metrics.fd
    known = {"fd_jackknifed": fd, "fd_infinity": fd, "fd_se": error, "kid": fd / 10, "kid_se": error / 10}
    return found.model_copy(update={"metrics": found.metrics.model_copy(update={**known, **metrics})})


def rigged(rows: list[Row], shared: float, own: float) -> Evidence:
    """Make evidence in which rows of one seed share noise of the deviation `shared`, and each has some of its own."""
    seeds = np.array([row.recipe.seed for row in rows])
    values = shared**2 * (seeds[:, None] == seeds) + own**2 * np.eye(len(rows))
    cells = [row.cell for row in rows]
    return Evidence({"fd": DataFrame(values, cells, cells)})


def influence(folder: Path, rows: list[Row], shared: float, own: float, first: int = 0) -> None:
    """Save influence values of the rows' images, as the harness does: their standard error is that of the row.

    Rows of one seed share noise, and each has some of its own, in this proportion.
    """
    for number, found in enumerate(rows, first):
        n = found.protocol.images or 0
        noise = [np.random.default_rng([seed, k]).normal(size=n) for seed, k in ((found.recipe.seed, 0), (number, 1))]
        values = shared * noise[0] + own * noise[1]
        file = influence_file(folder / "cells" / found.cell, found.protocol)
        labels = [k % 10 for k in range(n)]
        error = found.metrics.fd_se if found.metrics and found.metrics.fd_se else 0.0
        values *= error / (standard_error(values, labels) or 1.0)
        shards.save_influence(file, {"fd": values, "kid": values / 10}, labels)
