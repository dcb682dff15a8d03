"""Noise as a function of (seed, image, step, draw) only, the same in every version."""

from __future__ import annotations

import math
import random
from contextlib import closing

import numpy as np
import pytest
import torch

from samplerzoo.core.noise import Noise, box_muller
from samplerzoo.errors import UsageError


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> list[int]:
    """Compute Philox4x64-10 in plain integers, from the paper (Salmon et al. 2011, section 3.3)."""
    mask = 2**64 - 1
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = right >> 64 ^ c1 ^ k0, right & mask, left >> 64 ^ c3 ^ k1, left & mask
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return [c0, c1, c2, c3]


@pytest.mark.parametrize(
    ("seed", "image", "step", "draw"), [(0, 0, 0, 0), (7, 3, 12, 2), (2**64 - 1, 2**40, 1000, 5), (2**63, 1, 1, 0)]
)
def test_against_the_papers_written_out_in_plain_python(seed: int, image: int, step: int, draw: int) -> None:
    noise = Noise(seed, [image], (2, 2))
    noise.start_step(step)
    for _ in range(draw):
        noise()
    words = philox((seed, image), (1, 0, step, draw))  # numpy increments the counter before it generates
    uniform = [((word >> 11) + 0.5) / 2**53 for word in words]
    radii = [math.sqrt(-2 * math.log(u)) for u in uniform[:2]]
    angles = [2 * math.pi * u for u in uniform[2:]]
    expected = [r * math.cos(a) for r, a in zip(radii, angles, strict=True)]
    expected += [r * math.sin(a) for r, a in zip(radii, angles, strict=True)]
    # float64 functions may differ in the last bit between libraries, and that moves a float32 by one unit at most
    np.testing.assert_allclose(noise().numpy().ravel(), expected, rtol=2**-23)


def test_golden_values() -> None:
    """Pin the values, because published images depend on them."""
    noise = Noise(0, [0, 1], (2, 2))
    initial = noise()
    noise.start_step(1)
    first = noise()
    golden = [[2.2844415, -1.5494508, 1.9245853, -0.66375184], [-0.3038131, -0.75193864, -0.5664584, 0.0800321]]
    torch.testing.assert_close(initial.flatten(1), torch.tensor(golden), rtol=2**-23, atol=0)
    golden = [0.68300825, -1.2398604, 0.6440041, 1.9938143]
    torch.testing.assert_close(first[0].flatten(), torch.tensor(golden), rtol=2**-23, atol=0)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 7), (1,), (33,)])
def test_an_image_has_the_same_noise_in_any_company(shape: tuple[int, ...]) -> None:
    def draws(images: list[int]) -> torch.Tensor:
        noise = Noise(11, images, shape)
        out = [noise(), noise()]
        noise.start_step(4)
        return torch.stack([*out, noise()], dim=1)

    together = draws(list(range(8)))
    assert together.shape == (8, 3, *shape)
    assert together.dtype == torch.float32
    for size in (1, 3):
        parts = torch.cat([draws(list(range(8))[i : i + size]) for i in range(0, 8, size)])
        assert torch.equal(parts, together)
    assert torch.equal(draws([5, 2]), together[[5, 2]])


def test_no_two_draws_are_alike() -> None:
    draws = []
    for seed in (0, 1, 2**32, 2**64 - 1):
        noise = Noise(seed, [0, 1, 2**32], (16,))
        for step in range(3):
            noise.start_step(step)
            draws += [*noise(), *noise()]
    numbers = torch.cat(draws)
    assert len(numbers.unique()) == len(numbers)


def test_steps_may_be_visited_in_any_order() -> None:
    noise = Noise(0, [0], (4,))
    noise.start_step(2)
    second = noise()
    noise.start_step(1)
    noise()
    noise.start_step(2)
    assert torch.equal(noise(), second)


def test_draws_made_ahead_are_the_same() -> None:
    """Draw as often as the step before, more often, less often and never, and skip and revisit steps."""

    def draws(ahead: bool) -> list[torch.Tensor]:
        made = []
        with closing(Noise(3, range(11), (3,), ahead=ahead)) as noise:
            for step, count in ((0, 1), (1, 2), (2, 2), (3, 0), (4, 3), (7, 1), (2, 1)):
                noise.start_step(step)
                made += [noise() for _ in range(count)]
        return made

    assert torch.equal(torch.stack(draws(True)), torch.stack(draws(False)))


def test_distribution() -> None:
    """Check four moments and the tail to five standard errors, and no correlation along any of the four keys."""
    n = 2**18
    z = Noise(5, range(64), (n // 64,))().double().flatten()
    for moment, expected, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert z.pow(moment).mean().item() == pytest.approx(expected, abs=5 * math.sqrt(variance / n))
    tail = math.erfc(3 / math.sqrt(2))
    assert (z.abs() > 3).double().mean().item() == pytest.approx(tail, abs=5 * math.sqrt(tail / n))

    noise, other = Noise(0, [0, 1], (n // 4,)), Noise(1, [0], (n // 4,))
    (base, next_image), next_draw, next_seed = noise().double(), noise().double()[0], other().double()[0]
    noise.start_step(1)
    next_step = noise().double()[0]
    for another in (next_image, next_draw, next_seed, next_step, base.roll(1), base.roll(n // 8)):
        assert (base * another).mean().item() == pytest.approx(0, abs=5 / math.sqrt(n // 4))


def test_the_ends_of_the_uniform_make_finite_normals() -> None:
    words = np.array([0, 2**64 - 1, 0, 2**64 - 1], dtype=np.uint64)
    normals = box_muller(words)
    assert np.isfinite(normals).all()
    assert np.abs(normals).max() < 8.7  # sqrt(-2 log 2^-54)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5])
def test_impossible_seeds(seed: int) -> None:
    with pytest.raises(UsageError, match="seed"):
        Noise(seed, [0], (1,))


def test_global_random_states_are_neither_read_nor_written() -> None:
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first = Noise(0, [0], (4,))()
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    assert torch.equal(Noise(0, [0], (4,))(), first)
