"""Protocol, checked by signature when a plugin is registered: the message names file, line and argument."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pytest

from samplerzoo import registry
from samplerzoo.core.architecture import Architecture, CodecArchitecture, NetworkArchitecture, PathArchitecture
from samplerzoo.core.features import Features
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.kinds import Kind, check_plugin
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.spacing import Spacing
from samplerzoo.errors import ZooError
from samplerzoo.registry import load_file
from samplerzoo.testing import check_sampler

HEADS = {
    "sampler": "from samplerzoo import Field, Sampler\nimport functools\n\nclass Mine(Sampler):\n    '''Mine.'''\n\n",
    "guidance": "from samplerzoo import Guidance\n\nclass Mine(Guidance):\n    '''Mine.'''\n\n",
    "features": "from samplerzoo import Features\n\nclass Mine(Features):\n    '''Mine.'''\n"
    "    id = property(lambda self: 'mine')\n\n",
    "spacing": "from samplerzoo import Spacing\n\nclass Mine(Spacing):\n    '''Mine.'''\n\n",
    "architecture": "from samplerzoo import NetworkArchitecture\n\nclass Mine(NetworkArchitecture):\n"
    "    '''Mine.'''\n\n",
}
RIGHT_FACTS = "def facts(self, config): return None\n    def module(self, config): return None"
RIGHT_STEP = "def step(self, x, t, s, denoise, noise): return x"

SAMPLER_FAULTS = {
    "def step(self, x, t, s, denoise): return x": "called with (x, t, s, denoise, noise): 'noise' is missing",
    "def step(self, x, t, denoise, noise): return x": "'s' is missing",
    "def step(self, a, b, c, d): return a": "'noise' is missing",
    "def step(self, x): return x": "'t' and 's' and 'denoise' and 'noise' are missing",
    "def step(self): return x": "step takes (), and is called with (x, t, s, denoise, noise)",
    "def step(): return x": "'self' is missing",
    "def step(x, t, s, denoise, noise): return x": "'self' is missing",
    "def step(self, x, t, s, denoise, noise, grid): return x": "nothing is given for 'grid'",
    "def step(self, x, t, eta, s, denoise, noise): return x": "nothing is given for 'eta'",
    "def step(self, a, b, c, d, e, f): return a": "nothing is given for 'f'",
    "def step(self, x, t, s, denoise, noise, *, eta): return x": "'eta' is never passed by samplerzoo",
    "def step(self, x, t, s, noise, denoise): return x": "'noise' stands where 'denoise' is given",
    "def step(self, x, t, s, denoise, noise): yield x": "its answer; a generator is a walk",
    "async def step(self, x, t, s, denoise, noise): return x": "step is asynchronous",
    "async def walk(self, x, grid, denoise, noise): yield x": "walk is asynchronous",
    "def walk(self, x, grid, denoise): yield x": "'noise' is missing",
    "def walk(self, x, t, s, denoise, noise): yield x": "nothing is given for 'noise'",
    "step = property(lambda self: 1)": "step is a property",
    "step: 'ClassVar[int]' = 3": "step is 3, and has to be a method",
    "@staticmethod\n    def step(self, x, t, s, denoise, noise): return x": "a staticmethod gets no self",
    "@classmethod\n    def step(x, t, s, denoise, noise): return x": "'x' is missing",
    f"{RIGHT_STEP}\n    def grid(self, schedule, steps): return None": "grid takes (schedule, steps), and is called "
    "with (schedule, steps, spacing): 'spacing' is missing",
    f"{RIGHT_STEP}\n    def grid(self, schedule, steps, spacing): yield 1": "grid yields",
    f"{RIGHT_STEP}\n    def order(self): return 2": "order is a method, and is read without being called",
    f"{RIGHT_STEP}\n    order: 'ClassVar[str]' = 'two'": "order is 'two', and has to be a whole number",
    f"{RIGHT_STEP}\n    def takes_shift(self): return True": "takes_shift is a method",
    f"{RIGHT_STEP}\n    takes_shift: 'ClassVar[int]' = 1": "takes_shift is 1, and has to be True or False",
    f"{RIGHT_STEP}\n    @property\n    async def order(self): return 2": "order yields or waits",
    f"{RIGHT_STEP}\n    def suited(self): return self": "suited takes (), and is called with (model): "
    "'model' is missing",
    f"{RIGHT_STEP}\n    def needs_mean(self): return True": "needs_mean is a method",
    f"{RIGHT_STEP}\n    needs_mean: 'ClassVar[int]' = 1": "needs_mean is 1, and has to be True or False",
}
GUIDANCE_FAULTS = {
    "def guide(self, denoise, condition): return denoise": "guide takes (denoise, condition), and is called with "
    "(denoise, condition, model): 'model' is missing",
    "def guide(self, denoise, condition, model): yield denoise": "guide yields, and has to return its answer",
    "async def guide(self, denoise, condition, model): return denoise": "guide is asynchronous",
    "def guide(self, denoise, condition, model, scale): return denoise": "nothing is given for 'scale'",
    "def guide(self, denoise, condition, model): return denoise\n    needs_labels = property(id)": "is a property",
}
FEATURES_FAULTS = {
    "def load(self): return None": "load takes (), and is called with (device): 'device' is missing",
    "def load(self, device, dtype): return None": "nothing is given for 'dtype'",
    "def load(self, device): return None\n    def load_head(self): return None": "load_head takes ()",
    "def load(self, device): return None\n    def name(self): return 'mine'": "name is a method",
}
SPACING_FAULTS = {
    "def taus(self, schedule): return []": "taus takes (schedule), and is called with (schedule, steps): 'steps' is",
    "def taus(self, steps, schedule): return []": "'steps' stands where 'schedule' is given",
    "def taus(self, schedule, steps): yield 1.0": "taus yields, and has to return its answer",
    "def taus(self, schedule, steps): return []\n    def rounds(self): return True": "rounds is a method",
    "def taus(self, schedule, steps): return []\n    rounds: 'ClassVar[int]' = 1": "rounds is 1, and has to be True",
}
ARCHITECTURE_FAULTS = {
    f"{RIGHT_FACTS}\n    def call(self): return None": "call takes (), and is called with (module): "
    "'module' is missing",
    f"{RIGHT_FACTS}\n    async def call(self, module): return None": "call is asynchronous",
    f"{RIGHT_FACTS}\n    def call(self, module): return None\n    def claims(self): return True": "claims takes ()",
}
FAULTS = [
    *(("sampler", body, said) for body, said in SAMPLER_FAULTS.items()),
    *(("guidance", body, said) for body, said in GUIDANCE_FAULTS.items()),
    *(("features", body, said) for body, said in FEATURES_FAULTS.items()),
    *(("spacing", body, said) for body, said in SPACING_FAULTS.items()),
    *(("architecture", body, said) for body, said in ARCHITECTURE_FAULTS.items()),
]

RIGHT = [
    ("sampler", RIGHT_STEP),
    ("sampler", "def step(self, a, b, c, d, e): return a"),
    ("sampler", "def step(self, *args): return args[0]"),
    ("sampler", "def step(*args): return args[1]"),
    ("sampler", "def step(self, x, *rest, eta=1.0, **more): return x"),
    ("sampler", "def step(self, x, s, t, denoise, noise): return x"),
    ("sampler", "def step(self, x, t, s, denoise, noise, /, eta=0.0): return x"),
    ("sampler", "@staticmethod\n    def step(x, t, s, denoise, noise): return x"),
    ("sampler", "@classmethod\n    def step(cls, x, t, s, denoise, noise): return x"),
    ("sampler", "step = functools.partialmethod(lambda self, eta, x, t, s, denoise, noise: x, 0.5)"),
    ("sampler", "def walk(self, x, grid, denoise, noise): return iter([x])"),
    ("sampler", "def walk(self, x, grid, denoise, noise): yield x\n    def step(self, x, level): return x"),
    ("sampler", f"{RIGHT_STEP}\n    order: 'ClassVar[int]' = 2"),
    ("sampler", f"{RIGHT_STEP}\n    order = property(lambda self: 2)"),
    ("sampler", f"{RIGHT_STEP}\n    stochastic = property(lambda self: False)"),
    ("guidance", "def guide(self, predict, y, net): return predict"),
    ("features", "def load(self, device='cpu'): return None"),
    ("features", "def load(self, where): return None\n    name = property(lambda self: 'mine')"),
    ("spacing", "def taus(self, path, n): return [path.T]"),
    ("architecture", f"{RIGHT_FACTS}\n    def call(self, network): return None"),
]


@pytest.fixture(autouse=True)
def no_files_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})


def written(folder: Path, kind: str, body: str) -> Path:
    path = folder / "mine_file.py"
    path.write_text(f"from typing import ClassVar\n{HEADS[kind]}    {body}\n")
    return path


def line_of(path: Path, body: str) -> int:
    """Return the line where the last member of the body begins."""
    last = [part for part in body.split("\n") if re.match(r"\s*(def|async def|@|\w+ ?[:=])", part)][-1]
    lines = path.read_text().splitlines()
    number = max(n for n, line in enumerate(lines, 1) if line.strip() == last.strip())
    return number - lines[number - 2].strip().startswith("@")


@pytest.mark.parametrize(("kind", "body", "said"), FAULTS, ids=[body for _, body, _ in FAULTS])
def test_a_member_that_cannot_be_used_is_named_with_its_file_and_line(
    tmp_path: Path, kind: str, body: str, said: str
) -> None:
    path = written(tmp_path, kind, body)
    with pytest.raises(ZooError) as caught:
        load_file(path)
    message = str(caught.value)
    assert message.startswith(f"{kind} 'mine' of mine_file is broken: ")
    assert said in message
    assert "\n" not in message
    assert str(path) in message
    if "ClassVar" not in body and "(id)" not in body:  # which have no code, and so no line of their own
        assert message.endswith(f"({path}, line {line_of(path, body)})")


@pytest.mark.parametrize(("kind", "body"), RIGHT, ids=[body for _, body in RIGHT])
def test_names_are_the_authors_own_and_there_are_many_ways_to_write_a_method(
    tmp_path: Path, kind: str, body: str
) -> None:
    [plugin] = load_file(written(tmp_path, kind, body))
    assert plugin.kind == kind


def test_members_are_checked_as_samplerzoo_itself_has_them() -> None:
    bases: list[tuple[Kind, type]] = [
        ("sampler", Sampler), ("guidance", Guidance), ("features", Features), ("spacing", Spacing),
        ("architecture", NetworkArchitecture),
        ("architecture", PathArchitecture), ("architecture", CodecArchitecture),
    ]  # fmt: skip
    for kind, base in bases:
        with pytest.raises(ZooError, match=rf"{base.__name__} of samplerzoo\..* is broken: .*does not define"):
            check_plugin(base, kind)


def test_an_architecture_reads_one_kind_of_part() -> None:
    class Vague(Architecture):
        """Reads something."""

    with pytest.raises(ZooError, match="Vague reads no kind of part: make it a subclass of one of NetworkArchitecture"):
        check_plugin(Vague, "architecture")


def test_an_object_that_no_file_has_is_checked_too() -> None:
    """Check a class of a notebook, where the cell has lines and no file."""
    names: dict = {"Sampler": Sampler, "__name__": "__main__"}
    source = "class Cell(Sampler):\n    '''Mine.'''\n    def step(self, x, t, s, denoise):\n        return x\n"
    exec(compile(source, "<ipython-input-3>", "exec"), names)
    with pytest.raises(ZooError) as caught:
        check_plugin(names["Cell"], "sampler")
    assert str(caught.value) == (
        "sampler Cell of __main__ is broken: step takes (x, t, s, denoise), and is called with "
        "(x, t, s, denoise, noise): 'noise' is missing (class Cell, line 3)"
    )


def test_the_kit_checks_it_first() -> None:
    class Short(Sampler):
        """Sampler without the argument noise (Doe 2026)."""

        order: ClassVar[int] = 0

        def step(self, x, t, s, denoise):
            return x

    with pytest.raises(AssertionError) as caught:
        check_sampler(Short())
    first = str(caught.value).splitlines()[1]
    assert first.startswith("check_keeps_the_protocol: FAILED, sampler Short of test_protocol is broken: ")
    assert "'noise' is missing" in first
    assert "test_protocol.py, line" in first


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("def wlak(self, x, grid, denoise, noise): yield x", "; is its wlak to be walk?"),
        ("def setp(self, x, t, s, denoise, noise): return x", "; is its setp to be step?"),
        ("def steps(self, x, t, s, denoise, noise): return x", "; is its steps to be step?"),
        ("def solve(self, x, t, s, denoise, noise): return x", ""),
        ("n: float = Field(0.0, description='n')", ""),
    ],
)
def test_a_name_that_is_nearly_one_that_is_missing_is_told(tmp_path: Path, written: str, meant: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(HEADS["sampler"] + f"    {written}\n")
    with pytest.raises(ZooError, match=re.escape(f"Mine does not define step or walk{meant} (")):
        load_file(str(file))
