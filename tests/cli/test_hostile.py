"""Command lines, image files and records made with bad intent: each gets a one-line error, and nothing is fetched."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplerzoo import images


@pytest.fixture
def image(cli, tiny_model: Path) -> Path:
    words = ["--steps", 2, "--num-images", 2, "--class-labels", "natural", "-o", "out"]
    assert cli("run", "--model", tiny_model, *words).code == 0
    return Path("out/images/000001.png")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the network is reached for, even if the settings say that it may be."""
    from huggingface_hub import constants

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was reached for")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def rewritten(image: Path, **recipe: Any) -> Path:
    """Save the image with another recipe."""
    pixels, metadata = images.read_png(image)
    assert metadata is not None
    target = Path("it.png")
    images.save_png(images.picture(pixels), target, {**metadata, "recipe": {**metadata["recipe"], **recipe}})
    return target


def test_a_picture_decides_over_no_memory_and_no_time(cli, image: Path) -> None:
    pixels, metadata = images.read_png(image)
    assert metadata is not None
    images.save_png(images.picture(pixels), Path("it.png"), {**metadata, "index": 10**9 - 1})
    cli("rerun", "it.png").refuses(1, "it.png", "index")
    images.save_png(images.picture(pixels), Path("it.png"), {**metadata, "index": 10**7 - 1})
    assert "not the same image" in cli("rerun", "it.png", "--device", "cpu").err  # one image, however far its index
    cli("rerun", rewritten(image, steps=10**9)).refuses(1, "it.png", "steps")
    cli("rerun", rewritten(image, timesteps=[*range(200_000, 0, -1)], spacing="explicit")).refuses(1, "timesteps")
    cli("rerun", rewritten(image, shape=[1, 10**6, 10**6])).refuses(2, "10")
    cli("rerun", rewritten(image, sampler="a" * 10**5)).refuses(1, "sampler")
    cli("rerun", rewritten(image, sampler_options={"eta": "a" * 10**5})).refuses(1, "sampler_options")


def test_what_a_picture_names_is_not_fetched(cli, image: Path, no_network: None) -> None:
    cli("rerun", rewritten(image, model="owner/repo")).refuses(2, "owner/repo", "--model owner/repo")
    cli("rerun", rewritten(image, model="exact:owner/data")).refuses(2, "exact:owner/data", "--model exact:owner/data")
    second = {"guidance": "autoguidance", "guidance_options": {"model": "owner/weak", "scale": 2.0}}
    cli("rerun", rewritten(image, **second)).refuses(2, "owner/weak", "--guidance-model owner/weak")


def test_a_picture_of_60000_by_60000(cli) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for side in (60_000, 10_000):  # Pillow's own bound lies between
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        Path("huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
        cli("rerun", "huge.png").refuses(1, "huge.png")
        Path("pictures").mkdir(exist_ok=True)
        Path("huge.png").rename("pictures/huge.png")
        cli("eval", "--fake", "pictures", "--features", "pixels", "--real", "pictures").refuses(1, "huge.png")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--num-images", 10**18], "--num-images"),
        (["--steps", 10**9], "--steps"),
        (["--steps", "9" * 5000], "--steps"),
        (["--device", "meta"], "'meta'"),
        (["--model", "~nobody/x"], "~nobody/x"),
        (["--model", "a\0b"], "UTF-8"),
        (["--model", "a\udce9"], "UTF-8"),
        (["--scheduler", "~nobody/x"], "~nobody/x"),
        (["--shape", "1,1000000,1000000"], "--shape"),
        (["--sampler", "\x1b[2J"], r"\x1b[2J"),
    ],
)
def test_a_request_beyond_all_bounds(cli, plain_model: Path, words: list[object], part: str) -> None:
    Path("config").mkdir()
    base = ["--model", plain_model] if "--model" not in words else []
    answer = cli("run", *base, *words)
    answer.refuses(answer.code, part)
    assert answer.code in (1, 2)
    assert len(answer.err) < 6000


def test_a_suite_of_millions_of_cells(cli, tiny_model: Path) -> None:
    seeds = ",".join(map(str, range(1000)))
    words = ["--sampler", "ddim", "--steps", ",".join(map(str, range(1, 1000))), "--seeds", seeds, "--eta", "0,0.5,1"]
    cli("bench", "--model", tiny_model, *words, "--dry-run").refuses(2, "2997000 cells", "100000")


@pytest.mark.parametrize(
    "line",
    [
        '{"index": 0, "file": "../../secret.png"}', '{"index": 0, "file": "/etc/passwd"}', '{"file": 3}', "[]", "{}",
        '{"file": "images/000000.png", "label": -1}', '{"file": "a\\u0000b"}', "[" * 3000 + "\n", "\x00\n",
    ],
)  # fmt: skip
def test_a_manifest_that_another_hand_wrote(cli, image: Path, line: str) -> None:
    Path("out/manifest.jsonl").write_text(line + "\n")
    answer = cli("eval", "--fake", "out", "--features", "pixels", "--real", "out")
    answer.refuses(1, "manifest.jsonl")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"recipe": {}, "num_images": 2}', '{"recipe": NaN}', "[" * 3000, '{"num_images": "x"}']
)
def test_a_record_of_a_run_that_another_hand_wrote(cli, image: Path, tiny_model: Path, text: str) -> None:
    Path("out/run.json").write_text(text)
    answer = cli("run", "--model", tiny_model, "--steps", 2, "--num-images", 2, "-o", "out", "--resume")
    answer.refuses(answer.code, "run.json")
    assert answer.code in (1, 2)


def test_more_images_leave_the_trajectory_of_the_first_ones(cli, tiny_model: Path) -> None:
    words = ["run", "--model", tiny_model, "--steps", 2, "--batch-size", 8, "--trajectory", "--dtype", "float32"]
    assert cli(*words, "--num-images", 24, "-o", "whole").code == 0
    assert cli(*words, "--num-images", 16, "-o", "grown").code == 0
    assert cli(*words, "--num-images", 24, "-o", "grown", "--resume").code == 0
    for name in ("trajectory.png", "trajectory.gif", "grid.png"):
        assert Path("whole", name).read_bytes() == Path("grown", name).read_bytes(), name


def test_half_files_are_neither_counted_nor_kept(cli, image: Path, tiny_model: Path) -> None:
    half = Path("out/images/.partial-1-000007.png")
    half.write_bytes(image.read_bytes())
    answer = cli("ref", "make", "out/images", "--features", "pixels", "-o", "ref.npz")
    assert "2 images" in answer.out, answer
    words = ["--steps", 2, "--num-images", 2, "--class-labels", "natural", "-o", "out", "--resume"]
    assert cli("run", "--model", tiny_model, *words).code == 0
    assert not half.exists()


MOMENTS: dict[str, dict[str, Any]] = {
    "NaN": {"mu": np.full(64, np.nan)},
    "infinity": {"sigma": np.full((64, 64), np.inf)},
    "negative": {"sigma": -np.eye(64)},
    "indefinite": {"sigma": np.eye(64) - 0.5},
    "not symmetric": {"sigma": np.triu(np.ones((64, 64)))},
    "of other shapes": {"mu": np.zeros(3)},
    "of one axis": {"sigma": np.zeros(64)},
    "empty": {"mu": np.zeros(0), "sigma": np.zeros((0, 0))},
    "beyond squares": {"mu": np.full(64, 1e300)},
    "complex": {"mu": np.zeros(64, complex)},
    "words": {"mu": np.full(64, "a")},
    "objects": {"mu": np.array([None] * 64)},
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_that_none_has(cli, image: Path, name: str) -> None:
    np.savez("it.npz", **{"mu": np.zeros(64), "sigma": np.eye(64), **MOMENTS[name]})
    answer = cli("eval", "--fake", "out", "--features", "pixels", "--real", "it.npz")
    assert (answer.code, answer.out) == (1, "")
    assert "samplerzoo: error: " in (last := answer.err.splitlines()[-1])  # behind what the images are
    assert "it.npz" in last


def test_a_reference_with_a_flipped_byte_or_a_header_of_gigabytes(cli, image: Path) -> None:
    np.savez_compressed("good.npz", mu=np.arange(64.0), sigma=np.eye(64))
    raw = Path("good.npz").read_bytes()
    evaluate = ["eval", "--fake", "out", "--features", "pixels", "--real", "it.npz"]
    for place in range(30, len(raw), len(raw) // 12):
        Path("it.npz").write_bytes(raw[:place] + bytes([raw[place] ^ 16]) + raw[place + 1 :])
        answer = cli(*evaluate)
        assert answer.code == 0 or (answer.code == 1 and answer.err.count("\n") == 1), (place, answer)
    import zipfile

    with zipfile.ZipFile("it.npz", "w") as archive:
        for member, shape in (("mu.npy", (10**11,)), ("sigma.npy", (10**11, 10**11))):
            with archive.open(member, "w") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    cli(*evaluate).refuses(1, "it.npz", "features")


def test_text_from_results_is_neither_markup_nor_control(cli, tmp_path: Path) -> None:
    """`$x^$` would end matplotlib, and a report would never be written."""
    words = ["--model", "gaussian", "--sampler", "ddim", "--steps", "1,2", "-o", "it"]
    assert cli("bench", *words).code == 0
    lines = [json.loads(line) for line in Path("it/results.jsonl").read_text().splitlines()]
    nasty = "<script>alert(1)</script> $x^$ | `c` \x1b[2J\n# head"
    for line in lines:
        del line["digest"]  # as of an earlier version, whose rows are read as they are
        line["recipe"]["sampler_options"] = {nasty: nasty}
        line["recipe"]["guidance"] = nasty
        line["protocol"] |= {"model": nasty, "reference": nasty, "features": nasty, "images": 9}
        line |= {"warnings": [nasty], "command": f"samplerzoo ```\n# {nasty}", "versions": {nasty: nasty}}
    Path("it/results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cli("report", "it").code == 0
    report = Path("it/report.md").read_text()
    assert "\x1b" not in report
    markup = re.sub(r"(?ms)^(`{3,})sh\n.*?^\1$", "", report)  # without blocks of code, and spans of it
    assert "script" in markup
    markup = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", markup)
    assert not re.search(r"(?<!\\)<script|(?<!\\)\$|^# head", markup, re.MULTILINE)
    answer = cli("compare", "it")
    assert answer.code == 0
    assert "\x1b" not in answer.out


def test_memory_that_runs_out_is_one_line(cli) -> None:
    words = ["--dataset", "digits", "--output-dir", "out", "--block-out-channels", f"{2**50},8"]  # no address is so far
    answer = cli("train", *words)
    assert answer.code == 1
    assert answer.err.startswith("samplerzoo: error: out of memory: ")
    assert answer.err.count("\n") == 1
    assert not Path("out").exists()


def test_words_to_be_pasted_are_quoted(cli, tiny_model: Path) -> None:
    odd = Path("it's me")
    shutil.copytree(tiny_model, odd)
    quoted = shlex.quote("it's me")
    cli("report", odd).refuses(2, f"`samplerzoo bench -o {quoted}` makes them")
    few = ["--sampler", "ddim", "--steps", 2, "--images", 4]
    cli("bench", "--model", odd, "--features", f"classifier:{odd}", *few).refuses(
        2, f"""--output-dir {shlex.quote("it's me/features")}`"""
    )
    shutil.copytree(odd / "unet", odd / "unet_2")
    (odd / "model_index.json").unlink()
    cli("run", "--model", odd).refuses(1, f"""name one of them, as --model {shlex.quote("it's me/unet_2")}""")
