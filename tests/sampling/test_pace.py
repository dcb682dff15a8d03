"""Durations: what the text encoder, the network and the decoder take, on a clock that each of them moves."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import folders
import pytest
import torch

import samplerzoo as zoo
from samplerzoo.core.codec import Latents
from samplerzoo.core.duration import Duration
from samplerzoo.sampling.driver import timed_batches
from samplerzoo.sampling.pace import Pace, measure_pace
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe

NETWORK, TEXT, DECODER = 1.0, 10.0, 1000.0
"""Seconds of a call of each."""


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by a number."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    return clock


@pytest.fixture
def slow(tmp_path: Path, now: list[float]) -> zoo.Model:
    """Return a model of prompts that moves the clock."""

    def moving(function: Any, seconds: float) -> Any:
        def moved(*args: Any) -> Any:
            now[0] += seconds
            return function(*args)

        return moved

    model = zoo.load(folders.sd(tmp_path), device="cpu", dtype="float32")
    assert model.text is not None
    assert isinstance(model.codec, Latents)
    codec = model.codec.with_weights(model.codec._module)
    codec._decoder = moving(codec._decoder, DECODER)
    text = dataclasses.replace(model.text, encode=moving(model.text.encode, TEXT))
    return dataclasses.replace(model, net=moving(model.net, NETWORK), text=text, codec=codec)


def planned(model: zoo.Model, images: int, **asked: Any) -> Plan:
    recipe = Recipe.of("ddim", asked.pop("guidance", None), asked, steps=3, prompts=("a cat", "a dog"))
    return make_plan(recipe, model, images)


def test_text_and_decoder_are_timed_apart(slow: zoo.Model) -> None:
    plan = planned(slow, 5, guidance="cfg", guidance_scale=2.0)
    first, second, third = (duration for *_, duration in timed_batches(plan, [range(2), range(2, 4), range(4, 5)]))
    assert first == Duration(3 * NETWORK + 3 * TEXT + DECODER, 3 * TEXT, DECODER)  # two prompts, and the empty one
    assert first.network == 3 * NETWORK
    assert second == third == Duration(3 * NETWORK + DECODER, 0.0, DECODER)  # a prompt is encoded once
    assert (first + second).encoding == 3 * TEXT


def test_a_model_of_pixels_has_neither(now: list[float]) -> None:
    def network(x: torch.Tensor, *_: object) -> torch.Tensor:
        now[0] += NETWORK
        return x

    model = zoo.Model(network, zoo.VP.from_config({}), shape=(1, 2, 2))
    ((_, _, duration),) = timed_batches(make_plan(Recipe.of("ddim", None, {}, steps=2), model, 2), [range(2)])
    assert duration == Duration(2 * NETWORK)


def test_a_pace_does_not_multiply_the_decoder_by_the_steps(slow: zoo.Model) -> None:
    pace = measure_pace(planned(slow, 4), 2)
    assert pace == Pace(NETWORK / 2, DECODER / 2)
    assert pace.seconds(4, 3) == 2 * (3 * NETWORK + DECODER)


def test_what_is_refused_within_stops_the_watch(slow: zoo.Model) -> None:
    assert slow.text is not None
    broken = dataclasses.replace(slow.text, encode=lambda prompt: {}[prompt])
    with pytest.raises(KeyError):
        broken.inputs(["a cat"])
    with broken.watch:
        pass
    assert broken.watch.seconds == 0
    assert torch.is_grad_enabled()
