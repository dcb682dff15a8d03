"""Sampler protocol itself: options that are checked, and one loop."""

from __future__ import annotations

import pytest
import torch
from pydantic import Field, ValidationError

from samplerzoo.core.level import Level
from samplerzoo.core.prediction import Denoiser
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.testing import gaussian


class Counting(Sampler):
    """Sampler that adds a number in every step."""

    by: float = Field(1.0, ge=0, description="what to add")

    def step(self, x: torch.Tensor, t: Level, s: Level, denoise: Denoiser, noise: object) -> torch.Tensor:
        return x + self.by


def test_walk_takes_every_step_of_the_grid_and_yields_each_state(linear: Schedule) -> None:
    seen = []

    class Recording(Counting):
        def step(self, x, t, s, denoise, noise):
            seen.append((t.tau, s.tau))
            return super().step(x, t, s, denoise, noise)

    model = gaussian(linear)
    states = Recording(by=2).walk(
        torch.zeros(1), linear.grid_at([9, 4, 1]), Denoiser(model.denoise, linear), lambda: torch.zeros(1)
    )
    assert [x.item() for x in states] == [2, 4, 6]
    assert seen == [(10, 5), (5, 2), (2, 0)]


def test_the_default_grid_is_the_schedules(linear: Schedule) -> None:
    assert Counting().grid(linear, 7, "linspace") == linear.grid(7, "linspace")


def test_options_are_frozen_and_checked() -> None:
    sampler = Counting(by=2)
    with pytest.raises(ValidationError, match="frozen"):
        sampler.by = 3
    for wrong in ({"by": -1}, {"by": float("nan")}, {"by": float("inf")}, {"by": "much"}, {"two": 2}):
        with pytest.raises(UsageError, match=r"^Counting: (by|two): "):
            Counting(**wrong)


def test_equal_options_are_equal_and_hash_alike() -> None:
    assert Counting(by=2) == Counting(by=2.0) != Counting(by=3)
    assert len({Counting(by=2), Counting(by=2.0)}) == 1


def test_a_sampler_without_step_says_so(linear: Schedule) -> None:
    class Empty(Sampler):
        pass

    model = gaussian(linear)
    with pytest.raises(NotImplementedError, match="Empty has neither step nor walk"):
        next(Empty().walk(torch.zeros(1), linear.grid(1), Denoiser(model.denoise, linear), lambda: torch.zeros(1)))


def test_what_it_declares_by_default() -> None:
    assert Counting().order == 1
    assert not Counting.takes_shift
