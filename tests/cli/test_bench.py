"""`samplerzoo bench` and `compare`: their lines, what they say, and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samplerzoo_plugins.ddim import DDIM

from samplerzoo import registry
from samplerzoo.bench import results
from samplerzoo.bench.image_errors import STOCHASTIC
from samplerzoo.bench.suite import Suite
from samplerzoo.cli import bench as module
from samplerzoo.cli import sweep_flags
from samplerzoo.models.load import ModelFolder
from samplerzoo.sampling import convergence

FEW = ["--steps", 2, "--images", 6, "--batch-size", 4, "--device", "cpu"]


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> list[object]:
    """Return flags of a model and of what measures it."""
    rows = np.random.default_rng(0).random((400, 64))
    np.savez(tmp_path / "noise.npz", mu=rows.mean(axis=0), sigma=np.cov(rows.T))
    return ["--model", tiny_model, "--features", "pixels", "--reference", tmp_path / "noise.npz"]


@pytest.fixture
def composed(cli, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives the suite which a command line means."""
    found: list[Suite] = []
    parse = module.parse_suite

    def spy(*args: Any) -> Suite:
        found.append(parse(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "parse_suite", spy)

    def run(line: str) -> Suite:
        answer = cli("bench", *line.split())
        assert found, answer
        return found.pop()

    return run


def test_options_belong_to_the_sampler_before_them(composed) -> None:
    suite = composed("--images 7 --sampler ddim --eta 0,0.5,1 --sampler=ddpm --variance large --steps 5,10 -o out")
    found = [(r.sampler, r.sampler_options, r.steps, images) for r, images in suite.points]
    assert found == [
        *(("ddim", {"eta": eta}, steps, 7) for eta in (0.0, 0.5, 1.0) for steps in (5, 10)),
        *(("ddpm", {"variance": "large"}, steps, 7) for steps in (5, 10)),
    ]


def test_several_samplers_with_one_option(composed, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(DDIM):
        """Has an eta, too."""

    monkeypatch.setattr(registry, "_files", {Path("x"): [registry.Plugin("sampler", "other", "x", "", Other)]})
    suite = composed("--sampler ddim,other --eta 0,1 --model elsewhere")
    assert [(r.sampler, r.sampler_options["eta"]) for r, _ in suite.points] == [
        ("ddim", 0.0), ("ddim", 1.0), ("other", 0.0), ("other", 1.0),
    ]  # fmt: skip
    assert suite.model == "elsewhere"


def test_values_with_commas_of_their_own(composed) -> None:
    suite = composed("--sampler ddim --class-labels 0,2 --timesteps 900,400 --seeds 0,1 --clip-x0 off,static")
    assert {r.class_labels for r, _ in suite.points} == {"0,2"}
    assert {r.timesteps for r, _ in suite.points} == {(900, 400)}
    assert len(suite.points) == 4


def test_a_file_and_a_line(composed, tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text('images = 9\nguidance = "cfg"\n[[rows]]\nsampler = "ddim"\n')
    suite = composed(f"{file} --guidance-scale 1,2 --steps 3 --sampler ddpm")
    assert [(r.sampler, r.guidance_options["scale"], r.steps, images) for r, images in suite.points] == [
        ("ddim", 1.0, 3, 9), ("ddim", 2.0, 3, 9), ("ddpm", 1.0, 3, 9), ("ddpm", 2.0, 3, 9),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("", ["no rows", "--sampler NAME"]),
        ("--sampler dddim", ["'dddim'", "did you mean ddim?"]),
        ("--sampler", ["--sampler"]),
        ("--sampler --eta 0", ["--sampler needs a name"]),
        ("--sampler ddim --etaa 0", ["--etaa", "did you mean --eta?"]),
        ("--sampler ddim --eta 0,2", ["--eta", "less than or equal to 1"]),
        ("--sampler ddpm --eta 0", ["--eta", "ddpm has no option 'eta'", "belongs to: ddim"]),
        ("--eta 0 --sampler ddim", ["--eta", "behind the sampler", "--sampler ddim"]),
        ("--sampler ddim --imags 5", ["--imags", "did you mean --images?"]),
        ("--smapler ddim", ["--smapler", "did you mean --sampler?"]),
        ("--sampler ddim --steps 5,x", ["--steps", "integer"]),
        (
            "--sampler ddim --guidance-scale 2",
            ["--guidance-scale", "add --guidance", "or --guidance cfg or --guidance classifier"],
        ),
        ("--sampler ddim --batch-size 0", ["--batch-size"]),
        ("nowhere.toml", ["no suite file nowhere.toml"]),
        ("--sampler ddim --model nowhere", ["no model 'nowhere'"]),
        ("--sampler ddim --features pixls", ["pixls", "did you mean pixels?"]),
        ("--sampler ddim --reference nowhere", ["nowhere"]),
        ("--plugin nowhere.py --sampler ddim", ["nowhere.py"]),
    ],
)
def test_bad_requests_are_one_line_and_exit_code_2(cli, words: str, parts: list[str]) -> None:
    cli("bench", *words.split()).refuses(2, *parts)


def test_help_needs_no_sampler(cli) -> None:
    out = " ".join(cli("bench", "--help").out.split())
    for flag in ("--sampler NAME", "--steps INTEGER,...", "--guidance-scale NUMBER,...", "--class-labels TEXT "):
        assert flag in out


def test_a_dry_run_says_what_would_be_done(cli, model: list[object]) -> None:
    answer = cli("bench", *model, *FEW, "--sampler", "ddim", "--eta", "0,1", "--dry-run")
    assert answer.code == 0, answer
    *cells, total = answer.out.splitlines()
    assert len(cells) == 3
    assert "ddim eta=1.0, 2 steps" in cells[2]
    assert total.startswith("2 cells, 0 of them done; 12 images and 24 network evaluations to make, about 0:0")
    assert not Path("bench").exists()
    found = json.loads(cli("bench", *model, *FEW, "--sampler", "ddim", "--dry-run", "--json").out)
    assert found["cells"][0]["nfe"] == 2
    assert found["cells"][0]["images_to_make"] == 6


def test_a_dry_run_lists_gradients_and_the_second_network(cli, classifier_model: Path, tmp_path: Path) -> None:
    shutil.copytree(classifier_model, tmp_path / "worse")
    words = ["bench", "--model", classifier_model, "--steps", 2, "--sampler", "ddim", "--images", 6]
    told = ["--metrics", "error", "--dry-run", "--guidance-scale", 2]
    guided = cli(*words, *told, "--guidance", "classifier,cfg").out.splitlines()
    assert guided[0].split() == ["cell", "to", "make", "of", "NFE", "gradients", "time", "what"]
    rows = [line.split() for line in guided[1:] if "2 steps" in line]
    assert [row[3:5] for row in rows] == [["2", "2"], ["4", "0"]]
    second = cli(*words, *told, "--guidance", "autoguidance", "--guidance-model", tmp_path / "worse").out.splitlines()
    assert second[0].split() == ["cell", "to", "make", "of", "NFE", "second", "time", "what"]
    assert [line.split()[3:5] for line in second if "2 steps" in line] == [["2", "2"]]
    assert "evaluations of the second network to make" in second[-1]
    plain = cli(*words, *told[:3], "--guidance", "cfg", "--guidance-scale", 2).out
    assert "gradients" not in plain
    assert "second" not in plain


def test_the_images_of_a_reference_are_said(cli, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for index in range(2):
        Image.new("L", (8, 8), 90 * index).save(tmp_path / "real" / f"{index}.png")
    measured = ["--features", "pixels", "--reference", tmp_path / "real", "--sampler", "ddim"]
    answer = cli("bench", "--model", tiny_model, *FEW, *measured, "--dry-run")
    assert "real: 2 images, no labels" in answer.err


def test_a_benchmark_folder(cli, model: list[object], tmp_path: Path) -> None:
    answer = cli("bench", *model, *FEW, "--sampler", "ddim", "--sampler", "ddpm")
    assert answer.code == 0, answer
    first, *rows, finding, page, last = answer.out.splitlines()
    assert page == "bench/tiny/report.html"
    assert first.startswith("2 cells, 0 of them done; 12 images")
    assert finding.startswith("Cannot tell: at least 128 images are needed for a difference of any size, twice as many")
    assert [row.split()[0] for row in rows] == ["fd_pixels@6"] * 2
    assert last == "bench/tiny/report.md"
    assert Path(last).exists()
    assert "tiny" in Path(last).read_text()
    again = cli("bench", *model, *FEW, "--sampler", "ddim", "--sampler", "ddpm", "--json")
    found = json.loads(again.out)
    assert [row["cell"] for row in found["rows"]] == [row.cell for row in results.read_rows(Path("bench/tiny"))]


def test_an_unconditional_model(cli, model: list[object], plain_model: Path) -> None:
    answer = cli("bench", *model, *FEW, "--model", plain_model, "--sampler", "ddim", "-o", "out")
    assert answer.code == 0, answer
    [row] = results.read_rows(Path("out"))
    assert (row.protocol.model, row.protocol.labels) == ("plain", None)


def test_gradients_are_counted(cli, model: list[object], classifier_model: Path) -> None:
    answer = cli("bench", *model, *FEW, "--sampler", "ddim", "--guidance", "classifier", "--guidance-scale", "0,2")
    assert answer.code == 0, answer
    off, on = results.read_rows(Path("bench/tiny"))
    assert (off.cost.classifier_gradients, on.cost.classifier_gradients) == (0, 2)
    assert (on.cost.nfe, on.cost.network_calls) == (2, 2)


def test_a_second_network_is_counted_apart_and_no_path_of_it_is_reported(
    cli, model: list[object], tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "worse")
    words = ["--guidance", "autoguidance", "--guidance-model", tmp_path / "worse", "--guidance-scale", "1,2"]
    answer = cli("bench", *model, *FEW, "--sampler", "ddim", *words)
    assert answer.code == 0, answer
    off, on = results.read_rows(Path("bench/tiny"))
    assert (off.cost.second_nfe, on.cost.second_nfe) == (0, 2)
    assert (on.cost.nfe, on.cost.network_calls) == (2, 2)
    assert off.metrics == on.metrics  # a copy of the model guides nothing
    report = Path("bench/tiny/report.md").read_text()
    assert "NFE of the second network" in report
    assert f"worse@{ModelFolder.open(tiny_model).fingerprint[:8]}" in report
    tables, _, _ = report.partition("samplerzoo bench")
    assert str(tmp_path / "worse") not in tables


def test_from_a_folder_to_a_ranked_report_in_one_command(
    cli, plain_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model without data and without features: only the number of steps of its solution is smaller here."""
    monkeypatch.setattr(convergence, "FIRST_STEPS", 8)
    monkeypatch.setattr(convergence, "MOST_STEPS", 16)
    answer = cli(
        "bench", "--model", plain_model, "--metrics", "error", "--steps", "2,3", "--images", "64", "--device", "cpu"
    )
    assert answer.code == 0, answer
    rows = results.read_rows(Path("bench/plain"))
    suited = [plugin.name for plugin in registry.plugins("sampler") if plugin.load().needs_mean]
    assert {row.recipe.sampler for row in rows} == {*suited}
    assert {row.recipe.steps for row in rows} == {2, 3}
    report = Path("bench/plain/report.md").read_text()
    assert "At 2 evaluations the nearest is " in report
    assert "Error by evaluations of the network" in report
    assert "image by image" in report
    assert f"ddpm small, euler-ancestral, reverse-diffusion, reverse-sde, predictor-corrector: {STOCHASTIC}." in report
    for row in rows:
        assert row.recipe.dtype == "float32"
        assert (row.error is not None and row.error.mean is None) == (STOCHASTIC in row.warnings)
        assert row.cost.nfe > 0
        assert (row.speed is None) == (STOCHASTIC in row.warnings)
    assert len([*Path("bench/plain/converged").iterdir()]) == 1
    again = cli("bench", "--model", plain_model, "--metrics", "error", "--steps", "2,3", "--images", "3", "--json")
    assert [row["cell"] for row in json.loads(again.out)["rows"]]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--metrics error,fid --sampler ddim", ["--metrics", "fid is none of error, fd"]),
        ("--metrics fd --steps 5", ["no rows", "--metrics error"]),
        ("--model gaussian --metrics error", ["exact moments", "leave out images (--images), metrics (--metrics)"]),
        ("--model gaussian:cosin", ["gaussian:cosin", "gaussian:cosine"]),
        ("--model exact:digits:cosin --metrics error", ["'cosin'", "did you mean cosine?"]),
        ("--model exact:digits --metrics error --sampler ddim --compile", ["leave --compile out"]),
        ("--model exact:digits --metrics fd --sampler ddim", ["add --features pixels --reference digits, or leave"]),
        ("--model exact:digits --metrics error --sampler ddim --dtype float16", ["leave --dtype out"]),
    ],
)
def test_what_cannot_be_measured_is_one_line(cli, words: str, parts: list[str]) -> None:
    cli("bench", *words.split(), "--images", 2, "--device", "cpu").refuses(2, *parts)


@pytest.mark.parametrize(
    "flag",
    [
        "--metrics error",
        "--features pixels",
        "--reference digits",
        "--reference-split test",
        "--floor digits",
        "--revision main",
        "--images 2",
        "--seeds 0,1",
        "--dtype float32",
        "--device cpu",
        "--batch-size 2",
        "--layout channels-last",
        "--compile",
        "--offload model",
        "--until-decided",
    ],
)
def test_the_exact_gaussian_takes_no_flag_that_would_change_nothing(cli, flag: str) -> None:
    answer = cli("bench", "--model", "gaussian", "--sampler", "ddim", "--steps", "2", *flag.split())
    answer.refuses(2, flag.split()[0], "out")
    assert not Path("bench").exists()


def test_a_row_of_given_timesteps_is_named_by_them(cli) -> None:
    answer = cli("bench", "--model", "gaussian", "--sampler", "ddim", "--timesteps", "3,4")
    answer.refuses(1, "no row for ddim, 2 timesteps: a grid must decrease strictly: timestep 4 follows 3")


def test_a_model_without_features_is_measured_by_its_errors(composed, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "whole" / "features").mkdir(parents=True)
    for model, line, measures, images in (
        (tmp_path / "bare", "", ("error",), 64),
        (tmp_path / "whole", "", ("fd",), 1000),
        (tmp_path / "bare", "--features pixels", ("fd",), 1000),
        (tmp_path / "bare", "--reference x.npz", ("fd",), 1000),
        (tmp_path / "whole", "--metrics error", ("error",), 64),
        ("exact:digits", "--images 9", ("error",), 9),
        ("mnist", "", ("fd",), 1000),
    ):
        suite = composed(f"--model {model} --sampler ddim {line}")
        assert suite.measures == measures
        assert [count for _, count in suite.points] == [images]


def test_an_exact_model_from_command_to_report(cli) -> None:
    words = ["--sampler", "ddim", "--sampler", "ddpm", "--steps", "2,3", "--images", "4", "--device", "cpu"]
    dry = cli("bench", "--model", "exact:digits:flow", *words, "--dry-run")
    assert dry.code == 0, dry
    assert "converged solution" in dry.out
    answer = cli("bench", "--model", "exact:digits:flow", *words)
    assert answer.code == 0, answer
    assert answer.out.splitlines()[-1] == "bench/exact-digits-flow/report.md"
    first = results.read_rows(Path("bench/exact-digits-flow"))
    assert {row.recipe.model for row in first} == {"exact:digits:flow"}
    again = cli("bench", "--model", "exact:digits:flow", *words)
    assert "4 cells and 1 converged solution, 5 of them done" in again.out
    assert results.read_rows(Path("bench/exact-digits-flow")) == first


def test_a_sampler_that_does_not_suit_the_model_is_left_out_of_all(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_files", {})
    (tmp_path / "choosy.py").write_text(
        "from samplerzoo import Sampler, UsageError\n\n\nclass Choosy(Sampler):\n"
        "    def grid(self, schedule, steps, spacing):\n        raise UsageError('not on this path')\n\n"
        "    def step(self, x, t, s, denoise, noise):\n        return denoise(x, t).x0\n"
    )
    line = ["--plugin", tmp_path / "choosy.py", "--model", "exact:digits", "--metrics", "error", "--steps", "2"]
    answer = cli("bench", *line, "--images", "2", "--device", "cpu", "-o", "out")
    assert answer.code == 0, answer
    assert "choosy is left out: not on this path" in answer.err
    assert "choosy" not in {row.recipe.sampler for row in results.read_rows(Path("out"))}
    cli("bench", *line, "--images", "2", "--sampler", "choosy", "-o", "out").refuses(2, "not on this path")


FAILING = """
from samplerzoo import Sampler
from samplerzoo.errors import ZooError

class Failing(Sampler):
    def step(self, x, t, s, denoise, noise):
        if x.shape[-1] == 8:
            raise ZooError("too large")
        return denoise(x, t).x0
"""


def test_a_cell_that_fails_is_an_error_at_the_end(
    cli, model: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_files", {})
    (tmp_path / "failing.py").write_text(FAILING)
    words = ["--plugin", tmp_path / "failing.py", "--sampler", "failing", "--sampler", "ddim", "-o", "out"]
    answer = cli("bench", *model, *FEW, *words)
    assert answer.code == 1
    assert answer.err == "samplerzoo: error: no row for failing, 2 steps: too large; the same command tries again\n"
    assert answer.out.endswith("out/report.md\n")
    assert len(results.read_rows(Path("out"))) == 1


GAUSSIAN = ["--model", "gaussian", "--sampler", "ddim"]


def test_the_exact_model(cli) -> None:
    answer = cli("bench", *GAUSSIAN, "--eta", "0,1", "--steps", "5,10")
    assert answer.code == 0, answer
    assert answer.out.splitlines()[-1] == "bench/gaussian/report.md"
    rows = results.read_rows(Path("bench/gaussian"))
    assert len(rows) == 4
    assert rows[0].command.startswith("samplerzoo")
    listed = cli("bench", "--model", "gaussian", "--steps", 5, "--dry-run").out.splitlines()
    assert {"      5  ddim, 5 steps", "      5  reverse-sde, 5 steps"} <= set(listed)
    [cell] = json.loads(cli("bench", *GAUSSIAN, "--steps", 5, "--dry-run", "--json").out)["cells"]
    assert (cell["recipe"]["steps"], cell["nfe"]) == (5, 5)


MANY = ["--steps", 2, "--images", 130, "--batch-size", 130, "--device", "cpu", "-o", "out"]
EQUAL = ["--sampler", "ddim", "--eta", "0", "--sampler", "dpm-solver++", "--solver-order", "1,2"]


def test_images_are_added_until_the_best_is_decided_or_the_budget_is_reached(cli, model: list[object]) -> None:
    """Compare two that nearly are the same method, so that many more images would decide."""
    answer = cli("bench", *model, *MANY, "--sampler", "ddim", "--eta", "0,0.1", "--until-decided", "--budget", 300)
    assert answer.code == 0, answer
    seen = [(row.recipe.sampler_options["eta"], row.protocol.images) for row in results.read_rows(Path("out"))]
    assert {images for _, images in seen} == {130, 260, 300}
    assert {*seen} >= {(0.0, 300), (0.1, 300)}
    assert "not decided with 130 images: the best of 2 evaluations; 2 rows go on" in answer.err
    assert "not decided with 300 images: the best of 2 evaluations; that is the budget (at 0.017, as " in answer.err
    assert "as each of 3 looks may be wrong; the report is at 0.05)" in answer.err


def test_what_no_number_of_images_decides_has_no_more_images(cli, model: list[object]) -> None:
    """Compare three of which two are the same method."""
    answer = cli("bench", *model, *MANY, *EQUAL, "--until-decided", "--budget", 300)
    assert answer.code == 0, answer
    assert {row.protocol.images for row in results.read_rows(Path("out"))} == {130}
    assert "no number of images tells them apart, since they do not differ" in answer.out


BY_ERROR = ["--model", "exact:digits:bandwidth=0.5", "--metrics", "error", "--steps", 5, "--images", 64, "-o", "out"]


def test_errors_are_decided_as_distances_are(cli) -> None:
    """Compare two that are the same method, two that nearly are, and two of which one is nearer."""
    answer = cli("bench", *BY_ERROR, *EQUAL[:6], "--solver-order", 1, "--until-decided", "-o", "same")
    assert answer.code == 0, answer
    assert {row.protocol.images for row in results.read_rows(Path("same"))} == {64}

    nearly = ["--sampler", "ddim", "--spacing", "karras:rho=7,karras:rho=7.005"]
    answer = cli("bench", *BY_ERROR, *nearly, "--until-decided", "--budget", 100)
    assert answer.code == 0, answer
    assert "not decided with 100 images: the best of 5 evaluations; that is the budget (at 0.025" in answer.err
    assert {row.protocol.images for row in results.read_rows(Path("out"))} == {64, 100}

    answer = cli("bench", *BY_ERROR, *EQUAL[4:], "--until-decided", "-o", "two")
    assert answer.code == 0, answer
    assert {row.protocol.images for row in results.read_rows(Path("two"))} == {64}


def test_what_is_decided_has_no_more_images(cli, model: list[object]) -> None:
    answer = cli("bench", *model, *MANY, "--sampler", "ddim", "--clip-x0", "off,static:0.1", "--until-decided")
    assert answer.code == 0, answer
    assert {row.protocol.images for row in results.read_rows(Path("out"))} == {130}
    assert "is the best: ddim eta 0, clip static:0.1 is worse, by " in answer.out
    cli("bench", "--sampler", "ddim", "--budget", 5).refuses(2, "--until-decided")


def test_a_reference_with_classes_that_the_model_lacks_has_no_proportion(cli, tmp_path: Path) -> None:
    for number, name in enumerate(["3", "3", "x", "x"]):
        path = tmp_path / "part" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 60 * number, np.uint8)).save(path)
    words = ["--model", "exact:digits", "--features", "pixels", "--reference", tmp_path / "part", "--sampler", "ddim"]
    few = ["--steps", 2, "--images", 4, "-o", "out"]
    answer = cli("bench", *words, *few)
    assert (answer.code, answer.out) == (2, "")
    last = answer.err.splitlines()[-1]  # behind what the images are
    assert "part has images of classes that exact:digits lacks" in last
    assert "x (2 images); take one without them, or add --class-labels balanced" in last
    assert not Path("out/cells").exists()
    assert cli("bench", *words, *few, "--class-labels", "balanced").code == 0


def test_a_baseline_that_cannot_be_is_refused_before_the_first_image(cli, model: list[object]) -> None:
    words = ["--sampler", "ddim", "--eta", "0,1", "--baseline"]
    for wrong in ("heun", "ddim eta 1@7"):
        cli("bench", *model, *FEW, *words, wrong).refuses(2, f"no row '{wrong}'", "ddim eta 0@2, ddim eta 1@2")
        cli("bench", "--model", "gaussian", "--steps", "2", *words, wrong).refuses(2, f"no row '{wrong}'")
    assert not Path("bench/tiny/cells").exists()
    assert not Path("bench/gaussian").exists()
    answer = cli("bench", *model, *MANY, *words, "ddim eta 1@2")
    assert answer.code == 0, answer
    assert "Difference to the baseline, ddim eta 1 at 2 evaluations" in Path("out/report.md").read_text()
    answer = cli("bench", *model, *MANY, "--sampler", "ddim", "--eta", "0.5", "--baseline", "ddim eta 1@2")
    assert answer.code == 0, answer  # of a row that the folder has


# compare


def test_benchmarks_beside_each_other(cli, model: list[object]) -> None:
    cli("bench", *model, *FEW, "--sampler", "ddim", "--eta", "0,1", "-o", "one")
    cli("bench", *model, *FEW, "--sampler", "ddim", "--sampler", "ddpm", "-o", "two")
    answer = cli("compare", "one", "two")
    assert answer.code == 0, answer
    assert answer.out.startswith("tiny, fd_pixels@6\n")
    assert "cannot be compared" not in answer.out
    [head, _, *body] = [line for line in answer.out.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["", "steps", "NFE", "one", "two", "change"]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in body]
    assert [line[0] for line in cells] == ["ddim eta 0", "ddim eta 1", "ddpm small"]
    assert cells[0][3] == cells[0][4]
    assert cells[0][5] == "0"
    assert cells[1][4] == cells[2][3] == "–"


def test_protocols_that_differ_are_in_no_table_together(cli, model: list[object]) -> None:
    cli("bench", *model, *FEW, "--sampler", "ddim", "-o", "one")
    cli("bench", *model, *FEW[:2], *FEW[4:], "--images", 5, "--sampler", "ddim", "-o", "two")
    answer = cli("compare", "one", "two")
    assert answer.code == 0, answer
    heads = [line for line in answer.out.splitlines() if "steps" in line and line.startswith("|")]
    assert [head.count("|") for head in heads] == [5, 5]
    assert "Protocol 1: tiny, fd_pixels@6" in answer.out
    assert answer.out.endswith("Protocol 2 cannot be compared with protocol 1: images 5, not 6.\n")


def test_a_sampler_that_never_asks_the_network_is_one_line(
    cli, tmp_path: Path, model: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_files", {})
    (tmp_path / "idle.py").write_text(
        "from samplerzoo import Sampler\n\n\nclass Idle(Sampler):\n"
        "    def step(self, x, t, s, denoise, noise):\n        return x\n"
    )
    words = ["--plugin", tmp_path / "idle.py", "--sampler", "idle", "-o", "out", "--dry-run"]
    cli("bench", *model, *FEW, *words).refuses(1, "sampler idle never asks the network: there is no cost to compare")


def test_nothing_to_compare(cli) -> None:
    cli("compare", "nowhere").refuses(2, "nowhere holds no rows")
    cli("compare").refuses(2)


def test_flags_of_a_broken_guidance_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [plugin for plugin in registry.plugins("guidance") if plugin.source == "samplerzoo"]
    broken = registry.Plugin("guidance", "broken", "x", "", int)
    monkeypatch.setattr(registry, "plugins", lambda kind: [*own, broken])
    sound = [plugin.load() for plugin in own]
    expected = {f"guidance_{field}" for guidance in sound for field in guidance.model_fields}
    assert {flag.name for flag in sweep_flags._guidance_flags()} == expected >= {"guidance_scale", "guidance_form"}


def test_errors_of_fewer_images_than_a_file_has_are_refused(cli, model: list[object]) -> None:
    words = ["bench", *model, "--sampler", "ddim", "--steps", 2, "-o", "out"]
    assert cli(*words, "--metrics", "fd", "--images", 6).code == 0
    cli(*words, "--metrics", "error", "--images", 4).refuses(2, "keeps images 0 to 5 of ddim", "take --images 6")
    assert cli(*words, "--metrics", "error", "--images", 4, "--dry-run").code == 2
    assert cli(*words, "--metrics", "error", "--images", 6, "--dry-run").code == 0
