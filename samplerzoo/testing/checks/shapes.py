"""Checks of shapes: images of any size, and pixels that do not depend on each other."""

from __future__ import annotations

import torch

from samplerzoo.core.blame import blame
from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.checks.digits import ROUNDING, size
from samplerzoo.testing.fixtures import ON_VP, Noise, Path, farthest, given_noise, last, varied

SHAPES = (
    *((channels, 2, 3) for channels in (1, 2, 3, 4, 8, 16, 32, 64)),
    *((3, side, 8) for side in (1, 28, 63, 64, 65, 128, 256)),
    *((4, 7, side) for side in (1, 28, 63, 64, 65, 128, 256)),
    (1, 48), (2, 4096), (1, 6, 8), (1, 1, 1), (1, 28, 28), (3, 32, 32), (3, 64, 64),
    (3, 1, 4, 4), (4, 3, 2, 2), (16, 21, 8, 8),
)  # fmt: skip
"""Shapes of images of many sizes, long or short in either direction, of audio, and of short films."""

LARGER = ((3, 512, 512), (3, 1024, 1024), (4, 256, 256), (16, 256, 256), (16, 33, 64, 64))
"""Shapes of images that take seconds, and of latents of large images and films."""

WIDE = 3.0
"""Standard deviation of the data, so large that values exceed those of pictures, and bounds have an effect."""

PERIOD = 61
"""Number of values that an image repeats: a prime, so that rows and channels differ."""


def check_any_shape(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the same values in another shape, size or memory layout make the same image."""
    flat = image_of(sampler, path, (PERIOD,))
    for shape in SHAPES:
        check_shape(sampler, path, shape, flat)
    check_shape(sampler, path, (3, 4, 4), flat, torch.channels_last)


def check_large_images(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the same values make the same image in shapes as large as the largest in use."""
    flat = image_of(sampler, path, (PERIOD,))
    for shape in LARGER:
        check_shape(sampler, path, shape, flat)


def check_shape(
    sampler: Sampler,
    path: Path,
    shape: tuple[int, ...],
    flat: torch.Tensor,
    layout: torch.memory_format = torch.contiguous_format,
) -> None:
    told = f"shape {shape}" + " in the layout channels_last" * (layout is torch.channels_last)
    try:
        image = image_of(sampler, path, shape, layout)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise AssertionError(f"it fails on images of {told}: {blame(error, sampler) or error}") from error
    assert image.shape == (len(flat), *shape), f"images of {told} came back as {tuple(image.shape)[1:]}"
    off = farthest(image, _repeated(flat, shape))
    assert off <= ROUNDING * size(flat), f"images of {told} differ by {off:.2g} from the same numbers in a row"


def image_of(
    sampler: Sampler,
    path: Path,
    shape: tuple[int, ...],
    layout: torch.memory_format = torch.contiguous_format,
) -> torch.Tensor:
    """Make two images of a shape from draws of PERIOD values, repeated."""
    draw = given_noise(2, (PERIOD,))
    noise = lambda: _repeated(draw(), shape).contiguous(memory_format=layout)  # noqa: E731
    return last(sampler, varied(0.5, WIDE, shape=shape, schedule=path.schedule), path.some, noise)


def _repeated(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Fill images of a shape with the values of x, (N, PERIOD), repeated."""
    pixels = torch.Size(shape).numel()
    return x.repeat(1, -(-pixels // PERIOD))[:, :pixels].reshape(-1, *shape)


def check_pixels_are_independent(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that on data of independent pixels another draw for one pixel changes only this pixel.

    And check that a pixel does not depend on the number of other pixels.
    """
    schedule, grid = path.schedule, path.some
    alone = last(sampler, varied(shape=(2,), schedule=schedule), grid, given_noise(1, (2,)))
    for shape in ((2,), (3, 6, 6), (3, 40, 40)):
        model, pixels = varied(shape=shape, schedule=schedule), torch.Size(shape).numel()
        chosen = sorted({0, 1, pixels // 2, pixels - 1})
        noise = _one_pixel_a_row(shape, chosen)
        images = last(sampler, model, grid, noise).flatten(1)
        assert farthest(images[0, :2], alone[0]) <= ROUNDING * size(alone), (
            f"two pixels of an image of shape {shape} are not what they are in an image of their own"
        )
        changed = (images[1:] - images[0]).abs() > ROUNDING * size(images)
        for row, pixel in enumerate(chosen):
            found = changed[row].nonzero().flatten().tolist()
            assert found == [pixel], (
                f"in images of shape {shape}, other draws for pixel {pixel} change the pixels {found[:5]}"
                f"{' and more' * (len(found) > 5)}, where pixels are independent"
            )


def _one_pixel_a_row(shape: tuple[int, ...], chosen: list[int]) -> Noise:
    """Return noise that repeats the draws of two pixels. In every row but the first, one pixel gets its own draw."""
    pixels, rows = torch.Size(shape).numel(), torch.arange(len(chosen))
    first, other = given_noise(1, (2,)), given_noise(1, (len(chosen),), seed=1)

    def draw() -> torch.Tensor:
        z = first().repeat(len(chosen) + 1, (pixels + 1) // 2)[:, :pixels]
        z[rows + 1, torch.tensor(chosen)] = other()[0]
        return z.reshape(-1, *shape)

    return draw
