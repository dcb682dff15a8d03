"""Checks that an image depends only on its own draws, not on other images, other runs, or a global random state."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from samplerzoo.core.level import Grid
from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.checks.leftovers import check_nothing_is_shared
from samplerzoo.testing.checks.process import unchanged
from samplerzoo.testing.fixtures import ON_VP, Noise, Path, bimodal, farthest, given_noise, last, normal, states, varied

MANY = 4200
"""Images of a large batch, more than any part into which a method may divide it."""

ROUNDING = 1e-10
"""Difference of images in batches of different sizes that counts as rounding."""

WIDE = 300.0
"""Standard deviation of data whose predictions are far larger than those of pictures."""

CONTRASTS = (1.0, 1e-3, 30.0, 0.0, 1e3, 1.0)
"""Factors on the draws of a batch's images: some explode, and others almost vanish."""


def check_batch_is_not_mixed(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that an image is the same alone, in batches of many sizes, and with others in another order.

    The network is nonlinear, in float64. Predictions of all sizes are tried, since a bound or a factor may be computed
    from the whole batch when one image explodes.
    """
    model, grid = bimodal(schedule=path.schedule), path.some
    for images in (2, 3, 4, 5, 8, MANY):
        whole = last(sampler, model, grid, given_noise(images, (2,)))
        for chosen in ([0], [images - 1], [images - 1, 0]):
            source = given_noise(images, (2,))
            part = last(sampler, model, grid, lambda: source()[chosen])  # noqa: B023
            off = farthest(part, whole[chosen])
            assert off < ROUNDING, (
                f"images {chosen} of a batch of {images} differ by {off:.2g} when they are made without the others, or "
                "in another order"
            )
    _check_sizes_are_not_mixed(sampler, path)


def _check_sizes_are_not_mixed(sampler: Sampler, path: Path) -> None:
    """Check that images are the same as alone in batches with large values, and with large and small ones."""
    images = len(CONTRASTS)
    for std, contrasts in ((0.5, CONTRASTS), (WIDE, CONTRASTS), (WIDE, (1.0,) * images)):
        model = varied(0.0, std, shape=(2,), schedule=path.schedule)
        factors = torch.tensor(contrasts, dtype=torch.float64)[:, None]
        whole = last(sampler, model, path.some, _each(factors, [*range(images)]))
        for image in range(images):
            alone = last(sampler, model, path.some, _each(factors, [image]))
            off = farthest(alone, whole[[image]]) / max(1.0, float(alone.abs().max()))
            assert off < ROUNDING, (
                f"image {image} of a batch of {images}, of which some have large values, differs by {off:.2g} of its "
                f"size when it is made without the others, on data of deviation {std:g}"
            )


def _each(factors: torch.Tensor, chosen: list[int]) -> Noise:
    """Return noise for some images of a batch, times a factor for each image."""
    source = given_noise(len(factors), (2,))
    return lambda: (source() * factors)[chosen]


def check_deterministic(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the same draws give the same image, bit for bit."""
    model = bimodal(schedule=path.schedule)
    first, second = (last(sampler, model, path.some, given_noise(3, (2,))) for _ in range(2))
    off = farthest(first, second)
    assert torch.equal(first, second), f"two runs with the same draws differ by {off:.2g}"


def check_global_random_state(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the global random states of torch, numpy and random are neither read nor written."""
    images = []
    with kept_random_state():
        for seed in (1, 2):
            seed_everything(seed)
            with undrawn(USE_NOISE):
                images.append(last(sampler, bimodal(schedule=path.schedule), path.some, given_noise(3, (2,))))
    off = farthest(*images)
    assert torch.equal(*images), f"images differ by {off:.2g} with the global random seed: use noise()"


def check_runs_leave_nothing_behind(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that a run is the same after other runs, interleaved with them, and by a fresh object.

    Check that its states do not change later, either. The other runs differ in one thing at a time: batch, shape,
    dtype, number of steps, first level or schedule. Or they share something: the number of steps, the ends or some
    levels of a grid, or the whole grid with other options and noise.
    """
    fresh = type(sampler).model_validate_json(sampler.model_dump_json())
    schedule, some = path.schedule, path.some
    model = bimodal(schedule=schedule)
    first = list(states(fresh, model, some, given_noise(3, (2,))))
    expected = [x.clone() for x in first]
    list(states(sampler, normal(5.0, shape=(4, 1), schedule=schedule), schedule.grid(2), given_noise(7, (4, 1))))
    list(states(sampler, model, some, given_noise(3, (2,), torch.float32)))
    list(states(sampler, model, some, given_noise(3, (2,), seed=1)))
    list(states(sampler, model, Grid(some.levels[1:]), given_noise(3, (2,))))
    for other in path.schedules.values():
        grid = Grid(tuple(other.at(level.tau) for level in some.levels))
        list(states(sampler, normal(shape=(2,), schedule=other), grid, given_noise(3, (2,))))
    next(states(sampler, model, some, given_noise(2, (2,))))  # a run that is abandoned
    _assert_same(expected, first, "after other runs, the states that it had given")
    _assert_same(expected, list(states(sampler, model, some, given_noise(3, (2,)))), "after other runs")
    beside = states(sampler, normal(-1.0, shape=(2,), schedule=schedule), some, given_noise(3, (2,), seed=1))
    found = [x for x, _ in zip(states(sampler, model, some, given_noise(3, (2,))), beside, strict=True)]
    _assert_same(expected, found, "while another one is under way")
    _check_answers_are_not_kept(sampler, path)
    check_nothing_is_shared(sampler, path)


def _check_answers_are_not_kept(sampler: Sampler, path: Path) -> None:
    """Check that a run is the same after a run of another network from the same noise, with the same first input.

    It is compared with the first images of a larger batch, which no network has got as input before.
    """
    model, other = (normal(mean, shape=(2,), schedule=path.schedule) for mean in (0.5, -1.0))
    alike = []
    for seed, networks in ((11, (model,)), (12, (other, model))):
        source = given_noise(4, (2,), seed=seed)
        larger = last(sampler, model, path.some, source)[:3]
        for network in networks:
            source = given_noise(4, (2,), seed=seed)
            image = last(sampler, network, path.some, lambda: source()[:3])  # noqa: B023
        alike.append(farthest(image, larger))
    alone, after = alike
    assert alone > ROUNDING or after <= ROUNDING, (
        f"after a run of another network from the same noise, images differ by {after:.2g}: a network is asked anew in "
        "every run, and what a run keeps belongs in local variables of walk"
    )


USE_NOISE = "use noise()"
GUIDES_ALIKE = "a guidance guides a state in the same way each time"
SAME_LEVELS = "the same steps have the same levels"
SAME_ROWS = "the same images have the same features"
"""Advice instead of drawing from a global generator, by kind of plugin."""


def _assert_same(expected: list[torch.Tensor], found: list[torch.Tensor], when: str) -> None:
    assert len(found) == len(expected), (
        f"{when} a run yields {len(found) - 1} states, and {len(expected) - 1} otherwise"
    )
    for number, (x, y) in enumerate(zip(expected, found, strict=True)):
        assert x.shape == y.shape, (
            f"{when} state {number} has the shape {tuple(y.shape)}, and {tuple(x.shape)} otherwise"
        )
        assert torch.equal(x, y), (
            f"{when} state {number} of a run differs by {farthest(x, y):.2g}; what a run keeps belongs in "
            "local variables of walk"
        )


def random_state() -> dict[str, Any]:
    """Return the states of all global generators, in a form that can be compared."""
    words: Any = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": [part.tobytes() if isinstance(part, np.ndarray) else part for part in words],
        "random": random.getstate(),
    }


@contextmanager
def undrawn(instead: str) -> Iterator[None]:
    """Check that nothing is drawn from a global generator inside the block. This error replaces any other from there.

    Args:
        instead: advice on what to do instead.
    """
    before, found = random_state(), None
    try:
        yield
    except Exception as error:
        found = error
    for library, state in random_state().items():
        if state != before[library]:
            raise AssertionError(f"it draws from the global random state of {library}: {instead}") from found
    if found is not None:
        raise found


def leaving_the_process(check: Callable[[Any], None], instead: str) -> Callable[[Any], None]:
    """Wrap a check so that it fails if a plugin draws from a global generator or leaves a process setting changed.

    Random states and settings are restored.

    Args:
        instead: advice on what to do instead of drawing.
    """

    @functools.wraps(check)
    def checked(plugin: Any) -> None:
        with unchanged(), kept_random_state(), undrawn(instead):
            check(plugin)

    return checked


def seed_everything(seed: int) -> None:
    torch.random.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the global random states after the block, since the kit obeys its own rules, too."""
    saved = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(saved[0])
        np.random.set_state(saved[1])
        random.setstate(saved[2])
