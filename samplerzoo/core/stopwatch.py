"""Stopwatch: seconds of work on a device."""

from __future__ import annotations

import time


class Stopwatch:
    """Sum of the seconds between start and stop, of which there may be many, also inside of each other.

    A device works on while the program goes on, so that it is waited for at both ends.

    Attributes:
        seconds: sum by now.
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
        """Read a number from the device, which it answers when all before is done."""
        if self._device != "cpu":
            import torch

            torch.zeros((), device=self._device).item()
