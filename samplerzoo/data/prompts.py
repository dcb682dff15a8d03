"""Prompts of a run, from texts and files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.trust.limits import MOST_JSON, MOST_PROMPT_LETTERS, MOST_PROMPTS, MOST_PROMPTS_LETTERS
from samplerzoo.trust.pointers import refuse_pointer
from samplerzoo.trust.records import BOM, parse_object

COLUMNS = ("prompt", "prompts", "caption", "captions", "text", "texts")
"""Names of columns that are taken for prompts, in upper or lower case."""
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
ENDS = (".txt", *TABLES)
"""Suffixes of files with prompts."""


def read_prompts(given: str | Iterable[str], column: str | None = None) -> tuple[str, ...]:
    """Return the prompts that are given as texts or as files of texts, in order.

    A file that is not a table has one prompt per line; empty lines are skipped.

    Args:
        given: one text, or several. A text that names a file stands for the prompts in it.
        column: column of the prompts in a table, if its name does not tell.

    Raises:
        UsageError: a file does not exist, or its column is not known.
        ZooError: a file cannot be read.
    """
    words = [given] if isinstance(given, str) else [*given]
    files = [_file(word) for word in words]
    if column is not None and not any(path is not None and _is_table(path) for path in files):
        raise UsageError(f"--prompt-column {column}: no file with columns ({', '.join(TABLES)}) is among the prompts")
    found = ([word] if path is None else _in_file(path, column) for word, path in zip(words, files, strict=True))
    return check_prompts([prompt for prompts in found for prompt in prompts])


def check_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts as a tuple, after checking their number, their length, and that they are texts.

    Raises:
        UsageError: a check fails.
    """
    if not prompts:
        raise UsageError("no prompts: give at least one; it may be empty")
    if len(prompts) > MOST_PROMPTS:
        raise UsageError(f"{len(prompts)} prompts: at most {MOST_PROMPTS} are taken")
    for number, prompt in enumerate(prompts, 1):
        if len(prompt) > MOST_PROMPT_LETTERS:
            raise UsageError(f"prompt {number} has {len(prompt)} characters: at most {MOST_PROMPT_LETTERS} are taken")
        try:
            prompt.encode()
        except UnicodeError:
            raise UsageError(f"prompt {number} is no text: it cannot be written as UTF-8") from None
    if (letters := sum(map(len, prompts))) > MOST_PROMPTS_LETTERS:
        raise UsageError(f"{letters} characters in all prompts together: at most {MOST_PROMPTS_LETTERS} are taken")
    return tuple(prompts)


def _file(word: str) -> Path | None:
    """Return the file that a word names; None if the word is a prompt itself."""
    path = Path(os.path.expanduser(word))
    try:
        if path.is_file():
            return path
        if "/" in word and path.is_dir():
            raise UsageError(f"--prompts {word}: a folder, where a file of prompts or a text is wanted")
    except (OSError, ValueError):  # for example, too long for a file name
        return None
    if word.lower().endswith(ENDS):
        raise UsageError(f"no file of prompts {word}; a prompt that ends so goes into a file, one prompt a line")
    return None


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in TABLES


def _in_file(path: Path, column: str | None) -> list[str]:
    """Read the prompts of a file."""
    refuse_pointer(path)
    if not _is_table(path):
        return [line for line in map(str.strip, _text(path).split("\n")) if line]
    rows = _rows(path)
    name = _column(path, [*dict.fromkeys(name for row in rows for name in row)], column)
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get(name), str):
            raise ZooError(f"{path}: row {number} has {row.get(name)!r:.40} in the place of a prompt")
    return [row[name] for row in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    """Read a table as one dict per row."""
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _parquet(path)
    text = _text(path)
    if kind == ".jsonl":
        lines = enumerate(text.split("\n"), 1)
        return [parse_object(line, f"{path}, line {number}") for number, line in lines if line.strip()]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",", strict=True)
    rows = []
    try:
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                raise ZooError(
                    f"{path}: row {number} has other columns than the first line: a prompt with commas or lines of its "
                    "own stands between quotes"
                )
            rows.append(row)
    except csv.Error as error:
        raise ZooError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    """Read the columns of a parquet file that hold texts, and skip others, such as pictures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from samplerzoo.data.tables import check_parquet

    check_parquet(path)
    schema = pq.read_schema(path)
    texts = [it.name for it in schema if pa.types.is_string(it.type) or pa.types.is_large_string(it.type)]
    if (count := pq.read_metadata(path).num_rows) > MOST_PROMPTS:
        raise UsageError(f"{path}: {count} prompts: at most {MOST_PROMPTS} are taken")
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, columns=texts).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ZooError(f"{path}: cannot be read: {reason(error)}") from error
    return rows


def _column(path: Path, columns: Sequence[str], asked: str | None) -> str:
    """Return the column of the prompts: the one that the user names, or the only one with a name in `COLUMNS`.

    Raises:
        UsageError: there is no such column, or several may be meant.
    """
    named = [column for column in columns if column.lower() in COLUMNS]
    if asked is not None and asked in columns:
        return asked
    if asked is None and len(named) == 1:
        return named[0]
    what = "no column of texts" if asked is None else f"no column {asked!r} of texts"
    what = f"{len(named)} columns that may be prompts" if asked is None and named else what
    raise UsageError(
        f"{path}: {what}; its columns: {', '.join(columns) or 'none'}; name one with --prompt-column, or call it prompt"
    )


def _text(path: Path) -> str:
    """Read a file of moderate size as UTF-8.

    Raises:
        ZooError: it is too large, or not text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_JSON + 1)
        if len(content) > MOST_JSON:
            raise ZooError(f"{path}: more than {MOST_JSON} bytes, and so no file of prompts")
        return content.removeprefix(BOM).decode()
    except (OSError, UnicodeError) as error:
        raise ZooError(f"{path}: cannot be read as text in UTF-8: {reason(error)}") from error
