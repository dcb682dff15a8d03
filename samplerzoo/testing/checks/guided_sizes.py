"""Checks of a guidance on models of many sizes: numbers of classes, channels, pixels, and images in a batch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from unittest import SkipTest

import torch

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.model import Model
from samplerzoo.testing.checks.numbers import BATCHES, CHANNELS, SIDES
from samplerzoo.testing.fixtures import farthest, labelled
from samplerzoo.testing.guiding import (
    IMAGES,
    SHAPE,
    Bench,
    Line,
    at_those_of,
    eps,
    guiding,
    guiding_settings,
    looks_around,
)
from samplerzoo.testing.settings import difference

ROUNDING = 1e-9
"""Allowed error of eps per unit of scale, since sums over an image are taken in another order."""

USUAL = ((3, 2, 2), (4, 4, 2))
"""Shapes to tell whether a guidance treats channels separately."""

SCALES = (0.0, 0.5, 1.0, 3.0, 300.0)

SHARES = (0.3, 0.03)
"""Levels as shares of T: at one, classes are hard to tell apart, at the other easy."""

CLASSES = (2, 4, 5, 8, 10, 16, 20, 32, 40, 49, 50, 100, 101, 257, 1000, 1001)
"""Numbers of classes, also with labels that do not fit into a byte."""

SHAPES = (
    *((channels, 2, 3) for channels in (1, 2, 3, 4, 5, 8, 16, 32)),
    (1,), (1, 28, 28), (3, 64, 8), (3, 8, 65), (4, 128, 4), (4, 4, 130), (3, 300, 2), (3, 2, 600), (3, 64, 64),
    (3, 1, 4, 4), (4, 17, 2, 2),
)  # fmt: skip
"""Shapes of images with the channels of pictures and latents, long and short, and of short films."""

FAR_APART = 60.0
"""Distance of classes by which the few numbers of the usual image are as long as all those of the largest one."""

COPIES = (*range(1, 34), 40, 50, 64, 85, 86, 100, 128, 167, 334)
"""Numbers of copies of three classes in larger models. With the last ones, labels exceed a thousand."""

MANY_COPIES = 100
"""Largest number of copies that is tried with each option at other values, too."""

FEW_CHANNELS = 32
"""Largest number of channels that is tried with each option at other values, too."""

ONE_LABEL = (*range(2, 10), 16, 33)
"""Numbers of images in a batch in which all have the same label."""


def check_guides_models_of_any_size(guidance: Guidance, model: Model | None = None) -> None:
    """Check that models with other classes, channels and pixels are guided in the same way as the usual model.

    If eps is u + weight (c - u) with one weight for all images of a level and scale, every model must have this weight.
    A guidance that depends on the norm of eps, as one that bounds the length of a step, may treat images of another
    size differently. Such a guidance is recognised by classes that lie far apart, and is left out.
    """
    if model is not None:
        raise SkipTest("a model of one's own has a size of its own")
    weights = [
        (share, scale, made, _weight(made, guidance, share))
        for share in SHARES
        for scale, made in at_those_of(guidance, SCALES)
    ]
    bounded = (_weight(made, guidance, share, FAR_APART) is None for share, _, made, _ in weights)
    if any(found is None for *_, found in weights) or any(bounded):
        raise SkipTest("its eps is not everywhere u + weight (c - u), with one weight for all images")
    around = looks_around(guiding(guidance))
    for bench, what in _benches():
        if bench.refuses(guidance) or (around and len(bench.model.shape) > 1):  # for neighbours, the shape matters
            continue
        path = bench.model.schedule
        for share, scale, made, weight in weights:
            assert weight is not None
            t = path.at(share * path.T)
            x = bench.state(t)
            u, c = bench.away(guidance, x, t), bench.towards(guidance, x, t)
            off = farthest(eps(bench.guide(made)(x, t)), u + weight * (c - u))
            assert off <= 10 * bench.tolerance * max(1.0, scale) * max(1.0, float((c - u).abs().max())), (
                f"at scale {scale:g} eps is off by {off:.2g} on {what}, {bench.place(t)}: on one of 3 classes and "
                f"images of shape {SHAPE} the weight of the label is {weight:.4g}"
            )


def check_every_label_is_guided_to(guidance: Guidance, model: Model | None = None) -> None:
    """Check that in models whose many classes are copies of three, all labels are guided to in the same way."""
    if model is not None:
        raise SkipTest("a model of one's own has classes of its own")
    usual = dataclasses.replace(Bench.of(None), model=labelled(3, (1,)), labels=torch.arange(IMAGES) % 3)
    t = usual.model.schedule.at(SHARES[0] * usual.model.schedule.T)
    x = usual.state(t)
    for made in guiding_settings(guidance, model):
        if usual.refuses(made):
            continue
        expected = eps(usual.guide(made)(x, t))
        for copies in COPIES if made == guiding(guidance) else (MANY_COPIES,):
            labels = torch.arange(3 * copies)
            bench = dataclasses.replace(usual, model=labelled(3, (1,), copies=copies), labels=labels)
            off = (eps(bench.guide(made)(x[labels % IMAGES], t)) - expected[labels % IMAGES]).abs().amax(1)
            worst = int(off.argmax())
            assert off[worst] <= 100 * bench.tolerance, (
                f"to label {worst} of {3 * copies} it guides otherwise than to label {worst % 3} of 3, of which it is "
                f"a copy: eps is off by {float(off[worst]):.2g}{difference(guidance, made)}, {bench.place(t)}"
            )


def check_guided_images_of_any_size(guidance: Guidance, model: Model | None = None) -> None:
    """Check that images of all usual numbers of channels and pixels are guided like the same values in a row.

    Operations on single values or on a whole image do not depend on the shape. A setting that treats channels
    separately is left out.
    """
    if model is not None:
        raise SkipTest("a model of one's own has a size of its own")
    for made in guiding_settings(guidance, model):
        if not all(_off_in_a_row(made, shape) <= ROUNDING for shape in USUAL):
            continue
        usual = made == guiding(guidance)
        channels, sides = (CHANNELS, SIDES) if usual else (range(1, FEW_CHANNELS + 1), ())
        for shape in (*((number, 2, 1) for number in channels), *((1, side, 1) for side in sides)):
            off = _off_in_a_row(made, shape)
            assert off <= ROUNDING, (
                f"images of shape {shape} are guided otherwise than the same numbers in a row: eps is off by {off:.2g}"
                f"{difference(guidance, made)}"
            )


def _off_in_a_row(made: Guidance, shape: tuple[int, ...]) -> float:
    """Return the difference between a guided image and the same values guided in a row; infinite if refused.

    The error is relative to the scale.
    """
    found = []
    for each in (shape, (1, torch.Size(shape).numel())):
        bench = dataclasses.replace(Bench.of(None), model=labelled(3, each))
        if bench.refuses(made):
            return math.inf
        t = bench.model.schedule.at(SHARES[0] * bench.model.schedule.T)
        found.append(eps(bench.guide(made)(bench.state(t), t)).flatten(1))
    return farthest(*found) / max(1.0, made.scale)


def check_guided_batches_of_any_size(guidance: Guidance, model: Model | None = None) -> None:
    """Check that images are guided alike in batches of all usual sizes, with different labels or with one."""
    bench, made = Bench.of(model), guiding(guidance)
    t, x = bench.states()[2]
    expected = eps(bench.guide(made)(x, t))
    different = [torch.arange(images) % IMAGES for images in BATCHES if model is None]
    alike = [torch.full((images,), row) for images in ONE_LABEL for row in range(IMAGES)]
    for rows in different + alike:
        images, one = len(rows), " of one label" * (len(rows) > 1 and len(rows.unique()) == 1)
        off = farthest(eps(bench.guide(made, bench.labels[rows])(x[rows], t)), expected[rows])
        assert off <= bench.tolerance, (
            f"images of a batch of {images}{one} are guided otherwise than the same ones of {IMAGES}: eps is off by "
            f"{off:.2g}, {bench.place(t)}"
        )


def _weight(made: Guidance, guidance: Guidance, share: float, apart: float = 1.0) -> float | None:
    """Return the weight that all images of the usual model have at a share of T, or None if they differ.

    Args:
        apart: factor of the distances between the classes of the model.
    """
    bench = dataclasses.replace(Bench.of(None), model=labelled(3, SHAPE, apart=apart))
    t = bench.model.schedule.at(share * bench.model.schedule.T)
    x = bench.state(t)
    u, c = bench.away(guidance, x, t), bench.towards(guidance, x, t)
    line = Line.through(u, c, eps(bench.guide(made)(x, t)))
    seen, allowed = line.length > 100 * bench.tolerance, 10 * bench.tolerance * max(1.0, made.scale)
    far = line.weight[line.length.argmax()]
    same = bool((((line.weight - far).abs() * line.length)[seen] <= allowed).all() and (line.off <= allowed).all())
    return float(far) if same else None


def _benches() -> Iterator[tuple[Bench, str]]:
    """Yield models of other sizes, with the first and the last of their labels, and words for them."""
    usual = Bench.of(None)
    for classes in CLASSES:
        labels = torch.tensor([classes - 1, 0, 1, classes // 2, classes - 2, 256 % classes])
        yield dataclasses.replace(usual, model=labelled(classes, SHAPE), labels=labels), f"a model of {classes} classes"
    for shape in SHAPES:
        yield dataclasses.replace(usual, model=labelled(3, shape)), f"images of shape {shape}"
