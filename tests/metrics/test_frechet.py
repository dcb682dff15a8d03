from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.image.fid import FrechetInceptionDistance

from samplerzoo.errors import ZooError
from samplerzoo.metrics.frechet import FeatureMoments, frechet_distance


def gaussian(mean: list[float], variances: list[float], turn: float = 0.0) -> FeatureMoments:
    """Return a 2-D Gaussian with these variances along axes turned by an angle."""
    c, s = np.cos(turn), np.sin(turn)
    axes = np.array([[c, -s], [s, c]])
    return FeatureMoments(10, np.array(mean), 9 * axes @ np.diag(variances) @ axes.T)


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
    """Use that tr sqrt(M) of a 2x2 matrix is sqrt(tr M + 2 sqrt(det M))."""
    a, b = gaussian([0.0, 0.0], [1.0, 9.0], 0.0), gaussian([0.0, 0.0], [1.0, 9.0], np.pi / 2)
    root = np.sqrt(np.trace(a.covariance @ b.covariance) + 2 * np.sqrt(np.linalg.det(a.covariance @ b.covariance)))
    assert frechet_distance(a, b) == pytest.approx(20 - 2 * root, rel=TOLERANCE)


def test_rank_deficient_covariances_stay_real() -> None:
    """Compare points of a plane in 20 dimensions with the same points in 2, where scipy's root may be complex."""
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(20, 2)))[0].T
    ours, theirs = rng.normal(size=(50, 2)), rng.normal(size=(60, 2)) * [1, 2] + 1
    found = frechet_distance(FeatureMoments.of(ours @ plane), FeatureMoments.of(theirs @ plane))
    assert found == pytest.approx(frechet_distance(FeatureMoments.of(ours), FeatureMoments.of(theirs)), rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_few_images_in_many_dimensions_are_at_no_distance_from_themselves(count: int) -> None:
    few = FeatureMoments.of(np.random.default_rng(count).normal(size=(count, 20)))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-12)


def test_it_is_the_distance_by_scipys_square_root() -> None:
    rng = np.random.default_rng(1)
    a, b = (
        FeatureMoments.of(rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12)) + rng.normal(size=12))
        for _ in range(2)
    )
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
    shift = a.mean - b.mean
    exact = shift @ shift + np.trace(a.covariance + b.covariance - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-9)


def test_it_is_the_distance_of_torchmetrics() -> None:
    """Give torchmetrics the identity as feature network."""
    rng = np.random.default_rng(2)
    fake, real = rng.normal(size=(300, 8)), 1.5 * rng.normal(size=(400, 8)) + 0.5
    theirs = FrechetInceptionDistance(feature=torch.nn.Flatten(), input_img_size=(8,), normalize=True).set_dtype(
        torch.float64
    )
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(fake), real=False)
    assert frechet_distance(FeatureMoments.of(fake), FeatureMoments.of(real)) == pytest.approx(
        theirs.compute().item(), rel=1e-6
    )


@given(st.integers(2, 60), st.lists(st.integers(0, 60), max_size=4), st.floats(-1e4, 1e4))
def test_merged_moments_are_those_of_all_features_at_once(count: int, cuts: list[int], offset: float) -> None:
    features = np.random.default_rng(count).normal(size=(count, 3)) + offset
    parts = [part for part in np.split(features, sorted(min(cut, count) for cut in cuts)) if len(part)]
    found = FeatureMoments.merged(FeatureMoments.of(part) for part in parts)
    assert found.count == count
    np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features, rowvar=False), rtol=1e-9, atol=1e-9)


def test_merging_in_any_order_differs_by_rounding_alone() -> None:
    parts = [FeatureMoments.of(part) for part in np.split(np.random.default_rng(0).normal(size=(90, 4)), [20, 21, 60])]
    there, back = FeatureMoments.merged(parts), FeatureMoments.merged(reversed(parts))
    np.testing.assert_allclose(there.m2, back.m2, rtol=1e-12, atol=1e-12)


def test_one_image_has_no_covariance_and_none_no_moments() -> None:
    with pytest.raises(ZooError, match="at least 2 images"):
        _ = FeatureMoments.of(np.zeros((1, 3))).covariance
    with pytest.raises(ZooError, match="no images"):
        FeatureMoments.merged([])


def test_different_dimensions_are_refused() -> None:
    with pytest.raises(ZooError, match="2 and 3 dimensions"):
        frechet_distance(gaussian([0, 0], [1, 1]), FeatureMoments(5, np.zeros(3), np.eye(3)))
