"""The committed reports are what their own commands make."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from samplerzoo.bench.results import read_some
from samplerzoo.cli import main

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "benchmarks" / "reports"
WITHOUT = r"exact\.toml|gaussian\.toml|autoguidance\.toml"
"""Suites that need data or a model that are not committed, or draw no images."""


def commands() -> list[Any]:
    """Return each command of the committed reports, with its folder and the dtype of the rows that it made."""
    found = {}
    for results in sorted(REPORTS.glob("*/results.jsonl")):
        for row in read_some(results.parent):
            if not re.search(WITHOUT, row.command or WITHOUT):
                found.setdefault((results.parent, row.command), set()).add(row.recipe.dtype)
    return [pytest.param(folder, command, dtypes, id=f"{folder.name}-{k}")
            for k, ((folder, command), dtypes) in enumerate(found.items())]  # fmt: skip


@pytest.mark.parametrize(("folder", "command", "dtypes"), commands())
def test_a_report_has_all_that_its_command_makes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    folder: Path,
    command: str,
    dtypes: set[str],
) -> None:
    words = shlex.split(command)
    assert words[:2] == ["samplerzoo", "bench"]
    assert words[-2:] == ["-o", folder.relative_to(ROOT).as_posix()]
    monkeypatch.chdir(ROOT)
    copy = shutil.copytree(folder, tmp_path / "copy")
    named = len(dtypes) > 1 or "--dtype" in words
    dtype = [] if named else ["--dtype", *dtypes]  # what `auto` means depends on the machine
    assert main([*words[1:-2], "-o", str(copy), *dtype, "--dry-run"]) == 0
    assert "; 0 images and 0 network evaluations to make" in capsys.readouterr().out
