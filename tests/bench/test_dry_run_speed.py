"""Time that a dry run of 1,000 cells takes, imports included.

`pytest -m slow tests/bench/test_dry_run_speed.py -s` shows it.
What is bounded is the time of the processor: on an idle core it is that of a clock. An AMD EPYC takes 8 to 9, half
of it to import libraries.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 10.0
SUITE = """
model = "mnist"
features = "classifier:mnist"
reference = "train"
images = 5000
steps = [5, 8, 10, 15, 20, 25, 30, 40, 50, 100]

[[rows]]
sampler = "ddim"
eta = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0]

[[rows]]
sampler = ["ddpm", "unipc", "heun", "deis", "ipndm", "dpm-solver++", "euler-ancestral", "reverse-sde",
           "probability-flow"]
guidance = "cfg"
guidance_scale = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0, 4.0, 5.0]
"""


@pytest.mark.slow
def test_a_dry_run_of_a_thousand_cells_takes_seconds(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE)
    words = ["bench", str(suite), "-o", str(tmp_path / "out"), "--dry-run"]
    before = os.times()
    done = subprocess.run([sys.executable, "-m", "samplerzoo", *words], check=True, capture_output=True, text=True)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{seconds:.2f} s of the processor, {after.elapsed - before.elapsed:.2f} s by the clock")
    assert "1,000 cells" in done.stdout
    assert seconds < SECONDS
