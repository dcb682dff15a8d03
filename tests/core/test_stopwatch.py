"""Stopwatch: sums, nesting, and waiting for the device."""

from __future__ import annotations

import time

import pytest
import torch

from samplerzoo.core.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by a number that a test moves."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_it_sums_what_lies_between(clock: list[float]) -> None:
    watch = Stopwatch()
    for seconds in (2.0, 3.0):
        with watch:
            clock[0] += seconds
        clock[0] += 50
    assert watch.seconds == 5


def test_what_lies_inside_of_another_counts_once(clock: list[float]) -> None:
    watch = Stopwatch()
    with watch:
        clock[0] += 1
        with watch:
            clock[0] += 2
        assert watch.seconds == 0
        clock[0] += 4
    assert watch.seconds == 7


def test_an_error_ends_it(clock: list[float]) -> None:
    watch = Stopwatch()

    def fails() -> None:
        clock[0] += 1
        raise KeyError

    with pytest.raises(KeyError), watch:
        fails()
    clock[0] += 10
    with watch:
        clock[0] += 1
    assert watch.seconds == 2


def test_a_device_is_waited_for_at_both_ends(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []

    class Number:
        def item(self) -> None:
            clock[0] += 8 * len(waited)  # 8 of work before the start, 16 of that in between

    def zeros(shape: tuple[int, ...], *, device: str) -> Number:
        waited.append(device)
        return Number()

    monkeypatch.setattr(torch, "zeros", zeros)
    watch = Stopwatch("cuda:1")
    with watch, watch:
        clock[0] += 1
    assert waited == ["cuda:1"] * 2
    assert watch.seconds == 17
    with Stopwatch("cpu"):
        pass
    assert len(waited) == 2
