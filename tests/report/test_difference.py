"""Differences of rows with seeds in common and seeds of their own."""

from __future__ import annotations

import numpy as np
import pytest
from pandas import DataFrame
from synthetic import rigged, row, sure

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import Row
from samplerzoo.report.difference import difference, differences

FDS = {"a": (0.52, 0.31, 0.45, 0.40), "b": (0.47, 0.33, 0.38, 0.36)}


def seeded(name: str, seeds: list[int], error: float = 0.3) -> dict[int, Row]:
    return {seed: sure(row(name, 5, FDS[name][seed], seed=seed), error) for seed in seeds}


def test_the_same_seeds_are_pooled() -> None:
    mine, theirs = seeded("a", [0, 1]), seeded("b", [0, 1])
    found = difference(mine, theirs, rigged([*mine.values(), *theirs.values()], 0.3, 0.01))
    assert found.value == pytest.approx(0.05 / 2 - 0.02 / 2)
    assert found.error == pytest.approx(0.01)  # that of one seed, 0.01 * 2^0.5, over the root of 2


@pytest.mark.parametrize(
    ("shared", "own", "expected"),
    [
        (0.0, 0.3, 0.52 - (0.47 + 0.33 + 0.38) / 3),  # no noise in common: all seeds count alike
        (0.3, 0.0, 0.52 - 0.47),  # nothing but noise in common: the seed in common alone
        (0.3, 0.3, 0.52 - (0.47 * 4 + 0.33 + 0.38) / 6),  # half of it: the weights (1 + 2 rho) / 3, (1 - rho) / 3
    ],
)
def test_what_a_seed_counts_depends_on_the_noise_in_common(shared: float, own: float, expected: float) -> None:
    error = float(np.hypot(shared, own))
    mine, theirs = seeded("a", [0], error), seeded("b", [0, 1, 2], error)
    found = difference(mine, theirs, rigged([*mine.values(), *theirs.values()], shared, own))
    assert found.value == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [([0], [0, 1, 2]), ([0, 1, 2], [0]), ([0, 1], [1, 2, 3]), ([0, 1, 2], [0, 1, 2, 3])])
@pytest.mark.parametrize("shared", [0.0, 0.1, 0.3, 3.0])
def test_no_weights_give_a_smaller_error(seeds: tuple[list[int], list[int]], shared: float) -> None:
    """Compare with the estimate of generalised least squares, (X' V^-1 X)^-1 X' V^-1 y, of the two means."""
    mine, theirs = (seeded(name, own, float(np.hypot(shared, 0.2))) for name, own in zip("ab", seeds, strict=True))
    rows = [*mine.values(), *theirs.values()]
    evidence = rigged(rows, shared, 0.2)
    found = difference(mine, theirs, evidence)
    design = np.array([[row in mine.values(), row in theirs.values()] for row in rows], float)
    inverse = np.linalg.inv(evidence.covariance["fd"].to_numpy())
    covariance = np.linalg.inv(design.T @ inverse @ design)
    means = covariance @ design.T @ inverse @ [row.metrics.fd for row in rows if row.metrics]
    assert found.value == pytest.approx(means[0] - means[1], abs=1e-12)
    assert found.error == pytest.approx(np.sqrt([1, -1] @ covariance @ [1, -1]), rel=1e-9)


def test_rows_of_different_seeds_are_independent() -> None:
    mine, theirs = seeded("a", [0], 0.3), seeded("b", [1], 0.3)
    found = difference(mine, theirs, rigged([*mine.values(), *theirs.values()], 0.3, 0.0))
    assert (found.value, found.error) == pytest.approx((0.52 - 0.33, 0.3 * 2**0.5))


def test_seeds_whose_covariance_is_not_known_are_independent() -> None:
    """Of two seeds that both have, the images of one row's seed 1 are gone: the difference is mostly that of seed 0."""
    mine, theirs = seeded("a", [0, 1]), seeded("b", [0, 1])
    table = rigged([*mine.values(), *theirs.values()], 0.3, 0.01).covariance["fd"]
    gone = mine[1].cell
    table = table.drop(index=gone, columns=gone)
    found = difference(mine, theirs, Evidence({"fd": table}))
    assert found.value == pytest.approx(0.05, abs=1e-3)
    assert found.error == pytest.approx(0.01 * 2**0.5, rel=1e-2)
    unknown = difference(mine, theirs, Evidence({"fd": DataFrame()}))
    assert (unknown.value, unknown.error) == pytest.approx((0.015, 0.3))


def test_all_pairs_at_once_are_the_pairs() -> None:
    points = [seeded("a", [0, 1]), seeded("b", [1, 2, 3]), seeded("b", [0]), seeded("a", [2, 3])]
    rows = [found for own in points for found in own.values()]
    evidence = rigged(rows, 0.2, 0.1)
    found = differences(points, evidence)
    for i, one in enumerate(points):
        for j, other in enumerate(points):
            pair = difference(one, other, evidence)
            assert pair.value == pytest.approx(found.value[i, j], abs=1e-15)
            assert pair.error == pytest.approx(found.error[i, j], abs=1e-9)
            assert pair.value == pytest.approx(-found.value[j, i], abs=1e-15)
