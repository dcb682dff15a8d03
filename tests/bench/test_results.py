"""Results as users read them: a frame with a row a line and a column a field."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pandas import Series

from samplerzoo import bench
from samplerzoo.bench.results import append_rows, read_rows
from samplerzoo.errors import UsageError, ZooError

REPORTS = sorted(path.parent for path in Path(__file__).parents[2].glob("benchmarks/reports/*/results.jsonl"))


@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: folder.name)
def test_a_row_a_line_and_a_column_a_field(folder: Path) -> None:
    found = bench.frame(folder)
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(found) == len(lines)
    measured = [line for line in lines if "metrics" in line]
    assert found.get("metrics.fd", Series(dtype=float)).dropna().tolist() == [
        line["metrics"]["fd"] for line in measured
    ]
    assert found["timesteps"].tolist() == [line["timesteps"] for line in lines]
    assert {"cell", "recipe.sampler_options.eta", "cost.nfe", "versions.torch"} <= {*found.columns}
    etas = [line["recipe"]["sampler_options"].get("eta") for line in lines]
    assert found["recipe.sampler_options.eta"].notna().tolist() == [eta is not None for eta in etas]
    assert found["recipe.sampler_options.eta"].dropna().tolist() == [eta for eta in etas if eta is not None]


@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: folder.name)
def test_fields_keep_the_order_of_the_file(folder: Path) -> None:
    """The columns of results.csv, which was committed with the rows, are those of the frame."""
    with (folder / "results.csv").open() as file:
        head = next(csv.reader(file))
    assert [*bench.frame(folder).columns] == head


@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_rows_are_added_in_the_place_of_half_a_row(tmp_path: Path, end: str) -> None:
    file = tmp_path / "results.jsonl"
    first, second, *_ = (REPORTS[0] / "results.jsonl").read_text().splitlines()
    file.write_text(f"{first}\n{second[:200]}{end}")
    rows = read_rows(tmp_path)
    assert len(rows) == 1
    append_rows(tmp_path, read_rows(REPORTS[0])[1:])
    assert read_rows(tmp_path) == read_rows(REPORTS[0])


def test_a_folder_without_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rows of a benchmark"):
        bench.frame(str(tmp_path))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("metrics", {"label_accuracy": -1.0}, r"metrics\.label_accuracy"),
        ("metrics", {"precision": 1.5}, r"metrics\.precision"),
        ("metrics", {"fd_se": -0.1}, r"metrics\.fd_se"),
        ("error", {"low": 0.2, "mean": 0.1, "high": 0.3}, r"mean is 0\.1, outside of its interval from 0\.2 to 0\.3"),
        ("error", {"mean": 0.1, "low": 0.05, "high": None}, r"the interval of mean has one end"),
    ],
)
def test_figures_that_cannot_be_are_refused(
    tmp_path: Path, part: str, change: dict[str, float | None], said: str
) -> None:
    folder = next(folder for folder in REPORTS if folder.name == "mnist-steps-vs-fd")
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    line = next(line for line in lines if part in line and line[part].get("mean", 0.0) is not None)
    del line["digest"]  # of a hand that knows no better
    (tmp_path / "results.jsonl").write_text(json.dumps(line | {part: line[part] | change}) + "\n")
    with pytest.raises(ZooError, match=said):
        read_rows(tmp_path)


def test_the_import_is_cheap() -> None:
    code = "import sys, samplerzoo.bench; assert 'pandas' not in sys.modules; assert callable(samplerzoo.bench.frame)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bench.nothing  # noqa: B018
