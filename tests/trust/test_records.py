"""Untrusted JSON: an error is one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samplerzoo.errors import ZooError
from samplerzoo.options import Options
from samplerzoo.trust.records import parse_object, parse_record, read_lines, read_object, read_record, sealed


class Point(Options):
    x: int
    name: str = ""


WRONG = {
    "nothing": "",
    "half": '{"x": ',
    "no object": "[1]",
    "NaN": '{"x": NaN}',
    "infinity": '{"x": -Infinity}',
    "a float beyond floats": '{"x": 1e999}',
    "an integer of 5000 digits": f'{{"x": {"9" * 5000}}}',
    "nested 3000 deep": f'{{"x": {"[" * 3000}{"]" * 3000}}}',
    "nested 100 deep": f'{{"x": {"[" * 100}{"]" * 100}}}',
    "nested 100000 deep": "[" * 100_000,
    "half of a surrogate pair": '{"x": "\\ud800"}',
    "bytes": b"\xff\xfe\x00",
    "another type": '{"x": {}}',
    "another key": '{"x": 1, "y": 2}',
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_that_names_the_file(text: str | bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ZooError) as raised:
        read_record(file, Point)
    assert str(raised.value).startswith(f"{file}: ")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_mark_of_byte_order_and_whole_surrogate_pairs_are_no_fault() -> None:
    assert parse_record(b'\xef\xbb\xbf{"x": 1, "name": "\\ud83d\\ude00"}', Point, "it") == Point(x=1, name="😀")


def test_an_object_has_any_keys(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"seed": 18446744073709551615, "list": [[1.5, null]]}')
    assert read_object(tmp_path / "a.json") == {"seed": 2**64 - 1, "list": [[1.5, None]]}
    with pytest.raises(ZooError, match="it: not a JSON object"):
        parse_object("3", "it")
    with pytest.raises(ZooError, match="cannot be read"):
        read_object(tmp_path)


def test_half_a_last_line_is_passed_over_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    assert read_lines(file, Point) == []
    file.write_text('{"x": 1}\n\n{"x": 2}\n{"x": ')
    assert read_lines(file, Point) == [Point(x=1), Point(x=2)]
    file.write_text('{"x": 1}\n{"x": 2}')
    assert read_lines(file, Point) == [Point(x=1), Point(x=2)]
    for half in (b'{"x": \n', b'{"x": \r\n\n', '{"y": "é"}'.encode()[:-3], '{"y": "é"}'.encode()[:-3] + b"\n"):
        file.write_bytes(b'{"x": 1}\n' + half)
        assert read_lines(file, Point) == [Point(x=1)]
    file.write_text('{"x": \n{"x": 2}\n')
    with pytest.raises(ZooError, match="line 1"):
        read_lines(file, Point)
    file.write_bytes(b'{"x": 1}\n\xff\n{"x": 1}\n')
    with pytest.raises(ZooError, match=r"line 2: cannot be read as JSON: [^;]*$"):
        read_lines(file, Point)
    with pytest.raises(ZooError, match=r"line 2: cannot be read as JSON: .*; remove it$"):
        read_lines(file, Point, "remove it")


def test_a_line_that_was_changed_is_named(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    lines = [json.dumps(sealed({"x": x})) for x in (1, 2)]
    file.write_text("\n".join([*lines, '{"x": 3}', ""]))  # the last one as an earlier version wrote it
    assert read_lines(file, Point, "measure it again") == [Point(x=1), Point(x=2), Point(x=3)]
    file.write_text("\n".join([lines[0], lines[1].replace('"x": 2', '"x": 4'), ""]))
    with pytest.raises(ZooError, match=r"lines\.jsonl, line 2: was changed after it was written; measure it again"):
        read_lines(file, Point, "measure it again")
