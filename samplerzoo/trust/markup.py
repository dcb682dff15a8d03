"""Markup: text of any origin, written so that the place it goes to shows it and obeys none of it.

Names of classes, models, references and options come from files, and files come from anywhere. Each place has one
writer here: a terminal or a picture (`visible`), markdown (`plain`, `code`, `fenced`), and a plot (`plotted`).
"""

from __future__ import annotations

import html
import re
import unicodedata

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&#!]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that markdown may obey: an underscore inside of a word is none."""


def visible(text: str, *, lines: bool = False) -> str:
    """Write control characters, and what cannot be encoded, as Python's escapes.

    Args:
        lines: keep line ends and tabs.
    """
    kept = "\n\t" if lines else ""
    if text.isprintable():
        return text
    return "".join(letter if _is_harmless(letter) or letter in kept else _escaped(letter) for letter in text)


def is_text(name: str) -> bool:
    """Tell whether a name can be written in UTF-8. Those of files on disk are bytes, and need not be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_harmless(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"  # spaces of other widths


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode()


def unmarked(text: str) -> str:
    """Take a sentence of markdown back to plain text: without the backslashes of `plain`, and without bold."""
    return re.sub(r"\\(.)|\*\*", r"\1", text)


def plain(text: str) -> str:
    """Write text for markdown, in one line, that is shown as it is: in a paragraph, a heading, a cell or a caption."""
    return _SPECIAL.sub(lambda match: "\\" + match[0], visible(" ".join(text.split())))


def code(text: str) -> str:
    """Write text as a code span of markdown, in one line, which a cell of a table may hold."""
    shown = visible(" ".join(text.split())).replace("|", "\\|")
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    edge = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{edge}{shown}{edge}{ticks}"


def fenced(text: str, language: str = "") -> str:
    """Write lines as a block of code of markdown."""
    shown = visible(text, lines=True)
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{ticks}{language}\n{shown}\n{ticks}"


def tagged(text: str) -> str:
    """Write text for the inside of an HTML tag."""
    return html.escape(visible(" ".join(text.split()))).replace("$", "&#36;")  # between two of them is mathematics


def plotted(text: str) -> str:
    """Write text for matplotlib, which reads what stands between dollars as mathematics, and hides a leading `_`."""
    shown = visible(text).replace("$", "\\$")
    return f" {shown}" if shown.startswith("_") else shown
