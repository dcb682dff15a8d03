"""Tuning: the batch size and the memory layout with which a network runs fastest on this machine.

Both are measured once for each network and remembered. Neither changes an image by more than rounding, and both
matter: a GPU wants large batches, while a CPU gains nothing beyond a moderate one; and which layout is faster depends
on the widths of the network and on the processor. benchmarks/reports/speed has figures.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveInt, ValidationError

from samplerzoo.core.model import LAYOUTS, Layout
from samplerzoo.options import Field, Options
from samplerzoo.system.environment import device_name
from samplerzoo.system.files import atomic_file, cache_folder, digest_text

if TYPE_CHECKING:
    from samplerzoo.core.model import Model, Network
    from samplerzoo.models.handle import ModelHandle

CPU_BATCHES, ACCELERATOR_BATCHES = (16, 64, 256), (64, 256, 1024)
CALLS = 3
"""Calls with each batch size in each layout; the first one warms up and is not counted."""

PAYS_FROM = 20
"""Measure only for runs at least this many times as long as the measurement."""


class Tuning(Options):
    """Batch size and memory layout of a run. The defaults are for runs that are too short for a measurement."""

    batch_size: PositiveInt = 64
    layout: Layout = "contiguous"


class TuningRequest(Options):
    """Batch size and memory layout that the user asks for. Fields that are None are left to the measurement."""

    batch_size: PositiveInt | None = Field(
        None, description="images drawn at once; by default the fastest number, measured once per machine for long "
        "runs, else 64"
    )  # fmt: skip
    layout: Layout | None = Field(
        None, description="memory layout of the network; by default the faster one, measured once per machine for "
        "long runs, else contiguous"
    )  # fmt: skip

    @property
    def unmeasured(self) -> Tuning:
        """Tuning without a measurement, with defaults for what the user does not ask for."""
        return Tuning(**self.model_dump(exclude_none=True))

    def candidates(self, device: str, layouts: Sequence[Layout] = LAYOUTS) -> list[Tuning]:
        """List all tunings to choose from, the smallest batches first."""
        usual = CPU_BATCHES if device == "cpu" else ACCELERATOR_BATCHES
        sizes = usual if self.batch_size is None else (self.batch_size,)
        layouts = layouts if self.layout is None else (self.layout,)
        return [Tuning(batch_size=size, layout=layout) for size, layout in itertools.product(sizes, layouts)]


FASTEST = TuningRequest()


def choose_tuning(
    found: ModelHandle, device: str, dtype: str, evaluations: float, asked: TuningRequest = FASTEST
) -> Tuning:
    """Return the fastest tuning of a network on this machine, from memory, or measured if the run is long enough.

    Args:
        found: the model. If it has a usual batch size, since its network cannot be called alone, nothing is measured.
        evaluations: network evaluations that the run is going to take.
    """
    if found.usual_batch is not None:
        usual = Tuning(batch_size=found.usual_batch).model_dump()
        return Tuning(**{**usual, **asked.model_dump(exclude_none=True)})
    candidates = asked.candidates(device, found.layouts)
    if len(candidates) == 1:
        return candidates[0]
    file = cache_file(found.fingerprint, device, dtype, asked)
    with suppress(OSError, ValidationError):  # the file is missing, or of another version
        return Tuning.model_validate_json(file.read_bytes())
    if evaluations < PAYS_FROM * CALLS * sum(each.batch_size for each in candidates):
        return asked.unmeasured
    fastest = measure_tunings(found, device, dtype, candidates)
    with suppress(OSError), atomic_file(file) as partial:  # without a writable home, every run measures anew
        partial.write_text(fastest.model_dump_json())
    return fastest


def measure_tunings(found: ModelHandle, device: str, dtype: str, candidates: Sequence[Tuning]) -> Tuning:
    """Return the candidate with the most images per second in the network; the first one if none fits into memory."""
    network_in = found.network_in(device, dtype)
    rates: dict[Tuning, float] = {}
    for each in candidates:
        seconds = _seconds(network_in(each.layout), found.stub, device, each.batch_size)
        if seconds is None:
            break  # larger batches will not fit either
        rates[each] = each.batch_size / seconds
    return max(rates, key=lambda each: rates[each], default=candidates[0])


def cache_file(fingerprint: str, device: str, dtype: str, asked: TuningRequest) -> Path:
    """Return the file that remembers the tuning of a network on this machine."""
    import torch

    where = [device_name(device), platform.node(), torch.get_num_threads(), torch.__version__]
    key = [fingerprint, dtype, *where, asked.batch_size, asked.layout]
    return cache_folder("pace") / f"{digest_text(json.dumps(key))}.json"


def _seconds(network: Network, model: Model, device: str, size: int) -> float | None:
    """Return the seconds of the fastest call; None if the batch does not fit into memory."""
    import torch

    x = torch.zeros(size, *model.shape, device=device)
    told = torch.ones(size, device=device)
    asked = dataclasses.replace(model, device=device)
    condition = asked.condition([0] * size) if asked.text is None else asked.condition(prompts=[""] * size)
    took = []
    try:
        for _ in range(CALLS):
            start = time.perf_counter()
            with torch.no_grad():
                network(x, told, condition)[0].sum().item()  # waits for the device
            took.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return None
    return min(took[1:])
