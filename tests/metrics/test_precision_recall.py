from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from samplerzoo.metrics import feature_files, reference
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.influence import groups
from samplerzoo.metrics.names import parse_features
from samplerzoo.metrics.precision_recall import ENOUGH, GROUPS, HADAMARD, NEIGHBOURS, Manifold, precision_recall


def cloud(seed: int, count: int, centre: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, 3)) + centre).astype(np.float32)


def shares(fake: list[np.ndarray], real: list[np.ndarray]) -> tuple[float, float]:
    return precision_recall(Rows(fake), Manifold(Rows(real)))[:2]


def neighbours_cover(manifold: np.ndarray, points: np.ndarray) -> float:
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(manifold)
    radii = neighbours.kneighbors(manifold)[0][:, -1]  # each is its own first neighbour
    distances = np.linalg.norm(points[:, None].astype(float) - manifold[None], axis=2)
    return (distances <= radii).any(axis=1).mean()


@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 20), st.integers(0, 1000))
def test_it_is_what_scikit_learns_neighbours_say_in_blocks_of_any_size(n: int, m: int, block: int, seed: int) -> None:
    points, manifold = cloud(seed, n, 0.5), cloud(seed + 1, m)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_files, "BLOCK", block)
        assert Manifold(Rows([manifold])).coverage(Rows([points])) == neighbours_cover(manifold, points)


@pytest.mark.parametrize("block", [7, 1000])
def test_the_error_of_recall_is_the_spread_of_halves(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "BLOCK", block)
    fake, real, labels = cloud(0, 80), cloud(1, 50, 0.5), np.arange(80) % 5
    group, squares = groups(labels, 80, GROUPS), []
    for half in HADAMARD[1:]:
        one, other = (neighbours_cover(fake[own[group]], real) for own in (half, ~half))
        squares.append(((one - other) / 2) ** 2)
    found = precision_recall(Rows([fake]), Manifold(Rows([real])), labels)
    assert found.recall == neighbours_cover(fake, real)
    assert found.recall_error == pytest.approx(np.mean(squares) ** 0.5, rel=1e-12)


def test_groups_are_in_the_same_half_equally_often() -> None:
    signs = np.where(HADAMARD, 1, -1)
    assert HADAMARD[0].all()
    np.testing.assert_array_equal(signs @ signs.T, GROUPS * np.eye(GROUPS))


def test_a_set_covers_itself() -> None:
    assert shares([cloud(0, 30)], [cloud(0, 30)]) == (1.0, 1.0)


def test_sets_far_apart_share_nothing() -> None:
    assert shares([cloud(0, 30)], [cloud(1, 30, 100.0)]) == (0.0, 0.0)


def test_a_mode_that_is_never_generated_costs_recall_and_no_precision() -> None:
    one, other = cloud(0, 100), cloud(1, 100, 100.0)
    assert shares([one], [one, other]) == (1.0, 0.5)


def test_recall_of_few_images_has_no_error() -> None:
    found = [precision_recall(Rows([cloud(0, n)]), Manifold(Rows([cloud(1, 50)]))) for n in (ENOUGH - 1, ENOUGH)]
    assert found[0].recall_error is None
    assert found[1].recall_error is not None
    assert found[1].recall_error > 0


def recalls(repeats: int, n: int) -> tuple[float, float]:
    """Draw images of two modes again and again, and return the deviation of recall and the mean of its error."""
    real, rng = Manifold(Rows([cloud(0, 300), cloud(1, 300, 2.0)])), np.random.default_rng(2)
    labels = np.arange(n) % 2
    found = []
    for _ in range(repeats):
        fake = (rng.normal(size=(n, 3)) * 0.8 + 2.0 * labels[:, None]).astype(np.float32)
        found.append(precision_recall(Rows([fake]), real, labels))
    return float(np.std([one.recall for one in found], ddof=1)), float(np.mean([one.recall_error for one in found]))


def test_the_error_of_recall_is_its_deviation() -> None:
    """Within 35%: 20% for the formula, and 2 standard errors of a deviation over 100 sets, which are 14%."""
    deviation, error = recalls(100, 128)
    assert error == pytest.approx(deviation, rel=0.35)


@pytest.mark.slow
@pytest.mark.parametrize("n", [500, 1000])
def test_the_error_of_recall_is_within_20_percent_of_that_of_subsets_of_real_features(n: int) -> None:
    """Compare with 300 subsets, whose deviation is known to 4%."""
    features = parse_features("classifier:mnist")
    train, test = (reference.load_reference(name, features) for name in ("train", "test"))
    assert test.sample is not None
    assert test.sample_labels is not None
    rng, whole = np.random.default_rng(3), len(test.sample)
    found = []
    for _ in range(300):
        chosen = rng.choice(whole, n, replace=False)
        found.append(precision_recall(Rows([test.sample[chosen]]), train.manifold, test.sample_labels[chosen]))
    finite = (1 - n / whole) ** 0.5  # subsets share images, so they differ less than fresh images would
    error = finite * float(np.mean([one.recall_error for one in found]))
    assert error == pytest.approx(np.std([one.recall for one in found], ddof=1), rel=0.2)
