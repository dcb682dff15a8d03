"""Benchmarks beside each other: what stands in one table, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import protocol, row

from samplerzoo.bench.results import Row, append_rows
from samplerzoo.errors import UsageError
from samplerzoo.report.compare import compare


def table(folders: dict[str, list[Row]], root: Path) -> list[str]:
    for name, rows in folders.items():
        (root / name).mkdir()
        append_rows(root / name, rows)
    text = compare([root / name for name in folders]).replace(f"{root}/", "")
    return [line.strip("| ") for line in text.splitlines() if line and not line.startswith("| :--")]


def test_one_protocol(tmp_path: Path) -> None:
    found = table({"old": [row("ddim", 5, 4.0), row("ddim", 10, 2.0)], "new": [row("ddim", 10, 1.5)]}, tmp_path)
    assert found == [
        "mnist, fd_mnist@2000",
        "steps | old | new | change",
        "ddim | 5 | 4.000 | – | –",
        "ddim | 10 | 2.000 | 1.500 | -25.0%",
    ]


def test_seeds_that_all_have(tmp_path: Path) -> None:
    old = [row("ddim", 5, fd, seed=seed) for seed, fd in enumerate([1.0, 2.0, 6.0])]
    found = table({"old": old, "new": [row("ddim", 5, 3.0, seed=1)]}, tmp_path)
    assert found[-1] == "ddim | 5 | 2.000 ± 2.646 | 3.000 | +50.0%"  # the mean of seed 1, the deviation of all


def test_protocols_apart(tmp_path: Path) -> None:
    other, third = protocol(images=500), protocol(images=500, reference="test", reference_id="0" * 16)
    rows = [row("ddim", 5, 4.0), row("ddim", 5, 5.0, under=other)]
    found = table({"old": rows, "new": [row("ddim", 5, 9.0, under=third)], "newest": rows[:1]}, tmp_path)
    assert found == [
        "Protocol 1: mnist, fd_mnist@2000",
        "steps | old | newest | change",
        "ddim | 5 | 4.000 | 4.000 | +0.0%",
        "Protocol 2: mnist, fd_mnist@500",
        "steps | old",
        "ddim | 5 | 5.000",
        "Protocol 3: mnist, fd_mnist@500",
        "steps | new",
        "ddim | 5 | 9.000",
        "Protocol 2 cannot be compared with protocol 1: images 500, not 2000.",
        "Protocol 3 cannot be compared with protocol 2: reference test, not train; "
        "reference_id 0000000000000000, not fedcba9876543210.",
    ]


def test_a_folder_without_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rows of a benchmark; `samplerzoo bench -o"):
        compare([tmp_path])
