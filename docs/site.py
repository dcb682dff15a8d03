"""Hooks of the site: pages that lie outside of docs/, links that lead outside of it, and formulas.

On GitHub every page is read where it lies. The site has those of other folders under a name of their own, and a link
to a file that it does not have becomes the name of that file. Formulas become MathML, which browsers draw without a
script.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]

OUTSIDE = {
    "plugins.md": "plugins/README.md",
    "benchmarks.md": "benchmarks/README.md",
    "contributing.md": "CONTRIBUTING.md",
}
"""Pages of the site that lie outside of docs/, by their names there."""

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages that lie outside of docs/."""
    for name, path in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Let links lead to the pages of the site."""
    here = page.file.src_uri
    source = OUTSIDE.get(here, f"docs/{here}")

    def link(match: re.Match[str]) -> str:
        text, path, anchor = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        names = {path: name for name, path in OUTSIDE.items()}
        name = names.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(name) is None:
            return f"{text} (`{target}`)"
        return f"[{text}]({posixpath.relpath(name, posixpath.dirname(here) or '.')}{anchor or ''})"

    return LINK.sub(link, markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Draw the formulas."""

    def formula(match: re.Match[str]) -> str:
        if match[1] == "span":
            return convert(html.unescape(match[2]), display="inline")
        return f'<div style="overflow-x: auto; margin: 1em 0">{convert(html.unescape(match[2]), display="block")}</div>'

    return FORMULA.sub(formula, content)
