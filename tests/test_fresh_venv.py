"""Steps of a plugin author, from nothing to a row in a report, and the registry's promises of installed packages.

In a new virtual environment that sees the packages of this one, with distributions that pip has built and installed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sysconfig
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from samplerzoo.bench.results import read_rows
from samplerzoo.cli import main, new_plugin

AUTHORS = Path(__file__).parents[1] / "plugins" / "README.md"

OFFLINE = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""Beside --no-build-isolation: all that pip needs is there."""

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.2"
[tool.setuptools]
py-modules = {modules}
[project.entry-points."samplerzoo.samplers"]
"""

GOOD = """
from samplerzoo import Sampler

class Good(Sampler):
    def step(self, x, t, s, denoise, noise):
        return denoise(x, t).x0
"""

PROMPT = """
import contextlib, io, json, sys
import pytest
from samplerzoo.cli import main

answers = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    if words[1] == "check":  # a few checks of the kit tell whether the commands work; test_new_plugin.py makes all
        from samplerzoo.testing import conformance

        few = "check_one_state_a_step", "check_moments", "check_order"
        conformance.SAMPLER_CHECKS = [it for it in conformance.SAMPLER_CHECKS if it.__name__ in few]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = {"samplerzoo": main, "pytest": pytest.main}[words[0]](words[1:])
    answers.append([int(code), out.getvalue(), err.getvalue(), [*sys.modules]])
print(json.dumps(answers))
"""
"""All commands in one process, since every one that imports torch anew takes seconds."""


@dataclass(frozen=True)
class Answer:
    """Outcome of a command, and the modules that had been imported by then."""

    code: int
    out: str
    err: str
    modules: Sequence[str]


@dataclass(frozen=True)
class Fresh:
    """The environment, and the folder that one stands in."""

    python: Path
    cwd: Path

    def run(self, *words: object, **env: str) -> str:
        command = [str(self.python), *map(str, words)]
        done = subprocess.run(
            command, cwd=self.cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def pip(self, *words: object) -> None:
        self.run("-m", "pip", *words, "--no-build-isolation", "--quiet", **OFFLINE)

    def answers(self, *lines: Sequence[str]) -> list[Answer]:
        """Run lines of `samplerzoo ...` and `pytest ...`, and return what each came to."""
        script = self.cwd.with_name("prompt.py")
        script.write_text(PROMPT)
        return [Answer(*each) for each in json.loads(self.run(script, json.dumps(lines)))]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Sees what is installed here by a .pth file: an environment made from another one does not see its packages."""
    root = tmp_path_factory.mktemp("fresh")
    (root / "cwd").mkdir()
    venv.create(root / "venv", symlinks=True, with_pip=importlib.util.find_spec("pip") is None)
    found = Fresh(root / "venv" / "bin" / "python", root / "cwd")
    site = Path(found.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    parents = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (site / "parent.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in sorted(parents)))
    return found


def guide() -> list[list[str]]:
    """Return the commands of the page, as they stand there."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", AUTHORS.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "new-plugin" in block)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def write_plugin(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Run `new-plugin`, even where who runs these tests has followed the guide, and the name is taken."""
    with monkeypatch.context() as patch:
        patch.setattr(new_plugin, "_module", lambda name, kind: name.replace("-", "_"))
        assert main([*words]) == 0


def package(folder: Path, modules: dict[str, str], **points: str) -> Path:
    """Write the source of a distribution of the folder's name."""
    folder.mkdir()
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
    lines = "".join(f'{name} = "{target}"\n' for name, target in points.items())
    (folder / "pyproject.toml").write_text(PYPROJECT.format(name=folder.name, modules=[*modules]) + lines)
    return folder


def test_the_guide_leads_from_nothing_to_a_row_in_a_report(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    new, install, *lines = guide()
    monkeypatch.chdir(fresh.cwd)
    write_plugin(monkeypatch, *new[1:])
    assert install[0] == "pip"
    fresh.pip(*install[1:])
    listed, checked, tested, ranked = fresh.answers(*lines)
    for answer in (listed, checked, tested, ranked):
        assert answer.code == 0, answer.out + answer.err
    (line,) = (line for line in listed.out.splitlines() if " my-sampler " in line)
    assert "(my-sampler 0.1.0)" in line
    assert not {"my_sampler", "torch"} & {*listed.modules}
    assert "check_order: passed" in checked.out
    assert re.search(r"\b\d+ passed", tested.out)
    rows = read_rows(fresh.cwd / "my-report")
    assert [(row.recipe.sampler, row.recipe.steps) for row in rows if row.recipe.sampler == "my-sampler"] == [
        ("my-sampler", steps) for steps in (5, 10, 20)
    ]
    assert "my-sampler" in (fresh.cwd / "my-report" / "report.md").read_text()


OTHERS = {
    "guidance": """
from samplerzoo import Guidance, UsageError


class MyGuidance(Guidance):
    '''Plain guidance in two calls (Ho and Salimans 2022).'''

    def guide(self, denoise, condition, model):
        if model.null_label is None:
            raise UsageError("it needs a null label")
        null = model.unconditional(condition)

        def guided(x, t):
            if self.scale in (0, 1):
                return denoise(x, t, condition if self.scale else null)
            return denoise(x, t, condition).away_from(denoise(x, t, null), self.scale)

        return guided
""",
    "features": """
import torch

from samplerzoo import Features, Field


class MyFeatures(Features):
    '''Mean and deviation of each row of pixels.'''

    power: float = Field(1.0, ge=0.5, le=2, description="what pixels are raised to")

    @property
    def id(self):
        return f"rows to the power of {self.power}"

    def load(self, device="cpu"):
        def features(images):
            pixels = (images.to(device).float() / 255) ** self.power
            return torch.cat([pixels.mean(3).flatten(1), pixels.std(3).flatten(1)], dim=1)

        return features

    def load_head(self, device="cpu"):
        return lambda rows: rows.argmax(1)
""",
    "spacing": """
from samplerzoo import Spacing


class MySpacing(Spacing):
    '''Times in a straight line.'''

    def taus(self, schedule, steps):
        step = (schedule.T - schedule.low) / (steps - 1)
        return [schedule.T - step * k for k in range(steps)]
""",
}
"""Methods that authors put in the place of the examples; the sampler is that of the page."""


@pytest.mark.slow
def test_the_tests_of_a_new_plugin_hold_for_any_method(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the author's method in the place of each example, with other options. The examples are checked beside."""
    monkeypatch.chdir(fresh.cwd)
    kinds = ("sampler", "guidance", "features", "spacing", "architecture")
    names = [f"my-{kind}" for kind in kinds]
    for kind, name in zip(kinds, names, strict=True):
        if not Path(name).exists():  # the guide may have made the sampler
            write_plugin(monkeypatch, "new-plugin", name, "--kind", kind)
    fresh.pip("install", *(word for name in names for word in ("-e", name)))
    (rk2,) = (
        block for block in re.findall(r"^```python\n(.*?)^```$", AUTHORS.read_text(), re.M | re.S) if "RK2" in block
    )
    for kind, source in {**OTHERS, "sampler": rk2.replace("class RK2(", "class MySampler(")}.items():
        Path(f"my-{kind}/src/my_{kind}.py").write_text(source)
    Path("my-architecture/src/my_architecture_network.py").write_text(
        Path("my-architecture/src/my_architecture_network.py")
        .read_text()
        .replace("size=8, classes=3", "size=6, classes=5")
    )
    tested, ranked = fresh.answers(
        ["pytest", *names],
        ["samplerzoo", "bench", "--model", "gaussian", "--sampler", "my-sampler", "--spacing", "my-spacing",
         "--steps", "5,10", "-o", "mine"],
    )  # fmt: skip
    assert tested.code == 0, tested.out + tested.err
    assert ranked.code == 0, ranked.out + ranked.err


def test_what_the_registry_promises_of_installed_packages(fresh: Fresh, tmp_path: Path) -> None:
    """Listed unimported; a broken one is blamed and takes nothing down; of two with one name the package decides."""
    broken = "raise RuntimeError('no such luck')"
    fresh.pip(
        "install",
        package(
            tmp_path / "zoo-one",
            {"zoo_one": GOOD, "zoo_one_broken": broken},
            good="zoo_one:Good",
            broken="zoo_one_broken:B",
        ),
        package(tmp_path / "zoo-two", {"zoo_two": GOOD}, good="zoo_two:Good"),
    )
    listed, checked, either, one = fresh.answers(
        ["samplerzoo", "list"],
        ["samplerzoo", "list", "--check"],
        ["samplerzoo", "timesteps", "--sampler", "good", "--steps", "2"],
        ["samplerzoo", "timesteps", "--sampler", "zoo-two:good", "--steps", "2"],
    )
    assert listed.code == 0
    assert [line.split()[-2:] for line in listed.out.splitlines() if line.split()[0] in ("good", "broken")] == [
        ["(zoo-one", "1.2)"], ["(zoo-one", "1.2)"], ["(zoo-two", "1.2)"],
    ]  # fmt: skip
    assert not {"zoo_one", "zoo_one_broken", "zoo_two", "torch"} & {*listed.modules}
    assert checked.code == 1
    blamed = [line for line in checked.out.splitlines() if "BROKEN" in line]
    [text] = [line.partition("BROKEN: ")[2] for line in blamed]
    assert text.startswith("sampler 'broken' of zoo-one is broken: RuntimeError: no such luck (")
    assert text.endswith("zoo_one_broken.py, line 1)  (zoo-one 1.2)")
    assert either.code == 2
    assert "2 sampler plugins are called 'good'; say zoo-one:good or zoo-two:good" in either.err
    assert one.code == 0


def test_nothing_is_taken_from_the_folder_that_one_stands_in(fresh: Fresh, tmp_path: Path) -> None:
    """Not even by `python -m samplerzoo`, for which Python looks there first: what lies there may be anybody's."""
    here = dataclasses.replace(fresh, cwd=tmp_path)
    for module in ("evil", "click"):  # a plugin, and a name that samplerzoo itself imports
        (tmp_path / f"{module}.py").write_text("open('imported', 'w')")
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[samplerzoo.samplers]\nevil = evil:Evil\n")
    listed = here.run("-m", "samplerzoo", "list")
    assert "ddim" in listed
    assert "evil" not in listed
    assert not (tmp_path / "imported").exists()
