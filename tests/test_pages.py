"""Every command, every piece of Python and every link on every page works as written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import click
import folders
import pytest
import torch
from pages import BLOCK, CHINESE, DOCS, ENGLISH, ROOT, TUTORIAL, blocks
from PIL import Image

from samplerzoo import __version__, registry
from samplerzoo.cli import COMMANDS, group, main
from samplerzoo.models import folder
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import save_model

EVERY = [*ENGLISH, *CHINESE.values()]


def name(page: object) -> str:
    return str(page.relative_to(ROOT)) if isinstance(page, Path) else ""


@pytest.fixture
def small_pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_unet) -> None:
    """Put a network that is done in a moment in the place of the embedded one, beside the same classifiers."""
    from diffusers import DDPMScheduler

    embedded, small = folder.PRETRAINED / "mnist", tmp_path / "pretrained"
    info = ModelInfo(num_classes=10, null_label=10, class_counts=[100] * 10)
    plain = {
        "block_out_channels": (8,) * 3,
        "down_block_types": ("DownBlock2D",) * 3,
        "up_block_types": ("UpBlock2D",) * 3,
    }
    net = tiny_unet(sample_size=28, num_class_embeds=11, **plain)
    save_model(small / "mnist", net, DDPMScheduler(), info, "# small\n")
    for part in ("classifier", "features"):
        (small / "mnist" / part).symlink_to(embedded / part)
    monkeypatch.setattr(folder, "PRETRAINED", small)


@pytest.fixture
def readers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with what pages take for granted: suites of a clone, and pictures and a model of one's own."""
    here = tmp_path / "here"
    for where in ("my/photos/train", "my/images", "other/images", "my/data"):
        (here / where).mkdir(parents=True)
        for number in range(3):
            picture = Image.new("RGB", (12, 12), (80 * number, 200, 50))
            picture.putpixel((number, 0), (9, 9, 9))
            picture.save(here / where / f"{number}.png")
    # a copy: a page's command may write into it
    shutil.copytree(ROOT / "benchmarks", here / "benchmarks", ignore=shutil.ignore_patterns("cells", "*.png", "*.html"))
    (here / "captions.csv").write_text("file,caption\n1,a cat\n")
    folders.sd(here / "FOLDER")
    monkeypatch.chdir(here)
    monkeypatch.setattr(registry, "_files", {})
    return here


@pytest.mark.usefixtures("quick_kit")
@pytest.mark.parametrize("page", [page for page in ENGLISH if page != TUTORIAL], ids=name)
def test_a_page_runs_as_it_stands(page: Path, small_pretrained: None, readers_folder: Path, capsys) -> None:
    """Run all blocks but those whose mark says why not; `my/model` is a model of the reader's."""
    (readers_folder / "my" / "model").symlink_to(folder.PRETRAINED / "mnist")
    scope: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.mark is not None:
            assert block.mark == "test" or block.mark.startswith("not run: "), block.mark
        elif block.language in ("py", "python"):
            if block.file is not None:
                Path(block.file).write_text(block.text)
            exec(compile(block.text, str(page), "exec"), scope)
        elif block.language == "sh":
            for program, *words in block.lines:
                assert program == "samplerzoo", f"{program}: the mark `not run: REASON` is missing above the block"
                assert main(words) == 0, (words, capsys.readouterr().err)
    assert torch.is_grad_enabled()


NOT_RUN = [
    words
    for page in ENGLISH
    for block in blocks(page)
    if block.mark is not None and block.language == "sh"
    for words in block.lines
    if words[0] == "samplerzoo" and "my-sampler" not in words  # which the page makes; test_fresh_venv.py follows it
]


@pytest.mark.parametrize("words", NOT_RUN, ids=" ".join)
def test_a_command_that_is_not_run_is_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the command exists and knows each of its flags."""
    command = group.get_command(click.Context(group), words[1])
    assert words[1] in COMMANDS
    monkeypatch.chdir(ROOT)
    command.parse_args(click.Context(command, info_name=words[1]), list(words[2:]))


LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", EVERY, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(BLOCK.sub("", page.read_text())):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


def test_every_page_is_in_the_site() -> None:
    listed = (ROOT / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert f" {page.relative_to(DOCS)}\n" in listed, page


@pytest.mark.parametrize(("english", "chinese"), CHINESE.items(), ids=name)
def test_a_chinese_page_has_the_same_headings_code_formulas_and_figures(english: Path, chinese: Path) -> None:
    def bones(page: Path) -> list[str]:
        text = page.read_text()
        code = [match[0] for match in BLOCK.finditer(text) if match["language"] != "mermaid"]
        prose = BLOCK.sub("", text)
        levels = re.findall(r"^(#+) ", prose, re.MULTILINE)
        figures = [str((page.parent / path).resolve()) for path in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", prose)]
        rows = [f"{sorted(re.findall('`[^`]*`', row))}" for row in re.findall(r"^\|.*$", prose, re.MULTILINE)]
        return [*levels, *code, *figures, *rows]

    assert bones(chinese) == bones(english)


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
