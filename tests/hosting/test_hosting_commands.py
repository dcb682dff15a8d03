"""Commands on folders of whole pipelines: run, resume, rerun, show, info and bench."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from samplerzoo import images
from samplerzoo.cli import main
from samplerzoo.sampling import convergence

Folders = Callable[[str], Path]
Commands = Callable[..., str]

PROMPTS = ("--prompts", "a cat", "--prompts", "a dog")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    """Return a function that runs a command line in an empty directory, and returns what it writes."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, code: int = 0) -> str:
        capfd.readouterr()
        found = main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert found == code, err
        assert bool(code) == err.startswith("samplerzoo: error: "), err
        assert not code or err.count("\n") == 1, err
        return err if code else out

    return run


def test_run_rerun_and_resume(whole: Folders, command: Commands) -> None:
    line = [
        "run", "--model", whole("sdxl"), "--hosted", "--sampler", "dpm-solver++", "--steps", 3, "--seed", 5, *PROMPTS,
        "--dtype", "float32", "--guidance-scale", 3, "--negative-prompt", "blue", "--pipeline-option",
        "guidance_rescale=0.2", "-o", "run", "--num-images", 3,
    ]  # fmt: skip
    said = command(*line, "--trajectory")
    assert "3 images, NFE 6" in said
    record = json.loads(Path("run/run.json").read_text())
    assert 0 < record["encoding_seconds"] + record["decoding_seconds"] < record["seconds"]
    assert {"grid.png", "run.json", "trajectory.png", "trajectory.gif"} <= {path.name for path in Path("run").iterdir()}
    _, metadata = images.read_png(Path("run/images/000001.png"))
    assert metadata is not None
    recipe = metadata["recipe"]
    assert (recipe["prompts"], recipe["negative_prompt"], recipe["guidance"]) == (["a dog"], "blue", None)
    assert (recipe["pipeline_options"], recipe["guidance_options"]) == ({"guidance_rescale": 0.2}, {"scale": 3.0})
    lines = [json.loads(line) for line in Path("run/manifest.jsonl").read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["a cat", "a dog", "a cat"]
    assert "identical" in command("rerun", "run/images/000001.png")
    before = Path("run/images/000002.png").read_bytes()
    Path("run/images/000002.png").unlink()
    assert "1 images" in command(*line, "--resume")
    assert Path("run/images/000002.png").read_bytes() == before


def test_recipe_says_that_a_pipeline_ran_by_its_own_code(whole: Folders, command: Commands) -> None:
    """So that an image is made again in the same way where an architecture has learnt to read the network."""
    for name, words, hosted in (("flux", ["--height", 32, "--width", 32], True), ("sd", [], None)):
        command("run", "--model", whole(name), "--steps", 1, "--num-images", 1, *PROMPTS, *words, "-o", name)
        assert json.loads(Path(name, "run.json").read_text())["recipe"]["hosted"] is hosted


def test_resume_knows_the_arguments(whole: Folders, command: Commands) -> None:
    line = ["run", "--model", whole("flux"), "--steps", 1, "--num-images", 1, *PROMPTS, "--width", 32, "-o", "run"]
    command(*line, "--height", 32)
    with Image.open("run/images/000000.png") as picture:
        assert picture.size == (32, 32)
    said = command(*line, "--height", 64, "--resume", code=2)
    assert "holds another run, with height 32, not 64" in said
    command(*line, "--height", 64, "--overwrite")
    with Image.open("run/images/000000.png") as picture:
        assert picture.size == (32, 64)


def test_the_command_of_a_recipe_makes_it_again(whole: Folders, command: Commands) -> None:
    from samplerzoo.cli.run import recipe_of
    from samplerzoo.sampling.command import command_line

    options = {"guidance_scale": 3.0, "prompt_2": "a b", "clip_skip": 1}
    recipe = recipe_of({"model": "x", "sampler": "ddim", "height": 16, "hosted": True, "pipeline_options": options})
    line = command_line(recipe)
    assert "--hosted" in line
    assert "--height 16" in line
    scaled = recipe_of({"model": "x", "sampler": "ddim", "guidance_scale": 2.5})
    assert "--sampler ddim --guidance-scale 2.5 --steps" in command_line(scaled)
    assert "--pipeline-option=guidance_scale=3.0 '--pipeline-option=prompt_2=a b' --pipeline-option=clip_skip=1" in line


def test_show_info_and_timesteps(whole: Folders, command: Commands) -> None:
    command(
        "show", "--sampler", "ddim,heun", "--steps", "1,2", "--model", whole("sdxl"), "--hosted", "--pipeline-option",
        "guidance_scale=1", *PROMPTS,
    )  # fmt: skip
    assert Path("show.png").exists()
    said = json.loads(command("info", whole("flux"), "--height", 32, "--width", 32, "--json"))
    assert (said["pipeline"], said["image_shape"], said["prompts"]) == ("FluxPipeline", [3, 32, 32], True)
    assert said["arguments"] == {"height": 32, "width": 32}


def test_bench_measures_errors_by_default(whole: Folders, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take 16 and 32 steps for the converged solution, and not 128 and more, to be quick."""
    monkeypatch.setattr(convergence, "FIRST_STEPS", 16)
    monkeypatch.setattr(convergence, "MOST_STEPS", 32)
    said = command(
        "bench", "--model", whole("flux"), "--height", 32, "--width", 32, "--sampler", "probability-flow",
        "--sampler", "dpm-solver++", "--steps", "4,8", "--images", 1, *PROMPTS[:2], "-o", "bench", "--json",
    )  # fmt: skip
    rows = json.loads(said)["rows"]
    errors = {(row["recipe"]["sampler"], row["recipe"]["steps"]): row["error"]["mean"] for row in rows}
    assert len(errors) == 4
    assert errors["dpm-solver++", 8] < errors["probability-flow", 8] < errors["probability-flow", 4]
    assert {(row["cost"]["nfe"], row["recipe"]["steps"]) for row in rows} == {(4, 4), (8, 8)}
    assert {row["recipe"]["height"] for row in rows} == {32}
    speeds = [row["speed"] for row in rows]
    apart = [(it["encoding_seconds"], it["decoding_seconds"], 1 / it["images_per_second"]) for it in speeds]
    assert all(0 < encoding < every and 0 < decoding < every - encoding for encoding, decoding, every in apart)
    report = Path("bench/report.md").read_text()
    assert "## Time of an image" in report
    assert report.count("| network | text encoder | decoder | all |") == 1
    assert report.count("| dpm-solver++, ") + report.count("| dpm-solver++ | ") >= 2


def test_guidance_scales_have_solutions_and_tables_of_their_own(
    whole: Folders, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convergence, "FIRST_STEPS", 4)
    monkeypatch.setattr(convergence, "MOST_STEPS", 8)
    line = [
        "--model",
        whole("sdxl"),
        "--hosted",
        "--sampler",
        "ddim",
        "--steps",
        "2",
        "--guidance-scale",
        "1,3,7.5",
        *PROMPTS[:2],
    ]
    rows = json.loads(command("bench", *line, "--images", 1, "-o", "bench", "--json"))["rows"]
    found = {row["recipe"]["guidance_options"]["scale"]: row for row in rows}
    assert {scale: row["cost"]["nfe"] for scale, row in found.items()} == {1: 2, 3: 4, 7.5: 4}
    assert len({row["cell"] for row in rows}) == len({row["error"]["solution"] for row in rows}) == 3
    assert len({json.dumps(row["protocol"]) for row in rows}) == 3
    report = Path("bench/report.md").read_text()
    assert report.count("## sdxl: error@1") == 3
    for scale in ("1", "3", "7.5"):
        assert f"## sdxl: error@1, guidance scale={float(scale)}" in report
        assert f"| ddim eta 0, own guidance {scale} |" in report
    assert "pictures by scale" in report
    command("show", *line, "--columns", "scale", "--images", 1)
    assert "no setting has this option" in command("show", *line, "--columns", "rescale", code=2)


def test_words_that_are_refused(whole: Folders, command: Commands, tmp_path: Path) -> None:
    sdxl = ["run", "--model", whole("sdxl"), "--hosted", *PROMPTS, "--num-images", 1]
    assert "give name=value" in command(*sdxl, "--pipeline-option", "guidance_scale", code=2)
    assert "(did you mean clip_skip?)" in command(*sdxl, "--pipeline-option", "clip_skp=1", code=2)
    assert "--guidance-scale 5" in command(*sdxl, "--guidance", "cfg", "--guidance-scale", 2, code=2)
    assert "or --guidance cfg or" in command("run", "--guidance-scale", 2, code=2)
    assert "more than" in command(*sdxl, "--pipeline-option", f"prompt_2={'a' * 2000}", code=2)
    copy = shutil.copytree(whole("sdxl"), tmp_path / "pickled")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").rename(copy / "unet" / "diffusion_pytorch_model.bin")
    assert "is a pickle" in command("run", "--model", copy, *PROMPTS, "--num-images", 1, code=1)
