"""Child processes of tests, forked from one that has imported the libraries once: a start takes no seconds.

What is about the launcher itself, or about the start of a process, starts one by `subprocess`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

PATIENCE = 300.0
"""Seconds that a child may take."""
LIBRARIES = [
    "accelerate", "datasets", "diffusers", "sklearn.datasets", "torch", "transformers", "samplerzoo.bench.harness",
    "samplerzoo.report.page", "samplerzoo.training.train",
]  # fmt: skip

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(LIBRARIES)


@dataclass(frozen=True)
class Ended:
    """End of children: their exit codes (negative for a signal), and what each said."""

    codes: list[int | None]
    out: list[str]
    err: list[str]


def ranks(processes: int) -> list[dict[str, str]]:
    """Return the variables that torchrun gives to so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes),
         "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        for rank in range(processes)
    ]  # fmt: skip


def run_commands(words: Sequence[object], folder: Path, processes: int = 1) -> Ended:
    """Run a command line of samplerzoo in a folder, in so many processes, with the variables that torchrun gives."""
    line = [str(word) for word in words]
    return _run(_command, [(line, variables) for variables in (ranks(processes) if processes > 1 else [{}])], folder)


def run_code(code: str, *arguments: object, variables: Sequence[dict[str, str]] = ({},)) -> Ended:
    """Run Python code in a child for each set of variables, with arguments in `sys.argv`."""
    return _run(_code, [(code, [*map(str, arguments)], each) for each in variables], Path.cwd())


def _run(be: object, arguments: Sequence[tuple[object, ...]], folder: Path) -> Ended:
    import torch

    # as many threads as the test has, whose figures may be compared to the bit; torchrun gives one to each of several
    threads = torch.get_num_threads() if len(arguments) == 1 else 1
    with TemporaryDirectory() as said:
        children: list[BaseProcess] = []
        for number, each in enumerate(arguments):
            files = [os.path.join(said, f"{number}.{name}") for name in ("out", "err")]
            children.append(FORKING.Process(target=_be, args=(be, each, str(folder), files, threads)))
            children[-1].start()
        for child in children:
            child.join(PATIENCE)
            child.kill()
            child.join()
        texts = [[Path(said, f"{number}.{name}").read_text() for number in range(len(children))]
                 for name in ("out", "err")]  # fmt: skip
        return Ended([child.exitcode for child in children], *texts)


def _be(be: object, arguments: tuple[object, ...], folder: str, files: Sequence[str], threads: int) -> None:
    for target, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), target)
    os.chdir(folder)
    import torch

    torch.set_num_threads(threads)
    be(*arguments)  # type: ignore[operator]


def _command(words: list[str], variables: dict[str, str]) -> None:
    os.environ.update(variables)
    from samplerzoo.cli import main

    sys.argv = ["samplerzoo", *words]
    code = main(words)
    with contextlib.suppress(Exception):
        import torch.distributed

        torch.distributed.destroy_process_group()
    sys.exit(code)


def _code(code: str, arguments: list[str], variables: dict[str, str]) -> None:
    os.environ.update(variables)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<child>", "exec"), {"__name__": "child"})
