"""Markup: escape untrusted text, so that it is shown as it is and has no effect as markup or control characters.

Names of classes, models, references and options come from files, and files come from anywhere. There is a function for
each target: a terminal or a picture (`visible`), markdown (`plain`, `code`, `fenced`), and a plot (`plotted`).
"""

from __future__ import annotations

import html
import re
import unicodedata

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&#!]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that may be markup in markdown. An underscore inside a word is not."""


def visible(text: str, *, lines: bool = False) -> str:
    """Replace control characters, and characters that cannot be encoded, by Python's escapes.

    Args:
        lines: keep line ends and tabs.
    """
    kept = "\n\t" if lines else ""
    if text.isprintable():
        return text
    return "".join(letter if _is_harmless(letter) or letter in kept else _escaped(letter) for letter in text)


def is_text(name: str) -> bool:
    """Tell whether a name can be written in UTF-8. Names of files on disk are bytes, and may not be valid text."""
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
    """Convert a sentence of markdown back to plain text, without the backslashes of `plain` and without bold."""
    return re.sub(r"\\(.)|\*\*", r"\1", text)


def plain(text: str) -> str:
    """Escape text for markdown, in one line, for a paragraph, a heading, a table cell or a caption."""
    return _SPECIAL.sub(lambda match: "\\" + match[0], visible(" ".join(text.split())))


def code(text: str) -> str:
    """Format text as a code span of markdown, in one line, which is safe in a table cell, too."""
    shown = visible(" ".join(text.split())).replace("|", "\\|")
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    edge = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{edge}{shown}{edge}{ticks}"


def fenced(text: str, language: str = "") -> str:
    """Format lines as a code block of markdown."""
    shown = visible(text, lines=True)
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{ticks}{language}\n{shown}\n{ticks}"


def tagged(text: str) -> str:
    """Escape text for the inside of an HTML tag."""
    return html.escape(visible(" ".join(text.split()))).replace("$", "&#36;")  # a pair of $ would start mathematics


def plotted(text: str) -> str:
    """Escape text for matplotlib, which reads text between dollar signs as mathematics, and hides a leading `_`."""
    shown = visible(text).replace("$", "\\$")
    return f" {shown}" if shown.startswith("_") else shown
