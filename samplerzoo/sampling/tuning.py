"""How a network runs fastest on this machine: images at once, and their layout in memory; measured once, remembered.

Neither changes an image by more than rounding, and both matter: a GPU wants large batches, while a CPU gains nothing
beyond a moderate one; and which layout is faster depends on the widths of the network and on what the processor can
do. benchmarks/reports/speed has figures.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt, ValidationError

from samplerzoo.models import load as models
from samplerzoo.models.load import LAYOUTS, Layout, Model
from samplerzoo.options import Options
from samplerzoo.system.environment import device_name
from samplerzoo.system.files import atomic_file, digest_text

if TYPE_CHECKING:
    from diffusers import UNet2DModel

CPU_BATCHES, ACCELERATOR_BATCHES = (16, 64, 256), (64, 256, 1024)
CALLS = 3
"""With each batch size in each layout; the first is for warmth."""

PAYS_FROM = 20
"""A run has to be this many times as long as the measurement, to wait for it."""


class Pace(Options):
    """How a network is called; the defaults are for a run that is too short to measure for."""

    batch_size: PositiveInt = 64
    layout: Layout = "contiguous"


class PaceRequest(Options):
    """What is asked for of it; the rest is left to the measurement."""

    batch_size: PositiveInt | None = Field(
        None, description="how many images at once; default: the fastest here, measured for a long run, else 64"
    )
    layout: Layout | None = Field(
        None, description="of images in memory; default: the faster one here, measured for a long run, else contiguous"
    )

    @property
    def unmeasured(self) -> Pace:
        """The defaults where nothing is asked for."""
        return Pace(**self.model_dump(exclude_none=True))

    def candidates(self, device: str) -> list[Pace]:
        """All that may be chosen from, the smallest batches first."""
        usual = CPU_BATCHES if device == "cpu" else ACCELERATOR_BATCHES
        sizes = usual if self.batch_size is None else (self.batch_size,)
        layouts = LAYOUTS if self.layout is None else (self.layout,)
        return [Pace(batch_size=size, layout=layout) for size, layout in itertools.product(sizes, layouts)]


FASTEST = PaceRequest()


def choose(
    model: Model, fingerprint: str, device: str, dtype: str, evaluations: float, asked: PaceRequest = FASTEST
) -> Pace:
    """What is remembered of this network on this machine; else what is measured now, if the run is long enough.

    Args:
        model: its outline will do.
        fingerprint: of its weights.
        evaluations: that the run is going to take.
    """
    candidates = asked.candidates(device)
    if len(candidates) == 1:
        return candidates[0]
    file = remembered(fingerprint, device, dtype, asked)
    with suppress(OSError, ValidationError):  # not there, or of another version
        return Pace.model_validate_json(file.read_bytes())
    if evaluations < PAYS_FROM * CALLS * sum(pace.batch_size for pace in candidates):
        return asked.unmeasured
    pace = measure(model, device, dtype, candidates)
    with suppress(OSError), atomic_file(file) as partial:  # a home that is read-only costs the measurement each time
        partial.write_text(pace.model_dump_json())
    return pace


def measure(model: Model, device: str, dtype: str, candidates: Sequence[Pace]) -> Pace:
    """That with the most images a second through the bare network; the first if none fits into memory."""
    assert model.folder is not None
    unet = models.load_unet(model.folder, dtype).to(device).eval()
    rates: dict[Pace, float] = {}
    for pace in candidates:
        seconds = _seconds(models.arranged(unet, pace.layout), model, pace.batch_size)
        if seconds is None:
            break  # larger ones will not fit either
        rates[pace] = pace.batch_size / seconds
    return max(rates, key=lambda pace: rates[pace], default=candidates[0])


def remembered(fingerprint: str, device: str, dtype: str, asked: PaceRequest) -> Path:
    """The file of what is known of a network on this machine."""
    import torch

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    where = [device_name(device), platform.node(), torch.get_num_threads(), torch.__version__]
    key = [fingerprint, dtype, *where, asked.batch_size, asked.layout]
    return cache / "samplerzoo" / "pace" / f"{digest_text(json.dumps(key))}.json"


def _seconds(unet: UNet2DModel, model: Model, size: int) -> float | None:
    """Of the quickest call; None if the batch does not fit."""
    import torch

    assert model.shape is not None
    x = torch.zeros(size, *model.shape, dtype=unet.dtype, device=unet.device)
    labels = None if model.num_classes is None else torch.zeros(size, dtype=torch.long, device=unet.device)
    took = []
    try:
        for _ in range(CALLS):
            start = time.perf_counter()
            with torch.no_grad():
                unet(x, 0, class_labels=labels).sample[0].sum().item()  # waits for the device
            took.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return None
    return min(took[1:])
