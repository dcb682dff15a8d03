"""A command that is killed at any moment and started again ends like one that was never killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kills import CASES

KILLS = Path(__file__).with_name("kills.py")


def kill(*words: str) -> None:
    done = subprocess.run([sys.executable, str(KILLS), *words], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    for line in done.stdout.splitlines():
        found = json.loads(line)
        assert found["kills"], found
        assert not found["failures"], found
    assert done.returncode == 0, done.stderr


def test_killed_at_some_operations() -> None:
    kill("--every", "29", "train, finished and resumed", "run, more images", "ref")


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES])
def test_killed_at_every_operation(case: str) -> None:
    kill(case)
