"""Command line. Every command has its own module, which is imported when the command is used."""

from __future__ import annotations

import errno
import importlib
import itertools
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from samplerzoo.core.blame import blame
from samplerzoo.errors import UsageError, ZooError, did_you_mean, reason
from samplerzoo.system.memory import keep_freed_memory, ran_out
from samplerzoo.trust.markup import is_text, visible
from samplerzoo.version import __version__

COMMANDS = {
    "run": ("run", "Draw images with a sampler, into a folder of their own."),
    "rerun": ("rerun", "Make an image again from the recipe in its file."),
    "show": ("pictures", "Show what several settings make of the same noise, as one picture."),
    "play": ("play", "Open a page on this machine to try samplers on a model."),
    "list": ("catalogue", "List samplers, guidances, feature networks and models."),
    "info": ("info", "Show one of them: options, defaults, bounds, paper."),
    "check": ("check", "Check that a plugin of your own is right, against exact answers."),
    "timesteps": ("timesteps", "Show the exact noise levels that a run visits."),
    "train": ("train", "Train a diffusion U-Net on images."),
    "train-classifier": ("train_classifier", "Train the noise-aware classifier that guidance needs."),
    "eval": ("evaluate", "Measure how far images are from real ones."),
    "ref": ("reference", "Make statistics of real images, for eval and bench."),
    "bench": ("bench", "Compare samplers: quality against steps, cost and time."),
    "compare": ("compare", "Show several benchmarks beside each other."),
    "report": ("report", "Write the report of a benchmark: tables, plots, pictures."),
    "new-plugin": ("new_plugin", "Make a folder with a plugin of your own, ready to install."),
    "env": ("env", "Show versions and hardware, for a bug report."),
}
"""Module of each command, and its line in the help."""

MAY_BE_EMPTY = ("--prompts", "--negative-prompt")
"""Flags for which an empty text is a meaningful value."""

SEE = f"{__name__}.see"
"""Key in a context's meta: the command line that lists all flags. Without it, that is the command's own --help."""

HELP = """Samplers for diffusion models, tested against exact answers and compared at equal cost.

Three to try, none of which takes a minute:

\b
    samplerzoo run --sampler ddim --eta 0                             64 digits with the embedded model
    samplerzoo show --sampler ddpm --sampler ddim --steps 10,50       two samplers side by side
    samplerzoo check ddim                                             is a sampler right? a line a check

`samplerzoo COMMAND --help` says what a command does and costs; a sampler's own options are shown by
`samplerzoo run --sampler NAME --help`. Errors are one line; --debug, anywhere, gives the traceback.
"""

INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


class Commands(click.Group):
    """Group that lists its commands from COMMANDS, so that help imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        name = _hyphens(cmd_name)
        if name not in COMMANDS:
            raise UsageError(f"no command {name!r}{did_you_mean(name, [*COMMANDS])}; there are: {', '.join(COMMANDS)}")
        command: click.Command = importlib.import_module(f"samplerzoo.cli.{COMMANDS[name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _hyphens(name: str) -> str:
    """Accept --num_images for --num-images."""
    return name.replace("_", "-")


@click.group(
    cls=Commands,
    help=HELP,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": _hyphens,
        "max_content_width": 120,
    },
)
@click.version_option(__version__, "-V", "--version", message="samplerzoo %(version)s")
def group() -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    The code is 0, 1 if the command failed, 2 if the request cannot be met, or 130 after an interruption.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    _quiet_libraries()
    keep_freed_memory()
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        try:
            _refuse_bytes(words)
            _refuse_empty(words)
            if words[0] == "help":  # `help COMMAND`, as in git and pip
                words = [*_named_commands(words[1:]), "--help"]
            return group.main(words, prog_name="samplerzoo", standalone_mode=False, obj=debug) or 0
        except (ZooError, click.ClickException, OSError) as error:
            if debug:
                traceback.print_exc()
            _complain(error)
            return error.exit_code if isinstance(error, (ZooError, click.ClickException)) else 1
        except (click.Abort, KeyboardInterrupt) as error:
            if isinstance(error.__cause__, EOFError):  # a file that ends too early, which click takes for Ctrl-D
                raise error.__cause__ from None
            _say("interrupted")
            return INTERRUPTED
        except (Exception, SystemExit) as error:  # a plugin may fail anywhere, and in any way
            told = _out_of_memory(error) or blame(error) or _lost(error)
            if told is None:
                raise
            if debug:
                traceback.print_exc()
            _complain(told)
            return told.exit_code


def _refuse_bytes(words: Sequence[str]) -> None:
    """Refuse words that cannot be part of a file name, a record or a line of text: null bytes and invalid UTF-8.

    Raises:
        UsageError: names the word.
    """
    for word in words:
        if "\0" in word or not is_text(word):
            raise UsageError(f"{word!r} is no text in UTF-8; if it names a file, rename that")


def _named_commands(words: Sequence[str]) -> Sequence[str]:
    """Return the words behind `help`, which name a command and perhaps its flags.

    Raises:
        UsageError: a word behind the command is not a flag.
    """
    command: click.Command | None = group
    for number, word in enumerate(words):
        if word.startswith("-") or command is None:
            break
        if not isinstance(command, click.Group):
            named = " ".join(words[:number])
            raise UsageError(f"help takes a command alone, and {word!r} is none of {named}: samplerzoo help {named}")
        command = command.get_command(click.Context(command), word)
    return words


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty word, as an unset shell variable leaves it.

    Raises:
        UsageError: names the flag, or the word before it.
    """
    for before, word in itertools.pairwise(["samplerzoo", *words]):
        flag, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
        if equals and not value and _hyphens(flag) not in MAY_BE_EMPTY:
            raise UsageError(
                f"the word behind {flag} is empty, as a variable that is not set: give it, or leave it out"
            )


def _out_of_memory(error: BaseException) -> ZooError | None:
    return ZooError("out of memory: " + reason(error).removeprefix("MemoryError: ")) if ran_out(error) else None


def _lost(error: BaseException) -> ZooError | None:
    """Return an error that says that another process of this launch has ended, if torch.distributed failed."""
    if "RANK" not in os.environ:
        return None
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not any(os.path.join("torch", "distributed") in file for file in files):
        return None
    return ZooError("it stops, since another process of this launch has ended")


def _complain(error: Exception) -> None:
    """Print an error in one line. Usage errors are the same in all processes, so only the first process prints them."""
    usage = getattr(error, "exit_code", 1) == click.UsageError.exit_code
    if usage and os.environ.get("RANK", "0") != "0":
        return
    _say(f"error: {_line(error)}")


def _say(text: str) -> None:
    rank = os.environ.get("RANK", "0")
    click.echo(visible(f"samplerzoo: {text}" if rank == "0" else f"samplerzoo (process {rank}): {text}"), err=True)


def _line(error: Exception) -> str:
    if isinstance(error, click.UsageError):
        hint = f"; see `{error.ctx.meta.get(SEE, f'{error.ctx.command_path} --help')}`" if error.ctx is not None else ""
        message = " ".join(error.format_message().split()).removesuffix(".")
        return message[:1].lower() + message[1:] + hint
    if isinstance(error, OSError) and error.strerror:
        advice = ": make room there, and start the same command again" if error.errno == errno.ENOSPC else ""
        return (f"{error.strerror}: {error.filename}" if error.filename else error.strerror) + advice
    return " ".join(str(error).split()) or type(error).__name__


def _quiet_libraries() -> None:
    """Silence warnings and progress bars of libraries, which read these settings when they are imported."""
    for variable in ("DIFFUSERS_VERBOSITY", "TRANSFORMERS_VERBOSITY"):
        os.environ.setdefault(variable, "error")
    if not sys.stderr.isatty():
        for variable in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
            os.environ.setdefault(variable, "1")
