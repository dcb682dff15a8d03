"""What each measure gives: a network call against the same call in float32, in the default layout, at batch 64."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure.child import Child
from measure.figure import Figure, Work, paired
from measure.networks import CIFAR, call_of, saved, scratch, unconditional_mnist
from samplerzoo import models

BATCH = 64
COMPILES = 3


def measure() -> list[Figure]:
    """Evaluations a second of the second, for one of the first."""
    figures = []
    for title, config, batch, rounds in (
        ("embedded network", unconditional_mnist(), BATCH, 15),
        ("35.7 M parameters, 3x32x32", CIFAR, 8, 5),
    ):
        folder = saved(title.split()[0], config)
        plain = call_of(models.load(folder, dtype="float32"), batch)
        for what, other in (
            ("bfloat16 weights", models.load(folder, dtype="bfloat16")),
            ("channels_last", models.load(folder, dtype="float32", layout="channels_last")),
            ("--compile", models.load(folder, dtype="float32", compiled=True)),
        ):
            pairs = paired(plain, call_of(other, batch), rounds)
            figures.append(_gain(f"{what}: {title}, batch {batch}", pairs))
        figures.append(_kept(f"{title}, batch {batch}", folder, batch, rounds))
    figures.append(_kept("embedded network, batch 256", saved("embedded", unconditional_mnist()), 256, 5))
    return [*figures, *_batches(), _heads(), _pays_from()]


def _kept(setting: str, folder: Path, batch: int, rounds: int) -> Figure:
    """In processes apart, since what glibc is told holds for all of one."""
    given = {"folder": str(folder), "batch": batch}
    with (
        Child("measure.levers:call", keep=False, **given) as plain,
        Child("measure.levers:call", keep=True, **given) as kept,
    ):
        return _gain(f"freed memory is kept, against glibc as it comes: {setting}", paired(plain, kept, rounds))


def call(folder: str, batch: int) -> Work:
    """Four calls, for a process of its own."""
    one = call_of(models.load(folder, dtype="float32"), batch)

    def calls() -> None:
        for _ in range(4):
            one()

    return calls


def _gain(what: str, pairs: list[tuple[float, float]], images: tuple[int, int] = (1, 1)) -> Figure:
    return Figure(what, [(first / images[0]) / (second / images[1]) for first, second in pairs])


def _batches() -> list[Figure]:
    model = models.load(saved("embedded", unconditional_mnist()), dtype="float32")
    usual = call_of(model, BATCH)
    return [
        _gain(f"batch {batch}: embedded network", paired(usual, call_of(model, batch), 9), (BATCH, batch))
        for batch in (1, 4, 16, 256)
    ]


def _heads() -> Figure:
    """Attention heads of 8 channels, which is diffusers' default, against the one head of the embedded network."""
    config = unconditional_mnist()
    one, many = (
        call_of(models.load(saved(name, {**config, "attention_head_dim": width}), dtype="float32"), BATCH)
        for name, width in (("one-head", None), ("heads-of-8", 8))
    )
    return _gain(f"attention heads of 8 channels: embedded network, batch {BATCH}", paired(one, many, 15))


FIRST_CALL = """
import time
from measure.networks import call_of
from samplerzoo import models
from samplerzoo.heap import keep_freed
keep_freed()
model = models.load({folder!r}, dtype="float32", compiled={compiled})
call = call_of(model, {batch})
start = time.perf_counter()
call()
first = time.perf_counter() - start
start = time.perf_counter()
for _ in range(5):
    call()
print(first, (time.perf_counter() - start) / 5)
"""


def _pays_from() -> Figure:
    """The images at 50 steps from which a compiled network, not compiled before, has made up for its first call."""
    images, seconds = [], []
    for _ in range(COMPILES):
        (first, later), (compiling, compiled) = (_first_and_later(compiled) for compiled in (False, True))
        images.append((compiling - first) / (later - compiled) * BATCH / 50)
        seconds.append(compiling - first)
    return Figure(
        f"--compile pays from: embedded network, batch {BATCH}, 50 steps",
        images,
        unit="images",
        facts={"seconds of compiling": statistics.median(seconds)},
    )


def _first_and_later(compiled: bool) -> tuple[float, float]:
    """Seconds of the first call, and of each after it."""
    folder = str(saved("embedded", unconditional_mnist()))
    with tempfile.TemporaryDirectory(dir=scratch().name) as empty:
        environment: dict[str, Any] = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "TORCHINDUCTOR_CACHE_DIR": empty,
        }
        program = FIRST_CALL.format(folder=folder, compiled=compiled, batch=BATCH)
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
        )
    first, later = map(float, done.stdout.split())
    return first, later
