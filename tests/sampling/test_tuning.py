"""Batch size and layout are measured where it pays, once for a network on a machine, and move no image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from samplerzoo.models import load as models
from samplerzoo.models.load import Model
from samplerzoo.sampling import tuning as pace
from samplerzoo.sampling.driver import sample
from samplerzoo.sampling.tuning import Pace, PaceRequest

LONG = 1e9


@pytest.fixture
def outline(tiny_model: Path) -> Model:
    return models.outline(tiny_model)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "samplerzoo" / "pace"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """In place of the measurement, which is counted."""
    calls: list[tuple[object, ...]] = []

    def measure(*asked: object) -> Pace:
        calls.append(asked)
        return Pace(batch_size=16, layout="channels_last")

    monkeypatch.setattr(pace, "measure", measure)
    return calls


def choose(
    outline: Model, evaluations: float = LONG, fingerprint: str = "a", dtype: str = "float32", **asked: Any
) -> Pace:
    return pace.choose(outline, fingerprint, "cpu", dtype, evaluations, PaceRequest(**asked))


def measure(outline: Model, **asked: Any) -> Pace:
    return pace.measure(outline, "cpu", "float32", PaceRequest(**asked).candidates("cpu"))


def test_a_short_run_does_not_wait(outline: Model, measured: list, cache: Path) -> None:
    assert choose(outline, 1000) == Pace(batch_size=64, layout="contiguous")
    assert not measured
    assert not cache.exists()


def test_it_is_measured_once_for_a_network_and_a_precision(outline: Model, measured: list) -> None:
    found = [choose(outline), choose(outline), choose(outline, 1)]  # what is known serves short runs, too
    assert found == [Pace(batch_size=16, layout="channels_last")] * 3
    assert len(measured) == 1
    choose(outline, fingerprint="b")
    choose(outline, dtype="bfloat16")
    assert len(measured) == 3


def test_what_is_asked_for_is_not_measured(outline: Model, measured: list) -> None:
    assert choose(outline, batch_size=3, layout="channels_last") == Pace(batch_size=3, layout="channels_last")
    assert not measured
    assert choose(outline, 100, batch_size=3) == Pace(batch_size=3, layout="contiguous")  # short
    assert choose(outline, 100, layout="channels_last") == Pace(batch_size=64, layout="channels_last")
    choose(outline, batch_size=3)
    choose(outline, batch_size=3)
    assert [(pace.batch_size, pace.layout) for pace in measured.pop()[-1]] == [(3, "contiguous"), (3, "channels_last")]
    assert not measured
    choose(outline, layout="channels_last")
    sizes = [(size, "channels_last") for size in pace.CPU_BATCHES]
    assert [(pace.batch_size, pace.layout) for pace in measured.pop()[-1]] == sizes
    choose(outline)  # what was chosen under a condition is not what is fastest
    assert measured


@pytest.mark.parametrize("text", ["", "{", '{"batch_size": 0}', '{"rows": 3}', "\xff"])
def test_what_cannot_be_read_is_measured_again(outline: Model, measured: list, cache: Path, text: str) -> None:
    choose(outline)
    (file,) = cache.iterdir()
    file.write_bytes(text.encode("latin-1"))
    assert choose(outline).batch_size == 16
    assert len(measured) == 2
    assert Pace.model_validate_json(file.read_text()).batch_size == 16


def test_a_cache_that_cannot_be_written(outline: Model, measured: list, cache: Path) -> None:
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder would be")
    assert choose(outline) == choose(outline)
    assert len(measured) == 2


@pytest.mark.parametrize("best", [("contiguous", 4), ("channels_last", 2)])
def test_the_fastest_wins(outline: Model, monkeypatch: pytest.MonkeyPatch, best: tuple[str, int]) -> None:
    monkeypatch.setattr(pace, "CPU_BATCHES", (2, 4))

    def seconds(unet: torch.nn.Module, model: Model, size: int) -> float:
        last = unet.get_submodule("conv_in").weight.is_contiguous(memory_format=torch.channels_last)
        last = last and not unet.get_submodule("down_blocks.0.resnets.0.conv1").weight.is_contiguous()
        return size * (1.0 if ("channels_last" if last else "contiguous", size) == best else 2.0)

    monkeypatch.setattr(pace, "_seconds", seconds)
    assert measure(outline) == Pace(batch_size=best[1], layout=best[0])


def test_a_batch_that_does_not_fit_is_passed_over(outline: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "CPU_BATCHES", (2, 4, 8))
    forward, sizes = torch.nn.Conv2d.forward, []

    def narrow(conv: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return forward(conv, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", narrow)
    assert measure(outline).batch_size == 2
    assert set(sizes) == {2, 4}


def test_if_no_batch_fits_the_run_says_so(outline: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_seconds", lambda unet, model, size: None)
    assert measure(outline, batch_size=9) == Pace(batch_size=9)


def test_a_measurement(outline: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "CPU_BATCHES", (1, 2))
    assert measure(outline).batch_size in (1, 2)


def test_the_layout_moves_no_image(tiny_model: Path) -> None:
    made = [
        sample(models.load(tiny_model, device="cpu", layout=layout), "ddpm", steps=3, num_images=2).images
        for layout in pace.LAYOUTS
    ]
    torch.testing.assert_close(*made, rtol=1e-4, atol=1e-4)  # float32, of images up to 10
