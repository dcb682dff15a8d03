"""Records: reading of JSON that anybody may have written, with a clear one-line error if it is wrong.

All JSON files are read here. The result is finite, of moderate depth and size, printable as UTF-8, and fits its schema,
or an error is raised.
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
from samplerzoo.trust.pointers import NOT_FETCHED, POINTER

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Schema = TypeVar("Schema")

DIGEST = "digest"
"""Key of a line's digest, in files whose lines are sealed."""
BOM = b"\xef\xbb\xbf"
"""Byte order mark that Windows editors put at the start of a file."""


def read_record(path: Path, schema: type[Schema]) -> Schema:
    """Read a JSON file as a value of this type.

    Args:
        schema: any type that pydantic knows, such as a model or `dict[str, int]`.

    Raises:
        ZooError: it cannot be read, is not JSON, or does not fit the type. The message names file and key.
    """
    return parse_record(_bytes(path), schema, str(path))


def parse_record(text: str | bytes, schema: type[Schema], name: str) -> Schema:
    """Read JSON text as a value of this type; see `read_record`.

    Args:
        name: origin of the text, for errors.
    """
    return _fitting(_content(text, name), schema, name)


def _fitting(content: Any, schema: type[Schema], name: str) -> Schema:
    """Validate content as a value of this type."""
    from pydantic import ValidationError

    try:
        return cast("Schema", _adapter(cast("Hashable", schema)).validate_python(content))
    except ValidationError as error:
        raise ZooError(f"{name}: {reason(error)}") from error


def read_object(path: str | os.PathLike[str], unbounded: Collection[str] = ()) -> dict[str, Any]:
    """Read a JSON file that holds an object with any keys, without importing a slow library.

    Args:
        unbounded: keys that may be -Infinity, although this is not JSON. They are left out then, since it is their
            default.

    Raises:
        ZooError: it cannot be read, or does not hold an object.
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
    """Read a JSON Lines file; the result is empty if there is no file. An incomplete last line is ignored.

    A killed process may have left such a line, and the rest of the file is valid.

    Args:
        way_out: advice for a line that is wrong, or was changed after it was written, in files whose lines are
            `sealed`. Lines of earlier versions have no digest, and are not checked for changes.

    Raises:
        ZooError: any other line is wrong. The message names it.
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
    """Return a record with its digest, so that later changes are noticed."""
    return {**record, DIGEST: _seal(record)}


def _seal(record: Mapping[str, Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a record as JSON."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a JSON Lines file, without empty ones, and without a last line that is not JSON.

    A newline may stand behind that line, if an editor has opened and saved the file. Then another line must come first:
    a file of nothing but one wrong line was not cut short.
    """
    if not path.exists():
        return []
    try:
        text = path.read_bytes().removeprefix(BOM)
    except OSError as error:
        raise ZooError(f"{path}: cannot be read: {reason(error)}") from error
    lines = [line for line in text.split(b"\n") if line.strip()]
    if not lines or (len(lines) == 1 and text.endswith(b"\n")):
        return lines
    try:
        _parsed(lines[-1])
    except (ValueError, RecursionError):
        lines.pop()
    return lines


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_JSON + 1)
    except (OSError, ValueError) as error:  # ValueError: an impossible path
        raise ZooError(f"{path}: cannot be read: {reason(error)}") from error


def _content(text: str | bytes, name: str) -> Any:
    if text[: len(POINTER)] in (POINTER, POINTER.decode()):
        raise ZooError(f"{name}: {NOT_FETCHED}")
    try:
        return _parsed(text)
    except RecursionError as error:
        raise ZooError(f"{name}: cannot be read as JSON: more than {MOST_DEPTH} lists inside of each other") from error
    except ValueError as error:
        raise ZooError(f"{name}: cannot be read as JSON: {reason(error)}") from error


def _parsed(text: str | bytes) -> Any:
    """Parse JSON. Raise ValueError if it is not JSON, or holds something that no record may hold."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(raw) > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON} bytes")
    decoded = raw.removeprefix(BOM).decode()
    content = json.loads(decoded, parse_int=_whole, parse_float=_finite, parse_constant=_refused)
    _check_depth(content, MOST_DEPTH)
    if "\\ud" in decoded.lower():
        json.dumps(content, ensure_ascii=False).encode()  # raises an error for a lone surrogate
    return content


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS + 1:  # one more for a sign
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
