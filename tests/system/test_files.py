from __future__ import annotations

import hashlib
import math
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from samplerzoo.errors import UsageError, ZooError
from samplerzoo.system.files import (
    atomic_file,
    atomic_folder,
    contents,
    digest,
    digest_text,
    locked,
    remove_folder,
    remove_partials_of,
    write_json,
)


class Broken(Exception):
    pass


def break_off(path: Path) -> None:
    """Fail in the middle of a write."""
    path.write_text("ne")
    raise Broken


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_replaced_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    for content in ("first", "second"):
        with atomic_file(target) as partial:
            partial.write_text(content)
            assert files(tmp_path).get("new/file.txt") == (None if content == "first" else "first")
        assert files(tmp_path) == {"new/file.txt": content}


def test_a_file_that_could_not_be_written_leaves_the_old_one_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(Broken), atomic_file(target) as partial:
        break_off(partial)
    assert files(tmp_path) == {"file.txt": "old"}


def test_a_folder_is_filled_and_keeps_what_else_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").write_text("theirs")
    (tmp_path / "ours.txt").write_text("old")
    with atomic_folder(tmp_path) as beside:
        (beside / "ours.txt").write_text("new")
        (beside / "deep").mkdir()
        (beside / "deep" / "file.txt").write_text("deep")
        assert (tmp_path / "ours.txt").read_text() == "old"
    assert files(tmp_path) == {"theirs.txt": "theirs", "ours.txt": "new", "deep/file.txt": "deep"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "ours.txt", "theirs.txt"]


def test_a_folder_that_could_not_be_filled_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "ours.txt").write_text("old")
    with pytest.raises(Broken), atomic_folder(tmp_path) as beside:
        break_off(beside / "ours.txt")
    assert files(tmp_path) == {"ours.txt": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["ours.txt"]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_a_private_file_becomes_readable_as_any_new_file_is(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "file.txt") as partial:
        partial.write_text("content")
        partial.chmod(0o600)
    (tmp_path / "new.txt").touch()
    assert (tmp_path / "file.txt").stat().st_mode == (tmp_path / "new.txt").stat().st_mode
    assert len([*tmp_path.iterdir()]) == 2


def test_a_digest_is_sha256_cut_to_16_digits(tmp_path: Path) -> None:
    """Pin the digest, because cells, caches and references on disk are named by it."""
    assert digest_text("abc") == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("abc")
    second.write_text("")
    assert digest(first) == "ba7816bf8f01cfea"
    whole = hashlib.sha256(b"abc").hexdigest() + hashlib.sha256(b"").hexdigest()
    assert digest(first, second) == digest_text(whole) != digest(second, first)
    with pytest.raises(ZooError, match="cannot be read"):
        digest(tmp_path / "none")


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    write_json(path, {"status": "done"})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"status": math.inf})
    assert files(tmp_path) == {"new/record.json": '{\n  "status": "done"\n}\n'}


def test_a_folder_is_held_by_one_program_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert contents(folder) == []
    with locked(folder):
        (folder / "mine.txt").write_text("mine")
        assert contents(folder) == ["mine.txt"]
        with pytest.raises(ZooError, match="new is in use by another training"), locked(folder, "training"):
            pass
    with pytest.raises(Broken), locked(folder):
        raise Broken
    with locked(folder):
        pass


def test_a_file_is_no_output_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file"), locked(tmp_path / "file"):
        pass


def test_a_full_disk_is_one_line_whatever_library_writes(tmp_path: Path) -> None:
    target = tmp_path / "big.safetensors"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # raises the same error as a full disk
    try:
        with pytest.raises(ZooError, match=r"big\.safetensors: cannot be written: "), atomic_file(target) as partial:
            save_file({"x": np.zeros(10_000)}, partial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_when_the_folder_is_locked(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / ".partial-1-a.png").write_text("half")
    (tmp_path / ".partial-xyz" / "unet").mkdir(parents=True)
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / ".lock").touch()  # of another program, which may be writing
    (tmp_path / "classifier" / ".partial-2-b").write_text("half")
    assert sorted(contents(tmp_path)) == ["classifier", "images"]
    with locked(tmp_path):
        left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob(".partial-*"))
        assert left == ["classifier/.partial-2-b"]


def test_what_was_left_of_a_file_goes_and_of_no_other(tmp_path: Path) -> None:
    for name in (".partial-1-a.npz", ".partial-22-a.npz-mode", ".partial-1-b.npz", ".partial-1-aa.npz"):
        (tmp_path / name).touch()
    remove_partials_of(tmp_path / "a.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial-1-aa.npz", ".partial-1-b.npz"]


def test_a_folder_loses_its_name_before_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "file").touch()

    def fail(path: Path) -> None:
        raise OSError("killed here")

    monkeypatch.setattr(shutil, "rmtree", fail)
    with pytest.raises(OSError, match="killed here"):
        remove_folder(tmp_path / "it")
    assert contents(tmp_path) == []


@pytest.mark.parametrize("library", [True, False])
def test_a_folder_that_cannot_be_written_names_the_file_of_the_user(tmp_path: Path, library: bool) -> None:
    """Remove the folder while it is written to, since root may write into every folder."""
    target = tmp_path / "gone" / "mine.safetensors"

    def write() -> None:
        with atomic_file(target) as partial:
            target.parent.rmdir()
            save_file({"x": np.zeros(1)}, partial) if library else partial.write_text("x")

    with pytest.raises((OSError, ZooError)) as failed:
        write()
    said = str(failed.value)
    assert str(target) in said
    assert "No such file or directory" in said
    assert ".partial-" not in said


def test_an_output_that_is_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    for make in (locked, atomic_folder, lambda folder: atomic_file(folder / "x")):
        with pytest.raises(UsageError, match="link is a link to nowhere, which is not there"), make(link):
            pass
