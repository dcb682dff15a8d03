"""Stopwatch: seconds of work on a device."""

from __future__ import annotations

import time


class Stopwatch:
    """Total time between `start` and `stop`. Calls may repeat and nest; nested time counts once.

    A GPU works asynchronously, so the stopwatch waits for the device at both ends.

    Attributes:
        seconds: total so far.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.seconds = 0.0
        self._device, self._depth, self._begun = device, 0, 0.0

    def start(self) -> None:
        if not self._depth:
            self._wait()
            self._begun = time.perf_counter()
        self._depth += 1

    def stop(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._wait()
            self.seconds += time.perf_counter() - self._begun

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _wait(self) -> None:
        """Wait for the device by reading a number from it, which it returns after all earlier work."""
        if self._device != "cpu":
            import torch

            torch.zeros((), device=self._device).item()
