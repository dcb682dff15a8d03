"""Plugins by name: installed ones by their metadata, files by their paths, and errors that name the right plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from samplerzoo import registry
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError, did_you_mean
from samplerzoo.options import kebab
from samplerzoo.registry import get, load_file, make, plugins, unknown_option
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian

GOOD = """
from __future__ import annotations
from pydantic import Field
from samplerzoo import Sampler

class Good(Sampler):
    '''A sampler.'''
    churn: float = Field(0.5, ge=0, description="how much")

    def step(self, x, t, s, denoise, noise):
        return denoise(x, t).x0
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a distribution with real metadata: install("zoo-dist", "mod", source, name="mod:Class")."""
    site = tmp_path / "site"
    site.mkdir()

    def make_distribution(
        dist: str, module: str, source: str, group: str = "samplerzoo.samplers", **points: str
    ) -> None:
        info = site / f"{dist.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
        lines = "\n".join(f"{name.replace('_', '-')} = {target}" for name, target in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
        (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make_distribution


@pytest.fixture(autouse=True)
def no_files_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})
    monkeypatch.delenv(registry.PLUGINS_VARIABLE, raising=False)


def write(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.write_text(source)
    return path


# -- installed plugins


def test_one_that_is_installed_while_the_program_runs_is_found(install: Install, tmp_path: Path) -> None:
    install("first-dist", "first", GOOD, first="first:Good")
    assert "late" not in {plugin.name for plugin in plugins("sampler")}
    path, site = list(sys.path), tmp_path / "site"
    before = site.stat().st_mtime_ns
    install("late-dist", "late", GOOD, late="late:Good")
    sys.path[:] = path  # what changed is the folder alone
    os.utime(site, ns=(before, before + 10**9))  # clocks of file systems are coarse
    assert "late" in {plugin.name for plugin in plugins("sampler")}


def test_the_built_ins_are_found_like_anybodys() -> None:
    built_in = {"ddim", "ddpm", "probability-flow", "reverse-diffusion", "reverse-sde"}
    found = {plugin.name: plugin for plugin in plugins("sampler") if plugin.source == "samplerzoo"}
    assert built_in <= set(found)
    assert all(found[name].source == "samplerzoo" for name in built_in)
    assert {"cfg", "classifier"} <= {plugin.name for plugin in plugins("guidance")}
    assert {"classifier", "hf", "inception", "pixels"} <= {plugin.name for plugin in plugins("features")}
    names = [plugin.name for plugin in plugins("sampler")]
    assert names == sorted(names)


def test_every_built_in_keeps_the_protocol() -> None:
    for kind in registry.GROUPS:
        for plugin in plugins(kind):
            assert plugin.source != "samplerzoo" or plugin.load().__doc__


def test_an_installed_one_works(install: Install, linear: Schedule) -> None:
    install("zoo-good", "zoo_good", GOOD, good="zoo_good:Good")
    plugin = get("sampler", "good")
    assert (plugin.source, plugin.version) == ("zoo-good", "1.2")
    assert sample(gaussian(linear), "good", churn=1.0, steps=2, num_images=1).nfe == 2


def test_listing_imports_nothing(install: Install) -> None:
    install("zoo-loud", "zoo_loud", "raise SystemError('imported')", loud="zoo_loud:Loud")
    assert "loud" in [plugin.name for plugin in plugins("sampler")]
    assert "zoo_loud" not in sys.modules


def test_listing_needs_neither_torch_nor_numpy_nor_pydantic() -> None:
    code = (
        "import sys, samplerzoo.registry as r; assert all(map(r.plugins, r.GROUPS));"
        "sys.exit(bool({'torch', 'numpy', 'pydantic', 'samplerzoo_plugins'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


BROKEN = {
    "import": ("import nothing_of_that_name", "x:Good", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    "syntax": ("class", "x:Good", "SyntaxError: invalid syntax"),
    "exit": ("raise SystemExit(3)", "x:Good", "SystemExit: 3"),
    "attribute": (GOOD, "x:Absent", "AttributeError: .*Absent"),
    "silent": ("raise ValueError", "x:Good", "ValueError: no reason given"),
    "kind": (GOOD.replace("Sampler", "Guidance"), "x:Good", "not a subclass of samplerzoo.Sampler"),
    "function": ("def Good(): ...", "x:Good", "not a subclass of samplerzoo.Sampler"),
    "no step": (GOOD.replace("def step", "def stride"), "x:Good", "Good does not define step or walk"),
    "flag": (GOOD.replace("churn", "steps"), "x:Good", "the field 'steps' of Good has the name of a .* run flag"),
    "member": (GOOD.replace("churn", "order"), "x:Good", "the field 'order' of Good has the name of a Sampler member"),
    "prefix": (GOOD.replace("churn", "guidance_churn"), "x:Good", "the field 'guidance_churn' of Good has the name"),
    "no help": (GOOD.replace(', description="how much"', ""), "x:Good", "the field 'churn' of Good has no description"),
}


@pytest.mark.filterwarnings("ignore:Field name .* shadows an attribute:UserWarning")
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_one_stays_in_the_list_is_blamed_and_takes_nothing_down(install: Install, what: str) -> None:
    source, target, reason = BROKEN[what]
    install("zoo-broken", "x", source, broken=target)
    assert "broken" in [plugin.name for plugin in plugins("sampler")]
    with pytest.raises(ZooError, match=f"sampler 'broken' of zoo-broken is broken: .*{reason}") as caught:
        make("sampler", "broken", {})
    assert "\n" not in str(caught.value)
    assert make("sampler", "ddim", {"eta": 0.5}).model_dump() == {"eta": 0.5}
    with pytest.raises(UsageError, match="it belongs to: ddpm"):
        make("sampler", "ddim", {"variance": "large"})


def test_two_of_one_name_are_told_apart_by_distribution(install: Install) -> None:
    install("zoo-one", "one", GOOD, good="one:Good")
    install("zoo-two", "two", GOOD.replace("0.5", "0.25"), good="two:Good")
    with pytest.raises(UsageError, match="2 sampler plugins are called 'good'; say zoo-one:good or zoo-two:good"):
        get("sampler", "good")
    assert make("sampler", "zoo-one:good", {}).model_dump() == {"churn": 0.5}
    assert make("sampler", "zoo-two:good", {}).model_dump() == {"churn": 0.25}
    assert get("sampler", "samplerzoo:ddim").source == "samplerzoo"
    with pytest.raises(UsageError, match="no sampler 'zoo-three:good'"):
        get("sampler", "zoo-three:good")


def test_one_may_not_hide_a_built_in(install: Install) -> None:
    install("zoo-shadow", "shadow", GOOD, ddim="shadow:Good")
    with pytest.raises(UsageError, match="samplerzoo:ddim or zoo-shadow:ddim"):
        get("sampler", "ddim")


# -- files


def test_a_file_is_a_plugin(tmp_path: Path, linear: Schedule) -> None:
    path = write(tmp_path, "mine.py", GOOD)
    [plugin] = load_file(path)
    assert (plugin.name, plugin.source) == ("good", "mine")
    assert sample(gaussian(linear), "good", steps=2, num_images=1).nfe == 2
    assert sample(gaussian(linear), "mine:good", churn=0, steps=2, num_images=1).nfe == 2


def test_the_same_file_twice_is_one_plugin(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.py", GOOD)
    assert load_file(path) == load_file(str(path))
    assert len([plugin for plugin in plugins("sampler") if plugin.name == "good"]) == 1


def test_a_file_may_hold_several_of_both_kinds_and_what_they_share(tmp_path: Path) -> None:
    more = """
from samplerzoo import Guidance
from samplerzoo_plugins.ddim import DDIM

class _Base(Sampler):
    '''Shared by others; a leading underscore keeps it out of the list.'''

class TwoStep(Good):
    '''Another.'''

class Push(Guidance):
    '''A guidance.'''
    def guide(self, denoise, condition, model):
        return denoise
"""
    found = load_file(write(tmp_path, "mine.py", GOOD + more))
    assert sorted((plugin.kind, plugin.name) for plugin in found) == [
        ("guidance", "push"), ("sampler", "good"), ("sampler", "two-step"),
    ]  # fmt: skip


def test_files_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "mine.py", GOOD)
    monkeypatch.setenv(registry.PLUGINS_VARIABLE, f"{path}:")
    assert get("sampler", "good").source == "mine"


def test_a_broken_file_of_the_environment_takes_nothing_else_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, missing = tmp_path / "broken.py", tmp_path / "missing.py"
    broken.write_text("raise RuntimeError('not today')\n")
    monkeypatch.setattr(registry, "_broken", {})
    monkeypatch.setenv(registry.PLUGINS_VARIABLE, f"{broken}:{missing}")
    assert registry.make("sampler", "ddim", {})
    assert list(registry.broken_files()) == [str(broken), str(missing)]
    with pytest.raises(UsageError) as caught:
        registry.get("sampler", "mine")
    assert f"SAMPLERZOO_PLUGINS: plugin {broken} cannot be imported: RuntimeError: not today" in str(caught.value)
    assert f"SAMPLERZOO_PLUGINS: plugin {missing}: no such file" in str(caught.value)


def test_nothing_is_imported_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mine.py", "raise SystemError('imported')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no sampler 'mine'"):
        get("sampler", "mine")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError: No module named"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit", "cannot be imported: SystemExit: no reason given"),
        ("x = 1", "defines no subclass of Sampler, Guidance, Features, Spacing or an architecture"),
        ("from samplerzoo_plugins.ddim import DDIM", "defines no subclass"),
        (GOOD.replace("def step", "def stride"), "sampler 'good' of mine is broken: .*does not define step or walk"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(ZooError, match=reason):
        load_file(write(tmp_path, "mine.py", source))
    assert "good" not in [plugin.name for plugin in plugins("sampler")]
    load_file(write(tmp_path, "mine.py", GOOD))  # and mended, it works


@pytest.mark.parametrize(("name", "reason"), [("absent.py", "no such file"), ("notes.txt", "not a Python file")])
def test_a_file_that_is_none(tmp_path: Path, name: str, reason: str) -> None:
    write(tmp_path, "notes.txt", "hello")
    with pytest.raises(UsageError, match=reason):
        load_file(tmp_path / name)


# -- messages


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no sampler 'dimm' \(did you mean ddim\?\); known: .*ddim, ddpm"):
        get("sampler", "dimm")


def test_one_of_the_other_kind_gets_what_to_type() -> None:
    with pytest.raises(UsageError, match=r"cfg is a guidance.*--sampler ddim --guidance cfg"):
        get("sampler", "cfg")
    with pytest.raises(UsageError, match="ddpm is a sampler; type --sampler ddpm"):
        get("guidance", "ddpm")
    with pytest.raises(UsageError, match="pixels is a feature network, for metrics; type --features pixels"):
        get("sampler", "pixels")


def test_options_are_blamed_on_their_owner_or_get_the_nearest() -> None:
    assert unknown_option("sampler", "ddim", "variance") == (
        "sampler ddim has no option 'variance'; it belongs to: ddpm"
    )
    assert unknown_option("sampler", "ddim", "etaa") == (
        "sampler ddim has no option 'etaa' (did you mean eta?); it has: eta"
    )
    assert unknown_option("sampler", "reverse-sde", "zzz") == "sampler reverse-sde has no option 'zzz'; it has: none"
    with pytest.raises(UsageError, match=r"sampler ddim: eta: Input should be less than or equal to 1"):
        make("sampler", "ddim", {"eta": 2})
    with pytest.raises(UsageError, match=r"sampler ddpm: variance: Input should be 'small', 'large' or 'learned'"):
        make("sampler", "ddpm", {"variance": "tiny"})


def test_nearest() -> None:
    assert did_you_mean("stps", ["steps", "seed"]) == " (did you mean steps?)"
    assert did_you_mean("qqqq", ["steps", "seed"]) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [("DDIM", "ddim"), ("ReverseSDE", "reverse-sde"), ("ProbabilityFlow", "probability-flow"), ("RK2", "rk2"),
     ("DPMSolver", "dpm-solver"), ("Heun2nd", "heun2nd")],
)  # fmt: skip
def test_class_names_in_kebab_case(name: str, expected: str) -> None:
    assert kebab(name) == expected


def test_a_source_that_would_have_no_effect_is_refused() -> None:
    from samplerzoo.metrics.names import parse_features

    with pytest.raises(UsageError, match="nothing stands behind its name: --features pixels"):
        parse_features("pixels:zz")
