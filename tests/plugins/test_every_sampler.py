"""What the protocol asks of a sampler: any shape, any dtype, images that know nothing of each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM

from samplerzoo.models import Model
from samplerzoo.sampler import Sampler
from samplerzoo.schedule import Grid, Schedule
from samplerzoo.testing import gaussian, mixture, run


@pytest.fixture(scope="module")
def grid(linear: Schedule) -> Grid:
    return linear.grid_at([999, 640.5, 600, 17, 3.25])


def draws(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("shape", [(4, 1), (4, 5), (4, 3, 2, 2), (4, 1, 2, 2, 2)])
def test_any_shape(linear: Schedule, grid: Grid, sampler: Sampler, shape: tuple[int, ...]) -> None:
    """The same numbers in another shape make the same image."""
    flat = (4, torch.Size(shape[1:]).numel())
    out, reference = (run(gaussian(linear, 0.3, shape=s[1:]), sampler, grid, draws(s)) for s in (shape, flat))
    assert out.shape == shape
    assert torch.equal(out.flatten(1), reference)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_dtype(linear: Schedule, grid: Grid, sampler: Sampler, dtype: torch.dtype) -> None:
    assert run(gaussian(linear), sampler, grid, draws((2, 1), dtype)).dtype == dtype


def test_leaves_the_input_unchanged(linear: Schedule, sampler: Sampler) -> None:
    model = gaussian(linear, 0.3)
    x = draws((3, 1))()
    before = x.clone()
    for t, s in linear.grid(3).pairs():
        sampler.step(x, t, s, lambda x, t: model.denoise(x, t), draws((3, 1)))
        assert torch.equal(x, before)


def test_does_not_mix_images(linear: Schedule, grid: Grid, sampler: Sampler) -> None:
    """A subset in another order, on a network that is not linear, gives the same images bit for bit."""
    exact = mixture(linear, torch.tensor([[1.0, 1.0], [-1.0, 0.0]]), 0.3)
    model = Model(lambda x, tau, _: exact.net(x, tau, torch.full((len(x),), 2)), linear, shape=(2,))
    noise, again = draws((5, 2), torch.float64), draws((5, 2), torch.float64)
    chosen = [3, 0, 4]
    every = run(model, sampler, grid, noise)
    some = run(model, sampler, grid, lambda: again()[chosen])
    torch.testing.assert_close(some, every[chosen], rtol=0, atol=1e-14)


def test_draws_noise_exactly_if_stochastic(linear: Schedule, sampler: Sampler) -> None:
    drawn = []
    run(gaussian(linear), sampler, linear.grid(4), lambda: drawn.append(0) or torch.zeros(1, 1))
    assert len(drawn) == (4 if sampler.stochastic else 1)  # x_T, and then none at the last step


def test_a_run_leaves_nothing_behind(linear: Schedule, grid: Grid, sampler: Sampler) -> None:
    first = run(gaussian(linear), sampler, grid, draws((2, 1)))
    run(gaussian(linear, 5.0), sampler, linear.grid(2), draws((7, 1)))
    assert torch.equal(run(gaussian(linear), sampler, grid, draws((2, 1))), first)


def test_options_survive_json(sampler: Sampler) -> None:
    assert type(sampler).model_validate_json(sampler.model_dump_json()) == sampler


@given(st.floats())
@example(math.nan)
@example(-0.0)
@example(1.0000000000000002)
def test_eta_is_within_its_bounds_or_refused(eta: float) -> None:
    try:
        assert 0 <= DDIM(eta=eta).eta <= 1
    except ValidationError:
        assert not 0 <= eta <= 1


def test_documents_itself(sampler: Sampler) -> None:
    cls = type(sampler)
    assert any(year in (cls.__doc__ or "") for year in ("2020", "2021")), "cites its paper"
    assert all(field.description for field in cls.model_fields.values())


def test_only_the_ancestral_sampler_takes_a_mean_shift(sampler: Sampler) -> None:
    assert sampler.takes_shift == isinstance(sampler, DDPM)
