"""Checks of a feature network: each row depends only on its image, and the id tells networks apart."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from samplerzoo.core.features import Features
from samplerzoo.core.protocol import check_values
from samplerzoo.errors import UsageError
from samplerzoo.testing.checks.independence import SAME_ROWS, kept_random_state, seed_everything, undrawn
from samplerzoo.testing.fixtures import farthest
from samplerzoo.testing.settings import settings

SHAPES = ((1, 28, 28), (3, 32, 32), (3, 224, 224))
"""Shapes of images that are tried in turn, since a network may refuse some."""
COUNT = 7

GREYS = (0, 1, 2, 32, 64, 100, 127, 128, 129, 160, 192, 224, 250, 253, 254, 255)
"""Values of images with a single grey value."""
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (1, 128, 254), (255, 254, 253), (0, 7, 0))
"""Values by channel of images with a single colour."""

SAME = 1e-3
"""Allowed difference of equal features, relative to the spread of all: float32 sums depend on the batch."""


def check_features_are_finite_rows(features: Features) -> None:
    """Check that any uint8 images become rows of finite floating-point numbers, one per image."""
    images = pictures(features)
    plain = _plain(images)
    spot = torch.zeros_like(images[:1])
    spot[..., 0, 0] = 255
    kinds = {
        "different images": images,
        "one image": images[:1],
        "images of one value or colour all over": plain,
        "a black image": plain[:1],
        "a white image": plain[len(GREYS) - 1 : len(GREYS)],
        "a black image with one bright pixel": spot,
    }
    dtypes, wide = set(), set()
    for what, some in kinds.items():
        found = embed(features, some)
        check_rows(found, some, what)
        dtypes.add(found.dtype)
        wide.add(found.shape[1])
        assert not found.requires_grad, "the features carry a gradient, and memory grows with the images: detach them"
    assert len(wide) == 1, f"the number of features depends on the images: {sorted(wide)}"
    assert len(dtypes) == 1, f"the dtype depends on the images: {' or '.join(sorted(map(str, dtypes)))}"


def _plain(images: Tensor) -> Tensor:
    """Return images of a single grey value or a single colour, in the size of the given images."""
    channels = images.shape[1]
    values = [(grey,) * channels for grey in GREYS] + [(*colour, 255)[:channels] for colour in COLOURS]
    return torch.tensor(values, dtype=torch.uint8)[..., None, None].expand(-1, *images.shape[1:]).contiguous()


def check_rows(found: Tensor, images: Tensor, what: str) -> None:
    """Check that the features are rows of finite floating-point numbers, one per image."""
    assert isinstance(found, Tensor), f"{what} become a {type(found).__name__}, and not a tensor"
    assert found.is_floating_point(), f"the features of {what} are {found.dtype}, and not floating-point numbers"
    assert found.ndim == 2, f"{what} become features of shape {tuple(found.shape)}, and not (N, D)"
    assert len(found) == len(images), f"{what}, {len(images)} of them, become {len(found)} rows"
    assert found.shape[1], f"the rows of {what} are empty"
    bad = ~torch.isfinite(found).all(1)
    assert not bad.any(), f"features of {what} are NaN or infinite: {int(bad.sum())} rows of {len(found)}"


def check_features_tell_images_apart(features: Features) -> None:
    """Check that different images have different features, also if they differ only in channels or places."""
    images = pictures(features).clamp(min=2)
    found = embed(features, images)
    assert farthest(found, found[:1].expand_as(found)) > 0, "all images have the same features"
    for other, what in ((255 - images, "its negative"), (images // 2, "half as bright")):
        assert farthest(embed(features, other), found) > 0, f"an image and {what} have the same features"


def check_features_are_kept_in_order(features: Features) -> None:
    """Check that the row of an image is the same in any batch and at any place in it.

    Beside images of one kind stand those of another: grey ones beside coloured ones, and framed ones beside whole ones.
    """
    for images in itertools.islice(pictures_of_each_shape(features), 2):
        _check_are_kept_in_order(features, images)


def _check_are_kept_in_order(features: Features, images: Tensor) -> None:
    whole = embed(features, images)
    spread = float(whole.double().std()) + 1e-12
    for chosen in ([6, 5, 4, 3, 2, 1, 0], [2, 4], [3]):
        off = farthest(embed(features, images[chosen]), whole[chosen])
        assert off <= SAME * spread, (
            f"the features of images {chosen} of {COUNT} differ by {off:.2g} when the others are left out, or in "
            f"another order; all features spread by {spread:.2g}"
        )
    for what, some in _of_one_kind(images).items():
        alone, beside = embed(features, some), embed(features, torch.cat([images[:2], some]))[2:]
        off = farthest(alone, beside)
        assert off <= SAME * spread, (
            f"the features of {what} differ by {off:.2g} when other images stand beside them; all features spread by "
            f"{spread:.2g}: is something of a batch decided for all of its images together?"
        )


def _of_one_kind(images: Tensor) -> dict[str, Tensor]:
    """Return images that have something in common, which a program may decide of a whole batch."""
    grey = images[2:4, :1].expand_as(images[2:4]).contiguous()
    black, white = torch.zeros_like(grey), torch.full_like(grey, 255)
    high, wide = (slice(size // 4, -(size // 4)) for size in images.shape[-2:])
    for framed in (black, white):
        framed[..., high, wide] = images[2:4, :, high, wide]
    dark, bright = images[2:4] // 4, 255 - images[2:4] // 4
    two = images[2:4] % 2 * 255  # at random
    return {
        "grey images": grey, "images with a black border": black, "images with a white border": white,
        "dark images": dark, "bright images": bright, "images of two values": two,
        "images of the values 0 and 1": two // 255,
    }  # fmt: skip


def check_features_are_repeatable(features: Features) -> None:
    """Check that the same images have the same features again: after other images, loaded anew, or with another random
    state.

    The images before them differ each time, including the very first ones that the network gets.
    """
    images = pictures(features)
    before = {
        "at a first call": [],
        "after others": [255 - images[:2], images[:1]],
        "when it is loaded again: are weights drawn?": [],
        "where the first images that it has seen were others": [255 - images],
        "where the first images that it has seen were fewer": [images[:1] // 2, images[1:3]],
    }
    net, expected = features.load("cpu"), None
    for seed, (when, others) in enumerate(before.items()):
        with kept_random_state(), torch.inference_mode():
            seed_everything(seed)
            if when != "after others":
                net = features.load("cpu")
            with undrawn(SAME_ROWS):
                for other in others:
                    net(other)
                found = net(images).clone()
        expected = found if expected is None else expected
        off = farthest(found, expected)
        assert torch.equal(found, expected), f"the features of the same images differ by {off:.2g} {when}"


def check_images_are_left_as_they_are(features: Features) -> None:
    """Check that the images are not changed in place. `embed` tests this here, and in other checks at all sizes."""
    images = pictures(features)
    for some in (images, images[:1]):
        embed(features, some)


def check_id_tells_networks_apart(features: Features) -> None:
    """Check that equal options give the same id, and options that change the features another one."""
    check_values(features, "name", "id")
    assert features.id.strip(), "the id is empty: name weights and preprocessing"
    assert features.name.strip(), "the name is empty: it stands in metrics, as in fd_<name>"
    twin = type(features)(**dict(features))
    before = features.id
    embed(features, pictures(features))
    assert twin.id == before == features.id, f"the id is {before!r}, and {twin.id!r} of the same options"
    alike: dict[str, list[Features]] = {}
    for other in settings(features, leave=("source",)):
        alike.setdefault(other.id, []).append(other)
    for first, *others in alike.values():
        for other in others:
            changed = _changed(first, other, pictures(features))
            assert changed is None, (
                f"with {_options(first, other)} and with {_options(other, first)} {changed}, and the id is "
                f"{first.id!r} with both: options that change the features belong in the id"
            )


def _changed(features: Features, other: Features, images: Tensor) -> str | None:
    """Return how the features differ between two settings; None if they are equal, or if a setting is refused."""
    try:
        first, second = embed(features, images), embed(other, images)
    except UsageError:
        return None
    if first.shape != second.shape:
        return f"an image has {first.shape[1]} features and {second.shape[1]}"
    return None if torch.equal(first, second) else f"features differ by {farthest(first, second):.2g}"


def _options(features: Features, other: Features) -> str:
    """Name the options that differ from those of another setting."""
    return ", ".join(f"{name}={value!r}" for name, value in dict(features).items() if value != getattr(other, name))


def check_classes_are_whole_numbers(features: Features) -> None:
    """Check that the predicted classes, if there are any, are one whole number an image, in the order of the images."""
    images = pictures(features)
    head = features.load_head("cpu")
    if head is None:
        raise SkipTest("it knows no classes")
    with torch.inference_mode():
        rows = embed(features, images)
        found = head(rows)
        assert isinstance(found, Tensor), f"the classes are a {type(found).__name__}, and not a tensor"
        assert found.shape == (COUNT,), f"{COUNT} rows become {tuple(found.shape)}, and not ({COUNT},)"
        assert not found.is_floating_point(), f"the classes are {found.dtype}, and not whole numbers"
        assert torch.equal(head(rows.flip(0)), found.flip(0)), "the class of an image depends on its place"


def check_other_channels_are_refused_in_one_line(features: Features) -> None:
    """Check that if images with another number of channels are refused, the error is a UsageError."""
    taken = pictures(features)
    for channels in (1, 2, 3, 4):
        images = taken[:, :1].expand(-1, channels, -1, -1).contiguous()
        try:
            embed(features, images)
        except UsageError:
            continue
        except Exception as error:
            raise AssertionError(
                f"images of {channels} channels are a {type(error).__name__}: raise UsageError, and say which it takes"
            ) from error


def check_references_are_a_folder(features: Features) -> None:
    """Check that the references, if it has any, are a folder that exists."""
    folder = features.references
    assert folder is None or folder.is_dir(), f"references is {folder}, which is no folder"


@functools.lru_cache(maxsize=4)
def pictures(features: Features) -> Tensor:
    """Return different uint8 images (7, C, H, W) of the first shape that the network does not refuse.

    Raises:
        UsageError: it refuses all of them; the last reason.
    """
    return next(pictures_of_each_shape(features))


def pictures_of_each_shape(features: Features) -> Iterator[Tensor]:
    """Yield different uint8 images (7, C, H, W) of each shape that the network does not refuse.

    Raises:
        UsageError: it refuses all of them; the last reason.
    """
    refused: UsageError | None = None
    taken = 0
    for shape in SHAPES:
        generator = np.random.default_rng(0)
        images = torch.as_tensor(generator.integers(0, 256, (COUNT, *shape), dtype=np.uint8))
        images = images // torch.arange(1, COUNT + 1).reshape(-1, 1, 1, 1).to(torch.uint8)  # of different contrasts
        try:
            embed(features, images)
        except UsageError as error:
            refused = error
            continue
        taken += 1
        yield images
    if refused is not None and not taken:
        raise refused


def embed(features: Features, images: Tensor) -> Tensor:
    """Return the features of images, computed as for metrics.

    Check that the images are not changed, and that nothing is drawn from a global generator.
    """
    kept, net = images.clone(), network(features)
    with torch.inference_mode(), kept_random_state(), undrawn(SAME_ROWS):
        found = net(images)
    assert torch.equal(images, kept), f"{len(images)} images of shape {tuple(images.shape)[1:]} are changed in place"
    return found


@functools.lru_cache(maxsize=4)
def network(features: Features) -> Callable[[Tensor], Tensor]:
    """Return the loaded network, from a cache."""
    return features.load("cpu")
