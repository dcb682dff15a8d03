"""Guidance protocol itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import mixture


def test_the_scale_is_bounded() -> None:
    assert Guidance().scale == 1.0
    for wrong in (-0.1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match=r"^Guidance: scale: "):
            Guidance(scale=wrong)


class UntilItIsZero(Guidance):
    """Asks the network until an answer is zero, which none is (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):  # type: ignore[no-untyped-def]
        def guided(x, t):  # type: ignore[no-untyped-def]
            p = denoise(x, t, condition)
            while p.eps.any():
                p = denoise(x, t, condition)
            return p

        return guided


def test_a_guidance_that_asks_without_end_is_stopped(linear: Schedule) -> None:
    line = UntilItIsZero.guide.__code__.co_firstlineno
    with pytest.raises(ZooError) as raised:
        sample(mixture(linear, torch.eye(2)), "ddim", guidance=UntilItIsZero(scale=2.0), labels=[0, 1], steps=2)
    assert str(raised.value) == (
        "guidance UntilItIsZero: it calls denoise more than 10000 times for one prediction: end after so many calls "
        f"({__file__}, line {line})"
    )


# -- the interval of noise levels


def noise_levels(schedule: Schedule, steps: int) -> list[float]:
    return [t.sigma / t.alpha for t, _ in schedule.grid(steps).pairs()]


@pytest.mark.parametrize("name", ["cfg", "classifier"])
@pytest.mark.parametrize("bounds", [{"high": 1e9}, {"low": 1e-9}])
def test_an_interval_that_holds_every_level_changes_nothing(
    linear: Schedule, name: str, bounds: dict[str, float]
) -> None:
    model, plan = mixture(linear, torch.eye(2)), {"guidance": name, "guidance_scale": 3.0, "labels": [0, 1], "steps": 4}
    plain = sample(model, "ddpm", **plan)
    bounded = sample(model, "ddpm", **plan, **{f"guidance_{side}": value for side, value in bounds.items()})
    assert torch.equal(bounded.images, plain.images)
    assert bounded.cost == plain.cost


@pytest.mark.parametrize("name", ["cfg", "classifier"])
@pytest.mark.parametrize("bounds", [{"guidance_high": 0.0}, {"guidance_low": 1e9}])
def test_an_interval_that_holds_none_is_conditional_at_one_evaluation(
    linear: Schedule, name: str, bounds: dict[str, float]
) -> None:
    model, plan = mixture(linear, torch.eye(2)), {"labels": [0, 1, 1], "steps": 4}
    conditional = sample(model, "ddpm", **plan)
    bounded = sample(model, "ddpm", guidance=name, guidance_scale=3.0, **bounds, **plan)
    assert torch.equal(bounded.images, conditional.images)
    assert (bounded.nfe, bounded.cost.gradients) == (4, 0)


@pytest.mark.parametrize(("name", "nfe", "gradients"), [("cfg", 5 + 2, 0), ("classifier", 5, 2)])
def test_low_is_outside_of_the_interval_and_high_is_inside(
    linear: Schedule, name: str, nfe: int, gradients: int
) -> None:
    """Check an interval that holds two of five levels: its low end is outside, its high end inside."""
    levels = noise_levels(linear, 5)
    bounds = {"guidance_low": levels[3], "guidance_high": levels[1]}
    cost = sample(
        mixture(linear, torch.eye(2)), "ddim", guidance=name, guidance_scale=2.0, steps=5, labels=[0, 1], **bounds
    ).cost
    assert (cost.nfe, cost.gradients_per_image) == (nfe, gradients)


def test_the_interval_is_of_noise_and_not_of_steps(linear: Schedule) -> None:
    """Check that a level is guided or not, whatever the grid."""

    class Marked(Guidance):
        def guide(self, denoise, condition, model):
            return lambda x, t: denoise(x, t, model.unconditional(condition))

    model = mixture(linear, torch.eye(2))
    answer = Marked(low=0.5, high=2.0).within_interval(model.denoise, model.condition([0]), model)
    x = torch.ones(1, 2, dtype=torch.float64)
    for log_snr, guided in ((-1.4, False), (-1.38, True), (0.0, True), (1.38, True), (1.39, False)):  # 2 log 2 = 1.386
        t = linear.at_log_snr(log_snr)
        expected = model.denoise(x, t, model.condition([2 if guided else 0]))
        assert torch.equal(answer(x, t).eps, expected.eps), log_snr


def test_an_interval_that_runs_backwards_is_refused(linear: Schedule) -> None:
    with pytest.raises(UsageError, match="guidance cfg: the interval of noise levels runs backwards: low 2, high 1"):
        sample(mixture(linear, torch.eye(2)), "ddim", guidance="cfg", guidance_low=2.0, guidance_high=1.0)


def test_a_guidance_without_guide_says_so(linear: Schedule) -> None:
    class Empty(Guidance):
        pass

    with pytest.raises(ZooError, match="Empty does not define guide"):
        sample(mixture(linear, torch.eye(2)), "ddim", guidance=Empty(), num_images=1)


def test_a_guidance_of_ones_own_sees_network_labels_and_model(linear: Schedule) -> None:
    """Check a guidance that turns every label into the last one, with several samplers."""

    class Stubborn(Guidance):
        def guide(self, denoise, condition, model):
            assert condition.labels.tolist() == [0, 1]
            last = model.condition([model.num_classes - 1] * 2)
            return lambda x, t: denoise(x, t, last)

    model = mixture(linear, torch.eye(3))
    for sampler in ("ddim", "ddpm"):
        stubborn = sample(model, sampler, guidance=Stubborn(), labels=[0, 1], steps=4)
        assert torch.equal(stubborn.images, sample(model, sampler, labels=[2, 2], steps=4).images)


# -- what it may return


class Returning(Guidance):
    """Returns ANSWER."""

    def guide(self, denoise, condition, model):
        return ANSWER[0](denoise, condition)


ANSWER: list[Any] = [None]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda denoise, condition: None, "guide gives None, and has to give a function guided(x, t)"),
        (lambda denoise, condition: lambda x: x, "guide gives a function, and has to give a function guided(x, t)"),
        (
            lambda denoise, condition: lambda x, t: None,
            "guide's function gives None, and has to give a Prediction like x, torch.float32",
        ),
        (lambda denoise, condition: lambda x, t: x, "guide's function gives a Tensor (torch.float32) of shape (2, 2)"),
        (
            lambda denoise, condition: lambda x, t: denoise(x[:1], t, condition[:1]),
            "guide's function gives a Tensor (torch.float32) of shape (1, 2), and has to give a Prediction",
        ),
        (
            lambda denoise, condition: lambda x, t: denoise(x, t, condition).replace(eps=x.double()),
            "guide's function gives a Tensor (torch.float64) of shape (2, 2), and has to give a Prediction like x",
        ),
        (
            lambda denoise, condition: lambda x, t: denoise(x, t, condition).replace(eps=x * float("nan")),
            "returned NaN or infinity at step 1 of 2",
        ),
    ],
)
def test_what_is_no_guided_denoiser_is_refused(linear: Schedule, answer: Any, said: str) -> None:
    ANSWER[0] = answer
    with pytest.raises(ZooError) as caught:
        sample(mixture(linear, torch.eye(2)), "ddim", guidance=Returning(), labels=[0, 1], steps=2)
    assert str(caught.value).startswith(f"guidance Returning{' ' if 'NaN' in said else ': '}{said}")


@pytest.mark.parametrize("within", [lambda x: x, None, lambda x, t: x], ids=["one argument", "None", "a state"])
def test_a_guidance_with_an_interval_of_its_own_is_held_to_the_same(linear: Schedule, within: Any) -> None:
    class Own(Guidance):
        def within_interval(self, denoise, condition, model):
            return within

        guide = within_interval

    with pytest.raises(ZooError, match=r"^guidance Own: within_interval('s function)? gives ") as caught:
        sample(mixture(linear, torch.eye(2)), "ddim", guidance=Own(), labels=[0, 1], steps=2)
    assert f"({__file__}, line {Own.within_interval.__code__.co_firstlineno})" in str(caught.value)
