"""Standard normal noise that depends on (seed, image, step, draw) and on nothing else.

It does not depend on the batch, the process or a global random state. The bits come from the Philox counter generator
(Salmon et al. 2011) with key (seed, image) and with (step, draw) in the high words of its counter, so no two draws
overlap. The transform of Box and Muller (1958) turns them into normals. It is written here because no library promises
to keep the bits of its own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samplerzoo.errors import UsageError, short, whole

if TYPE_CHECKING:
    import torch

INITIAL_STEP = 0
"""Step number of the initial noise x_T. The steps of the grid are numbered from 1."""

THREADS = min(8, os.cpu_count() or 1)
"""Worker threads for drawing ahead."""


def check_seed(seed: int) -> None:
    """Raise UsageError unless the seed is a whole number from 0 to 2**64 - 1."""
    if not 0 <= whole("a seed", seed) < 2**64:
        raise UsageError(f"a seed must be a whole number between 0 and 2**64 - 1, not {short(seed)}")


class Noise:
    """Noise for one batch of images. Each call returns a new draw.

    Args:
        seed: the seed of the run, 0 to 2**64 - 1.
        images: indices of the images in the batch.
        shape: shape of one image, usually (C, H, W).
        device: device of the returned tensors. The draws are made on the CPU, so that all devices get the same.
        ahead: draw the next step's noise in background threads while the accelerator computes this one.
    """

    def __init__(
        self,
        seed: int,
        images: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        *,
        ahead: bool = False,
    ) -> None:
        check_seed(seed)
        self._keys = [np.array([seed, image], dtype=np.uint64) for image in images]
        self._shape = tuple(shape)
        self._device = device
        self._step, self._draw = INITIAL_STEP, 0
        self._coming: dict[tuple[int, int], list[Future[NDArray[np.float32]]]] = {}
        self._threads = ThreadPoolExecutor(THREADS) if ahead else None

    def start_step(self, step: int) -> None:
        """Set the step of the following draws. The driver calls this before every step."""
        self._step, self._draw = step, 0

    def __call__(self) -> torch.Tensor:
        """Return a float32 tensor (len(images), *shape) of independent standard normals."""
        import torch

        step, draw = self._step, self._draw
        self._draw += 1
        found = self._coming.pop((step, draw), None)
        if self._threads is not None:
            share = math.ceil(len(self._keys) / THREADS)
            self._coming[step + 1, draw] = [
                self._threads.submit(self._normals, self._keys[i : i + share], step + 1, draw)
                for i in range(0, len(self._keys), share)
            ]
        normals = torch.from_numpy(
            self._normals(self._keys, step, draw)
            if found is None
            else np.concatenate([part.result() for part in found])
        )
        if torch.device(self._device).type == "cuda":
            return normals.pin_memory().to(self._device, non_blocking=True)  # a copy from unpinned memory would block
        return normals.to(self._device)

    def close(self) -> None:
        """Stop the background threads. No draw may follow."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _normals(self, keys: Sequence[NDArray[np.uint64]], step: int, draw: int) -> NDArray[np.float32]:
        size = math.prod(self._shape)
        generator = np.random.Philox(0)
        bits = np.stack([_words(generator, key, step, draw, size + size % 2) for key in keys])
        return box_muller(bits)[:, :size].astype(np.float32).reshape(-1, *self._shape)


def _words(
    generator: np.random.Philox, key: NDArray[np.uint64], step: int, draw: int, count: int
) -> NDArray[np.uint64]:
    """Return `count` words of the Philox stream for this key, step and draw."""
    # setting the state costs a fifth of making a new generator
    generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": np.array([0, 0, step, draw], dtype=np.uint64), "key": key},
        "buffer": np.zeros(4, dtype=np.uint64),
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }
    return generator.random_raw(count)


def box_muller(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Convert uniform 64-bit words (..., 2n) to as many float64 standard normals.

    The upper 53 bits of a word, at the middle of their interval, give a uniform number in (0, 1], never 0. Cosine and
    sine are torch's, because numpy's take fifteen times as long.
    """
    import torch

    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    first, second = np.split(uniform, 2, axis=-1)
    radius = np.sqrt(-2.0 * np.log(first))
    angle = torch.from_numpy(2.0 * math.pi * second)
    return np.concatenate([radius * angle.cos().numpy(), radius * angle.sin().numpy()], axis=-1)
