"""Offload of whole pipelines, without an accelerator: what is refused, which method is called with what, and images.

A fake accelerator has the name cuda, and diffusers' own hooks, which are real, bring the weights to the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from folders_of_pipelines import READING

import samplerzoo as zoo
from samplerzoo.cli import main
from samplerzoo.core.stopwatch import Stopwatch
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.hosting.offload import METHODS, check_offload
from samplerzoo.sampling import convergence

Folders = Callable[[str], Path]
Called = list[tuple[str, dict[str, Any]]]

PROMPTS = ["a cat", "a dog"]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """Pretend that there is an accelerator; return the calls of methods that offload to it, in their order."""
    found: Called = []

    def brought_to_the_cpu(method: str) -> Any:
        real = getattr(diffusers.DiffusionPipeline, method)

        def enable(self: Any, *place: Any, **options: Any) -> None:
            said = dict(options) if not place else {"onload_device": str(place[0]), **options}
            if torch.device(said.get("device") or said["onload_device"]).type == "cuda":  # hooks come back to it
                found.append((method, said))
            if method == METHODS["sequential"]:
                return  # accelerate loads layers to accelerators alone
            real(self, *(torch.device("cpu") for _ in place), **{**options, **({} if place else {"device": "cpu"})})

        return enable

    for method in METHODS.values():
        monkeypatch.setattr(diffusers.DiffusionPipeline, method, brought_to_the_cpu(method))
    for module in ("models.load", "sampling.run", "bench.harness", "hosting.folder"):
        monkeypatch.setattr(f"samplerzoo.{module}.choose_device", lambda device: "cuda" if device == "auto" else device)
    for module in ("sampling.run", "bench.harness"):
        monkeypatch.setattr(f"samplerzoo.{module}.device_name", lambda device: f"{device} (a fake one)")
    monkeypatch.setattr("samplerzoo.bench.harness.peak_memory", lambda device: 1)
    monkeypatch.setattr("samplerzoo.bench.harness.reset_peak", lambda device: None)
    monkeypatch.setattr(Stopwatch, "_wait", lambda watch: None)
    return found


@pytest.mark.parametrize(("name", "offload"), [("sdxl", "model"), ("flux", "group")])
def test_images_are_the_same(whole: Folders, called: Called, name: str, offload: Any) -> None:
    reading = READING[name]
    plain, offloaded = (
        zoo.load(whole(name), dtype="float32", device=device, offload=way, **reading)
        for device, way in (("cpu", None), ("cuda", offload))
    )
    first, second = (zoo.sample(model, "heun", steps=2, prompts=PROMPTS) for model in (plain, offloaded))
    assert (first.images - second.images).abs().max() < 1e-5
    assert first.cost == second.cost
    assert len(called) == 1
    assert (plain.offload, offloaded.offload, offloaded.device) == (None, offload, "cuda")
    again = zoo.sample(offloaded, "heun", steps=2, prompts=PROMPTS)  # a pipeline puts its hooks anew at its end
    assert torch.equal(again.images, second.images)


@pytest.mark.parametrize(
    ("offload", "said"),
    [
        ("model", {"device": "cuda"}),
        ("sequential", {"device": "cuda"}),
        ("group", {"onload_device": "cuda", "offload_type": "leaf_level"}),
    ],
)
def test_method_of_each_word(whole: Folders, called: Called, offload: Any, said: dict[str, Any]) -> None:
    zoo.load(whole("sdxl"), dtype="float32", offload=offload, **READING["sdxl"])
    assert called == [(METHODS[offload], said)]


def test_commands(
    whole: Folders, called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(convergence, "FIRST_STEPS", 4)
    monkeypatch.setattr(convergence, "MOST_STEPS", 8)
    model = ["--model", str(whole("sd")), "--hosted", "--sampler", "ddim", "--steps", "2", "--dtype", "float32"]
    asked = [*model, "--prompts", "a cat", "--offload", "model"]
    assert main(["run", *asked, "--num-images", "1", "--trajectory", "-o", "run"]) == 0
    record = json.loads(Path("run/run.json").read_text())
    assert (record["offload"], record["device"]) == ("model", "cuda (a fake one)")
    assert "offload" not in record["recipe"]  # it moves no image
    assert main(["rerun", "run/images/000000.png", "--offload", "group"]) == 0
    assert "identical" in capfd.readouterr().out
    assert main(["show", *asked, "--images", "1"]) == 0
    assert main(["bench", *asked, "--images", "1", "-o", "bench"]) == 0
    (row,) = [json.loads(line) for line in Path("bench/results.jsonl").read_text().splitlines()]
    assert row["speed"]["offload"] == "model"
    assert "model offload" in Path("bench/report.md").read_text()
    assert [method for method, _ in called] == [METHODS[way] for way in ("model", "group", "model", "model")]


# -- refusals


def test_without_an_accelerator(whole: Folders, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = [
        "--model",
        str(whole("sdxl")),
        "--hosted",
        "--device",
        "cpu",
        "--prompts",
        "a cat",
        "--offload",
        "sequential",
    ]
    for words in (["run", "-o", str(tmp_path / "run")], ["bench", "--sampler", "ddim", "-o", str(tmp_path / "bench")]):
        assert main([*words, *line]) == 2
        said = capfd.readouterr().err
        assert said.count("\n") == 1
        assert "the device is cpu: leave --offload out" in said
    assert not any(tmp_path.iterdir())


def test_models_that_are_no_whole_pipelines(whole: Folders) -> None:
    for name in ("mnist", "exact:digits", str(whole("sd"))):
        with pytest.raises(UsageError, match="--offload is for whole pipelines"):
            zoo.load(name, offload="model")


def test_pipelines_that_have_not_every_way() -> None:
    class Old:
        model_cpu_offload_seq = None

        def enable_model_cpu_offload(self) -> None: ...

        def enable_sequential_cpu_offload(self) -> None: ...

    for offload in ("model", "group"):
        with pytest.raises(UsageError, match=f"has no --offload {offload}: take --offload sequential$"):
            check_offload(Old, offload, "cuda")  # type: ignore[arg-type]
    check_offload(Old, "sequential", "cuda")
    with pytest.raises(UsageError, match="leave --offload out"):
        check_offload(object, "sequential", "cuda:1")


def test_pipeline_that_refuses(whole: Folders, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: Any, **options: Any) -> None:
        raise ValueError("not with a device map")

    monkeypatch.setattr(diffusers.DiffusionPipeline, METHODS["model"], refuses)
    with pytest.raises(ZooError, match=r"StableDiffusionXLPipeline: --offload model: .*not with a device map"):
        zoo.load(whole("sdxl"), dtype="float32", offload="model", **READING["sdxl"])
