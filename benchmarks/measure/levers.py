"""Gain of each option: a network call compared with one in float32 and the default layout, at batch 64."""

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
from samplerzoo.models.load import load

BATCH = 64
COMPILES = 3


def measure() -> list[Figure]:
    """Measure the speed-up of a network call by each option."""
    figures, saved_a_call = [], []
    for title, config, batch, rounds in (
        ("embedded network", unconditional_mnist(), BATCH, 15),
        ("35.7 M parameters, 3x32x32", CIFAR, 8, 9),
    ):
        folder = saved(title.split()[0], config)
        plain = call_of(load(folder, dtype="float32"), batch)
        for what, other in (
            ("bfloat16 weights", load(folder, dtype="bfloat16")),
            ("channels_last", load(folder, dtype="float32", layout="channels_last")),
            ("--compile", load(folder, dtype="float32", compiled=True)),
        ):
            pairs = paired(plain, call_of(other, batch), rounds)
            figures.append(_gain(f"{what}: {title}, batch {batch}", pairs))
        saved_a_call.append(
            statistics.median(first - second for first, second in pairs)
        )  # from --compile, the last option
        figures.append(_kept(f"{title}, batch {batch}", folder, batch, rounds))
    figures.append(_kept("embedded network, batch 256", saved("embedded", unconditional_mnist()), 256, 5))
    return [*figures, *_batches(), _heads(), _pays_from(saved_a_call[0])]


def _kept(setting: str, folder: Path, batch: int, rounds: int) -> Figure:
    """Measure the gain of keeping freed memory, in separate processes because it is a setting of the process."""
    given = {"folder": str(folder), "batch": batch}
    with (
        Child("measure.levers:call", keep=False, **given) as plain,
        Child("measure.levers:call", keep=True, **given) as kept,
    ):
        return _gain(f"freed memory is kept, against glibc as it comes: {setting}", paired(plain, kept, rounds))


def call(folder: str, batch: int) -> Work:
    """Return a function that makes four network calls. A process of its own runs it."""
    one = call_of(load(folder, dtype="float32"), batch)

    def calls() -> None:
        for _ in range(4):
            one()

    return calls


def _gain(what: str, pairs: list[tuple[float, float]], images: tuple[int, int] = (1, 1)) -> Figure:
    return Figure(what, [(first / images[0]) / (second / images[1]) for first, second in pairs])


def _batches() -> list[Figure]:
    model = load(saved("embedded", unconditional_mnist()), dtype="float32")
    usual = call_of(model, BATCH)
    return [
        _gain(f"batch {batch}: embedded network", paired(usual, call_of(model, batch), 9), (BATCH, batch))
        for batch in (1, 4, 16, 256)
    ]


def _heads() -> Figure:
    """Compare attention heads of 8 channels, the default of diffusers, with the single head of the embedded network."""
    config = unconditional_mnist()
    one, many = (
        call_of(load(saved(name, {**config, "attention_head_dim": width}), dtype="float32"), BATCH)
        for name, width in (("one-head", None), ("heads-of-8", 8))
    )
    return _gain(f"attention heads of 8 channels: embedded network, batch {BATCH}", paired(one, many, 15))


FIRST_CALL = """
import time
from measure.networks import call_of
from samplerzoo.models.load import load
from samplerzoo.system.memory import keep_freed_memory
keep_freed_memory()
model = load({folder!r}, dtype="float32", compiled={compiled})
call = call_of(model, {batch})
start = time.perf_counter()
call()
print(time.perf_counter() - start)
"""


def _pays_from(saved_a_call: float) -> Figure:
    """Return the number of images at 50 steps from which compiling pays, if nothing was compiled before."""
    seconds = [_first_call(compiled=True) - _first_call(compiled=False) for _ in range(COMPILES)]
    return Figure(
        f"--compile pays from: embedded network, batch {BATCH}, 50 steps",
        [it / saved_a_call * BATCH / 50 for it in seconds],
        unit="images",
        facts={"seconds of compiling": statistics.median(seconds)},
    )


def _first_call(compiled: bool) -> float:
    """Return the seconds of the first network call in a new process."""
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
    return float(done.stdout)
