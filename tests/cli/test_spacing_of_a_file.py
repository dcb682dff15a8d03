"""Spacing from a plugin file: all commands know it by its name, and a recipe can make its images again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_that_of_a_file_works_in_every_command(cli, halves: Path) -> None:
    assert "  halves  " in cli("list", "--plugin", halves).out
    assert "--spacing halves:part=NUMBER  part of the time" in cli("info", "halves", "--plugin", halves).out
    words = ["--plugin", halves, "--spacing", "halves:part=0.1", "--steps", 3]
    levels = json.loads(cli("timesteps", *words, "--json").out)
    assert [level["tau"] for level in levels] == [1000, pytest.approx(100), pytest.approx(10), 0]
    assert cli("run", *words, "--num-images", 2, "-o", "images").code == 0
    recipe = json.loads(Path("images/run.json").read_text())["recipe"]
    assert recipe["spacing"] == "halves:part=0.1"
    assert [*recipe["plugins"]] == [str(halves)]
    assert cli("rerun", "images/images/000001.png", "-o", "again.png", "--plugin", halves).code == 0
    assert cli("bench", "--model", "gaussian", "--sampler", "ddim", *words, "-o", "bench").code == 0
    assert "halves:part=0.1" in Path("bench/report.md").read_text()
