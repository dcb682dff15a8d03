"""Start-up time of whole processes, measured from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from measure.figure import Figure, ratio
from measure.networks import scratch
from samplerzoo.models.folder import find_model

ROUNDS = 9

STOP = '''
"""Ends the process where the first network call would be."""

import os

from samplerzoo import Sampler


class Stop(Sampler):
    def step(self, x, t, s, denoise, noise):
        if x.shape[-1] > 2:  # the rehearsal without a network has 2x2 pixels
            os._exit(0)
        return denoise(x, t).x0
'''

LEAST = """
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

UNet2DModel.from_pretrained({folder!r}, use_safetensors=True, low_cpu_mem_usage=False)
"""
"""Program that does only what every program must do before it can call the network."""


def measure() -> list[Figure]:
    plugin = Path(scratch().name) / "stop.py"
    plugin.write_text(STOP)
    zoo = [sys.executable, "-m", "samplerzoo"]
    run = [*zoo, "run", "--plugin", str(plugin), "--sampler", "stop", "--device", "cpu", "-o", f"{scratch().name}/run"]
    run += ["--overwrite"]
    least = [sys.executable, "-c", LEAST.format(folder=str(find_model("mnist") / "unet"))]
    torch = [sys.executable, "-c", "import torch"]
    return [
        *(
            ratio(f"samplerzoo {word}, of import torch", _process([*zoo, word]), _process(torch), ROUNDS, "<= 0.15")
            for word in ("--help", "list")
        ),
        ratio(
            "samplerzoo run up to its first network call, of torch, UNet2DModel and its weights",
            _process(run),
            _process(least),
            ROUNDS,
            "<= 1.05",
        ),
    ]


def _process(command: Sequence[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, capture_output=True)
