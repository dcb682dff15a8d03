"""The watch over a batch: whether all that network and sampler gave is finite."""

from __future__ import annotations

import torch

from samplerzoo.core.noise import INITIAL_STEP
from samplerzoo.core.schedule import Level
from samplerzoo.errors import ZooError


class Watch:
    """Whether network and sampler gave finite values at every step of a batch, and which step it is at.

    To ask a GPU is to wait for it, and to leave it idle until the next kernel comes: it is asked once, at the end.

    Args:
        at_once: ask at every call.
    """

    def __init__(self, steps: int, *, at_once: bool) -> None:
        self.step = INITIAL_STEP
        self._steps, self._at_once = steps, at_once
        self._seen: list[tuple[torch.Tensor, str, int, Level]] = []

    def __call__(self, x: torch.Tensor, culprit: str, level: Level) -> None:
        extremes = torch.stack(torch.aminmax(x))  # NaN if any is; a sixth of the time of asking every value
        self._seen.append((extremes, culprit, self.step, level))
        if self._at_once:
            self.check()

    def check(self) -> None:
        """Raises ZooError for the first that was not."""
        seen, self._seen = self._seen, []
        finite = torch.stack([extremes for extremes, *_ in seen]).isfinite().all(dim=1).tolist() if seen else []
        for fine, (_, culprit, step, level) in zip(finite, seen, strict=True):
            if not fine:
                raise ZooError(
                    f"{culprit} returned NaN or infinity at step {step} of {self._steps}, timestep "
                    f"{level.timestep:g}; try --dtype float32 and --clip-x0 static"
                )
