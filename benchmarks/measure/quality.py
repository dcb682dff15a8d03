"""Effect of each option on the images: the Fréchet distance with and without it, compared with that of seeds."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from measure.figure import Figure
from measure.networks import scratch
from samplerzoo.bench.harness import BenchOptions, Harness
from samplerzoo.bench.suite import parse_suite

IMAGES, STEPS, SEEDS = 5000, 5, [0, 1, 2]


def measure() -> list[Figure]:
    """Measure the Fréchet distance of the embedded network under each option, for each seed."""
    plain, compiled = (_distances(name, BenchOptions(device="cpu", **how)) for name, how in _ways())
    moved = [abs(b - a) for a, b in zip(plain, compiled, strict=True)]
    return [
        Figure(
            f"fd_mnist@{IMAGES} of ddim, {STEPS} steps: what --compile moves, of the standard deviation over seeds",
            [change / statistics.stdev(plain) for change in moved],
            "<= 1",
            facts={"distance": statistics.mean(plain), "moved by": max(moved)},
        )
    ]


def _ways() -> list[tuple[str, dict[str, Any]]]:
    return [("plain", {}), ("compiled", {"compiled": True})]


def _distances(name: str, options: BenchOptions) -> list[float]:
    """Return one Fréchet distance per seed."""
    suite = parse_suite({}, "speed", {"images": IMAGES, "seeds": SEEDS, "steps": [STEPS]}, [{"sampler": "ddim"}])
    harness = Harness(suite, Path(scratch().name) / name, options)
    outcome = harness.run(harness.estimate(), lambda row: None)
    if outcome.failures:
        raise SystemExit(f"speed: {outcome.failures[0]}")
    return [row.metrics.fd for row in outcome.rows]
