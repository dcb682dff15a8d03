"""CLIP scores: against transformers' own, in a benchmark and its report, and what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import folders
import numpy as np
import pytest
import torch
from pandas import DataFrame
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from samplerzoo.bench import shards
from samplerzoo.bench.evidence import Evidence, collect, influence_file
from samplerzoo.bench.harness import BenchOptions, Harness
from samplerzoo.bench.results import SCORE, ImageScore, Row, append_rows, read_rows
from samplerzoo.bench.score import score
from samplerzoo.bench.suite import parse_suite
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.metrics.embed import Embedder, text_features
from samplerzoo.metrics.names import parse_features
from samplerzoo.report.page import make_report
from samplerzoo.report.scores import findings, score_tables

TEXTS = ["a cat", "two dogs, é and 猫", "", "word " * 100]
ROUNDING = 2e-5
"""Difference of a score, of 100, that float32 makes."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.clip(tmp_path_factory.mktemp("clip"), seed=2)


def by_transformers(clip: Path, images: np.ndarray, texts: list[str]) -> torch.Tensor:
    """Return 100 times the cosine of every image (rows) and text, as CLIPModel's own call has it."""
    net = CLIPModel.from_pretrained(clip).eval()
    pixels = AutoImageProcessor.from_pretrained(clip)(
        images=list(torch.as_tensor(images)), return_tensors="pt", input_data_format="channels_first"
    )
    tokens = AutoTokenizer.from_pretrained(clip)(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        return 100 * net(**tokens, **pixels).logits_per_image / net.logit_scale.exp()


def test_scores_are_those_of_transformers(clip: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 20, 16), dtype=np.uint8)
    features = parse_features(f"hf:{clip}")
    found = Embedder(features)(images, [*"abcd"])[0]
    expected = by_transformers(clip, images, TEXTS)
    texts = text_features(features, TEXTS, "cpu")
    for shift in range(4):  # each image with each text
        wanted = torch.stack([expected[i, (i + shift) % 4] for i in range(4)]).clamp(min=0)
        np.testing.assert_allclose(score(found, np.roll(texts, -shift, 0)), wanted, rtol=0, atol=ROUNDING)
    assert expected.std() > 1


def test_exact_scores() -> None:
    right, up, left = (np.array([row], dtype=np.float32) for row in ([2, 0], [0, 3], [-1, 0]))
    assert score(right, right).item() == 100
    assert score(right, up).item() == 0
    assert score(right, left).item() == 0  # no score is negative
    assert score(right, right + up * 2 / 3).item() == pytest.approx(100 / np.sqrt(2), abs=1e-12)


def test_a_benchmark_of_scores(tmp_path: Path, clip: Path) -> None:
    model = folders.sd(tmp_path / "sd")
    content = {
        "model": str(model), "metrics": ["clip-score"], "features": f"hf:{clip}", "images": 5,
        "prompts": ["a cat", "two <b>|dogs"],
        "rows": [{"sampler": "ddim", "steps": [1, 2]}, {"sampler": "ddpm", "steps": 2, "seeds": [0, 1]}],
    }  # fmt: skip
    harness = Harness(parse_suite(content, "it"), tmp_path / "out", BenchOptions(device="cpu"))
    work = harness.estimate()
    rows = harness.run(work, lambda row: None).rows
    assert [row.protocol.metric for row in rows] == ["clip-score@5"] * 4
    for row in rows:
        where = tmp_path / "out" / shards.CELLS / row.cell
        images = np.concatenate([shards.read_images(where, shard) for shard in shards.present(where, shards.IMAGES)])
        pairs = by_transformers(clip, images, ["a cat", "two <b>|dogs"])
        expected = np.mean([max(float(pairs[i, i % 2]), 0) for i in range(5)])
        assert row.score is not None
        assert expected > 1
        assert row.score.mean == pytest.approx(expected, abs=ROUNDING)
        assert row.score.low is None  # 5 images decide no mean
    assert [row.key for row in read_rows(tmp_path / "out")] == [row.key for row in rows]
    assert all(remaining.done for remaining in harness.estimate())
    report = make_report(tmp_path / "out").path.read_text()
    assert "clip-score@5, 2 prompts" in report
    assert "| ddpm" in report
    assert '- "two \\<b\\>\\|dogs"' in report
    assert "<b>" not in report
    assert "Cannot tell: at least 64 images are needed; each row has 5." in report


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """Benchmark of 64 images a row."""
    folder = tmp_path_factory.mktemp("scored")
    content = {
        "model": str(folders.sd(folder / "sd")), "metrics": ["clip-score"], "features": f"hf:{clip}", "images": 64,
        "prompts": ["a cat", "two dogs"],
        "rows": [{"sampler": "ddim", "steps": [2, 4], "eta": [0.0, 0.001]}, {"sampler": "ddpm", "steps": [2, 4]}],
    }  # fmt: skip
    harness = Harness(parse_suite(content, "it"), folder / "out", BenchOptions(device="cpu"))
    harness.run(harness.estimate(), lambda row: None)
    return folder / "out"


def test_scores_are_compared_image_by_image(scored: Path) -> None:
    rows = [row for row in read_rows(scored) if row.recipe.steps == 4]
    evidence = collect(scored, rows)[rows[0].protocol]
    kept = [shards.read_influence(influence_file(scored / "cells" / row.cell, row.protocol), 64)[0] for row in rows]
    for row, own in zip(rows, kept, strict=True):
        assert row.score is not None
        assert own["clip-score"].mean() == pytest.approx(row.score.mean)
    for one, other in itertools.combinations(range(len(rows)), 2):
        apart = kept[one]["clip-score"] - kept[other]["clip-score"]
        covariance = evidence.between("clip-score", [rows[one].cell, rows[other].cell])
        variance = np.array([1, -1]) @ covariance @ [1, -1]
        assert variance == pytest.approx(apart.var(ddof=1) / 64, rel=1e-4)


def test_a_report_of_scores_says_what_is_told(scored: Path, tmp_path: Path) -> None:
    """The rows of eta 0 and 0.001 are alike; those of ddpm are lowered by hand."""
    folder = tmp_path / "out"
    shutil.copytree(scored, folder)
    rows = read_rows(folder)
    lowered = {}
    for row in rows:
        if row.recipe.sampler == "ddpm":
            assert row.score is not None
            mean = min(other.score.mean for other in rows if other.score is not None) - 5
            low, high = (mean + (end or 0.0) - row.score.mean for end in (row.score.low, row.score.high))
            lowered[row.cell] = row.model_copy(update={"score": ImageScore(mean=mean, low=low, high=high)})
    append_rows(folder, lowered.values())
    report = make_report(folder).path.read_text()
    assert "not told from it: ddim eta 0" in report
    assert "ddpm" not in report.partition("Score by evaluations")[0].partition("At 2 evaluations")[2]
    assert "image by image where both share a seed, with its 95% interval" in report
    shutil.rmtree(folder / shards.CELLS)
    assert make_report(folder).path.read_text() == report  # the evidence is kept


def test_a_row_whose_scores_are_higher_on_the_same_noise_is_the_highest(scored: Path) -> None:
    """By its mean over seeds 0 and 1 ddim is the highest; on seed 0, which both have, ddpm is, and that is told."""
    first, *_ = [row for row in read_rows(scored) if row.recipe.steps == 2]

    def rigged(sampler: str, seed: int, mean: float) -> Row:
        recipe = first.recipe.model_copy(update={"sampler": sampler, "sampler_options": {}, "seed": seed})
        return first.model_copy(update={"recipe": recipe, "cell": f"{sampler}-{seed}", "score": ImageScore(mean=mean)})

    rows = [rigged("ddim", 0, 20.0), rigged("ddim", 1, 40.0), rigged("ddpm", 0, 25.0)]
    cells = [row.cell for row in rows]
    one_noise = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    evidence = Evidence({SCORE: DataFrame(one_noise + 1e-4 * np.eye(3), cells, cells)})
    (table,) = score_tables(rows, {first.protocol: evidence})
    assert (table.best(2), table.told(2)) == ("ddpm", {"ddim"})
    assert findings(table) == ["At 2 evaluations on the same noise the highest is ddpm (25.0)."]


def test_what_has_no_score(tmp_path: Path, clip: Path, tiny_model: Path) -> None:
    def harness(**keys: object) -> Harness:
        content = {"metrics": ["clip-score"], "rows": [{"sampler": "ddim", "steps": 1, "images": 1}], **keys}
        return Harness(parse_suite(content, "it"), tmp_path / "out", BenchOptions(device="cpu"))

    with pytest.raises(UsageError, match=r"clip-score needs a CLIP model: add --features hf:FOLDER"):
        harness(model=str(tiny_model))
    with pytest.raises(UsageError, match="takes none"):
        harness(model=str(tiny_model), features=f"hf:{clip}")
    with pytest.raises(UsageError, match="features pixels know no texts"):
        harness(model=str(folders.sd(tmp_path / "sd")), features="pixels", prompts=["a"]).estimate()
    with pytest.raises(UsageError, match="features pixels know no texts"):
        text_features(parse_features("pixels"), ["a"], "cpu")
    (clip / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    try:
        with pytest.raises(ZooError, match=r"no tokenizer\.json"):
            text_features(parse_features(f"hf:{clip}"), ["a"], "cpu")
    finally:
        (tmp_path / "tokenizer.json").rename(clip / "tokenizer.json")
    assert json.loads((clip / "config.json").read_text())["model_type"] == "clip"
