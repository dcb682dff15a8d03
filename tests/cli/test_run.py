"""`samplerzoo run`: its flags, its folder, what it refuses, and what survives an interruption."""

from __future__ import annotations

import errno
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from samplerzoo_plugins.architectures.unet2d import UNet2D

from samplerzoo import images, registry
from samplerzoo.cli import bench, pictures, timesteps
from samplerzoo.cli import run as module
from samplerzoo.cli.plugin_flags import PluginCommand
from samplerzoo.core.kinds import RESERVED
from samplerzoo.models.load import ModelFolder
from samplerzoo.sampling.sample import sample

FEW = ["--steps", 3, "--num-images", 5, "--batch-size", 2]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a run folder but the record of how long it took, and the lock."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("run.json", ".lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# flags


def test_no_plugin_may_take_the_name_of_a_flag_or_a_keyword() -> None:
    """Beside a field of a sampler stand the flags of four commands, and the keywords of `sample`."""
    params = [*module.flags_of_run, *timesteps.command.params, *bench.flags_of_bench, *pictures.flags_of_show]
    own = {name for param in params for name in param.opts + param.secondary_opts if name[:2] == "--"}
    flags = {name[2:].replace("-", "_") for name in own} - {"no_rescale_betas_zero_snr", "no_hosted"}
    assert flags | {"help"} | set(inspect.signature(sample).parameters) == RESERVED


def test_help_shows_the_flags_of_the_plugins_that_are_named(cli) -> None:
    out = " ".join(cli("run", "--sampler", "ddim", "--help").out.split())
    assert "Options of ddim: --eta NUMBER" in out
    assert "[default: 0.0; at least 0.0, at most 1.0]" in out
    assert "Options of a whole pipeline: --guidance-scale NUMBER" in out
    assert "--guidance-rescale" not in out
    out = " ".join(cli("run", "--sampler", "ddpm", "--guidance", "classifier", "--help").out.split())
    assert "--variance small|large|learned" in out
    assert "--guidance-form score|mean" in out
    assert "whole pipeline: --guidance-scale" not in out
    assert "--eta" not in out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--etaa 0", ["--etaa", "did you mean --eta?"]),
        ("--stps 3", ["--stps", "did you mean --steps?"]),
        ("--sampler ddpm --eta 0", ["--eta", "ddpm has no option", "belongs to: ddim"]),
        ("--eta 0 --sampler ddpm", ["--eta", "ddpm has no option", "belongs to: ddim"]),
        ("--sampler=ddpm --eta=0", ["belongs to: ddim"]),
        ("--eta 2", ["--eta", "less than or equal to 1"]),
        ("--eta nan", ["--eta", "finite"]),
        ("--sampler ddmi", ["'ddmi'", "did you mean"]),
        ("--sampler cfg", ["cfg is a guidance", "--sampler ddim --guidance cfg"]),
        ("--sampler classifier", ["--sampler ddim --guidance classifier"]),
        ("--guidance ddim", ["--sampler ddim"]),
        ("--guidance-scale 3", ["--guidance-scale", "--guidance cfg"]),
        ("--guidance cfg --guidance-form mean", ["--guidance-form", "belongs to: classifier"]),
        ("--guidance cfg --guidance-scale -1", ["--guidance-scale", "greater than or equal to 0"]),
        ("--seed -1", ["--seed"]),
        ("--seed 18446744073709551616", ["--seed"]),
        ("--num-images 0", ["--num-images"]),
        ("--timesteps 9,x", ["--timesteps"]),
        ("--timesteps 9,3 --steps 3", ["timesteps take the place"]),
        ("--spacing karas", ["no spacing 'karas'", "did you mean karras?"]),
        ("--resume", ["--output"]),
        ("--resume --overwrite -o x", ["one of them"]),
        ("--plugin nowhere.py", ["nowhere.py"]),
        ("--model nowhere", ["nowhere"]),
        ("extra", ["extra"]),
    ],
)
def test_bad_requests_are_one_line_and_exit_code_2(cli, words: str, parts: list[str]) -> None:
    cli("run", *words.split()).refuses(2, *parts)


# the folder


def test_a_run_folder(cli, tiny_model: Path) -> None:
    answer = cli("run", "--model", tiny_model, "--eta", 0.5, *FEW)
    assert answer.code == 0, answer
    first, second = answer.out.splitlines()
    assert Path(first) == Path("runs/ddim-3/grid.png")
    assert second.startswith("5 images, NFE 3, ")
    assert answer.err == ""
    folder = Path(first).parent
    names = sorted(files_of(folder))
    assert names == ["grid.png", *(f"images/00000{i}.png" for i in range(5)), "manifest.jsonl"]
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert lines == [
        {"index": i, "file": f"images/00000{i}.png", "seed": 0, "label": label}
        for i, label in enumerate([0, 1, 2, 0, 1])
    ]
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "done"
    assert (record["nfe"], record["network_calls"], record["classifier_gradients"]) == (3, 3, 0)
    assert record["recipe"]["sampler_options"] == {"eta": 0.5}
    assert record["recipe"]["clip_x0"] == "off"
    assert record["recipe"]["model"] == str(tiny_model)
    assert record["recipe"]["fingerprint"] == ModelFolder.open(tiny_model).fingerprint
    assert [level["timestep"] for level in record["grid"]] == [999, 666, 332, -1]
    assert {"torch", "diffusers", "samplerzoo"} <= set(record["versions"])
    pixels, metadata = images.read_png(folder / "images/000004.png")
    assert pixels.shape == (8, 8, 1)
    assert metadata is not None
    assert (metadata["index"], metadata["label"]) == (4, 1)
    assert metadata["recipe"] == record["recipe"]


def test_the_default_folder_is_a_new_one(cli, tiny_model: Path) -> None:
    folders = [Path(cli("run", "--model", tiny_model, *FEW).out.split()[0]).parent for _ in range(3)]
    assert [folder.name for folder in folders] == ["ddim-3", "ddim-3-2", "ddim-3-3"]
    assert files_of(folders[0]) == files_of(folders[1])


def test_the_pixels_are_those_of_the_python_interface(cli, tiny_model: Path) -> None:
    from samplerzoo import load, sample

    words = ["--sampler", "ddpm", "--variance", "large", "--seed", 7, "--class-labels", "2,0", "--spacing", "karras"]
    cli("run", "--model", tiny_model, *words, *FEW, "-o", "out")
    result = sample(
        load(tiny_model), "ddpm", variance="large", seed=7, labels="2,0", num_images=5, spacing="karras", steps=3,
        batch_size=2,
    )  # fmt: skip
    found = np.stack([images.read_png(Path(f"out/images/00000{i}.png"))[0] for i in range(5)])
    np.testing.assert_array_equal(found, images.to_uint8(result.images))


def test_a_resumed_run_keeps_its_batches_and_layout(cli, tiny_model: Path) -> None:
    def pace(*more: object) -> tuple[int, str]:
        words = ["run", "--model", tiny_model, "--steps", 1, "--num-images", 5, "-o", "out", "--json"]
        record = json.loads(cli(*words, *more).out)
        return record["batch_size"], record["layout"]

    assert pace() == (64, "contiguous")
    assert pace("--overwrite", "--batch-size", 2, "--layout", "channels_last") == (2, "channels_last")
    assert pace("--resume") == (2, "channels_last")
    assert pace("--resume", "--batch-size", 3, "--layout", "contiguous") == (3, "contiguous")
    record = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**record, "layout": "sideways"}))
    assert pace("--resume") == (64, "contiguous")


def test_a_compiled_network_has_its_own_layout(cli, tiny_model: Path) -> None:
    words = ["--model", tiny_model, "--compile", "--layout", "contiguous"]
    cli("run", *words).refuses(2, "--compile", "leave --layout out")
    cli("bench", *words, "--sampler", "ddim").refuses(2, "--compile", "leave --layout out")


def test_an_unconditional_model_of_diffusers_own(cli, plain_model: Path) -> None:
    answer = cli("run", "--model", plain_model, *FEW, "--json")
    record = json.loads(answer.out)
    assert record["status"] == "done"
    assert record["recipe"]["class_labels"] is None
    assert (Path(record["folder"]) / "grid.png").is_file()


def test_a_trajectory_is_a_strip_and_a_film(cli, tiny_model: Path) -> None:
    answer = cli("run", "--model", tiny_model, *FEW, "--trajectory", "-o", "out")
    assert answer.out.splitlines()[0] == "out/grid.png"
    assert "beside the picture: images/, manifest.jsonl, run.json, trajectory.png, trajectory.gif" in answer.out
    with Image.open("out/trajectory.png") as strip, Image.open("out/trajectory.gif") as film:
        assert strip.height > 4 * 84  # states and predictions of 2 images: those of the first batch
        assert film.n_frames == 4
        assert film.height > film.width * 0.9  # states above predictions


def test_guidance_and_its_cost(cli, classifier_model: Path) -> None:
    for words, nfe, gradients in (
        ("--guidance cfg --guidance-scale 2", 6, 0),
        ("--guidance cfg", 3, 0),
        ("--guidance classifier --guidance-scale 3", 3, 3),
    ):
        told = json.loads(cli("run", "--model", classifier_model, *words.split(), *FEW, "--dry-run", "--json").out)
        done = json.loads(cli("run", "--model", classifier_model, *words.split(), *FEW, "--json").out)
        for record in (told, done):
            assert (record["nfe"], record["classifier_gradients"]) == (nfe, gradients)


def test_a_second_model_is_recorded_counted_and_found_again(cli, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, "worse")
    weights = Path("worse/unet/diffusion_pytorch_model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-4:] = np.float32(0.1).tobytes()
    weights.write_bytes(content)
    words = ["--guidance", "autoguidance", "--guidance-model", "worse", "--guidance-scale", 2]
    answer = cli("run", "--model", tiny_model, *words, *FEW, "-o", "out")
    assert "NFE 3 and 3 of the second network" in answer.out
    recipe = json.loads(Path("out/run.json").read_text())["recipe"]
    assert recipe["guidance_options"]["model"] == str(Path("worse").resolve())
    assert recipe["second_fingerprint"] == ModelFolder.open("worse").fingerprint != recipe["fingerprint"]
    assert "same" in cli("rerun", "out/images/000001.png").out
    weights.write_bytes((tiny_model / "unet/diffusion_pytorch_model.safetensors").read_bytes())
    assert "the guidance's own model is not the one of the image" in cli("rerun", "out/images/000001.png").err


def test_a_plugin_file_is_recorded(cli, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})
    path = tmp_path / "direct.py"
    path.write_text(
        "from samplerzoo import Sampler\n"
        "class Direct(Sampler):\n"
        "    def step(self, x, t, s, denoise, noise):\n"
        "        p = denoise(x, t)\n"
        "        return s.alpha * p.x0 + s.sigma * p.eps\n"
    )
    record = json.loads(cli("run", "--model", tiny_model, "--plugin", path, "--sampler", "direct", *FEW, "--json").out)
    assert list(record["recipe"]["plugins"]) == [str(path)]
    monkeypatch.setattr(registry, "_files", {})
    image = Path(record["folder"]) / "images/000000.png"
    cli("rerun", image).refuses(
        2, f"if you trust it: samplerzoo rerun {image} --plugin {path}"
    )  # an image cannot have a file run
    answer = cli("rerun", image, "--plugin", path)
    assert answer.code == 0, answer
    assert answer.err == ""


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(cli, tiny_model: Path) -> None:
    answer = cli(
        "run", "--model", tiny_model, "--dry-run", "--guidance", "cfg", "--guidance-scale", 3, "--timesteps", "9,3"
    )
    assert answer.code == 0, answer
    assert [line.split() for line in answer.out.splitlines() if line.startswith(("nfe", "grid"))] == [
        ["nfe", "4.0"],
        ["grid", "9", "3", "clean"],
    ]
    seconds = [float(line.split()[1]) for line in answer.out.splitlines() if line.startswith("seconds")]
    assert len(seconds) == 1
    assert seconds[0] > 0
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--guidance", "cfg", "--guidance-scale", "0,1,3"],
        ["--steps", "5,10"],
        ["--eta", "0, 1"],
        ["--spacing", "karras,logsnr"],
    ],
)
def test_lists_are_for_bench(cli, tiny_model: Path, words: list[str]) -> None:
    cli("run", "--model", tiny_model, *words).refuses(
        2, "`run` takes one value, and `samplerzoo show` and `samplerzoo bench`"
    )


def test_what_is_no_list_of_values_gets_no_such_hint(cli, tiny_model: Path) -> None:
    assert "samplerzoo bench" not in cli("run", "--model", tiny_model, "--eta", "2,a").err


# nothing lost


def test_a_folder_in_use_is_left_alone(cli, tiny_model: Path) -> None:
    words = ["run", "--model", tiny_model, *FEW, "-o", "out"]
    cli(*words)
    before = files_of(Path("out"))
    cli(*words).refuses(2, "out is not empty", "--resume", "--overwrite")
    with FileLock("out/.lock"):
        cli(*words, "--overwrite").refuses(1, "out is in use")
    Path("file").write_text("")
    cli("run", "--model", tiny_model, *FEW, "-o", "file").refuses(2, "file is a file")
    assert files_of(Path("out")) == before


def test_overwrite_removes_what_a_run_writes_and_nothing_else(cli, tiny_model: Path) -> None:
    words = ["run", "--model", tiny_model, "-o", "out", "--steps", 2]
    cli(*words, "--num-images", 3, "--trajectory")
    Path("out/images/mine.png").write_text("mine")
    Path("out/notes.txt").write_text("mine")
    assert cli(*words, "--num-images", 2, "--overwrite").code == 0
    assert sorted(files_of(Path("out"))) == [
        "grid.png", "images/000000.png", "images/000001.png", "images/mine.png", "manifest.jsonl", "notes.txt",
    ]  # fmt: skip


def test_a_resumed_run_equals_a_straight_one_byte_for_byte(
    cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["run", "--model", tiny_model, "--eta", 1, *FEW, "--trajectory"]
    cli(*words, "-o", "straight")
    save = images.save_png

    def interrupted(image: Image.Image, path: Path, *rest: object) -> None:
        if path.name == "000003.png":
            raise KeyboardInterrupt
        save(image, path, *rest)

    monkeypatch.setattr(images, "save_png", interrupted)
    answer = cli(*words, "-o", "resumed")
    assert answer.code == 130
    assert "--resume" in answer.err
    monkeypatch.setattr(images, "save_png", save)
    assert json.loads(Path("resumed/run.json").read_text())["status"].startswith("ended early")
    assert "images/000003.png" not in files_of(Path("resumed"))
    answer = cli(*words, "-o", "resumed", "--resume", "--json")
    assert json.loads(answer.out)["images_made"] == 5  # the film needs the first batch again
    assert files_of(Path("resumed")) == files_of(Path("straight"))
    assert cli(*words, "-o", "resumed", "--resume").out.splitlines()[1].startswith("all 5 images were there already")


def test_resume_makes_only_the_batches_that_lack_an_image(cli, tiny_model: Path) -> None:
    words = ["run", "--model", tiny_model, *FEW, "-o", "out"]
    cli(*words)
    before, neighbour = files_of(Path("out")), Path("out/images/000003.png")
    Path("out/images/000002.png").unlink()
    written = neighbour.stat().st_mtime_ns
    assert json.loads(cli(*words, "--resume", "--json").out)["images_made"] == 2
    assert files_of(Path("out")) == before
    assert neighbour.stat().st_mtime_ns == written


def test_resume_refuses_another_recipe_or_fewer_images(cli, tiny_model: Path) -> None:
    words = ["run", "--model", tiny_model, "-o", "out", "--resume"]
    cli(*words, *FEW)
    cli(*words, "--steps", 4, "--num-images", 5).refuses(2, "steps 3, not 4")
    cli(*words, *FEW, "--seed", 1).refuses(2, "seed 0, not 1")
    cli(*words, "--steps", 3, "--num-images", 4).refuses(2, "5 images")
    assert cli(*words, "--steps", 3, "--num-images", 6).code == 0
    Path("out/run.json").unlink()
    cli(*words, *FEW).refuses(2, "no run that could be resumed")


def test_a_full_disk_leaves_no_half_file(cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Image.Image.save

    def full(self: Image.Image, path: Path, *rest: object, **options: object) -> None:
        if "000003" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        whole(self, path, *rest, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    cli("run", "--model", tiny_model, *FEW, "-o", "out").refuses(1, "No space left on device")
    assert sorted(files_of(Path("out"))) == [f"images/00000{i}.png" for i in range(3)]
    assert "OSError" in json.loads(Path("out/run.json").read_text())["status"]


def test_nan_from_the_network_is_named_with_its_step(cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def network(self, module):
        return lambda x, time, condition: x * (float("nan") if time[0] < 500 else 1.0)

    monkeypatch.setattr(UNet2D, "call", network)
    cli("run", "--model", tiny_model, *FEW, "-o", "out").refuses(1, "NaN", "step 3 of 3", "tau 333")
    assert not list(Path("out/images").glob("*.png"))


def test_too_little_memory_says_what_to_lower(cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def network(self, module):
        def fail(x, time, condition):
            raise torch.OutOfMemoryError("a long story")

        return fail

    monkeypatch.setattr(UNet2D, "call", network)
    cli("run", "--model", tiny_model, *FEW).refuses(1, "batches of 2", "--batch-size")


# models that cannot be used


def _json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


BROKEN = {
    "no weights": (lambda root: (root / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "no weights", 1),
    "half weights": (
        lambda root: os.truncate(root / "unet" / "diffusion_pytorch_model.safetensors", 1000), "cut short", 1,
    ),
    "pickle": (
        lambda root: (root / "unet" / "diffusion_pytorch_model.safetensors").rename(
            root / "unet" / "diffusion_pytorch_model.bin"
        ),
        "pickle", 1,
    ),
    "no schedule": (lambda root: (root / "scheduler" / "scheduler_config.json").unlink(), "scheduler_config.json", 1),
    "half a config": (lambda root: (root / "unet" / "config.json").write_text('{"in_cha'), "config.json", 1),
    "prediction type": (
        lambda root: _json(root / "scheduler" / "scheduler_config.json", prediction_type="flow"), "'flow'", 1,
    ),
    "no null label": (lambda root: _json(root / "samplerzoo.json", null_label=None), "null label", 2),
    "empty folder": (lambda root: [path.unlink() for path in root.rglob("*") if path.is_file()], "no model folder", 1),
    "latents": (lambda root: _json(root / "unet" / "config.json", in_channels=4, out_channels=4), "4 channels", 2),
}  # fmt: skip


@pytest.mark.parametrize("damage", BROKEN)
def test_models_that_cannot_be_used(cli, tiny_model: Path, damage: str) -> None:
    change, text, code = BROKEN[damage]
    change(tiny_model)
    answer = cli("run", "--model", tiny_model, *FEW, "--guidance", "cfg", "--guidance-scale", 2, "-o", "out")
    answer.refuses(code, text)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--class-labels 3", ["class label 3", "0 to 2"]),
        ("--class-labels 2-1", ["runs backwards"]),
        ("--class-labels cat", ["'cat'", "balanced"]),
        ("--guidance classifier", ["classifier", "train-classifier"]),
        ("--sampler ddpm --variance learned", ["learned"]),
        ("--clip-x0 sometimes", ["'sometimes'", "static"]),
        ("--steps 1001", ["1001", "at most 1000"]),
        ("--timesteps 3,9", ["decrease"]),
        ("--device abacus", ["'abacus'"]),
    ],
)
def test_what_does_not_fit_the_model(cli, tiny_model: Path, words: str, parts: list[str]) -> None:
    cli("run", "--model", tiny_model, *words.split(), "-o", "out").refuses(2, *parts)
    assert not Path("out").exists()


def test_labels_for_an_unconditional_model(cli, plain_model: Path) -> None:
    cli("run", "--model", plain_model, "--class-labels", 1).refuses(2, "unconditional")


# many processes


def test_two_processes_make_the_files_of_one(cli, tiny_model: Path) -> None:
    words = ["--model", tiny_model, "--eta", 1, "--steps", 2, "--num-images", 5, "--batch-size", 2, "--trajectory"]
    words += ["--dtype", "float32"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "samplerzoo", "run"]
        + [str(word) for word in [*words, "-o", "two"]],
        capture_output=True, text=True, timeout=500, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "two/grid.png"
    assert len(done.stdout.splitlines()) == 2
    assert json.loads(Path("two/run.json").read_text())["processes"] == 2
    cli("run", *words, "-o", "one")
    one, two = files_of(Path("one")), files_of(Path("two"))
    assert sorted(one) == sorted(two)
    for name in (name for name in one if name.startswith("images/")):
        (pixels, metadata), (other, same) = (images.read_png(Path(folder, name)) for folder in ("one", "two"))
        assert metadata == same
        assert np.abs(pixels.astype(int) - other.astype(int)).max() <= 1  # threads may round differently
    assert one["manifest.jsonl"] == two["manifest.jsonl"]


def test_the_command_is_one_whose_flags_follow_the_plugins() -> None:
    assert isinstance(module.command, PluginCommand)


SECOND = Path("out/images/000001.png")


def test_a_run_goes_on_with_images_that_are_its_own(cli, tiny_model: Path) -> None:
    """Each image carries what it is, so that an exchanged one is seen, and nothing is written."""
    words = ["run", "--model", tiny_model, "--steps", 1, "--class-labels", "0,1", "--num-images", 4]
    assert cli(*words, "-o", "out").code == 0
    assert cli(*words, "-o", "other", "--seed", 1).code == 0
    before, content = files_of(Path("out")), SECOND.read_bytes()
    pixels, metadata = images.read_png(SECOND)
    assert metadata is not None

    def refused(*parts: str) -> None:
        changed = files_of(Path("out"))
        cli(*words, "-o", "out", "--resume").refuses(1, str(SECOND), *parts, "--resume makes the image anew")
        assert files_of(Path("out")) == changed
        SECOND.write_bytes(content)

    for index, what in (("000000", "is image 0, not 1; of class 0, not 1"), ("000003", "is image 3, not 1: this run")):
        shutil.copy(f"out/images/{index}.png", SECOND)
        refused(what)
    shutil.copy("other/images/000001.png", SECOND)
    refused("is seed 1, not 0")
    images.save_png(images.picture(pixels), SECOND)
    refused("carries no recipe")
    images.save_png(images.picture(pixels), SECOND, {**metadata, "label": 0})
    refused("is of class 0, not 1")
    images.save_png(images.picture(pixels), SECOND, {**metadata, "samplerzoo": "0.1"})
    assert cli(*words, "-o", "out", "--resume").code == 0  # an earlier version has made it, as this one would
    kept = json.dumps(metadata)
    for other in (pixels ^ 1, pixels[:, :-1]):  # under the metadata of the image itself
        _save(SECOND, images.picture(other), kept)
        refused("has other pixels than when it was written")
    for cut in (b"", content[:20], content[: len(content) // 2], content[:-60]):
        SECOND.write_bytes(cut)
        refused("not an image that can be read")
    _save(SECOND, images.picture(pixels ^ 1), json.dumps({k: v for k, v in metadata.items() if k != "pixels"}))
    assert cli(*words, "-o", "out", "--resume").code == 0  # of an earlier version, which kept no digest
    SECOND.unlink()
    answer = cli(*words, "-o", "out", "--resume")
    assert (answer.code, "left out" in answer.err) == (0, False)
    assert files_of(Path("out")) == before
    stray = SECOND.with_name("000001 (copy).png")
    shutil.copy(SECOND, stray)
    for how in ("--resume", "--overwrite"):
        answer = cli(*words, "-o", "out", how)
        assert f"samplerzoo: out: a picture that is none of this run is left out: images/{stray.name}" in answer.err
        assert (answer.code, stray.is_file()) == (0, True)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_picture_of_a_palette_is_read_as_what_it_shows(tmp_path: Path, mode: str) -> None:
    """Programs that make files smaller give pictures a palette, without a change of what they show."""
    channels = {"L": 1, "RGB": 3}[mode]
    shown = images.picture(np.arange(16 * channels, dtype=np.uint8).reshape(4, 4, channels))
    _save(tmp_path / "a.png", shown.quantize(256), "{}")
    found, _ = images.read_png(tmp_path / "a.png")
    np.testing.assert_array_equal(images.picture(found), shown)


def _save(path: Path, picture: Image.Image, metadata: str) -> None:
    """Save a picture as another program does that keeps the metadata."""
    chunks = PngInfo()
    chunks.add_text("samplerzoo", metadata)
    picture.save(path, "PNG", pnginfo=chunks)


def test_a_picture_of_another_size_among_those_of_a_run_is_named(cli, tiny_model: Path) -> None:
    words = ["run", "--model", tiny_model, "--sampler", "ddim", "--steps", 1, "--num-images", 3, "-o", "out"]
    assert cli(*words).code == 0
    metadata = images.read_png(SECOND)[1]
    assert metadata is not None
    earlier = {name: value for name, value in metadata.items() if name != "pixels"}  # which kept no digest
    images.save_png(Image.new("RGB", (5, 7)), SECOND, earlier)
    cli(*words, "--resume").refuses(1, "out/images/000001.png: a picture of 5x7, colour")
