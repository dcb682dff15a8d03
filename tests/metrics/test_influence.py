"""Influence values against what they stand for: the change that an image makes, and the error of many images."""

from __future__ import annotations

import numpy as np
import pytest

from samplerzoo.metrics import reference
from samplerzoo.metrics.distance_estimate import estimate_distance, smallest_count
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.frechet import DistanceTo, FeatureMoments
from samplerzoo.metrics.influence import (
    NORMAL_95,
    covariance_of_means,
    frechet_influence,
    groups,
    standard_error,
    strata,
)
from samplerzoo.metrics.names import parse_features


class Standard:
    """Normal distribution of data, N(0, 1) in D dimensions."""

    def __init__(self, dimensions: int) -> None:
        self.mean, self.covariance = np.zeros(dimensions), np.eye(dimensions)


def estimate(values: np.ndarray, to: DistanceTo, labels: np.ndarray | None = None):
    return estimate_distance(Rows([values]), FeatureMoments.of(values), labels, to)


def test_influence_is_the_slope_towards_a_point() -> None:
    """Mix a little of one point into the images: the distance changes by its influence, to first order."""
    values = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 2.0, 0.5] + [0.3, 0.0, -1.0]
    to, moments = DistanceTo(Standard(3)), FeatureMoments.of(values)
    found = frechet_influence(Rows([values]), moments, to)

    def mixed(point: np.ndarray, share: float) -> FeatureMoments:
        shift = point - moments.mean
        covariance = (1 - share) * (moments.m2 / 500 + share * np.outer(shift, shift))
        return FeatureMoments(500, moments.mean + share * shift, covariance * 499)

    centre = np.mean([to(mixed(point, 1e-4)) for point in values])
    for i in (0, 100, 499):
        slope = (to(mixed(values[i], 1e-4)) - centre) / 1e-4
        assert slope == pytest.approx(found[i], rel=0.01, abs=0.01)
    assert found.mean() == pytest.approx(0, abs=1e-12)


def test_moments_without_a_part_are_those_of_the_rest() -> None:
    values = np.random.default_rng(1).normal(size=(40, 3)) + 5
    part, rest = FeatureMoments.of(values[:13]), FeatureMoments.of(values[13:])
    left = part.merge(rest).without(part)
    assert left.count == 27
    np.testing.assert_allclose(left.mean, rest.mean, rtol=1e-12)
    np.testing.assert_allclose(left.m2, rest.m2, rtol=1e-10)


def test_only_the_spread_within_a_class_counts() -> None:
    values = np.array([1.0, 3.0, 10.0, 10.0, 10.0, 16.0])
    labels = [0, 0, 1, 1, 1, 1]
    exact = (2 / 6) ** 2 * 2.0 / 2 + (4 / 6) ** 2 * 9.0 / 4
    assert standard_error(values, labels) == pytest.approx(exact**0.5, rel=1e-12)
    assert standard_error(values, None) == pytest.approx(np.std(values, ddof=1) / 6**0.5, rel=1e-12)


def test_the_error_of_a_difference_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(2)
    one = rng.normal(size=60)
    other = one + 0.1 * rng.normal(size=60)
    labels = np.arange(60) % 4
    table = covariance_of_means(np.stack([one, other], axis=1), labels)
    paired = (table[0, 0] + table[1, 1] - 2 * table[0, 1]) ** 0.5
    assert paired == pytest.approx(standard_error(one - other, labels), rel=1e-9)
    assert paired < 0.2 * table[0, 0] ** 0.5


def test_classes_of_a_single_image_are_one_class() -> None:
    found = strata([7, 3, 3, 5, 1], 5)
    assert sorted(map(list, found)) == [[0, 3, 4], [1, 2]]


def test_groups_have_the_size_and_the_mix_of_each_other() -> None:
    labels = np.repeat([0, 1, 2], [30, 50, 20])
    found = groups(labels, 100, 10)
    for number in range(10):
        assert np.bincount(labels[found == number]).tolist() == [3, 5, 2]


def test_the_jackknife_takes_the_bias_away() -> None:
    """Measure the data themselves, whose distance is 0: the plain one is about 0.2 too large."""
    to, rng = DistanceTo(Standard(8)), np.random.default_rng(3)
    found = [estimate(rng.normal(size=(100, 8)), to) for _ in range(100)]
    plain, jackknifed, infinite = (
        np.array([getattr(e, name) for e in found]) for name in ("plain", "jackknifed", "at_infinity")
    )
    assert plain.mean() > 0.2
    for corrected in (jackknifed, infinite):
        assert abs(corrected.mean()) < 0.05


def test_too_few_images_have_no_error() -> None:
    values = np.random.default_rng(4).normal(size=(31, 16))
    assert smallest_count(16) == 32
    found = estimate(values, DistanceTo(Standard(16)))
    assert found.plain > 0
    assert (found.jackknifed, found.at_infinity, found.influence, found.error) == (None, None, None, None)


def covered(repeats: int, n: int) -> dict[str, float]:
    """Return how often intervals of 95% hold the truth: of distances, and of the difference of two rows of one noise.

    Images are of four classes with means of their own and in exact proportion, in six dimensions, and rows differ from
    the data in mean and variance. The truths are the distances of mixtures, from their exact moments; that of the plain
    distance has a bias, and is the mean of those of all trials.
    """
    rng, D = np.random.default_rng(5), 6
    labels = np.arange(n) % 4
    means = rng.normal(size=(4, D))
    to = DistanceTo(Exact(means, 1.0))
    rows = [(means * 1.2 + 0.3, 0.8), (means * 1.2 + 0.32, 0.83)]
    truths = [to(Exact(*row)) for row in rows]
    inside = {"distance": 0, "distance at infinity": 0, "difference": 0}
    plain = []
    for _ in range(repeats):
        noise = rng.normal(size=(n, D))
        one, other = (estimate(centre[labels] + spread * noise, to, labels) for centre, spread in rows)
        inside["distance"] += abs(one.jackknifed - truths[0]) < NORMAL_95 * one.error
        inside["distance at infinity"] += abs(one.at_infinity - truths[0]) < NORMAL_95 * one.error
        plain.append((one.plain, one.error))
        error = standard_error(one.influence - other.influence, labels)
        difference = one.jackknifed - other.jackknifed
        inside["difference"] += abs(difference - (truths[0] - truths[1])) < NORMAL_95 * error
    values, errors = np.transpose(plain)
    inside["plain distance"] = (abs(values - values.mean()) < NORMAL_95 * errors).sum()
    return {name: count / repeats for name, count in inside.items()}


class Exact:
    """Moments of a mixture of Gaussians of one deviation, in equal parts."""

    def __init__(self, means: np.ndarray, deviation: float) -> None:
        self.mean = means.mean(axis=0)
        self.covariance = np.cov(means.T, bias=True) + deviation**2 * np.eye(means.shape[1])


def test_intervals_hold_the_truth() -> None:
    """Within 4 standard errors of 200 trials, which are 6%; the slow test has more."""
    for share in covered(200, 400).values():
        assert 0.89 < share <= 1.0


@pytest.mark.slow
def test_intervals_of_95_percent_hold_the_truth_in_95_percent() -> None:
    """Count over 4,000 trials; 3% are for what is left of bias and of the error of the error."""
    for share in covered(4000, 600).values():
        assert share == pytest.approx(0.95, abs=0.03)


def changed(values: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the real images themselves, and changed a little, as samplers do."""
    rng = np.random.default_rng(6)
    centres = np.stack([values[labels == k].mean(axis=0) for k in range(10)])[labels]
    return {
        "real": values,
        "noise": values + 0.1 * values.std(axis=0) * rng.normal(size=values.shape),
        "narrower": centres + 0.96 * (values - centres),
    }


def calibration(repeats: int, n: int) -> dict[str, float]:
    """Return standard errors by the formula over the deviation of subsets, for distances and their differences."""
    features = parse_features("classifier:mnist")
    train, test = (reference.load_reference(name, features) for name in ("train", "test"))
    assert test.sample is not None
    assert test.sample_labels is not None
    to, everything = train.distance, changed(test.sample, test.sample_labels)
    rng, N = np.random.default_rng(7), len(test.sample)
    own = [np.flatnonzero(test.sample_labels == k) for k in range(10)]
    values: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for _ in range(repeats):
        chosen = np.concatenate([rng.choice(each, round(n * len(each) / N), replace=False) for each in own])
        labels = test.sample_labels[chosen]
        found = {name: estimate(rows[chosen], to, labels) for name, rows in everything.items()}
        for name, each in found.items():
            values.setdefault(name, []).append(each.jackknifed)
            errors.setdefault(name, []).append(each.error)
            for what, value in (("at infinity", each.at_infinity), ("plain", each.plain)):
                values.setdefault(f"{name} {what}", []).append(value)
                errors.setdefault(f"{name} {what}", []).append(each.error)
            if name != "real":
                values.setdefault(f"{name} - real", []).append(each.jackknifed - found["real"].jackknifed)
                difference = standard_error(each.influence - found["real"].influence, labels)
                errors.setdefault(f"{name} - real", []).append(difference)
    finite = (1 - n / N) ** 0.5  # subsets share images, so they differ less than fresh images would
    return {name: float(np.mean(errors[name]) * finite / np.std(values[name], ddof=1)) for name in values}


def test_errors_are_those_of_subsets_of_real_features() -> None:
    """Within 45%: 20% for the formula, and 2.5 standard errors of a deviation over 50 subsets."""
    for name, ratio in calibration(50, 1000).items():
        assert 0.75 < ratio < 1.45, name


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 2000])
def test_errors_are_within_20_percent_of_those_of_subsets_of_real_features(n: int) -> None:
    """Compare with 600 subsets, whose deviation is known to 3%."""
    for name, ratio in calibration(600, n).items():
        assert 0.8 < ratio < 1.23, name
