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
from samplerzoo.errors import UsageError

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


def test_a_folder_without_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rows of a benchmark"):
        bench.frame(str(tmp_path))


def test_the_import_is_cheap() -> None:
    code = "import sys, samplerzoo.bench; assert 'pandas' not in sys.modules; assert callable(samplerzoo.bench.frame)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bench.nothing  # noqa: B018
