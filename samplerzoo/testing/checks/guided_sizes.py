"""Check of a guidance on models of many sizes: classes, channels and pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from unittest import SkipTest

import torch

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.model import Model
from samplerzoo.testing.fixtures import farthest, labelled
from samplerzoo.testing.guiding import SHAPE, Bench, Line, at_those_of, eps

SCALES = (0.0, 0.5, 1.0, 3.0, 300.0)

SHARES = (0.3, 0.03)
"""Levels to look at, as shares of T: classes are hard to tell apart, and easy."""

CLASSES = (2, 4, 5, 8, 10, 16, 20, 32, 40, 49, 50, 100, 101, 257, 1000, 1001)
"""Numbers of classes, with those beyond which labels do not fit into a byte."""

SHAPES = (
    *((channels, 2, 3) for channels in (*range(1, 25), 32, 64)),
    (1,), (1, 28, 28), (3, 64, 8), (3, 8, 65), (4, 128, 4), (4, 4, 130), (3, 300, 2), (3, 2, 600), (3, 64, 64),
    (3, 1, 4, 4), (4, 17, 2, 2),
)  # fmt: skip
"""Shapes of images with as many channels as pictures and latents have, long and short, and of short films."""


def check_guides_models_of_any_size(guidance: Guidance, model: Model | None = None) -> None:
    """Check that models of other classes, channels and pixels are guided as the usual one is.

    Where eps is u + weight (c - u) for all images, with one weight for each level and scale, that is the weight on
    every model. A guidance that looks at how large eps is may go otherwise about images of another size.
    """
    if model is not None:
        raise SkipTest("a model of one's own has a size of its own")
    weights = [
        (share, scale, made, _weight(made, guidance, share))
        for share in SHARES
        for scale, made in at_those_of(guidance, SCALES)
    ]
    if not all(found is not None for *_, found in weights):
        raise SkipTest("its eps is not everywhere u + weight (c - u), with one weight for all images")
    for bench, what in _benches():
        if bench.refuses(guidance):
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


def _weight(made: Guidance, guidance: Guidance, share: float) -> float | None:
    """Return the one weight that all images of the usual model have at a share of T, or None if there is none."""
    bench = Bench.of(None)
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
