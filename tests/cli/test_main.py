"""Command line as a whole: lazy imports, exit codes, and errors as one line."""

from __future__ import annotations

import errno
import importlib
import subprocess
import sys

import click
import pytest

from samplerzoo import __version__
from samplerzoo import cli as package
from samplerzoo.cli import COMMANDS, main

LAZY = """
import socket, sys
def refuse(*arguments, **options): raise AssertionError("the network was reached for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from samplerzoo.cli import main
def loaded(*names): return [name for name in names if name in sys.modules]
assert main(["--help"]) == 0
assert main(["list"]) == 0
assert main(["list", "--json"]) == 0
assert not loaded("torch", "numpy", "pydantic"), loaded("torch", "numpy", "pydantic")
assert main(["run", "--sampler", "ddim", "--guidance", "cfg", "--help"]) == 0
assert main(["run", "--sampler", "ddpm", "--eta", "0"]) == 2
assert main(["timesteps", "--sampler", "ddpm", "--variance", "large", "--steps", "3"]) == 0
assert main(["info", "cfg"]) == 0
assert main(["list", "--check"]) == 0
assert not loaded("torch"), "torch"
import samplerzoo
assert "sample" in dir(samplerzoo)
assert not loaded("torch"), "torch"
assert main(["info", "ddpm"]) == 0  # runs the sampler, to see whether it draws noise
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--steps", "5", "--steps=6"], "--steps is given twice; the last counts, 6"),
        (["run", "--num-images", "5", "--num_images", "6"], "--num-images is given twice; the last counts, 6"),
        (["run", "--sampler", "heun", "--sampler", "ddim"], "--sampler is given twice; the last counts, ddim"),
        (["run", "--eta", "0", "--eta", "1"], "--eta is given twice; the last counts, 1"),
        (["check", "ddim", "--eta", "0", "--eta", "1"], "--eta is given twice; the last counts, 1"),
        (["timesteps", "--steps", "5", "--steps", "6"], "--steps is given twice; the last counts, 6"),
        (["train", "--dataset", "digits", "--dataset", "mnist"], "--dataset is given twice; the last counts, mnist"),
        (["train-classifier", "--seed", "1", "--seed", "2"], "--seed is given twice; the last counts, 2"),
        (["ref", "make", "--features", "pixels", "--features", "x"], "--features is given twice; the last counts, x"),
        (["eval", "--fake", "x", "--real", "y", "--real", "z"], "--real is given twice; the last counts, z"),
        (["report", "x", "--baseline", "ddim", "--baseline", "b"], "--baseline is given twice; the last counts, b"),
    ],
)
def test_of_a_flag_that_is_given_twice_the_last_value_counts_and_is_told(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*words, "--help"])
    assert f"samplerzoo: {said}\n" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["bench", "show"])
@pytest.mark.parametrize("flag", ["--eta", "--steps"])
def test_a_list_of_values_has_commas_between_them(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--sampler", "ddim", flag, "0", flag, "1"]) == 2
    assert f"error: {flag} is given twice: write its values with commas between them" in capsys.readouterr().err


def test_flags_that_may_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """Every sampler of a sweep has flags of its own."""
    words = ["bench", "--model", "gaussian", "--sampler", "ddim", "--eta", "0", "--sampler", "ddim", "--eta", "1"]
    assert main([*words, "--steps", "5", "--dry-run"]) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]] == ["eta=0.0,", "eta=1.0,"]


def test_an_option_of_a_spacing_is_not_given_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["timesteps", "--steps", "5", "--spacing", "karras:rho=7:rho=5"]) == 2
    assert "spacing 'karras:rho=7:rho=5': rho is given twice" in capsys.readouterr().err


def test_help_and_list_import_nothing_heavy_and_the_grid_needs_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "--eta NUMBER" in done.stdout
    assert "--guidance-scale NUMBER" in done.stdout


def test_python_m_samplerzoo_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "samplerzoo", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"samplerzoo {__version__}\n"


def test_every_command_is_there_and_says_what_it_does(cli) -> None:
    for name, (module, line) in COMMANDS.items():
        command = importlib.import_module(f"samplerzoo.cli.{module}").command
        assert isinstance(command, click.Command)
        assert command.name == name
        answer = cli(name, "--help")
        assert answer.code == 0
        assert f"samplerzoo {name}" in answer.out
        assert line.endswith(".")


def test_no_words_are_help(cli) -> None:
    assert cli() == cli("--help")


def test_no_words_show_three_commands_to_try(cli) -> None:
    shown = [
        line.split("  ")[0].split() for line in map(str.strip, cli().out.splitlines()) if line.startswith("samplerzoo ")
    ]
    assert len(shown) == 3
    for _, name, *words in shown:
        command = importlib.import_module(f"samplerzoo.cli.{COMMANDS[name][0]}").command
        command.parse_args(click.Context(command, info_name=name), words)


@pytest.mark.parametrize("name", ["run", "bench", "train", "train-classifier", "eval"])
def test_what_takes_long_says_what_it_costs(cli, name: str) -> None:
    assert "Cost: " in cli(name, "--help").out


def test_a_mistyped_command_is_told_the_nearest(cli) -> None:
    cli("ruin").refuses(2, "'ruin'", "did you mean run?")


def test_underscores_are_hyphens(cli) -> None:
    assert cli("timesteps", "--beta_schedule", "sigmoid", "--steps", 2).code == 0
    assert cli("train_classifier", "--help").code == 0


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), 1, "No space left on device: a.png"),
        (PermissionError(errno.EACCES, "Permission denied", "/root"), 1, "Permission denied: /root"),
        (click.UsageError("Two\nlines."), 2, "two lines"),
    ],
)
def test_errors_are_one_line(cli, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, text: str) -> None:
    _failing(monkeypatch, error)
    cli("env").refuses(code, text)


def test_debug_shows_the_traceback_wherever_it_stands(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, OSError(errno.EIO, "Input/output error"))
    for words in (["--debug", "env"], ["env", "--debug"]):
        answer = cli(*words)
        assert answer.code == 1
        assert answer.err.startswith("Traceback")
        assert answer.err.endswith("samplerzoo: error: Input/output error\n")


def test_ctrl_c_is_130_and_one_line(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, KeyboardInterrupt())
    answer = cli("env")
    assert answer.code == 130
    assert answer.err.strip() == "samplerzoo: interrupted"


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["env"])


def test_of_several_processes_one_speaks_of_a_bad_request(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    answer = cli("ruin")
    assert (answer.code, answer.err) == (2, "")


def test_of_several_processes_those_that_are_left_say_a_line(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile("raise RuntimeError('Connection closed by peer')", "lib/torch/distributed/c10d.py", "exec")
    monkeypatch.setattr(package.group, "get_command", lambda *_: click.Command("env", callback=lambda: exec(code)))
    with pytest.raises(RuntimeError):  # of one process, it is a fault of ours
        main(["env"])
    monkeypatch.setenv("RANK", "1")
    answer = cli("env")
    assert answer.code == 1
    assert answer.err == "samplerzoo (process 1): error: it stops, since another process of this launch has ended\n"


def test_a_file_that_ends_too_early_is_no_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, EOFError("Ran out of input"))
    with pytest.raises(EOFError):
        main(["env"])


def test_memory_that_ran_out_is_one_line(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, MemoryError("Unable to allocate 745. GiB"))
    cli("env").refuses(1, "out of memory: Unable to allocate 745. GiB")


def test_control_characters_of_an_error_are_shown(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, OSError(errno.EIO, "\x1b[2Jgone"))
    cli("env").refuses(1, r"\x1b[2Jgone")


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(package.group, "get_command", lambda context, name: click.Command("env", callback=fail))


def test_help_and_version_as_other_programs_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert main(words) == 0
        return capsys.readouterr().out

    assert said("help") == said("--help") == said()
    assert said("help", "run") == said("run", "--help")
    assert said("help", "ref", "make") == said("ref", "make", "--help")
    assert said("-V") == said("--version") == f"samplerzoo {__version__}\n"
    assert main(["help", "nothing"]) == 2
    assert "no command 'nothing'" in capsys.readouterr().err
    assert said("help", "timesteps", "--sampler", "ddim") == said("timesteps", "--sampler", "ddim", "--help")
    assert main(["help", "run", "extra"]) == 2
    assert "'extra' is none of run: samplerzoo help run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["bench", "--features", ""], ["bench", "--features="], ["info", "ddim", "--scheduler", ""], ["report", ""]],
)
def test_a_word_that_is_empty_is_refused(cli, words: list[str]) -> None:
    """As of a variable that nobody has set, which would else be the default, or this folder."""
    cli(*words).refuses(2, f"the word behind {words[-1].strip('=') or words[-2]} is empty")


def test_an_empty_prompt_is_a_prompt(cli) -> None:
    cli("run", "--sampler", "ddim", "--prompts", "a cat", "--negative-prompt", "").refuses(2, "takes no prompts")
