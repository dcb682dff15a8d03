"""Time that a report of 1,000 rows takes, imports included.

`pytest -m slow tests/report/test_report_speed.py -s` shows it.
What is bounded is the time of the processor: on an idle core it is that of a clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from synthetic import cpu, influence, protocol, row, sure

from samplerzoo.bench import results
from samplerzoo.bench.results import ERROR, ImageError, Row

SECONDS = 3.0
GRID = [(sampler, eta, steps, seed) for sampler in ("ddim", "ddpm", "heun", "unipc", "deis") for eta in range(5)
        for steps in (5, 10, 20, 30, 40, 50, 60, 80) for seed in range(5)]  # fmt: skip


def distances(folder: Path) -> list[Row]:
    """Make rows whose images are gone: 25 lines, or five under five scales of a guidance."""
    return [
        row(sampler, steps, 10 / steps + 0.1 * eta + 0.01 * seed, options={"eta": eta} if sampler == "ddim" else {},
            guidance=None if sampler == "ddim" else "cfg", scale=None if sampler == "ddim" else 1.0 + eta, seed=seed,
            speed=cpu(300 / steps))
        for sampler, eta, steps, seed in GRID
    ]  # fmt: skip


def with_errors(folder: Path) -> list[Row]:
    rows = [sure(found, 0.01) for found in distances(folder)]
    rows = [found.model_copy(update={"protocol": protocol(images=200)}) for found in rows]
    influence(folder, rows, 0.01, 0.01)
    return rows


def of_images(folder: Path) -> list[Row]:
    under = protocol(images=64, features=ERROR, features_id="rmse", reference="converged solution",
                     reference_images=None)  # fmt: skip
    rows = []
    for number, (sampler, eta, steps, seed) in enumerate(GRID):
        errors = np.random.default_rng(number).random(64) / steps
        mean = float(errors.mean())
        error = ImageError(mean=mean, low=0.9 * mean, high=1.1 * mean, solution="s")
        found = row(sampler, steps, 0.0, options={"eta": eta}, seed=seed, under=under, error=error)
        rows.append(found.model_copy(update={"metrics": None}))
        path = folder / "cells" / found.cell / "s" / "errors-000000-000063.safetensors"
        path.parent.mkdir(parents=True)
        save_file({"errors": errors}, path)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("kind", [distances, with_errors, of_images])
def test_a_report_of_a_thousand_rows_takes_less_than_three_seconds(tmp_path: Path, kind) -> None:
    results.append_rows(tmp_path, kind(tmp_path))
    before = os.times()
    subprocess.run([sys.executable, "-m", "samplerzoo", "report", str(tmp_path)], check=True, capture_output=True)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{kind.__name__}: {seconds:.2f} s of the processor, {after.elapsed - before.elapsed:.2f} s by the clock")
    assert seconds < SECONDS
