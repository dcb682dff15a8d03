"""Untrusted array files: one clear line for whatever is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from samplerzoo.errors import ZooError
from samplerzoo.trust.arrays import Expected, read_array, read_arrays, save_arrays

GOOD = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)


@pytest.mark.parametrize(
    "expected",
    [
        Expected((2, 2)),
        Expected((None, 2), 0),
        Expected((2, None), 0, 3),
        Expected((2, 2), known=False),
    ],
)
def test_what_is_expected_is_read(tmp_path: Path, expected: Expected) -> None:
    save_file({"x": GOOD}, tmp_path / "f.safetensors")
    assert np.array_equal(read_array(tmp_path / "f.safetensors", "x", expected), GOOD)


@pytest.mark.parametrize(
    ("values", "expected", "fault"),
    [
        (GOOD, Expected((2,)), r"shape \(2, 2\), not \(2\)"),
        (GOOD, Expected((3, None)), r"not \(3, any\)"),
        (GOOD, Expected((2, 2), 1), r"outside of \[1, inf\]"),
        (GOOD, Expected((2, 2), whole=True), "float32, not whole numbers"),
        (GOOD > 1, Expected((2, 2)), "bool"),
        (GOOD * np.nan, Expected((2, 2)), "NaN or infinity"),
        (np.full((2, 2), np.inf), Expected((2, 2), known=False), "NaN or infinity"),
    ],
)
def test_anything_else_is_told_with_file_name_and_way_out(tmp_path, values, expected: Expected, fault: str) -> None:
    file = tmp_path / "f.safetensors"
    save_file({"x": values}, file)
    with pytest.raises(ZooError, match=rf"f.safetensors: x: .*{fault}.*; remove it"):
        read_array(file, "x", expected)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 64])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "f.safetensors"
    file.write_bytes(content)
    with pytest.raises(ZooError, match=r"cannot be read.*; remove it"):
        read_array(file, "x", Expected((None,)))


def test_an_array_that_is_missing(tmp_path: Path) -> None:
    save_file({"x": GOOD}, tmp_path / "f.safetensors")
    with pytest.raises(ZooError, match=r"holds no y; remove it"):
        read_array(tmp_path / "f.safetensors", "y", Expected((None,)))


def test_what_is_kept_shows_that_it_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "f.safetensors"
    save_arrays(file, {"x": GOOD}, {"of": "a"})
    arrays, facts = read_arrays(file, "take a copy")
    assert np.array_equal(arrays["x"], GOOD)
    assert facts == {"of": "a"}
    with safe_open(file, framework="numpy") as content:
        record = content.metadata()
    other = {name: value.replace('"of": "a"', '"of": "b"') for name, value in record.items()}
    for changed, own in (({"x": GOOD[::-1].copy()}, record), ({"x": GOOD}, other), ({}, record)):
        save_file(changed, file, own)
        with pytest.raises(ZooError, match=r"f\.safetensors: was changed after it was written; take a copy"):
            read_arrays(file, "take a copy")
    save_file({"x": GOOD}, file)
    assert np.array_equal(read_arrays(file, "")[0]["x"], GOOD)  # of an earlier version, without a digest


def test_equal_arrays_and_facts_make_equal_files(tmp_path: Path) -> None:
    """Make twenty files, which would not be equal by chance: safetensors writes any of several keys first."""
    files = [tmp_path / f"{index}.safetensors" for index in range(20)]
    for file in files:
        save_arrays(file, {"x": GOOD}, {"of": "a", "place": "b", "made": "c"})
    assert len({file.read_bytes() for file in files}) == 1


def test_a_file_of_an_earlier_version_has_its_facts_beside_the_digest(tmp_path: Path) -> None:
    file = tmp_path / "f.safetensors"
    save_arrays(file, {"x": GOOD}, {"of": "a"})
    with safe_open(file, framework="numpy") as content:
        facts = json.loads(content.metadata()["facts"])
    save_file({"x": GOOD}, file, facts)
    assert read_arrays(file)[1] == {"of": "a"}
    save_file({"x": GOOD}, file, {**facts, "of": "b"})
    with pytest.raises(ZooError, match="was changed"):
        read_arrays(file)
