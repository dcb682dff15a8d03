"""Promises of the docs. `test_pages.py` runs the code in them."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import diffusers
import folders
import pytest
import torch
from pages import ROOT, blocks

import samplerzoo as zoo
from samplerzoo import registry
from samplerzoo.bench import results
from samplerzoo.bench.suite import parse_suite
from samplerzoo.cli import main
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.data.options import DataOptions
from samplerzoo.models.exact import ExactOptions
from samplerzoo.models.load import ModelFolder, open_model

DOCS = Path(__file__).parents[1] / "docs"
MODELS, EXACT, PROMPTS = DOCS / "models.md", DOCS / "exact.md", DOCS / "prompts.md"


@pytest.fixture
def sit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the architecture of the page to a file, and the module that it imports."""

    class SiTTransformer2DModel(diffusers.DiTTransformer2DModel):
        """Stand-in for a network that runs time the other way and has the other sign."""

        def forward(self, x: Any, time: Any, class_labels: Any) -> Any:  # type: ignore[override]
            answer = super().forward(x, timestep=1000 * (1 - time), class_labels=class_labels)
            answer.sample = -answer.sample
            return answer

    module = ModuleType("transformer_sit")
    module.SiTTransformer2DModel = SiTTransformer2DModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformer_sit", module)
    monkeypatch.setattr(registry, "_files", {})
    (block,) = (block for block in blocks(MODELS) if block.language == "python")
    (tmp_path / "sit.py").write_text(block.text)
    return tmp_path / "sit.py"


def test_the_architecture_of_the_page_drives_a_network_of_ones_own(
    tmp_path: Path, sit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to make the images of the same weights with the usual time and sign."""
    folder = folders.dit_flow(tmp_path / "model")
    usual = zoo.load(folder, device="cpu", dtype="float32")
    expected = zoo.sample(usual, "ddim", steps=4, labels=[0, 3]).images
    file = folder / "transformer" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "_class_name": "SiTTransformer2DModel", "num_classes": 10}))
    with pytest.raises(zoo.ZooError, match=r"no architecture reads transformer \(SiTTransformer2DModel\)"):
        zoo.load(folder)
    words = ["--plugin", str(sit), "--model", str(folder), "--num-images", "2", "--steps", "2"]
    assert main(["run", *words, "-o", str(tmp_path / "out")]) == 0
    before = ModelFolder.open(folder).fingerprint
    monkeypatch.setattr(registry, "_files", {})
    sit.write_text(sit.read_text().replace('"""Scalable', '"""The scalable'))
    registry.load_file(sit)
    assert ModelFolder.open(folder).fingerprint != before  # a run is not resumed with another reading of its folder
    own = zoo.load(folder, device="cpu", dtype="float32")
    assert (own.num_classes, own.null_label, own.schedule.spacing) == (10, 10, "scheduler")
    found = zoo.sample(own, "ddim", steps=4, labels=[0, 3]).images
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)  # its times are told as 1 - sigma, in float32


def test_the_architecture_of_prompts_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})
    folder = folders.sd(tmp_path / "model")
    asked: dict[str, Any] = {"steps": 2, "prompts": ["a cat", ""], "guidance": "cfg", "guidance_scale": 2.0}
    expected = zoo.sample(zoo.load(folder, device="cpu", dtype="float32"), **asked).images
    (block,) = (block for block in blocks(MODELS) if block.language == "py")
    (tmp_path / "told.py").write_text(block.text)
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_class_name": "MyTextUNet"}))
    registry.load_file(tmp_path / "told.py")
    found = zoo.sample(zoo.load(folder, device="cpu", dtype="float32"), **asked).images
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_suite_of_the_page_of_prompts_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders.sd(Path("FOLDER"))
    Path("captions.csv").write_text("file,caption\n1,a cat\n")
    (block,) = (block for block in blocks(PROMPTS) if block.language == "toml")
    suite = parse_suite(tomllib.loads(block.text), "the page")
    assert [recipe.prompts for recipe, _ in suite.points] == [("a cat",)] * 6


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def facts(self, config): return {'shape': (3, 8, 8)}", r"facts .*has to .*a NetworkFacts"),
        ("def facts(self, config): return config['no such key']", "its config makes no model: KeyError"),
        ("def claims(self, config): return config['version'] == 1", "no architecture reads transformer"),
    ],
)
def test_a_broken_architecture_is_one_line_and_stops_no_other_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    monkeypatch.setattr(registry, "_files", {})
    head = "from samplerzoo import NetworkArchitecture, NetworkFacts\n\n\nclass Broken(NetworkArchitecture):\n"
    members = [
        "reads = ('MyNetwork',)",
        body,
        "def module(self, config): return None",
        "def call(self, module): return 0",
    ]
    if "def facts" not in body:
        members.append("def facts(self, config): return NetworkFacts((3, 8, 8), 3)")
    (tmp_path / "broken.py").write_text(head + "".join(f"    {line}\n" for line in members))
    registry.load_file(tmp_path / "broken.py")
    folder = folders.dit_flow(tmp_path / "model")
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_class_name": "MyNetwork"}))
    with pytest.raises(zoo.ZooError, match=message) as raised:
        ModelFolder.open(folder)
    assert "\n" not in str(raised.value)
    assert ModelFolder.open("mnist").stub.num_classes == 10


def test_the_table_of_exact_models_names_every_option_of_its_own() -> None:
    own = set(ExactOptions.model_fields) - set(DataOptions.model_fields) - {"path"}
    for word in (*(f"`:{path}`" for path in NAMED_PATHS), *(f"`:{name}=" for name in own)):
        assert word in EXACT.read_text()


def test_rows_of_committed_reports_are_of_the_models_that_they_name() -> None:
    for file in sorted((ROOT / "benchmarks" / "reports").glob("*/results.jsonl")):
        for row in results.read_rows(file.parent):
            if row.recipe.model in ("mnist", "mnist-flow"):
                assert row.recipe.fingerprint == open_model(row.recipe.model).fingerprint, (file, row.cell)
            assert re.search("^(/(work|tmp|root|home))", row.recipe.model) is None
