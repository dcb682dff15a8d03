"""Benchmarks that are ended at any moment, resumed, shared by processes, or extended: figures stay the same."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import folders
import pytest
import torch
from children import run_code, run_commands
from filelock import FileLock
from safetensors import safe_open
from safetensors.numpy import save_file

from samplerzoo import registry
from samplerzoo.bench import harness as module
from samplerzoo.bench import results, shards
from samplerzoo.bench.cell import Cell
from samplerzoo.bench.harness import BenchOptions, Harness, SuiteOutcome
from samplerzoo.bench.results import Protocol, Row
from samplerzoo.bench.shards import ShardRecord
from samplerzoo.bench.suite import Suite
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.load import ModelFolder, load
from samplerzoo.report.compare import compare
from samplerzoo.report.page import write_report
from samplerzoo.sampling.labels import IN_PROPORTION
from samplerzoo.sampling.plan import Plan
from samplerzoo.sampling.sample import sample
from samplerzoo.sampling.tuning import TuningRequest

Bench = Callable[..., SuiteOutcome]
Suites = Callable[..., Suite]

PROCESSES = 1e-4
"""By how much, relatively, a distance may differ because the images were made by two processes.

Their threads are fewer, so a convolution adds up in another order, and a pixel in many thousands rounds the other way.
"""

ROWS = [{"sampler": "ddim", "eta": [0.0, 1.0]}]


def figures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """All of a row but its speed."""
    return [row.model_dump(mode="json", exclude={"speed"}) for row in rows]


def test_a_row_has_all_that_is_needed(suite: Suites, bench: Bench, tmp_path: Path, tiny_model: Path) -> None:
    outcome = bench(suite({"sampler": "ddim", "guidance": "cfg", "guidance_scale": 2.0, "clip_x0": "static:0.5"}))
    assert not outcome.failures
    [row] = outcome.rows
    assert results.read_rows(tmp_path / "out") == [row]
    assert row.timesteps == (999, 666, 332)
    assert row.protocol.metric == "fd_pixels@20"
    assert row.protocol.model == "tiny"
    assert row.protocol.fingerprint == ModelFolder.open(tiny_model).fingerprint
    assert row.protocol.labels == IN_PROPORTION
    assert (row.protocol.reference, row.protocol.reference_images) == ("noise.safetensors", 400)
    assert (row.cost.nfe, row.cost.network_calls, row.cost.classifier_gradients) == (6, 3, 0)
    assert row.clipped is not None
    assert 0 < row.clipped < 1
    assert row.metrics.fd > 0
    assert row.metrics.floor is not None
    assert row.speed is not None
    assert row.speed.images_per_second > 0
    assert row.speed.peak_memory > 2**20
    assert (row.speed.device, row.speed.processes, row.speed.batch_size) == ("cpu", 1, 8)
    assert row.command == "samplerzoo bench"
    assert "torch" in row.versions
    assert any("fewer than the 64 features" in warning for warning in row.warnings)


def test_a_doubt_about_a_grid_is_among_the_warnings_of_its_row(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    model = folders.flow(tmp_path / "flow", channels=1)
    rows = [{"sampler": "unipc", "steps": [5, 50]}, {"sampler": "unipc", "steps": 5, "spacing": "trailing"}]
    found = bench(suite(*rows, model=str(model), images=2)).rows
    assert [[text for text in row.warnings if "strays there" in text] != [] for row in found] == [True, False, False]
    report = write_report(tmp_path / "out").read_text().partition("## Warnings")[2]
    assert "flow: the grid of its scheduler ends in a step that is far longer" in report


def test_images_are_those_of_sample(suite: Suites, bench: Bench, tmp_path: Path, tiny_model: Path) -> None:
    from samplerzoo.images import to_uint8

    [row] = bench(suite({"sampler": "ddpm", "seeds": 3})).rows
    folder = tmp_path / "out/cells" / row.cell
    assert shards.present(folder, shards.IMAGES) == [range(8), range(8, 16), range(16, 20)]
    model = load(tiny_model, device="cpu", dtype="float32")
    model = dataclasses.replace(model, class_counts=(134, 133, 133))  # the reference's: labels are as frequent as there
    expected = sample(model, "ddpm", steps=3, labels="natural", num_images=20, seed=3, batch_size=8)
    found = [shards.read_images(folder, shard) for shard in shards.present(folder, shards.IMAGES)]
    assert (
        torch.cat([torch.from_numpy(it) for it in found]).permute(0, 2, 3, 1).numpy() == to_uint8(expected.images)
    ).all()


def test_what_is_done_is_not_done_again(
    suite: Suites, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench(suite(*ROWS))
    monkeypatch.setattr(module, "timed_batches", None)  # it would fail
    monkeypatch.setattr(ModelFolder, "load", None)
    again = bench(suite(*ROWS))
    assert again.rows == first.rows
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("beside", [True, False])
def test_a_cell_is_measured_while_the_next_is_made_unless_both_want_the_same_cores(
    beside: bool, suite: Suites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, made_meanwhile = threading.Event(), []
    real_stream, real_row = module.timed_batches, Harness._row

    def stream(plan: Plan, *rest: Any) -> Iterator[Any]:
        if getattr(plan.sampler, "eta", None) == 1.0:  # of the second cell
            drawn.set()
        return real_stream(plan, *rest)

    def row(harness: Harness, cell: Cell, protocol: Protocol) -> Row:
        made_meanwhile.append(drawn.wait(timeout=60) if beside else drawn.is_set())
        return real_row(harness, cell, protocol)

    harness = Harness(suite(*ROWS), tmp_path / "out", BenchOptions(TuningRequest(batch_size=8), "cpu"))
    assert not harness._measures_beside  # on a CPU
    monkeypatch.setattr(harness, "_measures_beside", beside)
    todos = harness.estimate()
    monkeypatch.setattr(Harness, "_row", row)
    monkeypatch.setattr(module, "timed_batches", stream)
    assert len(harness.run(todos, lambda row: None).rows) == 2
    assert made_meanwhile == [beside, True]


def test_a_row_is_enough_where_the_images_are_gone(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    import shutil

    first = bench(suite(*ROWS))
    shutil.rmtree(tmp_path / "out/cells")
    assert bench(suite(*ROWS)).rows == first.rows
    assert not (tmp_path / "out/cells").exists()


def test_more_images_add_to_those_that_are_there(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    [few] = bench(suite(images=20)).rows
    folder = tmp_path / "out/cells" / few.cell
    before = {path.name: path.read_bytes() for path in folder.glob("images-*")}
    [more] = bench(suite(images=34)).rows
    assert more.cell == few.cell
    assert before.items() <= {path.name: path.read_bytes() for path in folder.glob("images-*")}.items()
    assert shards.present(folder, shards.IMAGES) == [
        range(8), range(8, 16), range(16, 20), range(20, 24), range(24, 32), range(32, 34),
    ]  # fmt: skip
    assert results.read_rows(tmp_path / "out") == [few, more]
    [fresh] = bench(suite(images=34), "fresh").rows
    assert more.metrics.fd == pytest.approx(fresh.metrics.fd, rel=PROCESSES)
    assert more.cost == fresh.cost
    [fewer] = bench(suite(images=13)).rows
    [alone] = bench(suite(images=13), "alone").rows
    assert fewer.metrics.fd == pytest.approx(alone.metrics.fd, rel=PROCESSES)
    assert fewer.protocol == alone.protocol


def test_a_cell_that_is_wanted_twice_is_made_once(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    made = suite({"sampler": "ddim", "images": 13}, {"sampler": "ddim"})
    todos = Harness(made, tmp_path / "out", BenchOptions(TuningRequest(batch_size=8), "cpu")).estimate()
    assert [todo.images for todo in todos] == [13, 7]
    few, many = bench(made).rows
    folder = tmp_path / "out/cells" / few.cell
    assert shards.present(folder, shards.IMAGES) == [range(8), range(8, 13), range(13, 16), range(16, 20)]
    assert (few.protocol.images, many.protocol.images) == (13, 20)


def test_another_metric_makes_no_image(
    suite: Suites, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(suite())
    monkeypatch.setattr(ModelFolder, "load", None)
    [row] = bench(suite(images=10)).rows
    assert row.protocol.images == 10
    [row] = bench(suite(floor="none")).rows
    assert row.metrics.floor is None
    assert len(results.read_rows(tmp_path / "out")) == 3


KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
from samplerzoo.system import files as atomic
from samplerzoo.bench.harness import Harness, BenchOptions
from samplerzoo.bench.suite import Suite
from samplerzoo.sampling.tuning import TuningRequest

torch.set_num_threads(int(sys.argv[4]))
moves, move = [], atomic._move

def dying(source, target):
    moves.append(target)
    if len(moves) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    move(source, target)

atomic._move = dying
suite = Suite(**json.loads(sys.argv[1]))
asked = TuningRequest(batch_size=8, layout="contiguous")
harness = Harness(suite, Path(sys.argv[2]), BenchOptions(asked, "cpu", "samplerzoo bench"))
harness.run(harness.estimate(), lambda row: None)
"""


def test_killed_and_started_again_equals_uninterrupted(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    """A cell has 8 files: recipe, 3 shards of images, 3 of features, and the row. It dies in the middle of one."""
    whole = bench(suite(*ROWS), "whole")
    for moment in (3, 5, 6):  # a shard of images; features of the first cell; images of the second
        words = [suite(*ROWS).model_dump_json(), tmp_path / "cut", moment, torch.get_num_threads()]
        killed = run_code(KILLED, *words)
        assert killed.codes == [-signal.SIGKILL], killed.err
    assert list((tmp_path / "cut").rglob(".partial-*"))
    cut = bench(suite(*ROWS), "cut")
    assert figures(cut.rows) == figures(whole.rows)
    assert not list((tmp_path / "cut").rglob(".partial-*"))


def test_two_processes_have_the_figures_of_one(suite: Suites, bench: Bench, tmp_path: Path, tiny_model: Path) -> None:
    made = suite(*ROWS)
    lines = [f"{name} = {getattr(made, name)!r}" for name in ("model", "features", "reference", "floor")]
    lines += ["steps = 3", "images = 20", "dtype = 'float32'", "[[rows]]", "sampler = 'ddim'", "eta = [0.0, 1.0]"]
    (tmp_path / "suite.toml").write_text("\n".join(lines))
    words = "bench suite.toml --device cpu -o two --batch-size 8 --layout contiguous"
    done = run_commands(words.split(), tmp_path, processes=2)
    assert done.codes == [0, 0], done.err
    first, second = done.out
    assert len(first.splitlines()) == 6  # the estimate, two rows, a finding, the page, and the report
    assert not second
    one, two = bench(made).rows, results.read_rows(tmp_path / "two")
    assert [row.key for row in two] == [row.key for row in one]
    for mine, other in zip(one, two, strict=True):
        assert other.metrics.fd == pytest.approx(mine.metrics.fd, rel=PROCESSES)
        assert other.cost == mine.cost
        assert other.speed is not None
        assert other.speed.processes == 2


FAILING = """
from samplerzoo import Sampler
from samplerzoo.errors import ZooError

class Failing(Sampler):
    def step(self, x, t, s, denoise, noise):
        if x.shape[-1] == 8:  # and not in the rehearsal
            raise ZooError("too large")
        return denoise(x, t).x0
"""


def test_a_cell_that_fails_stops_no_other(
    suite: Suites, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_files", {})
    (tmp_path / "failing.py").write_text(FAILING)
    registry.load_file(tmp_path / "failing.py")
    outcome = bench(suite({"sampler": ["failing", "ddim"]}))
    assert outcome.failures == ["failing, 3 steps: too large"]
    assert [row.recipe.sampler for row in outcome.rows] == ["ddim"]


def test_two_at_once_in_one_folder_are_refused(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out/.lock"), pytest.raises(ZooError, match="in use"):
        bench(suite())


def test_what_cannot_be_measured_is_refused_before_it_is_made(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "other.npz", mu=np.zeros(10), sigma=np.eye(10))
    size = r"of 10 features, and pixels gives 64 .*: it has to be of images of 8x8 in grey, as those of the model; make"
    with pytest.raises(ZooError, match=size):
        bench(suite(reference=str(tmp_path / "other.npz")))
    with pytest.raises(UsageError, match=r"no feature network: make one .*, or take --features pixels$"):
        bench(suite(features=None))
    with pytest.raises(UsageError, match=r"no reference 'nope'; they have: none; make a reference [^;]*$"):
        bench(suite(reference="nope"))
    assert not (tmp_path / "out/cells").exists()


def test_an_estimate_leaves_no_trace(suite: Suites, tmp_path: Path) -> None:
    harness = Harness(suite(*ROWS), tmp_path / "out", BenchOptions(TuningRequest(batch_size=8), "cpu"))
    first, second = harness.estimate()
    assert first.seconds > 0
    assert (first.images, first.evaluations, first.done) == (20, 60, False)
    assert second.batches == [range(8), range(8, 16), range(16, 20)]
    assert not (tmp_path / "out").exists()


WIDE = """
import torch
from samplerzoo.core.features import Features

class Wide(Features):
    @property
    def id(self):
        return "pixels, over and over"

    def load(self, device="cpu"):
        return lambda images: images.flatten(1).float().repeat(1, 5) / 255
"""


def test_memory_does_not_grow_with_the_images(
    suite: Suites, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features of 3,500 images more are 4.5 MB, which would be seen. Both counts fill several blocks."""
    import numpy as np

    from samplerzoo.metrics import reference

    monkeypatch.setattr(registry, "_files", {})
    (tmp_path / "wide.py").write_text(WIDE)
    registry.load_file(tmp_path / "wide.py")
    rows = np.random.default_rng(0).random((400, 320), dtype=np.float32)
    reference.save_reference(
        reference.make_reference([(rows, None)], "pixels, over and over", "wide"), tmp_path / "wide.safetensors"
    )
    peaks = []
    for images in (2500, 6000):
        made = suite(
            images=images, steps=1, features="wide", reference=str(tmp_path / "wide.safetensors"), floor="none",
        )  # fmt: skip
        tracemalloc.start()
        bench(made, batch_size=250)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2e6


# shards


def test_the_batches_that_complete_a_cell() -> None:
    assert shards.missing([], 5, 2) == [range(2), range(2, 4), range(4, 5)]
    assert shards.missing([range(2, 4)], 5, 2) == [range(2), range(4, 5)]
    assert shards.missing([range(3)], 8, 4) == [range(3, 4), range(4, 8)]
    assert shards.missing([range(1, 2), range(5, 6)], 8, 4) == [range(1), range(2, 4), range(4, 5), range(6, 8)]
    assert shards.missing([range(100)], 8, 4) == []


def test_speed_is_of_the_shards_that_were_made_alike() -> None:
    def made(seconds: float, batch_size: int) -> ShardRecord:
        return ShardRecord(
            calls=1, evaluations=1, gradients=0, seconds=seconds, clipped=None, peak_memory=batch_size, device="cpu",
            threads=1, processes=1, batch_size=batch_size,
        )  # fmt: skip

    found = module.speed({range(4): made(1.0, 4), range(4, 8): made(3.0, 4), range(8, 10): made(0.1, 2)})
    assert (found.images_per_second, found.peak_memory, found.batch_size) == (2.0, 4, 4)


def test_a_broken_shard_is_named(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    [row] = bench(suite()).rows
    shard = tmp_path / "out/cells" / row.cell / "images-000008-000015.safetensors"
    shard.write_bytes(b"no tensors")
    (tmp_path / "out/results.jsonl").unlink()
    outcome = bench(suite())
    assert not outcome.rows
    assert str(shard) in outcome.failures[0]
    assert "remove it" in outcome.failures[0]


def rewritten(file: Path, factor: float) -> None:
    """Change all arrays of a file, and keep all else."""
    with safe_open(file, "numpy") as content:
        facts, arrays = content.metadata(), {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    save_file({name: (values * factor).astype(values.dtype) for name, values in arrays.items()}, file, facts)


@pytest.mark.parametrize("kind", ["images", "features", "influence"])
def test_a_shard_that_was_changed_makes_no_row(suite: Suites, bench: Bench, tmp_path: Path, kind: str) -> None:
    [row] = bench(suite()).rows
    shard = next((tmp_path / "out/cells" / row.cell).rglob(f"{kind}-*"))
    rewritten(shard, 0.5)
    if kind == "influence":
        with pytest.raises(ZooError, match=f"{shard.name}: was changed after it was written; remove the line"):
            write_report(tmp_path / "out")
        return
    if kind == "images":
        for features in shard.parent.rglob("features-*"):
            features.unlink()
    outcome = bench(suite(images=34))
    assert not outcome.rows
    assert f"{shard.name}: was changed after it was written; remove it" in outcome.failures[0]
    shard.unlink()
    [mended] = bench(suite(images=34)).rows
    [fresh] = bench(suite(images=34), "fresh").rows
    assert mended.metrics.fd == pytest.approx(fresh.metrics.fd, rel=PROCESSES)


def test_a_shard_of_another_cell_makes_no_row(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    first, second = (tmp_path / "out/cells" / row.cell for row in bench(suite(*ROWS)).rows)
    shard = next(first.rglob("features-*"))
    shutil.copy(shard, second / shard.relative_to(first))
    [failure] = bench(suite(*ROWS, images=34)).failures
    assert f"was written as {'/'.join(shard.parts[-3:])}; remove it" in failure


def test_a_row_that_was_changed_is_refused(suite: Suites, bench: Bench, tmp_path: Path) -> None:
    bench(suite())
    path = tmp_path / "out/results.jsonl"
    line = json.loads(path.read_text())
    line["metrics"]["fd"] = 0.001
    path.write_text(json.dumps(line) + "\n")
    for read in (lambda: write_report(path.parent), lambda: bench(suite()), lambda: compare([path.parent])):
        with pytest.raises(
            ZooError, match=r"results\.jsonl, line 1: was changed after it was written; remove the line"
        ):
            read()
    path.write_text("")
    assert bench(suite()).rows[0].metrics.fd > 0.001
