from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samplerzoo.errors import ZooError
from samplerzoo.metrics import feature_files
from samplerzoo.metrics.feature_files import Rows, write_features

TABLE = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


def spread(folder: Path, cuts: list[int]) -> Rows:
    """Split the table at these rows, with every other part in a file and the rest in memory."""
    parts = np.split(TABLE, sorted(cuts))
    for number, part in enumerate(parts):
        write_features(folder / f"{number}.safetensors", part)
    return Rows([part if number % 2 else folder / f"{number}.safetensors" for number, part in enumerate(parts)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 40), max_size=4), block=st.integers(1, 50))
def test_rows_are_the_same_however_they_are_spread(tmp_path: Path, cuts: list[int], block: int) -> None:
    found = spread(tmp_path, cuts)
    assert (len(found), found.dimensions) == TABLE.shape
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_files, "BLOCK", block)
        blocks = list(found.blocks())
    assert [len(each) for each in blocks[:-1]] == [block] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks), TABLE)
    order = np.random.default_rng(block).permutation(40)[:17]
    np.testing.assert_array_equal(found.take(order), TABLE[order])


def test_rows_of_different_widths_are_refused() -> None:
    with pytest.raises(ZooError, match="features of 2, 3 dimensions in one set"):
        Rows([np.zeros((2, 3), np.float32), np.zeros((2, 2), np.float32)])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"x")
    with pytest.raises(ZooError, match=r"x\.safetensors: cannot be read"):
        Rows([tmp_path / "x.safetensors"])
