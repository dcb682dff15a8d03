"""Batch size and layout are measured where it pays, once for a network on a machine, and move no image."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from samplerzoo.core.model import Model
from samplerzoo.models.load import ModelFolder, load
from samplerzoo.sampling import tuning
from samplerzoo.sampling.sample import sample
from samplerzoo.sampling.tuning import Tuning, TuningRequest

LONG = 1e9


@pytest.fixture
def folder(tiny_model: Path) -> ModelFolder:
    return ModelFolder.open(tiny_model)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "samplerzoo" / "pace"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """In place of the measurement, which is counted."""
    calls: list[tuple[object, ...]] = []

    def measure(*asked: object) -> Tuning:
        calls.append(asked)
        return Tuning(batch_size=16, layout="channels_last")

    monkeypatch.setattr(tuning, "measure_tunings", measure)
    return calls


def choose(folder: ModelFolder, evaluations: float = LONG, dtype: str = "float32", **asked: Any) -> Tuning:
    return tuning.choose_tuning(folder, "cpu", dtype, evaluations, TuningRequest(**asked))


def measure(folder: ModelFolder, **asked: Any) -> Tuning:
    return tuning.measure_tunings(folder, "cpu", "float32", TuningRequest(**asked).candidates("cpu"))


def test_a_short_run_does_not_wait(folder: ModelFolder, measured: list, cache: Path) -> None:
    assert choose(folder, 1000) == Tuning(batch_size=64, layout="contiguous")
    assert not measured
    assert not cache.exists()


def test_it_is_measured_once_for_a_network_and_a_precision(
    folder: ModelFolder, tiny_model: Path, measured: list
) -> None:
    found = [choose(folder), choose(folder), choose(folder, 1)]  # what is known serves short runs, too
    assert found == [Tuning(batch_size=16, layout="channels_last")] * 3
    assert len(measured) == 1
    (tiny_model / "unet" / "config.json").write_text((tiny_model / "unet" / "config.json").read_text() + "\n")
    choose(ModelFolder.open(tiny_model))
    choose(folder, dtype="bfloat16")
    assert len(measured) == 3


def test_what_is_asked_for_is_not_measured(folder: ModelFolder, measured: list) -> None:
    assert choose(folder, batch_size=3, layout="channels_last") == Tuning(batch_size=3, layout="channels_last")
    assert not measured
    assert choose(folder, 100, batch_size=3) == Tuning(batch_size=3, layout="contiguous")  # short
    assert choose(folder, 100, layout="channels_last") == Tuning(batch_size=64, layout="channels_last")
    choose(folder, batch_size=3)
    choose(folder, batch_size=3)
    assert [(each.batch_size, each.layout) for each in measured.pop()[-1]] == [(3, "contiguous"), (3, "channels_last")]
    assert not measured
    choose(folder, layout="channels_last")
    sizes = [(size, "channels_last") for size in tuning.CPU_BATCHES]
    assert [(each.batch_size, each.layout) for each in measured.pop()[-1]] == sizes
    choose(folder)  # what was chosen under a condition is not what is fastest
    assert measured


@pytest.mark.parametrize("text", ["", "{", '{"batch_size": 0}', '{"rows": 3}', "\xff"])
def test_what_cannot_be_read_is_measured_again(folder: ModelFolder, measured: list, cache: Path, text: str) -> None:
    choose(folder)
    (file,) = cache.iterdir()
    file.write_bytes(text.encode("latin-1"))
    assert choose(folder).batch_size == 16
    assert len(measured) == 2
    assert Tuning.model_validate_json(file.read_text()).batch_size == 16


def test_a_cache_that_cannot_be_written(folder: ModelFolder, measured: list, cache: Path) -> None:
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder would be")
    assert choose(folder) == choose(folder)
    assert len(measured) == 2


@pytest.mark.parametrize("best", [("contiguous", 4), ("channels_last", 2)])
def test_the_fastest_wins(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, best: tuple[str, int]) -> None:
    monkeypatch.setattr(tuning, "CPU_BATCHES", (2, 4))

    def seconds(network: Any, model: Model, device: str, size: int) -> float:
        unet = inspect.getclosurevars(network).nonlocals["module"]
        last = unet.get_submodule("conv_in").weight.is_contiguous(memory_format=torch.channels_last)
        last = last and not unet.get_submodule("down_blocks.0.resnets.0.conv1").weight.is_contiguous()
        return size * (1.0 if ("channels_last" if last else "contiguous", size) == best else 2.0)

    monkeypatch.setattr(tuning, "_seconds", seconds)
    assert measure(folder) == Tuning(batch_size=best[1], layout=best[0])


def test_a_batch_that_does_not_fit_is_passed_over(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "CPU_BATCHES", (2, 4, 8))
    forward, sizes = torch.nn.Conv2d.forward, []

    def narrow(conv: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return forward(conv, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", narrow)
    assert measure(folder).batch_size == 2
    assert set(sizes) == {2, 4}


def test_if_no_batch_fits_the_run_says_so(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_seconds", lambda *_: None)
    assert measure(folder, batch_size=9) == Tuning(batch_size=9)


def test_a_measurement(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "CPU_BATCHES", (1, 2))
    assert measure(folder).batch_size in (1, 2)


def test_the_layout_moves_no_image(tiny_model: Path) -> None:
    made = [
        sample(load(tiny_model, device="cpu", layout=layout), "ddpm", steps=3, num_images=2).images
        for layout in tuning.LAYOUTS
    ]
    torch.testing.assert_close(*made, rtol=1e-4, atol=1e-4)  # float32, of images up to 10
