"""Means over images: intervals hold as often as they claim, and are missing if the data cannot give one."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from samplerzoo.bench import image_mean
from samplerzoo.bench.harness import BenchOptions, Harness
from samplerzoo.bench.image_errors import errors_of
from samplerzoo.bench.image_mean import NORMAL, deciding, interval, standard_error, standard_errors
from samplerzoo.bench.results import read_rows
from samplerzoo.bench.suite import parse_suite
from samplerzoo.report.errors import error_tables


def with_ones(ones: int, count: int = 64) -> np.ndarray:
    return np.array([1.0] * ones + [0.0] * (count - ones))


@pytest.mark.parametrize("ones", [1, 3, 8, 16])
def test_of_values_0_and_1_the_rarer_ones_decide(ones: int) -> None:
    p = ones / 64
    spread = p * (1 - p)
    assert deciding(with_ones(ones)[:, None])[0] == pytest.approx(64 * spread / (1 - 3 * spread))


def test_a_mean_that_few_images_decide_has_no_interval() -> None:
    mean, low, high = interval(with_ones(2))
    assert mean == 2 / 64
    assert np.isnan([low, high]).all()
    assert not np.isnan(interval(with_ones(4))).any()
    assert np.isnan(standard_error(np.ones(1)))


def test_of_a_normal_distribution_it_is_the_usual_one() -> None:
    values = np.random.default_rng(0).standard_normal(1000)
    assert standard_error(values) == pytest.approx(values.std(ddof=1) / np.sqrt(1000), rel=0.05)


def test_of_rare_large_errors_it_is_wider() -> None:
    values = np.random.default_rng(0).exponential(size=256) ** 2
    assert standard_error(values) > 1.05 * values.std(ddof=1) / 16


def test_of_equal_values_nothing_is_known() -> None:
    """Among 64 images without an error, an image that goes astray one time in a hundred is mostly not there."""
    assert deciding(np.zeros((64, 1)))[0] == 0
    assert np.isnan(standard_error(np.zeros(64)))


def test_no_end_lies_outside_of_the_values() -> None:
    values = with_ones(4) + 1e-3
    assert values.mean() - 2 * standard_error(values) < 0
    assert interval(values)[1] == 1e-3


def test_columns_are_worked_out_as_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_mean, "BLOCK", 3)
    columns = np.random.default_rng(0).exponential(size=(64, 7))
    expected = [standard_error(column) for column in columns.T]
    assert standard_errors(columns) == pytest.approx(expected, rel=1e-12)


def test_many_images_are_drawn_one_sample_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).exponential(size=200)
    together = standard_error(values)
    monkeypatch.setattr(image_mean, "SHARED", 100)
    assert standard_error(values) == pytest.approx(together, rel=0.05)  # of 2,000 other samples


def test_a_difference_that_one_image_makes_has_no_error_though_both_means_do() -> None:
    first = np.random.default_rng(0).exponential(size=64)
    both = np.stack([first, first + with_ones(1)], axis=1)
    assert not np.isnan(standard_errors(both)).any()
    assert np.isnan(standard_error(both[:, 1] - both[:, 0]))


def covered(draw: object, mean: float, draws: int, count: int) -> tuple[int, int]:
    """Count the intervals that are given, and those that hold the true mean."""
    found = [interval(draw(count)) for _ in range(draws)]  # type: ignore[operator]
    given = [(low, high) for _, low, high in found if not np.isnan(low)]
    return len(given), sum(low <= mean <= high for low, high in given)


def test_intervals_hold_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of skewed errors: 200 draws, within three deviations of 95%."""
    monkeypatch.setattr(image_mean, "RESAMPLES", 400)
    rng = np.random.default_rng(1)
    given, hold = covered(lambda count: rng.lognormal(0.0, 0.5, size=count), np.exp(0.125), 200, 64)
    assert given > 190
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / given) < hold / given < 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [64, 128, 256])
def test_intervals_of_exact_errors_hold_as_often_as_they_say(tmp_path: Path, count: int) -> None:
    """Errors of exact digits, which few images decide at many steps: 95% within 3, of means and of differences.

    All rows together: one of them, of which few samples have an interval at all, may lie outside.
    """
    names = ["ddim", "unipc", "dpm-solver++", "ipndm", "deis", "heun"]
    content = {"model": "exact:digits", "metrics": ["error"], "images": 4096}
    suite = parse_suite({**content, "rows": [{"sampler": names, "steps": [5, 10, 20]}]}, "suite")
    harness = Harness(suite, tmp_path, BenchOptions(device="cpu"))
    rows = harness.run(harness.estimate(), lambda row: None).rows
    values = [errors_of(tmp_path, row.cell, row.error.solution, 4096) for row in rows if row.error is not None]
    assert len(values) == 18
    rng = np.random.default_rng(count)
    for columns in (values, [a - b for a, b in itertools.combinations(values, 2)]):
        told = [
            covered(lambda size, column=column: column[rng.integers(len(column), size=size)], column.mean(), 200, count)
            for column in columns
        ]
        given, hold = np.sum(told, axis=0)
        print(f"{count} images: {given / len(columns) / 200:.0%} have an interval, of which {hold / given:.1%} hold")
        assert 0.92 < hold / given < 0.98
        assert given > 0.4 * len(columns) * 200


NETWORK = Path(__file__).parents[2] / "benchmarks/reports/mnist-steps-vs-fd/errors.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(("count", "least"), [(64, 0.85), (256, 0.91)])
def test_intervals_of_a_networks_errors_hold_less_often_with_few_images(count: int, least: float) -> None:
    """Errors of 768 images a row on the embedded network: one of hundreds goes far astray, and 64 mostly lack it."""
    rng = np.random.default_rng(count)
    told = [
        covered(lambda size, row=row: row[rng.integers(len(row), size=size)], row.mean(), 100, count)
        for row in (row.astype(np.float64) for row in load_file(NETWORK).values())
    ]
    given, hold = np.sum(told, axis=0)
    print(f"{count} images: {given / len(told) / 100:.0%} have an interval, of which {hold / given:.1%} hold")
    assert least < hold / given < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("count", [64, 256])
def test_differences_of_a_networks_errors_are_told_the_right_way_round(count: int) -> None:
    """Differences of rows of as many evaluations, image by image: 95% within 3, and none told that is the other way."""
    folder = NETWORK.parent
    rng = np.random.default_rng(count)
    given = hold = told = wrong = 0
    for table in error_tables(folder, [row for row in read_rows(folder) if row.error is not None]):
        for work in table.budgets:
            for first, second in itertools.combinations([table.seeded(line, work) for line in table.beside(work)], 2):
                if len(first) < 3 or len(second) < 3:
                    continue  # few images are no distribution to draw from
                values = np.concatenate([first[seed] - second[seed] for seed in first])
                drawn = values[rng.integers(len(values), size=(100, count))].T
                half = NORMAL * standard_errors(drawn)
                off, known = drawn.mean(axis=0) - values.mean(), ~np.isnan(half)
                apart = known & (np.abs(drawn.mean(axis=0)) > half)
                given, hold = given + known.sum(), hold + (known & (np.abs(off) <= half)).sum()
                told += apart.sum()
                wrong += (apart & (np.sign(drawn.mean(axis=0)) != np.sign(values.mean()))).sum()
    print(
        f"{count} images: {hold / given:.1%} of {given} intervals hold; {told} differences told, {wrong} of them wrong"
    )
    assert 0.92 < hold / given < 0.98
    assert told > 1000
    assert wrong == 0
