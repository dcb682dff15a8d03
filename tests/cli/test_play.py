"""`samplerzoo play`: the page is served and stopped, a Space is written and runs, and errors take one line."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from samplerzoo import registry
from samplerzoo.cli import play

needs_gradio = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="pip install 'samplerzoo[play]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # of gradio and of its server


@pytest.fixture(autouse=True)
def swept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the plugins of a test; collect what gradio leaves open, while warnings of it are ignored."""
    monkeypatch.setattr(registry, "_files", {})
    yield
    gc.collect()


@needs_gradio
def test_the_page_is_served_until_it_is_ended(cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = play.free_port(None)
    pages = []

    def visited() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=20) as answer:
            pages.append(answer.read().decode())
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=5)  # also this machine, by another name
        raise KeyboardInterrupt

    monkeypatch.setattr(play, "wait", visited)
    answer = cli("play", "--model", tiny_model, "--port", port, "--no-browser")
    assert answer.code == 0, answer
    assert f"http://127.0.0.1:{port}\n" in answer.out
    assert "samplerzoo: " in pages[0]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5)


def test_a_port_that_is_taken_is_said_with_one_that_is_free() -> None:
    with socket.socket() as other:
        other.bind((play.HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(
            play.UsageError, match=rf"--port {taken}: Address already in use; --port \d+ is free"
        ) as said:
            play.free_port(taken)
    free = int(re.findall(r"--port (\d+) is free", str(said.value))[0])
    assert play.free_port(free) == free


def test_without_gradio_one_line_says_how_to_get_it(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    cli("play").refuses(2, "pip install 'samplerzoo[play]'")


@needs_gradio
def test_what_cannot_be_is_one_line(cli, tmp_path: Path) -> None:
    cli("play", "--model", "nowhere/at/all", "--no-browser").refuses(2, "no model 'nowhere/at/all'")
    cli("play", "--export-space", tmp_path).refuses(2, f"{tmp_path} is there already")
    cli("play", "--export-space", tmp_path / "new", "--model", "./nowhere").refuses(2, "no model './nowhere'")
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        Image.new("L", (8, 8), 40 + number).save(tmp_path / "pictures" / f"{number}.png")
    named = f"exact:{tmp_path / 'pictures'}"
    cli("play", "--export-space", tmp_path / "new", "--model", named).refuses(2, "a Space has no files of this machine")
    assert not (tmp_path / "new").exists()


def exported(cli: Any, tmp_path: Path, model: Path) -> Path:
    """Export a Space of a model and of a plugin of one's own."""
    source = "from samplerzoo import Sampler\n\n\nclass Mine(Sampler):\n    def step(self, x, *others): return x\n"
    (tmp_path / "mine.py").write_text(source.replace("*others", "t, s, denoise, noise"))
    space = tmp_path / "space"
    assert cli("play", "--model", model, "--plugin", tmp_path / "mine.py", "--export-space", space).code == 0
    return space


@needs_gradio
def test_a_space_says_what_it_needs(cli, tmp_path: Path, tiny_model: Path) -> None:
    space = exported(cli, tmp_path, tiny_model)
    assert re.search(r"^sdk_version: \d+\.\d+\.\d+$", (space / "README.md").read_text(), re.MULTILINE)
    needed = (space / "requirements.txt").read_text()
    assert f"torch=={torch.__version__.partition('+')[0]}\n" in needed  # of an index, which has no local version
    assert "scikit-learn==" in needed  # of exact:digits
    assert "gradio" not in needed  # the Space has it by the version in its README
    assert "extra" not in needed
    files = ["samplerzoo/__init__.py", "samplerzoo_plugins/ddim.py", "model/samplerzoo.json", "plugins/mine.py"]
    assert all((space / file).is_file() for file in files)
    compile((space / "app.py").read_text(), "app.py", "exec")


@pytest.mark.slow
@needs_gradio
def test_a_space_runs_by_itself(cli, tmp_path: Path, tiny_model: Path) -> None:
    """Its own copies of the code, the plugins, the model and a file of one's own are found, wherever it lies."""
    space = exported(cli, tmp_path, tiny_model)
    code = (
        "import gradio, runpy, samplerzoo, samplerzoo_plugins\n"
        "from samplerzoo import registry\n"
        "gradio.Blocks.launch = lambda page, **keywords: print(page.title, sorted(keywords))\n"
        "runpy.run_path('app.py')\n"
        "print(samplerzoo.__file__, samplerzoo_plugins.__path__[0])\n"
        "print(registry.get('sampler', 'ddim').load(), registry.get('sampler', 'mine').load())\n"
    )
    (space / "try.py").write_text(code)
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "try.py"], cwd=space, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    title, places, samplers = done.stdout.splitlines()[-3:]
    assert title.startswith("samplerzoo: ./model")
    assert all(Path(place).is_relative_to(space) for place in places.split())
    assert "samplerzoo_plugins.ddim.DDIM" in samplers
    assert "Mine" in samplers
