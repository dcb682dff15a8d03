"""Pointers of git-lfs, which a clone without git-lfs has in the place of large files: every reader names one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from samplerzoo.data.prompts import read_prompts
from samplerzoo.errors import ZooError
from samplerzoo.metrics.feature_files import Rows
from samplerzoo.metrics.names import parse_features
from samplerzoo.metrics.reference import load_reference
from samplerzoo.trust.arrays import read_arrays
from samplerzoo.trust.records import parse_object, read_lines, read_object, read_record

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:aaa\nsize 4\n"
READERS: dict[str, Callable[[Path], object]] = {
    "record": lambda path: read_record(path, dict[str, str]),
    "lines": lambda path: read_lines(path, dict[str, str]),
    "object": read_object,
    "text": lambda path: parse_object(path.read_text(), str(path)),
    "arrays": read_arrays,
    "features": lambda path: Rows([path]),
    "reference": lambda path: load_reference(str(path), parse_features("pixels")),
    "prompts.txt": lambda path: read_prompts([str(path)]),
    "prompts.csv": lambda path: read_prompts([str(path)]),
    "prompts.parquet": lambda path: read_prompts([str(path)]),
}


@pytest.mark.parametrize("read", READERS)
def test_a_pointer_is_named_with_the_way_out(tmp_path: Path, read: str) -> None:
    file = (tmp_path / read).with_suffix(Path(read).suffix or ".safetensors")
    file.write_text(POINTER)
    with pytest.raises(ZooError, match=rf"{file.name}.*: git-lfs has not fetched it: run `git lfs pull`$"):
        READERS[read](file)
