"""Checks of a feature network on all kinds of input: batches of any number, images of any size, and all values.

A network may refuse a shape in any way. For accepted shapes, features must depend on the whole image and on nothing
else.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.features import Features
from samplerzoo.errors import ZooError
from samplerzoo.metrics.embed import BATCH_SIZE
from samplerzoo.testing.checks import numbers
from samplerzoo.testing.checks.embedding import SAME, check_rows, embed, pictures
from samplerzoo.testing.fixtures import farthest

BATCHES = tuple(number for number in numbers.BATCHES if number <= BATCH_SIZE)
"""Numbers of images in a batch. Metrics use no larger batches, and the last batch may have any number."""
FEWER_BATCHES = (*range(1, 14), 16, 17, 32, 33)
"""The same for a slow network."""

SLOW = 0.02
"""Seconds per image from which a network counts as slow."""

SIDES = (
    (8, 8), (16, 16), (24, 40), (28, 28), (31, 33), (32, 32), (48, 48), (64, 64), (65, 65), (90, 60), (96, 96),
    (128, 128), (150, 200), (224, 224), (256, 256), (299, 299), (400, 400), (512, 512),
)  # fmt: skip
"""Heights and widths of images."""
CORNER = 6
"""Side of an image in corners that are tested. Some networks crop 16 of 256 pixels at each end, which is less."""
CHANNELS = (1, 3)
GREY, COLOUR = CHANNELS

STEP, STEP_IF_SLOW = 1, 5
"""Step between the grey values that are tried, for fast and for slow networks."""
FAR = 32
"""Least difference of grey values that count as different."""
NEAR = 0.02
"""Share of the largest distance of features below which features count as close."""
BLIND = 0.25
"""Largest share of unseen steps of grey values that is an error. Beyond that, the network is coarse on purpose."""

TEXTS = ("", "a dog", "a photo of a dog", "ein Hund, schwarz-weiß", "犬", "two\nlines", "dogs " * 200)


def check_batches_of_any_number(features: Features) -> None:
    """Check that rows and classes are the same in batches of any number of images, and at other places in them."""
    images, sizes = _many(features)
    whole, head, names = embed(features, images), features.load_head("cpu"), features.class_names
    classes = None if head is None else _classes(head, whole)
    if classes is not None and names is not None:
        known = classes.clamp(0, len(names) - 1)
        assert torch.equal(classes, known), f"it names {len(names)} classes, and predicts {int(classes.max())}"
    spread = float(whole.double().std()) + 1e-12
    for number in sizes:
        last = images[-number:]  # at another place than in the whole batch
        rows = embed(features, last)
        check_rows(rows, last, f"a batch of {number}")
        off = farthest(rows, whole[-number:])
        assert off <= SAME * spread, (
            f"the features of images in a batch of {number} differ by {off:.2g} from those in a batch of "
            f"{len(images)}; all features spread by {spread:.2g}"
        )
        if head is not None and classes is not None:
            found = _classes(head, rows)
            other = int((found != classes[-number:]).sum())
            assert other <= number // 50, (  # rounding may decide between equally likely classes
                f"{other} classes of a batch of {number} are others than those of the same images among {len(images)}"
            )


def check_images_of_any_side(features: Features) -> None:
    """Check that images of any accepted size have features of the whole image, and the same features alone."""
    for shape in _shapes(features):
        _check_corners(features, shape)
        images = _dark(5, shape)
        told = f"images of shape {shape}"
        for row, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), 1):
            images[row] = images[0]
            part = [
                slice(side // 2, None) if at else slice(side // 2)
                for side, at in zip(shape[1:], (down, right), strict=True)
            ]
            images[row][:, *part] = 255 - images[row][:, *part]
        rows = embed(features, images)
        check_rows(rows, images, told)
        spread = float(rows.double().std()) + 1e-12
        for row, where in enumerate(("upper left", "upper right", "lower left", "lower right"), 1):
            assert farthest(rows[row], rows[0]) > 0, (
                f"{told} have the same features with another {where} quarter: it is not seen"
            )
        off = farthest(embed(features, images[2:3]), rows[2:3])
        assert off <= SAME * spread, f"{told} have features that differ by {off:.2g} without the others of a batch"


def _check_corners(features: Features, shape: tuple[int, ...]) -> None:
    """Check that the corners of a square image are seen, at least in part."""
    _, height, width = shape
    side = height // CORNER
    if height != width or side < 2:
        return
    images = _dark(5, shape)
    for row, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), 1):
        images[row] = images[0]
        part = [slice(-side, None) if at else slice(side) for at in (down, right)]
        images[row][:, *part] = 255 - images[row][:, *part]
    rows = embed(features, images)
    unseen = [row for row in range(1, 5) if farthest(rows[row], rows[0]) == 0]
    assert not unseen, (
        f"images of shape {shape} have the same features with other corners of {side} pixels: is a part left out?"
    )


def check_values_do_not_wrap(features: Features) -> None:
    """Check that grey values do not jump from bright to dark, as 8-bit integers do when they overflow."""
    values, rows, largest = _by_value(features)
    steps = (rows[1:] - rows[:-1]).norm(dim=1)
    at = int(steps.argmax())
    if steps[at] <= largest / 2:
        return
    below, above = rows[: at + 1], rows[at + 1 :]
    apart = torch.cdist(below, above)
    far = values[None, at + 1 :] - values[: at + 1, None] >= FAR
    near = (apart < NEAR * largest) & far
    if near.any():
        dark, bright = (int(index) for index in near.nonzero()[0])
        raise AssertionError(
            f"the grey values {int(values[at])} and {int(values[at + 1])} have features far apart, and "
            f"{int(values[dark])} and {int(values[at + 1 + bright])} nearly the same ones, as where numbers of eight "
            "bits overflow"
        )


def check_all_values_are_seen(features: Features) -> None:
    """Check that if most steps of grey values change the features, all do. A network may be coarse on purpose."""
    values, rows, _ = _by_value(features)
    blind = (rows[1:] == rows[:-1]).all(1)
    if 0 < int(blind.sum()) <= BLIND * len(blind):
        at = int(blind.nonzero()[0])
        raise AssertionError(
            f"an image that is {int(values[at])} in a half has the same features with {int(values[at + 1])}, where "
            "most other values are told apart"
        )


def check_grey_images_may_have_three_channels(features: Features) -> None:
    """Check that a grey image has the same features in three equal channels, if their number is the same."""
    height_width = {shape[1:] for shape in _shapes(features) if shape[0] == GREY}
    both = [shape for shape in _shapes(features) if shape[0] == COLOUR and shape[1:] in height_width]
    if not both:
        raise SkipTest("it does not take both grey images and images in colour")
    for shape in both:
        images = _dark(3, (GREY, *shape[1:]))
        grey, colour = embed(features, images), embed(features, images.expand(-1, COLOUR, -1, -1).contiguous())
        if grey.shape != colour.shape:
            raise SkipTest("grey images have another number of features")
        off, spread = farthest(grey, colour), float(grey.double().std()) + 1e-12
        assert off <= SAME * spread, (
            f"grey images of shape {shape[1:]} have features that differ by {off:.2g} where a file holds them in three "
            f"equal channels; all features spread by {spread:.2g}"
        )


def check_texts_have_rows(features: Features) -> None:
    """Check that a text encoder returns rows as wide as those of images, the same for a text in any batch."""
    try:
        net = features.load_text("cpu")
    except ZooError as error:
        raise SkipTest(f"its texts: {error}") from error
    if net is None:
        raise SkipTest("it knows no texts")
    with torch.inference_mode():
        whole = net([*TEXTS])
        check_rows(whole, torch.empty(len(TEXTS)), "texts")
        wide = embed(features, pictures(features)).shape[1]
        assert whole.shape[1] == wide, f"a text has {whole.shape[1]} features, and an image {wide}"
        spread = float(whole.double().std()) + 1e-12
        for chosen in ([6, 5, 4, 3, 2, 1, 0], [1], [3, 0, 3]):
            off = farthest(net([TEXTS[number] for number in chosen]), whole[chosen])
            assert off <= SAME * spread, (
                f"the features of texts {chosen} of {len(TEXTS)} differ by {off:.2g} without the others, or in another "
                "order"
            )


def _classes(head: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Return the predicted classes of rows."""
    with torch.inference_mode():
        found = head(rows)
    assert found.shape == (len(rows),), f"{len(rows)} rows become classes of shape {tuple(found.shape)}"
    return found


def _many(features: Features) -> tuple[Tensor, tuple[int, ...]]:
    """Return images of the smallest shape, as many as the largest batch of metrics, and numbers of images to try."""
    sizes = FEWER_BATCHES if _is_slow(features) else BATCHES
    return _dark(max(sizes), min(_shapes(features), key=math.prod)), sizes


@functools.lru_cache(maxsize=4)
def _is_slow(features: Features) -> bool:
    """Tell whether a network is slow. Then it gets fewer images."""
    images = pictures(features)
    start = time.perf_counter()
    embed(features, images)
    return time.perf_counter() - start > SLOW * len(images)


@functools.lru_cache(maxsize=4)
def _shapes(features: Features) -> list[tuple[int, ...]]:
    """List the shapes that the network takes: that of `pictures`, and others."""
    taken = [tuple(pictures(features).shape[1:])]
    for channels in CHANNELS:
        for sides in SIDES:
            shape = (channels, *sides)
            try:
                embed(features, _dark(1, shape))
            except AssertionError:
                raise
            except Exception:  # a network may refuse a size with any error
                continue
            taken.append(shape)
    return [*dict.fromkeys(taken)]


@functools.lru_cache(maxsize=4)
def _by_value(features: Features) -> tuple[Tensor, Tensor, float]:
    """Return grey values, the features of images that have this value in one half, and the largest distance of two."""
    values = torch.arange(0, 256, STEP_IF_SLOW if _is_slow(features) else STEP)
    image = pictures(features)[:1]
    images = image.repeat(len(values), 1, 1, 1)
    images[..., image.shape[-1] // 2 :] = values.to(torch.uint8)[:, None, None, None]
    rows = torch.cat([embed(features, part) for part in images.split(1)]).double()  # batches are checked elsewhere
    return values, rows, float(torch.cdist(rows, rows).max())


def _dark(images: int, shape: tuple[int, ...]) -> Tensor:
    """Return different uint8 images that are rather dark, so that a negative is much brighter."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 100, (images, *shape), generator=generator, dtype=torch.uint8)
