from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from samplerzoo.metrics import feature_files
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.influence import standard_error
from samplerzoo.metrics.kid import kernel_distance, kernel_sums


def features(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, 5)) + shift).astype(np.float32)


def distance(fake: np.ndarray, real: np.ndarray) -> float:
    return kernel_distance(Rows([fake]), Rows([real])).value


@pytest.mark.filterwarnings("ignore:Metric .Kernel Inception Distance. will save all extracted features:UserWarning")
def test_it_is_the_distance_of_torchmetrics() -> None:
    """Compare where a subset is the whole set, since torchmetrics draws its subsets from torch's global state."""
    fake, real = features(0, 60, 0.3), features(1, 60)
    theirs = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=60)
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(fake), real=False)
    assert distance(fake, real) == pytest.approx(theirs.compute()[0].item(), rel=1e-4)  # theirs is in float32


def test_it_is_the_mean_over_pairs_of_sets_of_any_size() -> None:
    x, y = features(0, 4, 1.0).astype(np.float64), features(1, 7).astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 5 + 1) ** 3

    within = [np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)]
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert distance(features(0, 4, 1.0), features(1, 7)) == pytest.approx(sum(within) - 2 * across, rel=1e-6)


def test_it_has_no_bias() -> None:
    """Check that small sets of one distribution have mean distance zero. The biased estimator is far off."""
    found = [distance(features(2 * k, 10), features(2 * k + 1, 10)) for k in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / len(found) ** 0.5


def test_it_does_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, real = Rows([features(0, 50, 0.5)]), Rows([features(1, 70)])
    whole = kernel_distance(fake, real)
    monkeypatch.setattr(feature_files, "BLOCK", 13)
    blocks = kernel_distance(fake, real, kernel_sums(real, None))
    assert blocks.value == pytest.approx(whole.value, rel=1e-12)
    np.testing.assert_allclose(blocks.influence, whole.influence, rtol=1e-10)


def test_influence_is_what_an_image_does_to_it() -> None:
    """Leave each image out in turn: the distance changes by its influence over the count, to first order."""
    fake, real = features(0, 300, 0.5), features(1, 200)
    found = kernel_distance(Rows([fake]), Rows([real]))
    for i in (0, 17, 299):
        without = distance(np.delete(fake, i, axis=0), real)
        assert (found.value - without) * 299 == pytest.approx(found.influence[i], rel=0.02, abs=0.02)


def test_its_error_is_that_of_many_sets() -> None:
    """Measure 400 pairs of sets: their deviation is known to 3.5%, and the mean of the errors much better."""
    sets = [(features(2 * k, 200, 0.4), features(2 * k + 1, 300)) for k in range(400)]
    found = [kernel_distance(Rows([fake]), Rows([real])) for fake, real in sets]
    error = np.mean([np.hypot(standard_error(each.influence, None), each.real_error) for each in found])
    assert error == pytest.approx(np.std([each.value for each in found]), rel=0.12)
