"""Class labels as users write them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samplerzoo.core.model import Model
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.sampling.labels import parse_class_labels
from samplerzoo.sampling.proportion import BLOCK, ProportionalLabels
from samplerzoo.testing import gaussian, mixture


@pytest.fixture(scope="module")
def model(linear: Schedule) -> Model:
    return dataclasses.replace(mixture(linear, torch.zeros(10, 1)), class_counts=(0, 10, 20, 0, 0, 30, 0, 0, 40, 0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", [3, 3, 3, 3, 3]),
        ("0-2", [0, 1, 2, 0, 1]),
        ("7-7", [7, 7, 7, 7, 7]),
        ("1,3,8-9", [1, 3, 8, 9, 1]),
        (" 1 , 2 ", [1, 2, 1, 2, 1]),
        ("5,5,2", [5, 5, 2, 5, 5]),
        ("balanced", [0, 1, 2, 3, 4]),
    ],
)
def test_lists_and_ranges(model: Model, text: str, expected: list[int]) -> None:
    assert parse_class_labels(text, model, 5, seed=0) == expected


@pytest.mark.parametrize("text", ["", ",", "3-", "-3", "1,,2", "two", "0x3", "1.5", "4-2", "natural,1", "1;2"])
def test_nonsense_is_refused_with_what_would_do(model: Model, text: str) -> None:
    with pytest.raises(UsageError, match=r"class labels '.*(balanced or natural|runs backwards)"):
        parse_class_labels(text, model, 5, seed=0)


@pytest.mark.parametrize("text", ["10", "0-10", "3,99", "0-99999999999999"])
def test_out_of_range_is_named(model: Model, text: str) -> None:
    with pytest.raises(UsageError, match=r"class label \d+ is out of range.*0 to 9"):
        parse_class_labels(text, model, 5, seed=0)


@given(
    counts=st.lists(st.integers(0, 30) | st.integers(0, 10_000), min_size=1, max_size=12).filter(any),
    seed=st.integers(0, 2**64 - 1),
)
def test_every_prefix_has_the_mix_of_the_data(counts: list[int], seed: int) -> None:
    """Class k has n p_k of the first n images, rounded up or down: in whole numbers, without rounding errors."""
    n = 3 * BLOCK // 2
    labels = [*map(ProportionalLabels(counts, seed), range(n))]
    seen = np.cumsum(np.eye(len(counts), dtype=int)[labels], axis=0)
    places = np.arange(1, n + 1)[:, None]
    assert (np.abs(seen * sum(counts) - places * counts) < sum(counts)).all()


def test_natural_labels_are_in_proportion(model: Model) -> None:
    labels = parse_class_labels("natural", model, 4000, seed=0)
    assert np.bincount(labels, minlength=10).tolist() == [40 * count for count in model.class_counts or ()]


def test_the_seed_shuffles_the_order() -> None:
    """Neighbours change places: no class comes in turn, and two seeds agree no more often than chance has it."""
    counts = [60, 67, 59, 61, 58, 54, 59, 62, 58, 59]
    one, other = (np.array([*map(ProportionalLabels(counts, seed), range(4000))]) for seed in (0, 1))
    assert np.mean(one == other) < 0.25  # 0.1 by chance, and more since a class has its places
    assert len({*zip(one[:-1].tolist(), one[1:].tolist(), strict=True)}) == 100  # every pair of neighbours is seen


def test_natural_labels_depend_on_seed_and_index_alone(model: Model) -> None:
    few, many = (parse_class_labels("natural", model, n, seed=7) for n in (50, 200))
    assert many[:50] == few
    assert parse_class_labels("natural", model, 50, seed=8) != few


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1])
def test_natural_labels_take_every_seed_that_noise_takes(model: Model, seed: int) -> None:
    assert len(parse_class_labels("natural", model, 3, seed)) == 3


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_natural_labels_refuse_the_seeds_that_noise_refuses(model: Model, seed: int) -> None:
    with pytest.raises(UsageError, match="seed"):
        parse_class_labels("natural", model, 3, seed)


def test_natural_needs_the_counts(model: Model) -> None:
    with pytest.raises(UsageError, match="take balanced labels"):
        parse_class_labels("natural", dataclasses.replace(model, class_counts=None), 3, seed=0)


def test_an_unconditional_model_has_no_labels(linear: Schedule) -> None:
    with pytest.raises(UsageError, match="takes no class labels"):
        parse_class_labels("3", gaussian(linear), 3, seed=0)


def test_a_name_that_two_classes_have_is_refused_and_its_numbers_are_not(model: Model) -> None:
    birds = dataclasses.replace(model, class_names=("crane", "cat", "crane", *"abcdefg"))
    with pytest.raises(UsageError, match="the classes 0 and 2 are both named 'crane': give the number"):
        parse_class_labels("cat,crane", birds, 2, seed=0)
    assert parse_class_labels("cat,0,2", birds, 3, seed=0) == [1, 0, 2]
