"""References for images: made from other images when asked for, or refused with the command that makes them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from samplerzoo.bench import measuring_time
from samplerzoo.bench.measuring_time import MeasuringTimer
from samplerzoo.bench.meter import Meter
from samplerzoo.bench.suite import Suite, parse_suite
from samplerzoo.cli import main
from samplerzoo.errors import ZooError
from samplerzoo.metrics.reference import make_reference, save_reference
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import read_info


@pytest.fixture
def of_digits(tiny_model: Path) -> Path:
    """Return the tiny model, which says that it was trained on digits, 8x8 as its images are."""
    info = read_info(tiny_model).model_dump() | {"data": {"dataset": "digits", "split": "test"}}
    (tiny_model / "samplerzoo.json").write_text(ModelInfo(**info).model_dump_json())
    return tiny_model


def suite(model: Path, **keys: Any) -> Suite:
    return parse_suite({"model": str(model), "features": "pixels", "rows": [{"sampler": "ddim"}], **keys}, "a test")


@pytest.mark.parametrize("case", ["no reference", "other features", "another size"])
def test_the_command_of_a_refusal_works_when_it_is_pasted(
    case: str, of_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys: dict[str, Any] = {}
    if case == "other features":
        values = np.random.default_rng(0).random((20, 64), dtype=np.float32)
        save_reference(make_reference([(values, None)], "other features", "x"), Path("x.safetensors"))
        keys["reference"] = "x.safetensors"
    if case == "another size":
        np.savez("x.npz", mu=np.zeros(10), sigma=np.eye(10))
        keys["reference"] = "x.npz"
    with pytest.raises(ZooError) as refused:
        Meter(suite(of_digits, **keys), "cpu").check((1, 8, 8))
    text = str(refused.value)
    command, flag = text.split("`")[-2], text.rsplit("--reference ", 1)[1]
    program, *words = shlex.split(command)
    assert program == "samplerzoo"
    assert main(words) == 0
    Meter(suite(of_digits, reference=flag), "cpu").check((1, 8, 8))


@pytest.mark.parametrize("cache", ["a file", "a read-only home"])
def test_a_cache_that_cannot_be_written_does_not_end_the_work(
    cache: str, of_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache") if cache == "a file" else "/proc/nowhere")
    assert Meter(suite(of_digits, reference="digits", reference_split="test"), "cpu")._reference.count == 359


def test_a_folder_or_a_data_set_is_a_reference_and_made_once(
    of_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(12):
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / name / f"{number}.png")
    meters = [Meter(suite(of_digits, reference=str(tmp_path / name), floor="none"), "cpu") for name in ("one", "two")]
    names = [(meter._reference.name, meter._reference.count) for meter in meters]
    assert names == [("one", 12), ("two", 12)]
    assert capsys.readouterr().err.count("; features are computed once, and kept") == 2
    assert meters[0]._reference.id != meters[1]._reference.id
    assert Meter(suite(of_digits, reference="digits", reference_split="test"), "cpu")._reference.count == 359
    monkeypatch.setattr("samplerzoo.metrics.reference_store.Embedder", None)  # it would fail
    (tmp_path / "one").rename(tmp_path / "moved")
    again = Meter(suite(of_digits, reference=str(tmp_path / "moved")), "cpu")._reference
    assert again.id == meters[0]._reference.id, "known by its content"
    assert len([*(tmp_path / "cache/samplerzoo/references").iterdir()]) == 3
    (tmp_path / "moved/0.png").unlink()
    with pytest.raises(TypeError):
        Meter(suite(of_digits, reference=str(tmp_path / "moved")), "cpu")


def test_what_measuring_takes_grows_as_its_parts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances grow with the cube of the features, and the kernel distance with the square of the images."""
    monkeypatch.setattr(measuring_time, "_seconds", lambda work: 1.0)  # clocks of a busy machine waver
    few, many = (MeasuringTimer(lambda: 0.001, size, 0, floors=False) for size in (1000, 2000))
    passes = 100 * 1000**2 / measuring_time.SAMPLE**3
    assert few.row(100) == pytest.approx((1000 / measuring_time.SAMPLE) ** 3 + passes)
    assert many.row(100) == pytest.approx((2000 / measuring_time.SAMPLE) ** 3 + 4 * passes)
    timer = MeasuringTimer(lambda: 0.001, 10, 4000, floors=True)
    assert timer.features(500) == pytest.approx(0.5)
    assert timer.row(20_000) > 3 * timer.row(8_000)
    assert timer.once(1000) > 0


def test_an_estimate_counts_what_measuring_takes(of_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from samplerzoo.bench.harness import BenchOptions, Harness
    from samplerzoo.sampling.tuning import TuningRequest

    made = suite(of_digits, reference="digits", floor="none", images=16, steps=1)
    harness = Harness(made, of_digits / "out", BenchOptions(TuningRequest(batch_size=8), "cpu"))
    [plain] = harness.estimate()
    monkeypatch.setattr(MeasuringTimer, "row", lambda *_: 1000.0)
    monkeypatch.setattr(MeasuringTimer, "once", lambda *_: 500.0)
    [slow] = harness.estimate()
    assert plain.seconds < 100
    assert 1500 < slow.seconds < 1600
