from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

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


def test_rows_of_different_widths_are_refused() -> None:
    with pytest.raises(ZooError, match="features of 2, 3 dimensions in one set"):
        Rows([np.zeros((2, 3), np.float32), np.zeros((2, 2), np.float32)])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"x")
    with pytest.raises(ZooError, match=r"x\.safetensors: cannot be read"):
        Rows([tmp_path / "x.safetensors"])


def test_features_of_another_precision_are_refused(tmp_path: Path) -> None:
    save_file({"features": TABLE.astype(np.float64)}, tmp_path / "x.safetensors")
    with pytest.raises(ZooError, match=r"x\.safetensors: features in F64, not in F32"):
        Rows([tmp_path / "x.safetensors"])


def test_files_are_mapped_and_not_read(tmp_path: Path) -> None:
    """Read one block of a file of 40 MB: memory holds no more than that block."""
    write_features(tmp_path / "x.safetensors", np.zeros((100_000, 100), np.float32))
    tracemalloc.start()
    first = next(Rows([tmp_path / "x.safetensors"]).blocks())
    assert first.shape == (feature_files.BLOCK, 100)
    assert float(first.sum()) == 0
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
