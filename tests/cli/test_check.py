"""`samplerzoo check`: a line for each check, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samplerzoo import registry
from samplerzoo.testing import checks_of

WRONG = '''
from pydantic import Field
from samplerzoo import Sampler


class HalfWay(Sampler):
    """Goes half way (Zeno, about 450 BC)."""

    speed: float = Field(0.5, description="of going")

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0 + self.speed * s.sigma * p.eps + noise()
'''


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "_files", {})
    path = tmp_path / "half.py"
    path.write_text(WRONG)
    return path


def test_a_line_a_check(cli) -> None:
    answer = cli("check", "ddim", "--eta", 0.5)
    first, *lines, last = answer.out.splitlines()
    assert answer.code == 0
    assert first == "DDIM(eta=0.5)"
    count = len(checks_of(registry.make("sampler", "ddim", {"eta": 0.5})))
    assert len(lines) == count
    assert lines[0] == "  check_keeps_the_protocol: passed"
    assert lines[-1] == "  check_memory_adds_order: passed"
    assert last == f"{count} passed, on VP and VE and flow paths"


def test_a_typo_is_told_with_file_and_line(cli, wrong: Path) -> None:
    wrong.write_text(WRONG.replace("p.eps", "p.epsilon"))
    answer = cli("check", "half-way", "--plugin", wrong)
    assert answer.code == 1
    (line,) = [line for line in answer.out.splitlines() if "check_one_state_a_step:" in line]
    assert f"{wrong}, line 13, in step" in line
    assert "AttributeError" in line
    assert "  check_every_step: FAILED, as check_one_state_a_step" in answer.out.splitlines()


@pytest.mark.usefixtures("quick_kit")
def test_a_failure_says_why_and_exits_with_1(cli, wrong: Path) -> None:
    answer = cli("check", "half-way", "--plugin", wrong, "--speed", 0.7)
    assert answer.code == 1
    assert "HalfWay(speed=0.7)" in answer.out
    (line,) = [line for line in answer.out.splitlines() if "check_lands_on_the_point:" in line]
    assert line.startswith("  check_lands_on_the_point: FAILED, data that is a single point is missed by ")
    assert (
        "check_options_are_documented: FAILED, the option speed of HalfWay has neither bounds nor choices" in answer.out
    )
    assert " failed" in answer.out.splitlines()[-1]


@pytest.mark.usefixtures("quick_kit")
def test_for_machines(cli, wrong: Path) -> None:
    answer = cli("check", "half-way", "--plugin", wrong, "--json")
    found = json.loads(answer.out)
    assert answer.code == 1
    assert (found["name"], found["kind"], found["plugin"]) == ("half-way", "sampler", "HalfWay(speed=0.5)")
    assert not found["passed"]
    status = {check["check"]: check["status"] for check in found["checks"]}
    assert (status["check_lands_on_the_point"], status["check_deterministic"]) == ("failed", "passed")


def test_a_guidance_by_its_name_with_its_flags_as_run_has_them(cli) -> None:
    answer = cli("check", "cfg", "--guidance-scale", 3, "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["kind"], found["passed"]) == (0, "guidance", True)
    assert found["plugin"].startswith("ClassifierFreeGuidance(scale=3.0")
    known = checks_of(registry.make("guidance", "cfg", {}))
    assert [check["check"] for check in found["checks"]] == list(known)


@pytest.mark.usefixtures("quick_kit")
def test_of_two_kinds_with_one_name_it_says_which_it_checks(cli) -> None:
    answer = cli("check", "classifier", "--guidance-form", "mean")
    assert answer.code == 0
    assert "ClassifierGuidance(" in answer.out
    assert answer.err == "samplerzoo: this checks the guidance classifier; --kind features checks the other\n"
    answer = cli("check", "classifier", "--kind", "guidance", "--guidance-temperature", 2)
    assert (answer.code, answer.err) == (0, "")


def test_a_feature_network_and_a_spacing(cli) -> None:
    assert cli("check", "pixels").out.splitlines()[0] == "Pixels(source='')"
    answer = cli("check", "classifier:mnist", "--json")
    found = json.loads(answer.out)
    assert (found["kind"], found["plugin"], found["passed"]) == ("features", "CleanClassifier(source='mnist')", True)
    answer = cli("check", "karras:rho=3")
    assert (answer.code, answer.out.splitlines()[0]) == (0, "Karras(rho=3.0)")


TYPOS = {
    "guidance": "def guide(self, denoise, condition, model): return lambda x, t: typo",
    "sampler": "def step(self, x, t, s, denoise, noise): return typo",
    "features": "id = property(lambda self: 'mine')\n    def load(self, device): return lambda images: typo",
    "spacing": "def taus(self, schedule, steps): return typo",
}


@pytest.mark.parametrize("kind", [*TYPOS])
def test_a_typo_has_file_and_line(cli, wrong: Path, kind: str) -> None:
    wrong.write_text(f"import samplerzoo\n\nclass Mine(samplerzoo.{kind.title()}):\n    {TYPOS[kind]}\n")
    line = next(n for n, text in enumerate(wrong.read_text().splitlines(), 1) if "typo" in text)
    answer = cli("check", "mine", "--plugin", wrong)
    assert answer.code == 1
    said = f"{kind} mine fails: NameError: name 'typo' is not defined ({wrong}, line {line}, in "
    assert said in answer.out + answer.err, answer


def test_help_shows_the_flags_of_the_plugin(cli) -> None:
    assert "--eta NUMBER" in cli("check", "ddim", "--help").out
    assert "--guidance-scale NUMBER" in cli("check", "cfg", "--help").out
    assert "NAME" in cli("check", "--help").out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("ddin", ["no plugin 'ddin'", "did you mean ddim?"]),
        ("dit", ["dit is an architecture", "no checks of that kind"]),
        ("ddim --kind spacing", ["ddim is a sampler"]),
        ("classifier --kind features", ["classifier:mnist"]),
        ("karras --ro 3", ["no option --ro", "did you mean --rho?"]),
        ("karras:ro=3", ["spacing karras has no option 'ro'", "did you mean rho?"]),
        ("hf:nowhere", ["nowhere"]),
        ("", ["NAME"]),
        ("--eta 0.5 ddim", ["the name comes first", "check NAME --eta"]),
        ("ddim --eta 3", ["'--eta': 3 should be less than or equal to 1", "see `samplerzoo check ddim --help`"]),
        ("ddim --ete 0.5", ["no option --ete", "did you mean --eta?", "check ddim --help"]),
        ("ddpm --eta 0.5", ["--eta", "sampler ddpm has no option 'eta'", "it belongs to: ", "ddim"]),
        ("ddim --eta 2", ["--eta", "less than or equal to 1"]),
        ("cfg --scale 2", ["no option --scale", "did you mean --guidance-scale?"]),
    ],
)
def test_bad_requests(cli, words: str, parts: list[str]) -> None:
    cli("check", *words.split()).refuses(2, *parts)


@pytest.mark.usefixtures("quick_kit")
def test_debug_prints_the_traceback_of_a_failed_check(cli, wrong: Path) -> None:
    quiet, loud = (cli("check", "half-way", "--plugin", wrong, *flags) for flags in ([], ["--debug"]))
    assert quiet.out == loud.out
    assert "Traceback" not in quiet.err
    assert loud.err.count("Traceback (most recent call last)") >= loud.out.count("FAILED") > 0


@pytest.mark.usefixtures("quick_kit")
def test_a_sampler_that_ends_the_program_fails_its_checks(cli, wrong: Path) -> None:
    wrong.write_text(WRONG.replace("p = denoise(x, t)", "raise SystemExit"))
    answer = cli("check", "half-way", "--plugin", wrong)
    assert answer.code == 1
    assert "FAILED, sampler half-way fails: SystemExit" in answer.out


def test_what_is_wrong_in_a_file_is_told_with_its_line(cli, wrong: Path) -> None:
    wrong.write_text("class Half(Sampler):\n    def step(self x):\n")
    cli("check", wrong).refuses(2, f"{wrong} cannot be read: ", "(line 2)")
    wrong.write_text("import samplerzoo\n\n\nclass Half(samplerzoo.Sampler):\n    memory = 3\n")
    cli("check", "half", "--plugin", wrong).refuses(1, "a value of a class has no type", "ClassVar", "line 4")


@pytest.mark.usefixtures("quick_kit")
def test_a_file_is_told_with_the_plugins_in_it(cli, wrong: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not run for that."""
    with monkeypatch.context() as patch:
        patch.setattr(registry, "load_file", lambda file: pytest.fail("the file is run"))
        answer = cli("check", wrong)
    answer.refuses(2, f"{wrong} is a file", f"samplerzoo check --plugin {wrong} half-way")
    words = answer.err.partition("samplerzoo check ")[2].split()
    assert cli("check", *words).code == 1
    cli("check", "nowhere.py").refuses(2, "no file nowhere.py")
    for command, flag in (
        ("run", "--sampler"),
        ("timesteps", "--spacing"),
        ("run", "--guidance"),
        ("eval", "--features"),
    ):
        given = ["--fake", "x", "--real", "y"] if command == "eval" else []
        cli(command, flag, wrong, *given).refuses(2, f"{wrong} is a file", f": --plugin {wrong} {flag} half-way")
    cli("info", wrong).refuses(2, f"samplerzoo info --plugin {wrong} half-way")
    assert cli("info", "--plugin", wrong, "half-way").code == 0
    broken = wrong.with_name("my broken one.py")
    broken.write_text("class (")
    cli("check", broken).refuses(2, f"{broken} cannot be read: invalid syntax (line 1)")
