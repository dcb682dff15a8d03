"""Checks of shapes: images of any one, and pixels that do not depend on each other."""

from __future__ import annotations

import torch

from samplerzoo.core.blame import blame
from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.checks.walk import ROUNDING, size
from samplerzoo.testing.fixtures import ON_VP, Noise, Path, farthest, given_noise, last, normal

SHAPES = (
    ((1, 48), None),
    ((1, 6, 8), None),
    ((3, 4, 4), None),
    ((3, 4, 4), torch.channels_last),
    ((4, 3, 4), None),
    ((16, 3, 1), None),
    ((3, 1, 4, 4), None),
    ((4, 3, 2, 2), None),
)
"""Shapes of 48 numbers, with as many channels as pictures and latents have, and those of short films."""


def check_any_shape(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the same numbers in another shape or memory layout make the same image."""
    schedule, grid = path.schedule, path.some
    flat = last(sampler, normal(shape=(48,), schedule=schedule), grid, given_noise(4, (48,)))
    for shape, layout in SHAPES:
        draw, told = given_noise(4, shape), f"shape {shape}" + " in the layout channels_last" * (layout is not None)
        try:
            image = last(sampler, normal(shape=shape, schedule=schedule), grid, _laid_out(draw, layout))
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise AssertionError(f"it fails on images of {told}: {blame(error, sampler) or error}") from error
        assert image.shape == (4, *shape), f"images of {told} came back as {tuple(image.shape)[1:]}"
        off = farthest(image.flatten(1), flat)
        assert off <= ROUNDING * size(flat), f"images of {told} differ by {off:.2g} from the same ones in a row"


def _laid_out(draw: Noise, layout: torch.memory_format | None) -> Noise:
    return draw if layout is None else lambda: draw().contiguous(memory_format=layout)


def check_pixels_are_independent(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that on data of independent pixels another draw for one pixel changes this pixel alone.

    And that a pixel does not depend on how many others there are.
    """
    schedule, grid = path.schedule, path.some
    alone = last(sampler, normal(shape=(2,), schedule=schedule), grid, given_noise(1, (2,)))
    for shape in ((2,), (3, 6, 6), (3, 40, 40)):
        model, pixels = normal(shape=shape, schedule=schedule), torch.Size(shape).numel()
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
    """Draw for two pixels, over and over; in every row but the first one pixel gets a draw of its own."""
    pixels, rows = torch.Size(shape).numel(), torch.arange(len(chosen))
    first, other = given_noise(1, (2,)), given_noise(1, (len(chosen),), seed=1)

    def draw() -> torch.Tensor:
        z = first().repeat(len(chosen) + 1, (pixels + 1) // 2)[:, :pixels]
        z[rows + 1, torch.tensor(chosen)] = other()[0]
        return z.reshape(-1, *shape)

    return draw
