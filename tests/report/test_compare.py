"""Comparison of benchmarks: rows that share a table, and sentences about the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from synthetic import influence, protocol, row, sure

from samplerzoo.bench.evidence import collect, gather_folders, of_folder
from samplerzoo.bench.results import Row, append_rows
from samplerzoo.errors import UsageError
from samplerzoo.report.compare import compare
from samplerzoo.report.page import write_report


def table(folders: dict[str, list[Row]], root: Path) -> list[str]:
    for name, rows in folders.items():
        (root / name).mkdir(exist_ok=True)
        append_rows(root / name, rows)
    text = compare([root / name for name in folders]).replace(f"{root}/", "")
    return [line.strip("| ") for line in text.splitlines() if line and not line.startswith("| :--")]


def test_one_protocol(tmp_path: Path) -> None:
    rows = [sure(row("ddim", steps, fd), 0.1) for steps, fd in ((5, 4.0), (10, 2.0))]
    found = table({"old": rows, "new": [sure(row("ddim", 10, 1.5, cell="other"), 0.1)]}, tmp_path)
    assert found == [
        "mnist, fd_mnist@2000",
        "steps | NFE | old | new | change",
        "ddim | 5 | 5 | 4.00 ± 0.20 | – | –",
        "ddim | 10 | 10 | 2.00 ± 0.20 | 1.50 ± 0.20 | -0.50 ± 0.28",
    ]


def test_a_change_is_image_by_image_where_the_cells_are_there(tmp_path: Path) -> None:
    old, new = sure(row("ddim", 5, 4.0), 0.3), sure(row("ddim", 5, 3.9, cell="other"), 0.3)
    rows = {"old": [old], "new": [new]}
    for number, (name, own) in enumerate(rows.items()):
        influence(tmp_path / name, own, 0.3, 0.01, number)
    assert table(rows, tmp_path)[-1].startswith("ddim | 5 | 5 | 4.00 ± 0.59 | 3.90 ± 0.59 | -0.100 ± 0.0")


def test_the_figure_of_a_row_is_that_of_the_report(tmp_path: Path) -> None:
    """A row with three seeds beside rows with one: both show the mean of the three."""
    old = [sure(row("ddim", 5, fd, seed=seed), 0.1) for seed, fd in enumerate([1.0, 2.0, 6.0])]
    one = sure(row("unipc", 5, 2.0), 0.1)
    found = table({"old": [*old, one], "new": [sure(row("ddim", 5, 3.0, seed=1), 0.1)]}, tmp_path)
    assert found[2] == "ddim | 5 | 5 | 3.00 ± 0.11 | 3.00 ± 0.20 | 0.00 ± 0.23"
    assert "| ddim | 3.00 ± 0.11 |" in write_report(tmp_path / "old").read_text()


def test_the_same_cells_do_not_differ_by_chance(tmp_path: Path) -> None:
    rows = [sure(row("ddim", 5, 1.0), 0.1)]
    assert table({"old": rows, "new": rows}, tmp_path)[-1].endswith("| 1.00 ± 0.20 | 1.00 ± 0.20 | 0")


def test_a_cell_of_two_versions_is_compared_with_itself(tmp_path: Path) -> None:
    """The cell of an edited sampler has the same name, and other images from the same noise."""
    rows = {"old": [sure(row("ddim", 5, 4.0), 0.3)], "new": [sure(row("ddim", 5, 3.9), 0.31)]}
    for number, (name, own) in enumerate(rows.items()):
        influence(tmp_path / name, own, 0.3, 0.01, number)
    assert table(rows, tmp_path)[-1].startswith("ddim | 5 | 5 | 4.00 ± 0.59 | 3.90 ± 0.61 | -0.100 ± 0.0")


def test_a_change_is_image_by_image_where_a_folder_has_kept_its_covariances(tmp_path: Path) -> None:
    """Two rows of one folder, whose cells are deleted, beside a folder with another one."""
    rows = [sure(row(name, 5, fd), 0.3) for name, fd in (("ddim", 4.0), ("unipc", 3.9))]
    influence(tmp_path / "old", rows, 0.3, 0.01)
    append_rows(tmp_path / "old", rows)
    own = collect(tmp_path / "old", rows)[protocol()]
    shutil.rmtree(tmp_path / "old" / "cells")
    (found,) = gather_folders([(tmp_path / "old", found) for found in rows]).values()
    named = [of_folder(tmp_path / "old", found).cell for found in rows]
    assert (found.between("fd", named) == own.between("fd", [found.cell for found in rows])).all()


def test_protocols_apart(tmp_path: Path) -> None:
    other, third = protocol(images=500), protocol(images=500, reference="test", reference_id="0" * 16)
    rows = [row("ddim", 5, 4.0), row("ddim", 5, 5.0, under=other)]
    found = table({"old": rows, "new": [row("ddim", 5, 9.0, under=third)], "newest": rows[:1]}, tmp_path)
    assert found == [
        "Protocol 1: mnist, fd_mnist@2000",
        "steps | NFE | old | newest | change",
        "ddim | 5 | 5 | 4.000 | 4.000 | 0",
        "Protocol 2: mnist, fd_mnist@500",
        "steps | NFE | old",
        "ddim | 5 | 5 | 5.000",
        "Protocol 3: mnist, fd_mnist@500",
        "steps | NFE | new",
        "ddim | 5 | 5 | 9.000",
        "Protocol 2 cannot be compared with protocol 1: images 500, not 2000.",
        "Protocol 3 cannot be compared with protocol 2: reference test, not train; "
        "reference_id 0000000000000000, not fedcba9876543210.",
    ]


def test_a_folder_without_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rows of a benchmark; `samplerzoo bench -o"):
        compare([tmp_path])
