"""Growth of time and memory with images, steps, size of the network, and processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from measure.child import Child
from measure.figure import Figure, seconds
from measure.networks import TINY, forward_of, saved, scratch, unconditional_mnist
from samplerzoo.bench.harness import BenchOptions, Harness
from samplerzoo.bench.suite import parse_suite
from samplerzoo.models.load import ModelFolder, load
from samplerzoo.sampling.sample import sample
from samplerzoo.sampling.tuning import TuningRequest

ROUNDS = 3
PROCESS_ROUNDS = 5  # a few, because two cores are seldom equally fast for long
RUN = ["-m", "samplerzoo", "run", "--sampler", "ddim", "--device", "cpu", "--layout", "contiguous", "--json"]


def measure() -> list[Figure]:
    return [*_images(), *_steps(), *_widths(), *_processes(), _bench()]


def _images() -> list[Figure]:
    """Measure whole processes with one step of a tiny network, where everything else takes most of the time."""
    arguments = [*RUN, "--model", str(saved("tiny", TINY)), "--steps", "1", "--batch-size", "250"]
    counts = (100, 1_000, 10_000, 100_000)
    rounds = [
        {count: _process([*arguments, "--num-images", str(count)])[:2] for count in counts} for _ in range(ROUNDS)
    ]
    return [
        *(
            Figure(
                f"images: {count:,}",
                [made[count][0] for made in rounds],
                unit="s",
                facts={"x": count, "peak MiB": max(made[count][1] for made in rounds)},
            )
            for count in counts
        ),
        Figure(
            "peak memory of 100,000 images, for that of 1,000",
            [made[100_000][1] / made[1_000][1] for made in rounds],
            "<= 1.05",
        ),
        Figure(
            "seconds an image of 100,000, beyond the first 10,000, for those of 10,000, beyond the first 1,000",
            [
                (made[100_000][0] - made[10_000][0]) / 90_000 / ((made[10_000][0] - made[1_000][0]) / 9_000)
                for made in rounds
            ],
            "<= 1.05",
        ),
    ]


def _steps() -> list[Figure]:
    model = load("mnist", device="cpu", dtype="float32")
    figures = []
    for steps in (5, 10, 20, 50, 100):
        sample(model, "ddim", steps=1, num_images=16)
        took = [seconds(lambda: sample(model, "ddim", steps=steps, num_images=16)) for _ in range(ROUNDS)]  # noqa: B023
        figures.append(Figure(f"steps: {steps}", took, unit="s", facts={"x": steps}))
    return figures


def _widths() -> list[Figure]:
    """Measure the embedded network with fewer and with more channels."""
    figures = []
    for width in (16, 32, 64, 128):
        config = {**unconditional_mnist(), "block_out_channels": (width, 2 * width, 4 * width)}
        model = load(saved(f"width-{width}", config), device="cpu", dtype="float32")
        call = forward_of(model, 32)
        call()
        unet = ModelFolder.open(model.name).load_network("cpu", "float32")
        size = sum(value.numel() for value in unet.parameters()) / 1e6
        sample(model, "ddim", steps=1, num_images=32)
        took = [seconds(lambda: sample(model, "ddim", steps=5, num_images=32)) for _ in range(ROUNDS)]  # noqa: B023
        bare = sorted(seconds(lambda: [call() for _ in range(5)]) for _ in range(ROUNDS))[ROUNDS // 2]  # noqa: B023
        figures.append(Figure(f"size: {size:.2f} M", took, unit="s", facts={"x": size, "bare seconds": bare}))
    return figures


def _processes() -> list[Figure]:
    """Compare two processes of one thread with two that only call the network as often, at the same time.

    The slower first call counts on both sides.
    """
    images, steps, batch = 512, 10, 64
    arguments = ["--num-images", str(images), "--steps", str(steps), "--batch-size", str(batch)]
    one: list[float] = []
    two: list[float] = []
    alone: list[float] = []
    for _ in range(PROCESS_ROUNDS):
        one.append(_process([*RUN, *arguments], threads=1)[2]["seconds"])
        launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
        two.append(_process([*launch, *RUN, *arguments], threads=1)[2]["seconds"])
        alone.append(_together(2, calls=images * steps // batch // 2, batch=batch))
    return [
        *(Figure(f"processes: {count}", took, unit="s", facts={"x": count}) for count, took in ((1, one), (2, two))),
        Figure(
            "evaluations a second of two processes of one thread, for those of two that call the bare network",
            [bare / run for run, bare in zip(two, alone, strict=True)],
            ">= 0.97",
        ),
    ]


def _together(processes: int, calls: int, batch: int) -> float:
    """Run processes of one thread that call the bare network at the same time. Return the seconds of the slowest."""
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child("measure.scale:bare", keep=True, threads=1, calls=calls, batch=batch))
            for _ in range(processes)
        ]
        for child in children:
            child.begin()
        return max(child.answer() for child in children)


def bare(calls: int, batch: int) -> Callable[[], float]:
    """Return a function that times `calls` bare network calls. A process of its own runs it."""
    call = forward_of(load("mnist", device="cpu", dtype="float32"), batch)
    return lambda: seconds(lambda: [call() for _ in range(calls)])


def _bench() -> Figure:
    """Measure the time of a suite of three cells divided by that of its network calls alone."""
    model, batch, images, steps, calls = load("mnist", device="cpu", dtype="float32"), 64, 512, [10, 20, 30], 24
    forward = forward_of(model, batch)
    suite = parse_suite({}, "speed", {"images": images, "steps": steps}, [{"sampler": "ddim"}])
    ratios = []
    for number in range(ROUNDS):
        settings = BenchOptions(TuningRequest(batch_size=batch, layout="contiguous"), device="cpu")
        harness = Harness(suite, Path(scratch().name) / f"bench-{number}", settings)
        todos = harness.estimate()
        before = seconds(lambda: [forward() for _ in range(calls)])
        wall = seconds(lambda: harness.run(todos, lambda row: None))  # noqa: B023
        after = seconds(lambda: [forward() for _ in range(calls)])
        ratios.append(wall / ((before + after) / (2 * calls) * sum(steps) * images / batch))
    what = (
        f"bench, {images} images of ddim at 10, 20 and 30 steps, with files and all figures, of its bare network calls"
    )
    return Figure(what, ratios, "<= 1.03")


def _process(arguments: Sequence[str], threads: int | None = None) -> tuple[float, float, dict[str, Any]]:
    """Run a command into a new folder. Return wall seconds, peak memory in MiB, and its JSON output."""
    environment = {**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
    output = Path(scratch().name) / "run"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, *arguments, "--output", str(output)]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"speed: {' '.join(command)} failed")
    return wall, usage.ru_maxrss / 1024, json.loads(said.splitlines()[-1])
