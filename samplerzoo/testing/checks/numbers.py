"""Checks of numbers that people choose: steps, images in a batch, channels, and pixels along a side.

No method should change at any particular number. So all small numbers are tried, and common large ones.
"""

from __future__ import annotations

import itertools
from collections import Counter

import torch

from samplerzoo.core.level import Grid
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.testing.checks.shapes import PERIOD, check_shape, image_of
from samplerzoo.testing.checks.steps import check_steps
from samplerzoo.testing.fixtures import ON_VP, Noise, Path, farthest, given_noise, last, normal, states, varied
from samplerzoo.testing.steps import whole_grid

STEPS = (
    *range(1, 65), 70, 75, 80, 90, 96, 99, 100, 101, 120, 125, 128, 150, 180, 199, 200, 250, 256, 300, 500,
)  # fmt: skip
"""Numbers of steps of whole runs. `check_long_runs` makes longer ones."""

MORE_STEPS = (*range(65, 129), 333, 350, 400, 450, 512, 600, 640, 700, 750, 768, 800, 900, 999, 1000, 1024)
"""Further numbers of steps, for runs that are only begun."""

BEGINNING = (-3.0, -2.2, -1.8, -0.9, -0.5, 0.3)
"""Log-SNR of the first levels of all these runs. There are enough to fill the memory of a method."""

BEGUN = len(BEGINNING) - 1
TINY = 0.005
"""Size of the steps after these levels, in log-SNR."""

BATCHES = (
    *range(1, 132), 144, 150, 160, 192, 200, 250, 255, 256, 257, 300, 320, 384, 400, 500, 511, 512, 513, 600, 640, 750,
    768, 800, 1000, 1024, 1280, 1500, 2000, 2048,
)  # fmt: skip
"""Images of a batch."""

MANY = 2500
"""Images of the batch with which those of the others are compared."""

CHANNELS = (
    *range(1, 67), 72, 80, 96, 100, 112, 120, 128, 144, 160, 192, 200, 224, 240, 256, 257, 320, 384, 512, 640, 768,
    1000, 1024, 1280, 2048,
)  # fmt: skip
"""Numbers of channels of images, including those of pictures, latents and features."""

SIDES = (
    *range(1, 66), 72, 80, 90, 96, 100, 104, 112, 120, 125, 127, 128, 129, 144, 150, 152, 160, 176, 180, 192, 200, 208,
    216, 218, 224, 240, 250, 255, 256, 257, 288, 299, 300, 320, 336, 352, 360, 384, 400, 416, 448, 480, 500, 504, 512,
    513, 540, 576, 600, 608, 640, 672, 704, 720, 768, 800, 832, 864, 896, 900, 960, 992, 1000, 1024, 1080, 1088, 1152,
    1200, 1216, 1280, 1344, 1360, 1440, 1536, 1600, 1920, 2000, 2048,
)  # fmt: skip
"""Pixels along a side of a picture or a latent, or numbers of audio samples."""

SQUARES = (
    *((channels, side, side) for channels, side in itertools.product((1, 3, 4, 16), (8, 16, 28, 32))),
    (3, 64, 64), (3, 96, 96), (4, 64, 64), (4, 96, 96), (4, 128, 128), (3, 256, 256),
)  # fmt: skip
"""Shapes of square pictures and latents."""


def check_any_number_of_steps(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check runs with all usual numbers of steps: every step of them, and that they begin in the same way.

    If the first levels are the same, a run should begin in the same way for any number of steps. A method that always
    depends on the number, such as one that spreads its noise over the steps, is not checked for that. A method that
    depends on it only when steps are few may begin differently up to some number.
    """
    schedule = path.schedule
    grids = {f"{steps} {path.spacings[0]} steps": grid_of(sampler, schedule, steps) for steps in STEPS}
    for steps, grid in zip(STEPS, grids.values(), strict=True):
        assert type(grid) is not Grid or len(grid) == steps, (
            f"its grid has {len(grid)} steps where {steps} are asked for"
        )
    exact = check_steps(sampler, schedule, whole_grid(schedule), path.kind)
    check_steps(sampler, schedule, grids, path.kind, exact=exact)
    begun = _begun(sampler, path)
    usual, often = Counter(begun.values()).most_common(1)[0]
    if often <= len(begun) / 2:
        return
    few = len([*itertools.takewhile(lambda states: states != usual, begun.values())])
    for steps, found in [*begun.items()][few:]:
        off = max(abs(a - b) for a, b in zip(found, usual, strict=True))
        assert found == usual, (
            f"a run of {steps} steps begins otherwise than one of another number, though its first {BEGUN + 1} levels "
            f"are the same: states differ by {off:.2g}"
        )


def _begun(sampler: Sampler, path: Path) -> dict[int, tuple[float, ...]]:
    """Return the states of the first steps of runs, by number of steps. The steps after them are tiny."""
    schedule, model = path.schedule, normal(shape=(2,), schedule=path.schedule)
    log_snr = [*BEGINNING, *(BEGINNING[-1] + TINY * n for n in range(1, max(MORE_STEPS) - BEGUN))]
    levels = [*map(schedule.at_log_snr, log_snr)]
    found = {}
    for steps in sorted({*STEPS, *MORE_STEPS}):
        if steps > BEGUN:
            grid = Grid((*levels[:steps], schedule.at(0.0)))
            way = itertools.islice(states(sampler, model, grid, given_noise(1, (2,))), BEGUN + 1)
            found[steps] = tuple(torch.stack([*way]).flatten().tolist())
    return found


def check_batches_of_any_size(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that images are the same in batches of all usual sizes."""
    model, pool = varied(shape=(2,), schedule=path.schedule), given_noise(MANY, (2,))
    drawn: list[torch.Tensor] = []

    def first(images: int) -> Noise:
        count = itertools.count()

        def draw() -> torch.Tensor:
            number = next(count)
            drawn.extend(pool() for _ in range(len(drawn), number + 1))
            return drawn[number][:images]

        return draw

    whole = last(sampler, model, path.some, first(MANY))
    for images in BATCHES:
        off = farthest(last(sampler, model, path.some, first(images)), whole[:images])
        assert off < 1e-10, f"images of a batch of {images} differ by {off:.2g} from the same ones of {MANY}"


def check_images_of_any_size(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the same values make the same image with all usual numbers of channels and pixels."""
    flat = image_of(sampler, path, (PERIOD,))
    columns, rows = ((1, side, 2) for side in SIDES), ((2, 1, side) for side in SIDES)
    for shape in (*((channels, 2, 1) for channels in CHANNELS), *columns, *rows, *SQUARES):
        check_shape(sampler, path, shape, flat)
