"""Errors of images: from a folder to a ranked report in one command, resumed, extended, and shared by rows."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from samplerzoo import load, sample
from samplerzoo.bench import results, shards
from samplerzoo.bench.error import CONVERGED, read_converged
from samplerzoo.bench.estimate import Remaining, Solving
from samplerzoo.bench.harness import BenchOptions, Harness, SuiteOutcome
from samplerzoo.bench.image_errors import ERRORS, errors_of
from samplerzoo.bench.suite import Suite, parse_suite
from samplerzoo.cli import main
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.load import ModelFolder
from samplerzoo.report.page import write_report
from samplerzoo.sampling import convergence
from samplerzoo.sampling.tuning import TuningRequest


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve a random network in few steps: it is about the files here, and not about the figures."""
    monkeypatch.setattr(convergence, "FIRST_STEPS", 8)
    monkeypatch.setattr(convergence, "MOST_STEPS", 16)


def suite_of(model: object, *rows: dict[str, object], **header: object) -> Suite:
    content = {"model": str(model), "metrics": ["error"], "images": 10, "steps": 3, **header}
    return parse_suite({**content, "rows": list(rows) or [{"sampler": "ddim"}]}, "suite")


def run(suite: Suite, folder: Path) -> SuiteOutcome:
    harness = Harness(suite, folder, BenchOptions(TuningRequest(batch_size=4), "cpu"))
    return harness.run(harness.estimate(), lambda row: None)


def test_errors_are_distances_of_images_to_the_converged_ones(tiny_model: Path, tmp_path: Path) -> None:
    keys = {"sampler": "ddim", "guidance": "cfg", "guidance_scale": 2.0, "seeds": 3, "class_labels": "0-2"}
    [row] = run(suite_of(tiny_model, keys), tmp_path / "out").rows
    assert row.error is not None
    assert row.error.solution is not None
    model = load(tiny_model, device="cpu", dtype="float32")
    drawn = sample(
        model, "ddim", steps=3, seed=3, labels="0-2", num_images=10, batch_size=4, guidance="cfg", guidance_scale=2.0
    ).images
    expected = read_converged(tmp_path / "out" / CONVERGED / row.error.solution, range(10))
    rmse = np.sqrt(np.square(drawn.numpy() - expected).mean(axis=(1, 2, 3)))
    errors = errors_of(tmp_path / "out", row.cell, row.error.solution, 10)
    np.testing.assert_allclose(errors, rmse, rtol=1e-5)
    assert row.error.mean == pytest.approx(rmse.mean(), rel=1e-6)
    assert row.error.low is not None
    assert row.error.high is not None
    assert row.error.low < row.error.mean < row.error.high
    assert row.protocol.metric == "error@10"


def test_rows_share_a_solution_if_noise_labels_guidance_and_clip_are_theirs(tiny_model: Path, tmp_path: Path) -> None:
    rows = [
        {"sampler": ["ddim", "unipc"], "steps": [2, 3], "spacing": "karras"},
        {"sampler": "ddim", "dtype": ["float32", "bfloat16"]},
        {"sampler": "ddim", "seeds": 1},
        {"sampler": "ddim", "clip_x0": "static"},
        {"sampler": "ddim", "class_labels": "0"},
        {"sampler": "ddim", "guidance": "cfg", "guidance_scale": [2.0, 3.0]},
        {"sampler": "ddim", "guidance": "cfg", "guidance_scale": 3.0, "guidance_low": 0.5},
    ]
    found = run(suite_of(tiny_model, *rows), tmp_path / "out").rows
    names = [row.error and row.error.solution for row in found]
    assert len({*names}) == 7
    usual = [row.error and row.error.solution for row in found if row.recipe.spacing == "karras"]
    assert len({*usual}) == 1
    assert names.count(usual[0]) == 6
    targets = {row.error and row.error.solution: row.protocol.target for row in found if not row.recipe.seed}
    assert len({*targets.values()}) == len(targets) - 1  # that with class 0 has other labels, as its protocol says


def test_what_is_done_is_not_done_again(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(suite_of(tiny_model), tmp_path / "out")
    monkeypatch.setattr(ModelFolder, "load", None)  # it would fail
    assert run(suite_of(tiny_model), tmp_path / "out").rows == first.rows


def test_what_is_measured_needs_its_solution_no_longer(tiny_model: Path, tmp_path: Path) -> None:
    """A row of errors stays when another metric has to draw the images again."""
    rows = np.random.default_rng(0).random((400, 64))
    np.savez(tmp_path / "noise.npz", mu=rows.mean(axis=0), sigma=np.cov(rows.T))
    both = {"metrics": ["fd", "error"], "features": "pixels", "reference": str(tmp_path / "noise.npz")}
    first = run(suite_of(tiny_model, **both), tmp_path / "out").rows
    for folder in ("cells", CONVERGED):
        shutil.rmtree(tmp_path / "out" / folder)
    file = tmp_path / "out" / results.RESULTS_FILE
    file.write_text("".join(line for line in file.read_text().splitlines(True) if '"error": {' in line))
    again = run(suite_of(tiny_model, **both), tmp_path / "out")
    assert not again.failures
    assert again.rows[1] == first[1]
    assert not (tmp_path / "out" / CONVERGED).exists()


def test_an_interrupted_suite_goes_on_with_the_same_figures(tiny_model: Path, tmp_path: Path) -> None:
    [whole] = run(suite_of(tiny_model), tmp_path / "out").rows
    assert whole.error is not None
    assert whole.error.solution is not None
    for folder, kind in ((CONVERGED, CONVERGED), (f"cells/{whole.cell}", ERRORS), (f"cells/{whole.cell}", "images")):
        shutil.copytree(tmp_path / "out", tmp_path / kind)
        (tmp_path / kind / results.RESULTS_FILE).unlink()
        inner = "" if kind == "images" else whole.error.solution
        shards.path(tmp_path / kind / folder / inner, kind, range(4, 8)).unlink()
        [again] = run(suite_of(tiny_model), tmp_path / kind).rows
        assert again.error is not None
        assert again.error.mean == pytest.approx(whole.error.mean, rel=1e-4)


def test_more_images_add_to_those_that_are_there(tiny_model: Path, tmp_path: Path) -> None:
    [few] = run(suite_of(tiny_model), tmp_path / "out").rows
    [more] = run(suite_of(tiny_model, images=14), tmp_path / "out").rows
    [fresh] = run(suite_of(tiny_model, images=14), tmp_path / "fresh").rows
    assert few.cell == more.cell
    assert more.error is not None
    assert fresh.error is not None
    assert more.error.mean == pytest.approx(fresh.error.mean, rel=1e-4)
    [fewer] = run(suite_of(tiny_model, images=5), tmp_path / "out").rows
    assert fewer.error is not None
    errors = errors_of(tmp_path / "out", few.cell, fewer.error.solution or "", 5)
    assert fewer.error.mean == pytest.approx(errors.mean())


def test_images_that_lie_in_8_bits_are_drawn_again_for_their_errors(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).random((400, 64))
    np.savez(tmp_path / "noise.npz", mu=rows.mean(axis=0), sigma=np.cov(rows.T))
    measured = {"features": "pixels", "reference": str(tmp_path / "noise.npz"), "dtype": "float32", "clip_x0": "static"}
    [alone] = run(suite_of(tiny_model, metrics=["fd"], **measured), tmp_path / "out").rows
    before = {path: path.read_bytes() for path in (tmp_path / "out" / "cells").rglob("images-*")}
    both = run(
        suite_of(tiny_model, {"sampler": ["ddim", "ddpm"]}, metrics=["fd", "error"], **measured), tmp_path / "out"
    ).rows
    assert len(both) == 4
    assert both[0] == alone
    assert (both[1].cell, both[1].metrics) == (alone.cell, None)
    assert both[1].error is not None
    assert both[1].error.mean is not None
    assert before.items() <= {p: p.read_bytes() for p in (tmp_path / "out" / "cells").rglob("images-*")}.items()
    [plain] = run(suite_of(tiny_model, clip_x0="static"), tmp_path / "plain").rows
    assert plain.error is not None
    assert plain.error.mean == pytest.approx(both[1].error.mean, rel=1e-4)
    # pixels from 0 to 1 as features: half of the root mean square times the root of their number, but for 8 bits
    assert both[1].error.features_mean == pytest.approx(both[1].error.mean * 4, rel=0.3)
    assert [row.error and row.error.mean for row in both[2:]] == [None, None]
    assert "fd_pixels@10" in write_report(tmp_path / "out").read_text()


def test_a_report_needs_the_cells_no_longer(tiny_model: Path, tmp_path: Path) -> None:
    run(suite_of(tiny_model, {"sampler": ["ddim", "unipc"]}, images=64), tmp_path / "out")
    first = write_report(tmp_path / "out").read_text()
    shutil.rmtree(tmp_path / "out" / "cells")
    assert "image by image" in first
    assert write_report(tmp_path / "out").read_text() == first


def test_a_few_images_rank_nothing(tiny_model: Path, tmp_path: Path) -> None:
    run(suite_of(tiny_model, {"sampler": ["ddim", "unipc"]}), tmp_path / "out")
    report = write_report(tmp_path / "out").read_text()
    assert "- Cannot tell: at least 64 images are needed; each row has 10." in report
    assert "**" not in report
    assert "nearest" not in report


def test_a_consistency_model_has_no_errors(tmp_path: Path) -> None:
    import folders

    model = folders.consistency(tmp_path / "model")
    with pytest.raises(UsageError, match="one possible image"):
        run(suite_of(model, {"sampler": "consistency", "steps": 1}), tmp_path / "out")


def test_a_solution_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no converged solution of image 0"):
        read_converged(tmp_path, range(3))


def test_exact_digits_rank_samplers_as_the_field_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rows = [{"sampler": ["ddim", "dpm-solver++", "unipc"], "steps": [5, 10]}]
    found = run(suite_of("exact:digits:bandwidth=0.1", *rows, images=32), tmp_path / "out").rows
    means = {(row.recipe.sampler, row.recipe.steps): row.error.mean for row in found if row.error}
    for steps in (5, 10):
        assert means["unipc", steps] < means["dpm-solver++", steps] < means["ddim", steps]
    for sampler in ("ddim", "dpm-solver++", "unipc"):
        assert means[sampler, 10] < means[sampler, 5]
    assert not [row.warnings for row in found if row.warnings]  # every image has converged


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the other processes take all steps
    words = "bench --model exact:digits:images=300:bandwidth=0.1 --metrics error --sampler ddim --steps 3,5 --images 12"
    alone = [*words.split(), "--batch-size", "4", "--device", "cpu", "-o"]
    assert main([*alone, str(tmp_path / "one")]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29731", "-m"]
    line = [*launcher, "samplerzoo", *alone, str(tmp_path / "two")]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (results.read_rows(tmp_path / name) for name in ("one", "two"))
    for mine, other in zip(one, two, strict=True):
        assert mine.error is not None
        assert other.error is not None
        assert other.error.mean == pytest.approx(mine.error.mean, rel=1e-3)


def test_torch_is_not_asked_for_random_numbers(tiny_model: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    run(suite_of(tiny_model), tmp_path / "out")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_estimate_is_a_range_until_a_solution_says_how_many_steps_it_takes(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convergence, "LEAST_STEPS", 8 + 16)
    monkeypatch.setattr(convergence, "SLOWNESS", 7 / 3)
    monkeypatch.setattr(convergence, "MOST_STEPS", 32)
    monkeypatch.setattr(convergence, "TOLERANCE", 0.0)  # none converges: each takes 8, 16 and 32 steps

    def estimate(images: int) -> tuple[Harness, list[Remaining]]:
        harness = Harness(
            suite_of(tiny_model, images=images), tmp_path / "out", BenchOptions(TuningRequest(batch_size=4), "cpu")
        )
        return harness, harness.estimate()

    harness, [solution, cell] = estimate(10)
    assert solution.cell.converges
    assert solution.effort == (1.0, 7 / 3)
    assert solution.slowness == 7 / 3
    assert cell.slowness == 1
    harness.run([solution, cell], lambda row: None)
    _, [known, _] = estimate(20)
    assert known.effort == (7 / 3, 7 / 3)
    assert known.images == 10
    assert known.evaluations == pytest.approx(solution.evaluations * 7 / 3)


def test_the_bar_expects_of_other_images_what_the_solved_ones_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "LEAST_STEPS", 24)
    bar = tqdm(total=100 + 12 * 24, file=io.StringIO())  # there is other work of 100 evaluations
    solving = Solving(bar, nfe=24, effort=1.0, images=12)
    for steps, images in ((8, 4), (16, 4), (32, 2)):  # half of the first batch converges at once
        for number in range(steps + 1):
            solving.on_step(number, None, torch.zeros(images, 1))
    solving.end(4)
    each = (4 * 24 + 2 * 32) / 4
    assert bar.n == pytest.approx(4 * each)
    assert bar.total == pytest.approx(100 + 12 * each)
    for steps, images in ((8, 8), (16, 8)):  # and all of the second
        for number in range(steps + 1):
            solving.on_step(number, None, torch.zeros(images, 1))
    solving.end(8)
    assert bar.n == pytest.approx(4 * each + 8 * 24)
    assert bar.total == pytest.approx(bar.n + 100)


def test_converged_solutions_of_another_shape_are_refused_with_the_file(tiny_model: Path, tmp_path: Path) -> None:
    run(suite_of(tiny_model, {"sampler": "ddim"}), tmp_path)
    file = min((tmp_path / "converged").rglob("converged-*.safetensors"))
    tensors = load_file(file)
    save_file({**tensors, "converged": np.ascontiguousarray(tensors["converged"][:, 0])}, file)
    with pytest.raises(ZooError, match=r"converged-.*: converged: shape .*; remove it, and it is made again"):
        read_converged(file.parent, [0])
