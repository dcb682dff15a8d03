"""Tests of the note about options that change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samplerzoo import Field, Sampler, UsageError, registry
from samplerzoo.cli import main
from samplerzoo.core.schedule import Schedule
from samplerzoo.sampling.idle import idle_options
from samplerzoo.testing import gaussian


def idle(linear: Schedule, name: str, **options: Any) -> list[str]:
    sampler = registry.make("sampler", name, options)
    assert isinstance(sampler, Sampler)
    return idle_options(sampler, linear.grid(5), gaussian(linear), options)


@pytest.mark.parametrize(
    ("name", "options", "without_use"),
    [
        ("heun", {"s_min": 0.05}, ["s_min"]),
        ("heun", {"s_min": 0.05, "s_noise": 1.1}, ["s_min", "s_noise"]),
        ("heun", {"s_churn": 5.0, "s_min": 1.0}, []),
        ("heun", {"s_churn": 5.0, "s_min": 1e-4}, ["s_min"]),
        ("deis", {"solver_order": 1, "variable": "rho"}, ["variable"]),
        ("deis", {"variable": "rho"}, []),
        ("ddim", {"eta": 0.0}, []),
        ("ddim", {"eta": 0.1}, []),
        ("ddpm", {"variance": "small"}, []),
        ("consistency", {}, []),
    ],
)
def test_options_that_change_nothing_are_found(
    linear: Schedule, name: str, options: dict[str, Any], without_use: list[str]
) -> None:
    assert idle(linear, name, **options) == without_use


class Refusing(Sampler):
    """Sampler that needs an option, and refuses one value of another."""

    needed: int = Field(description="a number")
    other: int = Field(1, description="another")

    def step(self, x, t, s, denoise, noise):  # type: ignore[no-untyped-def]
        if self.other == 1:
            raise UsageError("not 1")
        return x


def test_an_option_without_which_a_run_is_refused_acts(linear: Schedule) -> None:
    sampler = Refusing(needed=3, other=2)
    assert idle_options(sampler, linear.grid(3), gaussian(linear), ["needed", "other"]) == []


def test_a_run_says_it_before_the_first_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "--sampler", "heun", "--s-min", "0.05", "--steps", "2", "--num-images", "1"]
    assert main([*line, "-o", str(tmp_path / "run")]) == 0
    assert "s_min=0.05 of sampler heun changes nothing in this run" in capsys.readouterr().err
