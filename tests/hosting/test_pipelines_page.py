"""Documentation page on pipelines: its code, run as it is on a tiny Stable Diffusion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import diffusers
import pytest
from PIL import Image
from pipelines import reader_of_prompts, stable_diffusion

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"


def test_code_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stable_diffusion(**reader_of_prompts(tmp_path)).save_pretrained(tmp_path / "sd")
    load = diffusers.StableDiffusionPipeline.from_pretrained
    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "from_pretrained", lambda _: load(tmp_path / "sd"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    first, own = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(first, names)
    with Image.open("cat.png") as picture:
        assert picture.size == (16, 16)
    assert len(names["pipe"].scheduler.timesteps) == 20
    exec(own, names)
    assert (names["pipe"].scheduler.order, len(names["pipe"].scheduler.timesteps)) == (2, 39)


def test_pipelines_of_the_page_are_those_that_are_tried() -> None:
    """Compare the table with the pipelines of the tests."""
    from more_pipelines import PIPELINES
    from pipelines import CALLS

    table = PAGE.read_text().split("## What was tried")[1].split("Where latents differ")[0]
    here = {"DiTPipeline", "LDMPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"}
    assert {*re.findall(r"`(\w+Pipeline)`", table)} == {*CALLS, *PIPELINES, *here}
    assert f"diffusers {diffusers.__version__}" in table
