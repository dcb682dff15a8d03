"""States that a sampler yields, one per step, and its grid. All else is refused, with file and line of its method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from samplerzoo.core.paths import VP
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import ZooError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian, outcomes

LINEAR = VP.from_config({})


class Giving(Sampler):
    """Gives what GIVE makes of x, at the last step only if LATE is set."""

    def step(self, x, t, s, denoise, noise):
        return GIVE[0](x) if s.clean or not LATE[0] else x


class Walking(Sampler):
    """Walks as GIVE says."""

    def walk(self, x, grid, denoise, noise):
        return GIVE[0](x)


class Laying(Giving):
    """Lays the grid that GIVE gives."""

    def grid(self, schedule, steps, spacing):
        return GIVE[0](schedule)


GIVE: list[Callable[[Any], Any]] = [lambda x: x]
LATE: list[bool] = [False]

STATES: dict[str, Callable[[torch.Tensor], Any]] = {
    "None": lambda x: None,
    "a tuple": lambda x: (x, x),
    "a float": lambda x: 1.5,
    "a ndarray (float32) of shape (2, 1)": lambda x: x.numpy(),
    "a Tensor (torch.float32) of shape (1, 1)": lambda x: x[:1],
    "a Tensor (torch.float32) of shape (2, 1, 1)": lambda x: x[None].reshape(2, 1, 1),
    "a Tensor (torch.complex64) of shape (2, 1)": lambda x: x + 0j,
    "a Tensor (torch.float64) of shape (2, 1)": lambda x: x.double(),
    "a Tensor (torch.bfloat16) of shape (2, 1)": lambda x: x.bfloat16(),
    "a Tensor (torch.bool) of shape (2, 1)": lambda x: x > 0,
}


class DrawingWithoutEnd(Sampler):
    """Draws until a number is as large as none ever is, in the second step."""

    def step(self, x, t, s, denoise, noise):
        while s.clean and noise().abs().max() < 1e3:
            pass
        return x


class AskingWithoutEnd(Sampler):
    """Asks until two answers about a state differ, which they never do."""

    def step(self, x, t, s, denoise, noise):
        while denoise(x, t).x0.equal(denoise(x, t).x0):
            pass
        return x


def message(sampler: Sampler) -> str:
    with pytest.raises(ZooError) as caught:
        sample(gaussian(LINEAR), sampler, steps=2, num_images=2)
    return str(caught.value)


@pytest.mark.parametrize("late", [False, True], ids=["every step", "last step"])
@pytest.mark.parametrize("found", STATES)
def test_a_step_gives_a_tensor_of_the_shape_of_x(found: str, late: bool) -> None:
    GIVE[0], LATE[0] = STATES[found], late
    line = Giving.step.__code__.co_firstlineno
    wanted = "and has to give a tensor like x, torch.float32 of shape (2, 1)"
    assert message(Giving()) == f"sampler Giving: step gives {found}, {wanted} ({__file__}, line {line})"


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda x: x, "walk gives a Tensor (torch.float32) of shape (2, 1), and has to give a state a step"),
        (lambda x: None, "walk gives None, and has to give a state a step"),
        (lambda x: iter([x, None]), "walk gives None, and has to give a tensor like x, "),
        (lambda x: iter([x]), "walk yields 1 of the 2 steps of its grid"),
        (lambda x: iter([x, x, x]), "walk yields more than the 2 steps of its grid"),
    ],
)
def test_a_walk_yields_a_state_a_step(give: Callable[[Any], Any], said: str) -> None:
    GIVE[0] = give
    found = message(Walking())
    assert found.startswith(f"sampler Walking: {said}")
    assert found.endswith(f"({__file__}, line {Walking.walk.__code__.co_firstlineno})")


@pytest.mark.parametrize("give", [lambda schedule: None, lambda schedule: [3, 2], lambda schedule: ()])
def test_a_grid_is_a_grid(give: Callable[[Any], Any]) -> None:
    GIVE[0] = give
    found = message(Laying())
    assert found.startswith("sampler Laying: grid gives ")
    assert found.endswith(f", as schedule.grid gives it ({__file__}, line {Laying.grid.__code__.co_firstlineno})")


def test_the_kit_says_the_same() -> None:
    GIVE[0], LATE[0] = (lambda x: None), False
    failed = [outcome.reason for outcome in outcomes(Giving()) if outcome.status == "failed"]
    assert sum(reason.startswith("sampler Giving: step gives None") for reason in failed) > len(failed) / 2


@pytest.mark.parametrize("order", ["two", 1.5, None, ZeroDivisionError()], ids=str)
def test_an_order_is_a_whole_number(order: Any) -> None:
    class Ordered(Sampler):
        @property
        def order(self):
            if isinstance(order, Exception):
                raise order
            return order

        def step(self, x, t, s, denoise, noise):
            return denoise(x, t).x0

    found = message(Ordered())
    if isinstance(order, Exception):
        assert found.startswith("sampler Ordered fails: ZeroDivisionError")
    else:
        assert found.startswith("sampler Ordered: order gives ")
        assert ", and has to give a whole number (" in found
    assert __file__ in found


def test_a_step_that_draws_or_asks_without_end_is_stopped() -> None:
    line = DrawingWithoutEnd.step.__code__.co_firstlineno
    assert message(DrawingWithoutEnd()) == (
        "sampler DrawingWithoutEnd: it draws more than 10000 times in step 2 of 2: take each draw of noise() as it "
        f"comes ({__file__}, line {line})"
    )
    line = AskingWithoutEnd.step.__code__.co_firstlineno
    assert message(AskingWithoutEnd()) == (
        "sampler AskingWithoutEnd: it calls denoise more than 10000 times in step 1 of 2: end a step after so many "
        f"calls ({__file__}, line {line})"
    )
