"""Pages of the project, and the blocks of code in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"

CHINESE = {
    ROOT / "README.md": ROOT / "README.zh-CN.md",
    **{DOCS / page.name: page for page in sorted((DOCS / "zh").glob("*.md"))},
}
"""Pages that are there in Chinese, too, by the English ones."""

ENGLISH = sorted(
    {*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / name / "README.md" for name in ("plugins", "benchmarks"))}
    - {*CHINESE.values(), ROOT / "CHANGELOG.md"}
)

BLOCK = re.compile(r"(?:^<!-- (?P<mark>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"into `([\w-]+\.py)`")
"""Words by which a page names the file that the next block is for."""


@dataclass(frozen=True)
class Block:
    """Block of code of a page.

    Attributes:
        mark: comment in the line above, which may say why the block is not run.
        file: file that the page asks its reader to put the block into, if it does.
    """

    language: str
    text: str
    mark: str | None
    file: str | None

    @property
    def lines(self) -> list[list[str]]:
        """Command lines of a shell block, without comments."""
        lines = [shlex.split(line, comments=True) for line in re.split(r"\n|&&", self.text.replace("\\\n", " "))]
        return [line for line in lines if line]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    text, end = page.read_text(), 0
    for match in BLOCK.finditer(text):
        named = FILE.findall(text[end : match.start()])
        end = match.end()
        file = named[-1] if named and match["language"] == "python" else None
        yield Block(match["language"], match["text"], match["mark"], file)


def commands(page: Path) -> list[list[str]]:
    """List the `samplerzoo ...` lines of a page."""
    shell = (block for block in blocks(page) if block.language == "sh")
    return [line for block in shell for line in block.lines if line[0] == "samplerzoo"]
