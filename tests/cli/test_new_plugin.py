"""`samplerzoo new-plugin`: the files that it writes are right as they are, and it overwrites nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from samplerzoo import registry
from samplerzoo.testing import check_architecture, check_features, check_guidance, check_sampler, check_spacing

KINDS = ("sampler", "guidance", "features", "spacing", "architecture")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_files_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})


def written(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_a_package(cli, kind: str) -> None:
    answer = cli("new-plugin", "my-thing2", "--kind", kind)
    assert answer.code == 0, answer
    assert answer.out.splitlines()[0] == "my-thing2/src/my_thing2.py"
    network = ["src/my_thing2_network.py"] if kind == "architecture" else []
    assert [*written(Path("my-thing2"))] == [
        "README.md", "pyproject.toml", "src/my_thing2.py", *network, "tests/test_my_thing2.py"
    ]  # fmt: skip
    project = tomllib.loads(Path("my-thing2/pyproject.toml").read_text())["project"]
    assert project["name"] == "my-thing2"
    assert project["entry-points"] == {registry.GROUPS[kind]: {"my-thing2": "my_thing2:MyThing2"}}
    assert not any("$" in path.read_text() for path in Path("my-thing2").rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_written_as_this_project_is(cli, kind: str) -> None:
    cli("new-plugin", "my-thing", "--kind", kind)
    config = ["--config", ROOT / "pyproject.toml", "--no-cache", "my-thing"]
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *config], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_sampler_is_right_and_takes_its_name_from_its_class(cli) -> None:
    """Load it as a file, as in `--plugin my-thing/src/my_thing.py`."""
    cli("new-plugin", "my-thing")
    [plugin] = registry.load_file("my-thing/src/my_thing.py")
    assert (plugin.kind, plugin.name) == ("sampler", "my-thing")
    check_sampler(plugin.load()())


def test_the_guidance_is_right(cli) -> None:
    cli("new-plugin", "my-thing", "--kind", "guidance")
    [plugin] = registry.load_file("my-thing/src/my_thing.py")
    assert (plugin.kind, plugin.name) == ("guidance", "my-thing")
    check_guidance(plugin.load()(scale=2.0))


def test_the_feature_network_and_the_spacing_are_right(cli) -> None:
    for kind, check in (("features", check_features), ("spacing", check_spacing)):
        cli("new-plugin", f"my-{kind}", "--kind", kind)
        [plugin] = registry.load_file(f"my-{kind}/src/my_{kind}.py")
        assert (plugin.kind, plugin.name) == (kind, f"my-{kind}")
        check(plugin.load()())


def test_the_architecture_is_right(cli, monkeypatch) -> None:
    cli("new-plugin", "my-thing", "--kind", "architecture")
    monkeypatch.syspath_prepend("my-thing/src")
    [plugin] = registry.load_file("my-thing/src/my_thing.py")
    for network in importlib.import_module("my_thing_network").examples():
        assert {outcome.status for outcome in check_architecture(plugin.load()(), network)} <= {"passed", "skipped"}


def test_another_folder(cli) -> None:
    assert cli("new-plugin", "my-thing", "-o", "plugins/mine").code == 0
    assert Path("plugins/mine/src/my_thing.py").is_file()


@pytest.mark.parametrize("there", ["folder", "file"])
def test_what_is_there_is_not_overwritten(cli, there: str) -> None:
    mine = Path("my-thing/mine") if there == "folder" else Path("my-thing")
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    cli("new-plugin", "my-thing").refuses(2, "my-thing is there already", "--output")
    assert [path for path in Path().rglob("*") if path.is_file()] == [mine]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("My_Thing", ["lower-case words with hyphens", "such as my-thing"]),
        ("../thing", ["lower-case words with hyphens", "such as thing"]),
        ("2fast", ["no name for a plugin"]),
        ("", ["the word behind new-plugin is empty"]),
        ("ddim", ["there is a sampler ddim already, of samplerzoo"]),
        ("torch", ["imported as torch, which is taken"]),
        ("class", ["imported as class, which is taken"]),
        ("samplerzoo-plugins", ["imported as samplerzoo_plugins, which is taken"]),
    ],
)
def test_names_that_will_not_do(cli, name: str, parts: list[str]) -> None:
    cli("new-plugin", name).refuses(2, *parts)
    assert not [*Path().iterdir()]


def test_half_a_plugin_is_not_left(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a full disk leaves no file, and that the command works once there is space."""

    def full(self: Path, text: str) -> int:
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        cli("new-plugin", "my-thing").refuses(1, "No space left on device")
    assert not [*written(Path("my-thing"))]
    assert cli("new-plugin", "my-thing").code == 0


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from samplerzoo.cli import main; main(['new-plugin', '--help']);"
        "sys.exit(bool({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
