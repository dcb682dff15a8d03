"""Paths on the command line: a ~ left by the shell means the user's home, and the home of no user is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from samplerzoo.cli import main

COMMANDS = {
    "run": ["run", "--dry-run", "-o", "PATH"],
    "bench": ["bench", "--sampler", "ddim", "--dry-run", "-o", "PATH"],
    "a suite": ["bench", "PATH", "--dry-run"],
    "ref": ["ref", "make", "digits", "--features", "pixels", "-o", "PATH"],
    "rerun": ["rerun", "PATH"],
    "rerun into": ["rerun", "x.png", "-o", "PATH"],
    "report": ["report", "PATH"],
    "compare": ["compare", "PATH"],
    "new-plugin": ["new-plugin", "mine", "-o", "PATH"],
    "train": ["train", "--dataset", "digits", "--output-dir", "PATH"],
    "train-classifier": ["train-classifier", "--dataset", "digits", "--clean", "--output-dir", "PATH"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_home_of_nobody_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word.replace("PATH", "~nobody-here/y.safetensors") for word in COMMANDS[command]]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "there is no user 'nobody-here'; for a file of such a name, write ./~nobody-here/y.safetensors" in said
    assert len(said.splitlines()) == 1
    assert not [*tmp_path.iterdir()]


def test_a_home_that_the_shell_has_left_is_that_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["ref", "make", "digits", "--features", "pixels", "--output=~/digits.safetensors"]) == 0
    assert main(["eval", "--fake", "digits", "--real", "~/digits.safetensors", "--features", "pixels"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_folder_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.safetensors").mkdir()
    assert main(["ref", "make", "digits", "--features", "pixels", "-o", str(tmp_path / "x.safetensors")]) == 2
    assert "x.safetensors is a folder; give a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "suffix"),
    [
        (["compare", "PLACE", "--html"], ".html"),
        (["rerun", "x.png", "-o"], ".png"),
        (["show", "--sampler", "ddim", "-o"], ".png"),
        (["show", "--sampler", "ddim", "--plane", "flow", "-o"], ".svg"),
        (["ref", "make", "digits", "--features", "pixels", "-o"], ".safetensors"),
    ],
    ids=" ".join,
)
def test_what_is_written_takes_the_place_of_no_file_of_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], suffix: str
) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text("wanted")
    assert main([word.replace("PLACE", str(tmp_path)) for word in words] + [str(file)]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert f"{file}: " in said.err
    assert f"is a {suffix} file" in said.err
    assert file.read_text() == "wanted"


def test_suffixes_in_capitals_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("X.SAFETENSORS", "X.NPZ"):
        path = str(tmp_path / name)
        assert main(["ref", "make", "digits", "--features", "pixels", "-o", path]) == 0
        assert main(["eval", "--fake", "digits", "--real", path, "--features", "pixels"]) == 0
