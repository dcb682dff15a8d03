"""Prompts from texts and files: what is read from each, and one-line errors for what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samplerzoo.data.prompts import read_prompts
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.trust.limits import MOST_PROMPT_LETTERS, MOST_PROMPTS, MOST_PROMPTS_LETTERS

ODD = ["", "a cat", "a cat", 'with "quotes", commas\nand lines', "é 猫 \u202e", "\x1b[31m <b>|`$x$`", "NA", " spaced "]


def test_texts_are_taken_as_they_are() -> None:
    assert read_prompts(ODD) == tuple(ODD)
    assert read_prompts("a cat, and a dog") == ("a cat, and a dog",)


@pytest.mark.parametrize("end", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("column", ["prompt", "Caption", "said"])
def test_a_column_of_a_table(tmp_path: Path, end: str, column: str) -> None:
    path = tmp_path / f"table{end}"
    rows = [{"id": str(number), column: text} for number, text in enumerate(ODD)]
    if end == ".parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "image": {"bytes": b"x"}} for row in rows]), path)
    elif end == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    else:
        import csv

        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", column], delimiter="\t" if end == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    asked = "said" if column == "said" else None
    assert read_prompts([str(path)], asked) == tuple(ODD)
    if asked:
        with pytest.raises(UsageError, match=r"no column of texts; its columns: id, said; .*--prompt-column"):
            read_prompts([str(path)])


def test_a_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    path = tmp_path / "captions.txt"
    path.write_bytes("\ufeffa cat\r\n\r\n  two\u2028dogs \nlast".encode())
    assert read_prompts(["first", str(path)]) == ("first", "a cat", "two\u2028dogs", "last")
    bare = tmp_path / "captions"
    bare.write_text("a cat\n")
    assert read_prompts(str(bare)) == ("a cat",)


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    def refused(content: str | bytes, *parts: str, name: str = "it.csv", column: str | None = None) -> None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ZooError) as told:
            read_prompts([str(tmp_path / name)], column)
        assert "\n" not in str(told.value)
        for part in parts:
            assert part in str(told.value)

    refused("prompt\na cat, sitting\n", "row 1", "quotes")
    refused("id,prompt\n1\n", "row 1", "quotes")
    refused("a cat\na dog\n", "no column of texts", "--prompt-column")  # without a first line of names
    refused("prompt,caption\na,b\n", "2 columns that may be prompts")
    refused("id,prompt\n1,a\n", "no column 'said'", "id, prompt", column="said")
    refused('prompt\n"a', "unexpected end")
    refused("", "no column")
    refused("\n\n", "no prompts", name="it.txt")
    refused(b"\xff\xfe", "it.txt", "UTF-8", name="it.txt")
    refused('{"prompt": 3}', "row 1", "3", name="it.jsonl")
    refused('{"prompt": "a"}\n{"id": 3}', "row 2", "None", name="it.jsonl")
    refused('{"prompt": ', "line 1", name="it.jsonl")
    refused("x", "it.parquet", name="it.parquet")
    with pytest.raises(UsageError, match=r"no file of prompts nowhere\.csv"):
        read_prompts(["nowhere.csv"])
    with pytest.raises(UsageError, match="--prompt-column said: no file with columns"):
        read_prompts(["a cat"], "said")


def test_how_many_and_how_long() -> None:
    with pytest.raises(UsageError, match="100001 prompts"):
        read_prompts(["a"] * (MOST_PROMPTS + 1))
    assert read_prompts("a" * MOST_PROMPT_LETTERS)
    with pytest.raises(UsageError, match="prompt 2 has 10001 characters"):
        read_prompts(["a", "a" * (MOST_PROMPT_LETTERS + 1)])
    with pytest.raises(UsageError, match="in all prompts together"):
        read_prompts(["a" * MOST_PROMPT_LETTERS] * (MOST_PROMPTS_LETTERS // MOST_PROMPT_LETTERS + 1))
    with pytest.raises(UsageError, match="prompt 1 is no text"):
        read_prompts("half of a pair \ud800")
    with pytest.raises(UsageError, match="no prompts"):
        read_prompts([])
