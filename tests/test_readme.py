"""Samplers of the READMEs keep what is promised of them. `test_pages.py` runs all other code in the READMEs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pages import blocks, commands
from PIL import Image

import samplerzoo as zoo
from samplerzoo import registry
from samplerzoo.bench.results import read_rows
from samplerzoo.cli import main
from samplerzoo.testing import TOLERANCE, convergence

ROOT = Path(__file__).parents[1]
README, AUTHORS = ROOT / "README.md", ROOT / "plugins" / "README.md"


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], Path]:
    """Write the one sampler of a page to a file in a new folder, as a reader would."""
    monkeypatch.setattr(registry, "_files", {})
    monkeypatch.chdir(tmp_path)

    def write(page: Path, name: str) -> Path:
        (block,) = (block for block in blocks(page) if "(Sampler)" in block.text)
        Path(name).write_text(block.text)
        return Path(name)

    return write


@pytest.fixture
def shown(put: Callable[[Path, str], Path]) -> Path:
    return put(README, "shown.py")


def test_the_sampler_of_the_readme_is_the_whole_file_of_the_plugin(shown: Path) -> None:
    assert shown.read_bytes() == (ROOT / "plugins" / "samplerzoo_plugins" / "ddim.py").read_bytes()


@pytest.mark.usefixtures("quick_kit")
def test_the_sampler_of_the_readme_passes_the_kit(shown: Path, capsys) -> None:
    """In a few checks, as a file of the reader's; the plugin, which it is to the letter, is tried in all."""
    assert main(["check", "shown:ddim", "--plugin", str(shown), "--eta", "0.3"]) == 0
    out = capsys.readouterr().out
    assert "check_moments: passed" in out
    assert "check_order: passed" in out


@pytest.mark.parametrize("eta", [0, 0.3, 1])
def test_the_sampler_of_the_readme_makes_pictures(shown: Path, tiny_model: Path, eta: float) -> None:
    words = ["--model", str(tiny_model), "--num-images", "2", "--steps", "3", "--eta", str(eta)]
    pictures = []
    for name in ("shown:ddim", "samplerzoo:ddim"):
        assert main(["run", "--plugin", str(shown), "--sampler", name, *words, "-o", name.partition(":")[0]]) == 0
        files = sorted(Path(name.partition(":")[0], "images").rglob("*.png"))
        pictures.append([np.asarray(Image.open(file)) for file in files])
    assert len(pictures[0]) == 2
    np.testing.assert_array_equal(*pictures)


@pytest.fixture
def rk2(put: Callable[[Path, str], Path]) -> Path:
    return put(AUTHORS, "rk2.py")


def test_the_authors_example_makes_a_picture_as_the_page_says(rk2: Path, tiny_model: Path, capsys) -> None:
    words = next(words for words in commands(AUTHORS) if words[1] == "run")
    assert len(rk2.read_text().splitlines()) <= 25
    assert main([*words[1:], "--model", str(tiny_model), "--num-images", "2"]) == 0
    out = capsys.readouterr().out
    assert "NFE 19" in out
    assert Path(out.splitlines()[0]).name == "grid.png"


def test_the_authors_example_is_ranked_as_the_page_says(rk2: Path) -> None:
    words = next(words for words in commands(AUTHORS) if words[1] == "bench")
    assert main(words[1:]) == 0
    rows = read_rows(Path("rk2-exact"))
    ddim, second = (min(row.metrics.fd for row in rows if row.recipe.sampler == name) for name in ("ddim", "rk2"))
    assert second < ddim / 10
    assert Path("rk2-exact/report.md").exists()


@pytest.mark.slow
def test_the_authors_example_passes_the_kit(rk2: Path) -> None:
    words = next(words for words in commands(AUTHORS) if words[1] == "check")
    assert main(words[1:]) == 0


@pytest.mark.parametrize("at", [0.5, 1.0])
def test_the_authors_example_is_of_second_order(rk2: Path, at: float) -> None:
    (plugin,) = zoo.load_file(rk2)
    assert convergence(plugin.load()(at=at)).order == pytest.approx(2, abs=TOLERANCE)
