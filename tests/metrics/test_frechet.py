from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerzoo.errors import ZooError
from samplerzoo.metrics.frechet import Moments, RunningMoments, frechet_distance


def gaussian(mean: list[float], variances: list[float], turn: float = 0.0) -> Moments:
    """A 2-D Gaussian with these variances along axes turned by an angle."""
    c, s = np.cos(turn), np.sin(turn)
    axes = np.array([[c, -s], [s, c]])
    return Moments(10, np.array(mean), axes @ np.diag(variances) @ axes.T)


positive = st.floats(0.01, 100.0)
number = st.floats(-100.0, 100.0)
TOLERANCE = 1e-9  # float64, sums of numbers up to 1e4


@given(st.tuples(number, number), st.tuples(positive, positive), st.tuples(positive, positive), st.floats(0, 3))
def test_commuting_covariances_have_a_closed_form(mean, ours, theirs, turn) -> None:
    found = frechet_distance(gaussian(list(mean), list(ours), turn), gaussian([0.0, 0.0], list(theirs), turn))
    exact = mean[0] ** 2 + mean[1] ** 2 + sum((a**0.5 - b**0.5) ** 2 for a, b in zip(ours, theirs, strict=True))
    assert found == pytest.approx(exact, rel=TOLERANCE, abs=1e-6)  # the difference of roots of nearly equal numbers


def test_it_does_not_depend_on_the_order_of_its_arguments() -> None:
    a, b = gaussian([1.0, 2.0], [1.0, 4.0], 0.3), gaussian([0.0, 1.0], [2.0, 0.5], 1.1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=TOLERANCE)


def test_a_rotation_costs_what_the_two_by_two_formula_says() -> None:
    """tr sqrt(M) of a 2x2 matrix is sqrt(tr M + 2 sqrt(det M))."""
    a, b = gaussian([0.0, 0.0], [1.0, 9.0], 0.0), gaussian([0.0, 0.0], [1.0, 9.0], np.pi / 2)
    root = np.sqrt(np.trace(a.covariance @ b.covariance) + 2 * np.sqrt(np.linalg.det(a.covariance @ b.covariance)))
    assert frechet_distance(a, b) == pytest.approx(20 - 2 * root, rel=TOLERANCE)


def test_rank_deficient_covariances_stay_real() -> None:
    features = np.random.default_rng(0).normal(size=(5, 20))  # rank 4 in 20 dimensions
    running = RunningMoments()
    running.add(features)
    assert frechet_distance(running.moments(), running.moments()) == pytest.approx(0, abs=1e-6)


@given(st.integers(2, 60), st.integers(1, 59), st.floats(-1e4, 1e4))
def test_running_moments_are_those_of_all_features_at_once(count: int, cut: int, offset: float) -> None:
    features = np.random.default_rng(count).normal(size=(count, 3)) + offset
    running = RunningMoments()
    for part in (features[:cut], features[cut:]):
        if len(part):
            running.add(part)
    found = running.moments()
    assert found.count == count
    np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features, rowvar=False), rtol=1e-9, atol=1e-9)


def test_one_image_has_no_covariance() -> None:
    running = RunningMoments()
    running.add(np.zeros((1, 3)))
    with pytest.raises(ZooError, match="at least 2 images"):
        running.moments()


def test_features_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ZooError, match="NaN"):
        RunningMoments().add(np.array([[np.nan]]))


def test_different_dimensions_are_refused() -> None:
    with pytest.raises(ZooError, match="2 and 3 dimensions"):
        frechet_distance(gaussian([0, 0], [1, 1]), Moments(5, np.zeros(3), np.eye(3)))
