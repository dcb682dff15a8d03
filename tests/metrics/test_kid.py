from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from samplerzoo.metrics import kid
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.kid import kernel_distance, squared_mmd


def features(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, 5)) + shift).astype(np.float32)


@pytest.mark.filterwarnings("ignore:Metric .Kernel Inception Distance. will save all extracted features:UserWarning")
def test_it_is_the_distance_of_torchmetrics() -> None:
    """Compare where a subset is the whole set, since torchmetrics draws its subsets from torch's global state."""
    fake, real = features(0, 60, 0.3), features(1, 60)
    theirs = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=60)
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(fake), real=False)
    ours, spread = kernel_distance(Rows([fake]), Rows([real]))
    assert ours == pytest.approx(theirs.compute()[0].item(), rel=1e-4)  # theirs is computed in float32
    assert spread == pytest.approx(0, abs=1e-12)


def test_it_is_the_sum_over_pairs() -> None:
    x, y = features(0, 4, 1.0).astype(np.float64), features(1, 4).astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 5 + 1) ** 3

    pairs = [(i, j) for i in range(4) for j in range(4)]
    within = sum(kernel(z[i], z[j]) / 12 for z in (x, y) for i, j in pairs if i != j)
    across = sum(kernel(x[i], y[j]) / 16 for i, j in pairs)
    assert squared_mmd(x, y) == pytest.approx(within - 2 * across, rel=1e-12)


def test_it_has_no_bias() -> None:
    """Check that small sets of one distribution have mean distance zero. The biased estimator is far off."""
    found = [squared_mmd(features(2 * k, 10), features(2 * k + 1, 10)) for k in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / len(found) ** 0.5


def test_its_subsets_are_no_larger_than_a_set_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = Rows([features(0, 3)]), Rows([features(1, 50)])
    assert kernel_distance(few, many) == kernel_distance(few, many)
    monkeypatch.setattr(kid, "SUBSET", 20)
    mean, spread = kernel_distance(Rows([features(2, 50, 2.0)]), many)
    assert mean > 0
    assert spread > 0
