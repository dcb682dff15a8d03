"""Records: JSON that another hand may have written, read in one way, with one clear line where it is wrong.

Whatever reads JSON from a file reads it here. What comes back is finite, of moderate depth and size, printable as
UTF-8, and of the shape that its schema says.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from samplerzoo.errors import ZooError, path_text, reason
from samplerzoo.trust.limits import MOST_DEPTH, MOST_DIGITS, MOST_JSON

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Schema = TypeVar("Schema")

DIGEST = "digest"
"""Key of a line's digest, where lines are sealed."""
BOM = b"\xef\xbb\xbf"
"""Mark that editors of Windows put at the start of a file."""


def read_record(path: Path, schema: type[Schema]) -> Schema:
    """Read a JSON file as a value of this type.

    Args:
        schema: any type that pydantic knows, such as a model or `dict[str, int]`.

    Raises:
        ZooError: it cannot be read, is no JSON, or does not fit; names file and key.
    """
    return parse_record(_bytes(path), schema, str(path))


def parse_record(text: str | bytes, schema: type[Schema], name: str) -> Schema:
    """Read JSON text as a value of this type; see `read_record`.

    Args:
        name: where the text is from, for errors.
    """
    return _fitting(_content(text, name), schema, name)


def _fitting(content: Any, schema: type[Schema], name: str) -> Schema:
    """Return content as a value of this type."""
    from pydantic import ValidationError

    try:
        return cast("Schema", _adapter(cast("Hashable", schema)).validate_python(content))
    except ValidationError as error:
        raise ZooError(f"{name}: {reason(error)}") from error


def read_object(path: str | os.PathLike[str], unbounded: Collection[str] = ()) -> dict[str, Any]:
    """Read a JSON file that holds an object with any keys, without a library that takes its time to import.

    Args:
        unbounded: keys that may be -Infinity, which is no JSON, and which are left out then: it is their default.

    Raises:
        ZooError: it cannot be read, or holds none.
    """
    path = Path(path_text("the name of a file", path))
    text, left_out = _bytes(path), []
    for key in unbounded:
        text, found = re.subn(rb'"%s"\s*:\s*-Infinity\b' % key.encode(), b'"%s": null' % key.encode(), text)
        left_out += [key] * bool(found)
    return {key: value for key, value in parse_object(text, str(path)).items() if key not in left_out}


def parse_object(text: str | bytes, name: str) -> dict[str, Any]:
    """Read JSON text that holds an object; see `read_object`."""
    content = _content(text, name)
    if not isinstance(content, dict):
        raise ZooError(f"{name}: not a JSON object")
    return content


def read_lines(path: Path, schema: type[Schema], way_out: str | None = None) -> list[Schema]:
    """Read a JSON Lines file; none if there is no file. A last line that is not whole is passed over.

    A killed process may have left half a line, and without it the file is as good as before.

    Args:
        way_out: what to do about a line that is wrong, or was changed after it was written, where lines are `sealed`.
            Those of an earlier version are not, and are read as they are.

    Raises:
        ZooError: another line is wrong; names it.
    """
    found = []
    for number, line in enumerate(whole_lines(path), 1):
        name = f"{path}, line {number}"
        try:
            content = _content(line, name)
            if (
                way_out is not None
                and isinstance(content, dict)
                and content.pop(DIGEST, None) not in (None, _seal(content))
            ):
                raise ZooError(f"{name}: was changed after it was written")
            found.append(_fitting(content, schema, name))
        except ZooError as error:
            raise ZooError("; ".join(filter(None, [str(error), way_out]))) from error
    return found


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with a digest of it, by which a change of it is seen."""
    return {**record, DIGEST: _seal(record)}


def _seal(record: Mapping[str, Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a record as JSON."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a JSON Lines file, without empty ones, and without a last one that is no JSON.

    That one may end as a line does: whoever opened and saved the file has put a newline behind it.
    """
    if not path.exists():
        return []
    try:
        lines = [line for line in path.read_bytes().removeprefix(BOM).split(b"\n") if line.strip()]
    except OSError as error:
        raise ZooError(f"{path}: cannot be read: {reason(error)}") from error
    try:
        if lines:
            _parsed(lines[-1])
    except (ValueError, RecursionError):
        lines.pop()
    return lines


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_JSON + 1)
    except (OSError, ValueError) as error:  # ValueError: a path that cannot be
        raise ZooError(f"{path}: cannot be read: {reason(error)}") from error


def _content(text: str | bytes, name: str) -> Any:
    try:
        return _parsed(text)
    except RecursionError as error:
        raise ZooError(f"{name}: cannot be read as JSON: more than {MOST_DEPTH} lists inside of each other") from error
    except ValueError as error:
        raise ZooError(f"{name}: cannot be read as JSON: {reason(error)}") from error


def _parsed(text: str | bytes) -> Any:
    """Parse JSON. Raise ValueError if it is none, or holds what no record has."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(raw) > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON} bytes")
    decoded = raw.removeprefix(BOM).decode()
    content = json.loads(decoded, parse_int=_whole, parse_float=_finite, parse_constant=_refused)
    _check_depth(content, MOST_DEPTH)
    if "\\ud" in decoded.lower():
        json.dumps(content, ensure_ascii=False).encode()  # half of a pair of surrogates cannot be written anywhere
    return content


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS + 1:  # and a sign
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:MOST_DIGITS]} is too large a number")
    return value


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is not a number of JSON")


def _check_depth(content: Any, depth: int) -> None:
    if not depth:
        raise ValueError(f"more than {MOST_DEPTH} lists inside of each other")
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for value in inner:
        if isinstance(value, (dict, list)):
            _check_depth(value, depth - 1)


@functools.cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)
