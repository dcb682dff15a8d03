"""Durations of text encoder, network and decoder, on a simulated clock that each of them advances."""

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
from samplerzoo.models.load import open_model
from samplerzoo.sampling.driver import timed_batches
from samplerzoo.sampling.pace import CostCounter, Pace, count_cost, measure_pace
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


def costs_of(name: str, guidance: str | None, **asked: Any) -> list[Plan]:
    model = open_model("mnist").stub
    return [
        make_plan(Recipe.of(name, guidance, asked, steps=steps, class_labels="0"), model, 1) for steps in (2, 3, 7, 3)
    ]


@pytest.mark.parametrize("name", ["ddim", "heun", "predictor-corrector", "deis"])
@pytest.mark.parametrize(
    ("guidance", "asked"),
    [
        (None, {}),
        ("cfg", {"guidance_scale": 1.0}),
        ("cfg", {"guidance_scale": 3.0}),
        ("cfg", {"guidance_scale": 3.0, "guidance_low": 0.3, "guidance_high": 5.0}),
        ("classifier", {"guidance_scale": 2.0}),
    ],
)
def test_costs_counted_apart_are_those_counted_together(
    name: str, guidance: str | None, asked: dict[str, float]
) -> None:
    counter = CostCounter()
    for plan in costs_of(name, guidance, **asked):
        assert counter.count(plan) == count_cost(plan)


def test_costs_are_counted_of_plugins_that_take_no_tiny_image() -> None:
    """Check a sampler and a guidance by reflection, which needs images of more than two pixels."""

    def smooth(x: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, (3, 3, 3, 3), mode="reflect")
        return torch.nn.functional.avg_pool2d(padded, 7, stride=1)

    class Smooth(zoo.Guidance):
        def guide(self, denoise: Any, condition: Any, model: Any) -> Any:
            def guided(x: torch.Tensor, t: Any) -> Any:
                p = denoise(x, t, condition)
                return p.replace(eps=smooth(p.eps))

            return guided

    class Smoothed(zoo.Sampler):
        def step(self, x: torch.Tensor, t: Any, s: Any, denoise: Any, noise: Any) -> torch.Tensor:
            p = denoise(smooth(x) if s.clean else x, t)
            return s.alpha * p.x0 + s.sigma * p.eps

    model, counter = open_model("mnist").stub, CostCounter()
    for guidance in (None, Smooth()):
        for steps in (2, 3):
            recipe = Recipe.of(Smoothed(), guidance, {}, steps=steps, class_labels="0")
            plan = make_plan(recipe, model, 1, sampler=Smoothed(), guidance=guidance)
            assert counter.count(plan).nfe == steps


def test_samplers_that_make_the_same_calls_share_the_answers_of_a_guidance() -> None:
    answered = []

    class Told(zoo.Guidance):
        def guide(self, denoise: Any, condition: Any, model: Any) -> Any:
            def guided(x: torch.Tensor, t: Any) -> Any:
                answered.append(t.tau)
                return denoise(x, t, condition)

            return guided

    counter = CostCounter()
    for name in ("ddim", "ddpm", "heun"):
        for plan in costs_of(name, None):
            counter.count(dataclasses.replace(plan, guidance=Told(scale=2.0)))
    together = 3 * 2 + 1  # each with two steps; heun takes two calls for all steps but the last
    assert len(answered) == together + (3 + 7) + (2 * 3 - 1 + 2 * 7 - 1)


def test_a_shift_is_refused_by_every_sampler_without_it() -> None:
    counter = CostCounter()
    for plan in costs_of("ddpm", "classifier", guidance_scale=2.0, guidance_form="mean"):
        counter.count(plan)
    for plan in costs_of("heun", "classifier", guidance_scale=2.0, guidance_form="mean"):
        with pytest.raises(zoo.UsageError, match="shifts the ancestral mean"):
            counter.count(plan)
