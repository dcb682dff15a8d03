from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from samplerzoo.metrics import feature_files
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.precision_recall import NEIGHBOURS, Manifold, precision_recall


def cloud(seed: int, count: int, centre: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, 3)) + centre).astype(np.float32)


def manifold_of(*clouds: np.ndarray) -> Manifold:
    return Manifold(Rows(clouds))


@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 20), st.integers(0, 1000))
def test_it_is_what_scikit_learns_neighbours_say_in_blocks_of_any_size(n: int, m: int, block: int, seed: int) -> None:
    points, manifold = cloud(seed, n, 0.5), cloud(seed + 1, m)
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(manifold)
    radii = neighbours.kneighbors(manifold)[0][:, -1]  # each is its own first neighbour
    distances = np.linalg.norm(points[:, None].astype(float) - manifold[None], axis=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_files, "BLOCK", block)
        assert Manifold(Rows([manifold])).coverage(Rows([points])) == (distances <= radii).any(axis=1).mean()


def test_a_set_covers_itself() -> None:
    assert precision_recall(manifold_of(cloud(0, 30)), manifold_of(cloud(0, 30))) == (1.0, 1.0)


def test_sets_far_apart_share_nothing() -> None:
    assert precision_recall(manifold_of(cloud(0, 30)), manifold_of(cloud(1, 30, 100.0))) == (0.0, 0.0)


def test_a_mode_that_is_never_generated_costs_recall_and_no_precision() -> None:
    one, other = cloud(0, 100), cloud(1, 100, 100.0)
    precision, recall = precision_recall(manifold_of(one), manifold_of(one, other))
    assert (precision, recall) == (1.0, 0.5)
