import os
import subprocess
import sys

import pytest
from children import run_code

from samplerzoo import cli
from samplerzoo.system import memory as heap
from samplerzoo.system.memory import peak_memory, reset_peak

TOUCHED = """
import resource
import statistics
import torch
from samplerzoo.system import memory as heap

kept = {keep}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def round():
    before = faults()
    for size in (3, 12, 40):
        torch.ones(size * 2**18)
    return faults() - before
print(kept, statistics.median(round() for _ in range(21)))
"""
PAGES = (3 + 12 + 40) * 2**20 / 4096


def faults(keep: str, **environment: str) -> tuple[str, float]:
    """Return what `keep` printed, and the page faults of a round on memory that the rounds before it freed.

    That is the median of 21: the first rounds take new memory, and how many do depends on where the interpreter's own
    blocks happen to lie between those of torch.
    """
    done = subprocess.run(
        [sys.executable, "-c", TOUCHED.format(keep=keep)], check=True, capture_output=True, text=True,
        env={"PATH": "", "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    kept, count = done.stdout.split()
    return kept, float(count)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_freed_memory_is_kept():
    kept, after = faults("heap.keep_freed_memory()")
    assert kept == "True"
    assert after < 0.02 * PAGES  # a few come from the interpreter
    _, without = faults("None")
    assert without > 0.2 * PAGES  # without it at least the largest block is returned each time


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
@pytest.mark.parametrize(
    "variable", [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")]
)
def test_a_setting_of_the_user_is_left_as_it_is(monkeypatch, variable):
    monkeypatch.setattr(heap.ctypes, "CDLL", None)  # which would set it
    monkeypatch.setenv(*variable)
    assert heap.keep_freed_memory() is False


@pytest.mark.parametrize("libc", [object(), None])
def test_a_system_without_mallopt_is_left_as_it_is(monkeypatch, libc):
    if libc is None:
        monkeypatch.setattr(heap.sys, "platform", "darwin")
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: libc)
    assert heap.keep_freed_memory() is False


def test_the_command_line_asks_for_it(monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: asked.append(True))
    cli.main(["--version"])
    assert asked


def test_the_peak_is_that_since_it_was_reset():
    """In a process of its own: memory that this one has freed and kept would hide what is taken."""
    code = """
import torch
from samplerzoo.system.memory import peak_memory, reset_peak
torch.ones(2**26)
reset_peak("cpu")
before = peak_memory("cpu")
torch.ones(2**24)  # 64 MiB
print(before, peak_memory("cpu") - before)
"""
    before, taken = map(int, run_code(code).out[0].split())
    assert before > 2**20
    assert taken > 2**25


def test_a_system_without_proc_tells_its_peak_too(monkeypatch, tmp_path):
    monkeypatch.setattr(heap, "CLEAR_REFS", tmp_path / "none" / "clear_refs")
    monkeypatch.setattr(heap, "STATUS", tmp_path / "status")
    reset_peak("cpu")
    assert peak_memory("cpu") > 2**20
