"""Checks of a guidance on images: any shape works, and all channels and pixels are treated alike."""

from __future__ import annotations

import dataclasses
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.prediction import Prediction
from samplerzoo.testing.fixtures import farthest, three_classes
from samplerzoo.testing.guiding import (
    AROUND,
    IMAGES,
    TRACE,
    Bench,
    eps,
    guiding,
    guiding_settings,
    looks_around,
)
from samplerzoo.testing.settings import difference

PICTURE = (3, 4, 5)
"""Shape of a small image."""
LATENT = (4, 3, 2)
"""Shape of a small latent."""


IMPULSE = 1.0
"""Change of one element of the network's answer, in eps."""


def check_images_are_guided_whole(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a change of one element of the network's answer changes only this element of eps, or the whole image.

    A statistic such as the norm should be that of the whole image. And if channels are reversed, they should be guided
    as before. A finding is only a warning, since a method may look at single channels or neighbours on purpose.
    """
    if model is not None:
        raise SkipTest("a model of one's own has a shape of its own")
    bench = Bench.of(three_classes(PICTURE))
    t, x = bench.states(torch.float64)[2]
    off = torch.zeros_like(x).flatten(1)
    off[range(IMAGES), range(0, 10 * IMAGES, 10)] = IMPULSE

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        return bench.model.denoise(x, t, condition).moved(off.repeat(len(x) // IMAGES, 1).reshape(x.shape))

    for made in guiding_settings(guidance, model):
        if bench.refuses(made):
            continue
        plain, moved = (eps(bench.guide(made, denoise=it)(x, t)).flatten(1) for it in (None, denoise))
        for count in ((moved - plain).abs() > TRACE).sum(1).tolist():
            assert count in (0, 1, off.shape[1]), (
                f"one number of the network's answer moves {count} of the {off.shape[1]} of an image of shape "
                f"{tuple(x.shape[1:])}{difference(guidance, made)}: where a deviation or a norm is that of an image, "
                "it is that of all its channels and pixels"
            )
    for shape in (PICTURE, LATENT):
        _check_channels_are_alike(guidance, shape)


def _check_channels_are_alike(guidance: Guidance, shape: tuple[int, ...]) -> None:
    """Check that a model with reversed channels is guided as before, in the new places.

    An option may select channels, so all options have their defaults here.
    """
    bench, guided = Bench.of(three_classes(shape)), guiding(_by_default(guidance))
    swapped = dataclasses.replace(bench, model=_swapped(bench.model))
    for t, x in bench.states():
        plain, found = eps(bench.guide(guided)(x, t)), eps(swapped.guide(guided)(x.flip(1), t)).flip(1)
        off = farthest(found, plain)
        assert off <= bench.tolerance * max(1.0, float(plain.abs().max())), (
            f"images of {shape[0]} channels are guided otherwise, by {off:.2g}, when their channels change places, "
            f"{bench.place(t)}: are some of them left out?"
        )


def _by_default(guidance: Guidance) -> Guidance:
    """Return a guidance with its own options at their defaults, or unchanged if an option has no default."""
    try:
        return type(guidance)(scale=guidance.scale)
    except ValueError:
        return guidance


def _swapped(model: Model) -> Model:
    """Reverse the channels of all inputs and outputs of a model."""

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        answers = model.net(x.flip(1), time, condition).split(x.shape[1], dim=1)
        return torch.cat([answer.flip(1) for answer in answers], dim=1)

    classifier = model.classifier
    return dataclasses.replace(
        model,
        net=net,
        classifier=None if classifier is None else lambda x, level: classifier(x.flip(1), level),
        second=None if model.second is None else _swapped(model.second),
    )


def check_guided_shape(guidance: Guidance, model: Model | None = None) -> None:
    """Check that images of any shape are guided, and pixels alike whether they are arranged in a row or a square."""
    if model is not None:
        raise SkipTest("a model of one's own has a shape of its own")
    guided = guiding(guidance)
    if looks_around(guided):
        raise SkipTest(AROUND)
    flat, rows, squares = (Bench.of(three_classes(shape)) for shape in ((16,), (4, 4), (4, 2, 2)))
    states = (bench.states(torch.float64) for bench in (flat, rows, squares))
    for (t, x), (_, row), (_, square) in zip(*states, strict=True):
        found = eps(flat.guide(guided)(x, t))
        assert found.shape == x.shape, (
            f"images of shape (16,) are guided to {tuple(found.shape)[1:]}: are dimensions counted?"
        )
        off = farthest(eps(rows.guide(guided)(row, t)).flatten(1), eps(squares.guide(guided)(square, t)).flatten(1))
        assert off <= 1e-8 * max(1, guided.scale), (
            f"images of shape (4, 2, 2) are guided otherwise than the same numbers as (4, 4), by {off:.2g}"
        )
