"""Prompts on the command line: runs, records, benchmarks, and what is refused."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplerzoo import images
from samplerzoo.images import Pixels
from samplerzoo.sampling import convergence
from samplerzoo.sampling.command import command_line
from samplerzoo.sampling.recipe import Recipe

ODD = "\x1b[31m <b>|`$x$` é 猫"
ASKED = ["--prompts", "a cat", "--prompts", ODD]
FEW = ["--steps", 3, "--num-images", 5, "--batch-size", 2]
GUIDED = ["--guidance", "cfg", "--guidance-scale", 7.5]


def pictures(folder: str, count: int = 5) -> list[Pixels]:
    return [images.read_png(Path(folder) / f"images/{i:06d}.png")[0] for i in range(count)]


def test_each_image_has_its_prompt_and_can_be_made_again(cli, sd: Path) -> None:
    assert cli("run", "--model", sd, *ASKED, *FEW, *GUIDED, "--trajectory", "-o", "out").code == 0
    record = json.loads(Path("out/run.json").read_text())
    assert record["recipe"]["prompts"] == ["a cat", ODD]
    assert (record["nfe"], record["network_calls"]) == (6, 3)  # text encoder and decoder are not counted
    manifest = Path("out/manifest.jsonl").read_text()
    assert [json.loads(line)["prompt"] for line in manifest.splitlines()] == ["a cat", ODD, "a cat", ODD, "a cat"]
    assert manifest.isascii()
    assert manifest.isprintable() or set(manifest) - {"\n"} <= {chr(code) for code in range(32, 127)}
    content = Path("out/images/000003.png").read_bytes()
    assert b"\x1b[31m" not in content
    metadata = images.read_png(Path("out/images/000003.png"))[1]
    assert metadata is not None
    assert metadata["recipe"]["prompts"] == [ODD]
    answer = cli("rerun", "out/images/000003.png")
    assert answer.code == 0
    assert "identical" in answer.out or "rounding" in answer.out
    assert Path("out/trajectory.gif").is_file()


def test_an_image_depends_on_its_prompt_the_seed_and_its_number(cli, sd: Path) -> None:
    for name, words in {
        "both": [*ASKED, *FEW],
        "whole": [*ASKED, "--steps", 3, "--num-images", 5],
        "cat": ["--prompts", "a cat", *FEW],
        "negative": ["--prompts", "a cat", *FEW, "--negative-prompt", "dog"],
    }.items():
        assert cli("run", "--model", sd, *words, *GUIDED, "-o", name).code == 0
    both, whole, cat, negative = map(pictures, ("both", "whole", "cat", "negative"))
    for i in range(5):
        assert np.abs(both[i].astype(int) - whole[i]).max() <= 2  # rounding depends on the batch
        assert np.array_equal(both[i], cat[i]) == (i % 2 == 0)
        assert not np.array_equal(cat[i], negative[i])


def test_a_run_is_resumed_with_the_same_prompts_alone(cli, sd: Path) -> None:
    words = ["run", "--model", sd, *FEW, "-o", "out"]
    assert cli(*words, *ASKED).code == 0
    before = pictures("out")
    Path("out/images/000003.png").unlink()
    for prompt, said in (("a dog", "not ['a dog']"), ("long " * 500, f"not ['{'long ' * 39}lon...")):
        answer = cli(*words, "--prompts", prompt, "--resume")
        assert answer.code == 2
        assert f"out holds another run, with prompts ['a cat', {ODD!r}], {said}" in answer.err
    assert cli(*words, *ASKED, "--resume").code == 0
    assert all(map(np.array_equal, before, pictures("out")))


def test_prompts_from_files(cli, sd: Path) -> None:
    Path("captions.csv").write_text('file,caption\n1,"a cat, ""sitting""\non a mat"\n2,a dog\n')
    Path("plain.txt").write_text("a cat\n\na dog\n")
    words = ["run", "--model", sd, "--dry-run", "--json", "--steps", 1, "--num-images", 2]
    asked = json.loads(cli(*words, "--prompts", "captions.csv", "--prompts", "plain.txt", "--prompts", "").out)
    assert asked["prompts"] == ['a cat, "sitting"\non a mat', "a dog", "a cat", "a dog", ""]
    Path("captions.csv").write_text("file,said\n1,a cat\n")
    cli(*words, "--prompts", "captions.csv").refuses(2, "captions.csv", "file, said", "--prompt-column")
    asked = json.loads(cli(*words, "--prompts", "captions.csv", "--prompt-column", "said").out)
    assert asked["prompts"] == ["a cat"]


def test_the_command_of_a_recipe_asks_for_its_prompts(cli, sd: Path) -> None:
    asked = ("a cat, with commas", "-- dashes", "", 'a "b" $c', "line\nend")
    recipe = Recipe(sampler="ddim", model=str(sd), prompts=asked, steps=1, guidance="cfg", negative_prompt="a,b")
    program, *words = shlex.split(command_line(recipe))
    told = json.loads(cli(*words, "--dry-run", "--json", "--num-images", 1).out)
    assert program == "samplerzoo"
    assert (tuple(told["prompts"]), told["negative_prompt"]) == (asked, "a,b")
    many = recipe.model_copy(update={"prompts": ("a cat",) * 1000})
    assert "--prompts=FILE_OF_1000_PROMPTS" in command_line(many)


def test_settings_are_shown_on_the_same_prompts(cli, sd: Path) -> None:
    words = ["--sampler", "ddim", "--steps", "1,2", "--guidance", "cfg", "--negative-prompt", "a, b"]
    answer = cli("show", "--model", sd, *ASKED, *words)
    assert answer.code == 0, answer
    assert images.read_png(Path("show.png"))[0].shape[1] > 2 * 16


def test_what_does_not_go_together(cli, sd: Path, tiny_model: Path, plain_model: Path) -> None:
    def refused(model: Path, *words: Any, says: tuple[str, ...], code: int = 2) -> None:
        cli("run", "--model", model, "--steps", 1, "--num-images", 1, *words).refuses(code, *says)

    refused(sd, says=("makes images of prompts", "--prompts TEXT|FILE"))
    refused(sd, "--prompts", "a", "--class-labels", "3", says=("leave --class-labels out",))
    refused(tiny_model, "--prompts", "a", says=("takes no prompts", "--class-labels"))
    refused(plain_model, "--prompts", "a", says=("takes no prompts",))
    refused(sd, "--negative-prompt", "a", says=("--prompts TEXT|FILE",))
    refused(sd, "--prompts", "a", "--negative-prompt", "b", says=("--guidance cfg",))
    refused(sd, "--prompts", "a", "--guidance", "classifier", says=("classifier",))
    refused(sd, "--prompts", "nowhere.txt", says=("nowhere.txt",))
    words = ["--guidance", "autoguidance", "--guidance-scale", 2, "--guidance-model"]
    refused(tiny_model, *words, sd, says=("second model",))
    shutil.copytree(sd, "other")
    config = json.loads(Path("other/text_encoder/config.json").read_text())
    Path("other/text_encoder/config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    refused(sd, "--prompts", "a", *words, "other", says=("other", "another text encoder"))


def test_long_prompts_are_cut_and_it_is_said_once(cli, sd: Path) -> None:
    long = "word " * 300
    answer = cli("run", "--model", sd, "--prompts", long, *ASKED, *FEW, "-o", "out")
    assert answer.code == 0
    said = (
        "samplerzoo: prompts longer than the 77 tokens that the text encoder reads are cut off, 1 of 3: the first has "
        f"1202, and begins '{long[:40]}'\n"
    )
    assert answer.err.count(said) == 1
    assert "longer" not in answer.err.replace(said, "")


def test_info_says_what_the_model_takes(cli, sd: Path) -> None:
    told = json.loads(cli("info", sd, "--json").out)
    assert told["prompts"] is True
    assert "--guidance cfg --guidance-scale 7.5" in told["guessed"][0]


def test_errors_of_samplers_on_prompts(cli, sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "FIRST_STEPS", 8)  # how far the solutions are is no matter here
    monkeypatch.setattr(convergence, "MOST_STEPS", 16)
    Path("suite.toml").write_text(
        f'''
        model = "{sd}"
        images = 2
        steps = 2
        guidance = "cfg"
        guidance_scale = 1.5
        [[rows]]
        sampler = "ddim"
        prompts = [["a cat", "a dog|`"], ["a bird"]]
        '''
    )
    answer = cli("bench", "suite.toml", "-o", "out", "--json")
    assert answer.code == 0, answer
    rows = json.loads(answer.out)["rows"]
    assert [row["recipe"]["prompts"] for row in rows] == [["a cat", "a dog|`"], ["a bird"]]
    assert [row["protocol"]["prompts"].split()[0] for row in rows] == ["2", "1"]
    assert all(row["error"]["mean"] > 0 for row in rows)
    report = Path("out/report.md").read_text()
    assert '- "a dog\\|\\`"' in report
    assert len([line for line in report.splitlines() if line.startswith("## ") and "error@2, " in line]) == 2
    told = cli("bench", "--model", sd, "--prompts", "a cat", "--sampler", "ddim", "--steps", 2, "--dry-run", "--json")
    assert json.loads(told.out)["cells"][0]["recipe"]["prompts"] == ["a cat"]
    cli("bench", "--model", sd, "--sampler", "ddim", "--steps", 2).refuses(2, "--prompts TEXT|FILE")
