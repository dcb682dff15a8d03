"""Errors inside plugins: one line with file and line of the plugin, in every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samplerzoo import registry

SAMPLER = '''
from samplerzoo import Field, Sampler

class Mine(Sampler):
    """Fails (Doe 2026)."""

    much: float = Field(0.5, ge=0, le=1, description="of it")

    def step(self, x, t, s, denoise, noise):
        return s.alpha * denoise(x, t).x0 + s.sigma * denoise(x, t).eps
'''
STEP = "        return s.alpha"
GUIDANCE = '''
from samplerzoo import Guidance

class Push(Guidance):
    """Fails (Doe 2026)."""

    def guide(self, denoise, condition, model):
        return lambda x, t: denoise(x, t, condition)
'''
FEATURES = '''
from samplerzoo import Features

class Seen(Features):
    """Fails."""

    id = property(lambda self: "seen")

    def load(self, device="cpu"):
        return lambda images: images.flatten(1).float()
'''


@pytest.fixture(autouse=True)
def no_files_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})


def written(folder: Path, source: str) -> tuple[Path, int]:
    """Write a plugin's file, and return it with the line that is marked as failing."""
    path = folder / "mine.py"
    path.write_text(source)
    (line,) = [number for number, text in enumerate(source.splitlines(), 1) if "# fails" in text]
    return path, line


FAILING = {
    "step": (f"        1 / 0  # fails\n{STEP}", "ZeroDivisionError: division by zero", "step"),
    "a shape": (f"        denoise(x[:, :, :1, :1], t)  # fails\n{STEP}", "RuntimeError: ", "step"),
    "an index": (f"        self.much[0]  # fails\n{STEP}", "TypeError: 'float' object is not subscriptable", "step"),
}


@pytest.mark.parametrize("what", ["step", "an index"])
@pytest.mark.parametrize("command", ["run", "dry run", "bench"])
def test_a_step(cli, tmp_path: Path, tiny_model: Path, command: str, what: str) -> None:
    inserted, said, function = FAILING[what]
    path, line = written(tmp_path, SAMPLER.replace(STEP, inserted))
    place = f"({path}, line {line}, in {function})"
    words = ["--plugin", path, "--sampler", "mine", "--steps", 3]
    if command == "bench":
        answer = cli("bench", "--model", "gaussian", *words, "-o", "exact")
        assert f"sampler mine fails: {said} {place}" in answer.err
        return
    more = ["--dry-run"] if command == "dry run" else []
    answer = cli("run", "--model", tiny_model, *words, "--num-images", 2, *more)
    answer.refuses(1, f"error: sampler mine fails: {said} {place}")


def test_a_walk_of_a_file_that_a_built_in_sampler_is_the_base_of(cli, tmp_path: Path, tiny_model: Path) -> None:
    source = """
from samplerzoo_plugins.ddim import DDIM

class Mine(DDIM):
    '''Fails (Doe 2026).'''

    def walk(self, x, grid, denoise, noise):
        for state in super().walk(x, grid, denoise, noise):
            yield state
            [][1]  # fails
"""
    path, line = written(tmp_path, source)
    answer = cli("run", "--model", tiny_model, "--plugin", path, "--sampler", "mine", "--steps", 3)
    answer.refuses(1, "sampler mine fails: IndexError: list index out of range", f"({path}, line {line}, in walk)")


def test_the_network_is_named_where_it_cannot_take_what_it_is_given(cli, tmp_path: Path, tiny_model: Path) -> None:
    path, line = written(tmp_path, SAMPLER.replace(STEP, f"        denoise(x.repeat(1, 2, 1, 1), t)  # fails\n{STEP}"))
    words = ["--plugin", path, "--sampler", "mine", "--steps", 3]
    answer = cli("run", "--model", tiny_model, *words, "--num-images", 2)
    answer.refuses(1, "the network, as sampler mine calls it, fails: ", f"({path}, line {line}, in step; raised in ")


def test_debug_shows_all_of_it(cli, tmp_path: Path, tiny_model: Path) -> None:
    path, line = written(tmp_path, SAMPLER.replace(STEP, f"        1 / 0  # fails\n{STEP}"))
    answer = cli("run", "--model", tiny_model, "--plugin", path, "--sampler", "mine", "--debug")
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert "1 / 0  # fails" in answer.err
    assert answer.err.splitlines()[-1].endswith(f"({path}, line {line}, in step)")


def test_check_names_the_line_in_the_reason_of_every_check_that_it_fails(cli, tmp_path: Path) -> None:
    path, line = written(tmp_path, SAMPLER.replace(STEP, f"        1 / 0  # fails\n{STEP}"))
    answer = cli("check", "mine", "--plugin", path, "--json")
    assert answer.code == 1
    failed = [check["reason"] for check in json.loads(answer.out)["checks"] if check["status"] == "failed"]
    assert len(failed) > 10
    assert all(f"({path}, line {line}, in step)" in reason for reason in failed)
    assert "Traceback" not in answer.err


VALIDATOR = """
    from pydantic import field_validator
    @field_validator("much")
    @classmethod
    def _known(cls, much):
        return {}[much]  # fails
"""
ORDER = "\n    @property\n    def order(self):\n        return {}['order']  # fails\n"
GRID = "\n    def grid(self, schedule, steps, spacing):\n        return schedule.grids(steps)  # fails\n"


@pytest.mark.parametrize(
    ("command", "added", "said", "function"),
    [
        ("run --sampler mine --model {model} --much 0.25", VALIDATOR, "KeyError: 0.25", "_known"),
        ("check mine --much 0.25", VALIDATOR, "KeyError: 0.25", "_known"),
        ("timesteps --sampler mine --much 0.25", VALIDATOR, "KeyError: 0.25", "_known"),
        ("bench --model gaussian --sampler mine --much 0.25 --steps 3", VALIDATOR, "KeyError: 0.25", "_known"),
        ("info mine", ORDER, "KeyError: 'order'", "order"),
        ("timesteps --sampler mine", GRID, "AttributeError: 'VP' object has no attribute 'grids'", "grid"),
        ("run --sampler mine --model {model}", GRID, "AttributeError: 'VP' object", "grid"),
        ("bench --model gaussian --sampler mine --steps 3", GRID, "AttributeError: 'VP' object", "grid"),
    ],
)
def test_options_order_and_grid(
    cli, tmp_path: Path, tiny_model: Path, command: str, added: str, said: str, function: str
) -> None:
    path, line = written(tmp_path, SAMPLER + added)
    answer = cli(*command.format(model=tiny_model).split(), "--plugin", path)
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err
    told = [text for text in answer.err.splitlines() if said in text]
    assert told, answer
    assert all(f"({path}, line {line}, in {function})" in text for text in told)


def test_the_order_in_check(cli, tmp_path: Path) -> None:
    path, line = written(tmp_path, SAMPLER + ORDER)
    answer = cli("check", "mine", "--plugin", path, "--json")
    found = {check["check"]: check for check in json.loads(answer.out)["checks"]}
    for name in ("check_order", "check_order_on_ve", "check_order_on_flow"):
        assert found[name]["status"] == "failed"
        assert f"sampler mine fails: KeyError: 'order' ({path}, line {line}, in order)" in found[name]["reason"]


@pytest.mark.parametrize(
    ("old", "new", "function"),
    [
        ("        return lambda", "        model.nothing  # fails\n        return lambda", "guide"),
        ("denoise(x, t, condition)", "denoise(x, t, condition).nothing  # fails", "<lambda>"),
    ],
)
def test_a_guidance(cli, tmp_path: Path, tiny_model: Path, old: str, new: str, function: str) -> None:
    path, line = written(tmp_path, GUIDANCE.replace(old, new))
    words = ["--plugin", path, "--guidance", "push", "--steps", 3, "--num-images", 2]
    cli("run", "--model", tiny_model, *words).refuses(
        1, "guidance push fails: AttributeError: ", f"({path}, line {line}, in {function})"
    )
    answer = cli("check", "push", "--plugin", path)
    assert "guidance push fails: AttributeError: " in answer.out
    assert f"({path}, line {line}, in {function})" in answer.out


@pytest.mark.parametrize(
    ("old", "new", "function"),
    [
        ("        return lambda", "        open_me  # fails\n        return lambda", "load"),
        ("images.flatten(1).float()", "images.flat(1)  # fails", "<lambda>"),
        ('lambda self: "seen"', 'lambda self: self.source["seen"]  # fails\n                  ', "<lambda>"),
    ],
)
def test_features(cli, tmp_path: Path, old: str, new: str, function: str) -> None:
    from PIL import Image

    for number in range(4):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    path, line = written(tmp_path, FEATURES.replace(old, new))
    answer = cli("eval", "--fake", tmp_path, "--real", tmp_path, "--features", "seen", "--plugin", path)
    answer.refuses(1, "features seen fails: ", f"({path}, line {line}, in {function})")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import math\nclass Mine(  # fails\n", "SyntaxError: "),
        (
            "import math\nimport nothing_of_that_name  # fails\n",
            "ModuleNotFoundError: No module named 'nothing_of_that_n",
        ),
        ("import math\nmath.nothing  # fails\n", "AttributeError: module 'math' has no attribute 'nothing'"),
        ("from samplerzoo import nothing  # fails\n", "ImportError: cannot import name 'nothing' from 'samplerzoo'"),
        ("def f():\n    1 / 0  # fails\nf()\n", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_cannot_be_imported(cli, tmp_path: Path, source: str, said: str) -> None:
    path, line = written(tmp_path, source)
    for words in (["run"], ["check", "mine"], ["timesteps"], ["list"], ["list", "--check"], ["info", "mine"]):
        cli(*words, "--plugin", path).refuses(1, f"plugin {path} cannot be imported: {said}", f"({path}, line {line})")


@pytest.mark.parametrize(
    ("imports", "way_out"),
    [
        ("from samplerzoo.sampler import Sampler", "from samplerzoo import Sampler"),
        ("from samplerzoo.schedule import Level, posterior_std", "from samplerzoo import Level, posterior_std"),
        ("from samplerzoo.denoiser import (\n    Denoiser,\n)", "from samplerzoo import Denoiser"),
    ],
)
def test_a_module_that_has_moved_has_a_way_out(cli, tmp_path: Path, imports: str, way_out: str) -> None:
    path, _ = written(tmp_path, f"# fails, in line 2\n{imports}\n")
    cli("run", "--plugin", path).refuses(
        1, "No module named 'samplerzoo.", f"({path}, line 2); import it from samplerzoo itself: {way_out}"
    )


def test_and_inside_a_method(cli, tmp_path: Path, tiny_model: Path) -> None:
    inserted = f"        from samplerzoo.schedule import posterior_std  # fails\n{STEP}"
    path, line = written(tmp_path, SAMPLER.replace(STEP, inserted))
    answer = cli("run", "--model", tiny_model, "--plugin", path, "--sampler", "mine")
    answer.refuses(1, f"({path}, line {line}, in step); import it from samplerzoo itself: from samplerzoo import post")


@pytest.mark.parametrize("command", ["run --sampler mine", "check mine", "timesteps --sampler mine", "list --check"])
def test_a_signature_is_refused_by_every_command(cli, tmp_path: Path, command: str) -> None:
    path, line = written(tmp_path, SAMPLER.replace("denoise, noise):", "denoise):  # fails"))
    cli(*command.split(), "--plugin", path).refuses(
        1, "sampler 'mine' of mine is broken: ", "'noise' is missing", f"({path}, line {line})"
    )
