"""Kill a command at each of its file operations in turn, start it again, and compare with an undisturbed one.

    python tests/system/kills.py [--every K] [CASE ...]

An audit hook counts the file operations below the output folder, and kills the process before the n-th. Processes are
forked from this one, which has the libraries imported, so that a start takes no time. Prints a line a case as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.link", "os.symlink"}
PATIENCE = 60.0
"""Seconds that a process may take, and that one of two may live on without the other."""


@dataclass(frozen=True)
class Case:
    """A command whose output folder is OUT, below the folder that it runs in.

    Attributes:
        words: command line; OUT stands for the output folder.
        again: command lines that go on after a kill: the first that is not refused counts.
        result: function from the output folder to what must be the same in the end.
        processes: number of processes, as torchrun would start them.
        before: command lines that make what the command begins with.
    """

    words: Sequence[str]
    again: Sequence[Sequence[str]]
    result: Callable[[Path], dict[str, Any]]
    processes: int = 1
    before: Sequence[Sequence[str]] = ()


def count_operations(root: Path, kill_at: int | None, report: int) -> None:
    """Count this process's changes of files below a folder, and kill it before the one with this number.

    Args:
        report: file descriptor that the number of all operations is written to, over and over.
    """
    below, seen = f"{root.resolve()}{os.sep}", 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            path, _, flags = arguments
            directory = -1
            if not (isinstance(flags, int) and flags & WRITING):
                return
        elif event in CHANGES:
            path = arguments[0]
            directory = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir", "os.chmod") else -1
        else:
            return
        if isinstance(path, int):
            return
        name = os.fsdecode(path)
        if not os.path.isabs(name) and isinstance(directory, int) and directory >= 0:
            name = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), name)
        if not f"{os.path.abspath(name)}{os.sep}".startswith(below):
            return
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        os.pwrite(report, str(seen).encode(), 0)

    sys.addaudithook(hook)


@dataclass(frozen=True)
class Ended:
    """End of a command: exit codes of its processes (negative for a signal), what they said, and the operations."""

    codes: list[int]
    said: str
    operations: int

    @property
    def well(self) -> bool:
        return not any(self.codes)


def run(words: Sequence[str], root: Path, processes: int = 1, victim: int = 0, kill_at: int | None = None) -> Ended:
    """Run a command line in processes forked from this one; the victim is killed before its n-th file operation."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as counted, tempfile.TemporaryFile("w+") as said:
        children = []
        for rank in range(processes):
            child = os.fork()
            if child == 0:
                _be(words, root, rank, processes, port, counted.fileno() if rank == victim else None, kill_at, said)
            children.append(child)
        codes = _wait(children, victim)
        said.seek(0)
        return Ended(codes, said.read(), int(os.pread(counted.fileno(), 20, 0) or 0))


def _be(
    words: Sequence[str],
    root: Path,
    rank: int,
    world: int,
    port: int,
    report: int | None,
    kill_at: int | None,
    said: Any,
) -> None:
    """Be the process of a command line, and never return."""
    code = 99
    try:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(os.dup(said.fileno()), "w"), write_through=True)
        os.chdir(root)
        tempfile.tempdir = str(root / "tmp")
        if world > 1:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
        if report is not None:
            count_operations(root, kill_at, report)
        from samplerzoo.cli import main

        sys.argv = ["samplerzoo", *words]
        code = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        if world > 1:
            with contextlib.suppress(Exception):
                import torch.distributed

                torch.distributed.destroy_process_group()
        os._exit(code)


def _wait(children: list[int], victim: int) -> list[int]:
    """Wait for all children; end those that outlive the victim, or their time."""
    codes: dict[int, int] = {}
    deadline = time.monotonic() + PATIENCE
    while len(codes) < len(children):
        for child in children:
            if child not in codes:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    codes[child] = os.waitstatus_to_exitcode(status)
        if codes.get(children[victim], 0) < 0:
            deadline = min(deadline, time.monotonic() + 0.5)  # as torchrun ends the others
        if time.monotonic() > deadline:
            for child in children:
                if child not in codes:
                    os.kill(child, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
        time.sleep(0.005)
    return [codes[child] for child in children]


def kill_at_each(case: Case, where: Path, every: int = 1) -> dict[str, Any]:
    """Kill a command at every k-th of its operations, go on, and compare; return the numbers and the failures."""
    prepared, now = where / "prepared", where / "now"  # always in the same folder, whose path is part of a recipe
    (now / "tmp").mkdir(parents=True)
    for words in case.before:
        made = run(words, now)
        assert made.well, made
    shutil.copytree(now, prepared)
    undisturbed = run(case.words, _copy(prepared, now), case.processes)
    assert undisturbed.well, undisturbed
    expected = case.result(now)
    kills, failures = 0, []
    for victim in range(case.processes):
        total = run(case.words, _copy(prepared, now), case.processes, victim).operations
        for number in range(1, total + 1, every):
            killed = run(case.words, _copy(prepared, now), case.processes, victim, number)
            if killed.codes[victim] != -signal.SIGKILL:
                continue  # with threads, an operation may be missing
            kills += 1
            failure = _go_on(case, now, expected)
            if failure:
                failures.append({"rank": victim, "operation": number, "of": total, "failure": failure})
    return {"kills": kills, "failures": failures}


def _go_on(case: Case, folder: Path, expected: dict[str, Any]) -> str | None:
    """Start a killed command again; say what is wrong in the end."""
    for words in case.again:
        ended = run(words, folder, case.processes)
        if ended.well:
            break
        if max(ended.codes) > 2 or "Traceback" in ended.said:
            return ended.said
    else:
        return f"refused: {ended.said}"
    left = [str(path) for path in (folder / "out").rglob(".partial-*")]  # tmp/ is the system's to clear
    if left:
        return f"left behind: {left}"
    found = case.result(folder)
    wrong = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
    return f"not the same: {sorted(wrong)}" if wrong else None


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


# -- what must be the same in the end


def _files(folder: Path, *patterns: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                yield str(path.relative_to(folder)), path.read_bytes()


def _of_run(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "out" / "run.json").read_text())
    steady = {key: record[key] for key in ("status", "recipe", "num_images", "batch_size", "grid")}
    return {"run.json": steady, **dict(_files(folder / "out", "*.png", "*.gif", "manifest.jsonl", "images/*"))}


def _of_training(folder: Path) -> dict[str, Any]:
    out = folder / "out"
    card = [line for line in (out / "README.md").read_text().splitlines() if "training time" not in line]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steady = [{**line, "seconds": None} for line in lines]
    # of the options in a checkpoint, and in samplerzoo.json, only the flags that go on differ
    found = dict(_files(out, "*.safetensors", "*.png", "*/*.safetensors", "*/*.json", "checkpoints/*/*.safetensors"))
    return {"README.md": card[: card.index("Made with")], "metrics.jsonl": steady, **found}


def _of_bench(folder: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]
    steady = sorted(
        json.dumps({**row, "speed": None, "command": None, "versions": None, "digest": None}) for row in rows
    )
    found = dict(_files(folder / "out", "pictures*.png", "cells/*/recipe.json", "cells/*/*/*.safetensors"))
    return {"rows": steady, "report": (folder / "out" / "report.md").exists(), **found}


def _of_file(folder: Path) -> dict[str, Any]:
    return dict(_files(folder / "out", "*"))


TINY = ["--classes", "0,1", "--train-batch-size", "8", "--lr-warmup-steps", "2", "--logging-steps", "1",
        "--max-train-steps", "4", "--checkpointing-steps", "2", "--mixed-precision", "no"]  # fmt: skip
UNET = ["train", "--dataset", "digits", "--output-dir", "out", "--block-out-channels", "8,8", "--layers-per-block", "1",
        "--attention-levels", "0", "--eval-images", "2", "--eval-steps", "1", *TINY]  # fmt: skip
CLASSIFIER = ["train-classifier", "--dataset", "digits", "--output-dir", "out", "--hidden-sizes", "4", "--depths", "1",
              "--clean", *TINY]  # fmt: skip
MODEL = [*UNET[:4], "model", *UNET[5:-6], "--max-train-steps", "1", "--mixed-precision", "no"]
RUN = ["run", "--model", "model", "--steps", "2", "--num-images", "5", "--batch-size", "2", "--dtype", "float32",
       "--trajectory", "-o", "out"]  # fmt: skip
IMAGES = [*RUN[:-3], "-o", "pictures"]
REFERENCE = ["ref", "make", "pictures", "--features", "pixels", "-o", "train.safetensors"]
BENCH = ["bench", "--model", "model", "--features", "pixels", "--reference", "train.safetensors", "--sampler", "ddim",
         "--steps", "2", "--seeds", "0,1", "--images", "3", "--batch-size", "2", "--dtype", "float32",
         "-o", "out"]  # fmt: skip
EVAL = ["eval", "--fake", "pictures", "--real", "train.safetensors", "--features", "pixels"]


def _training(words: Sequence[str], *more: str, processes: int = 1) -> Case:
    words = [*words, *more]
    going = [[*words, "--resume-from-checkpoint", "latest"], [*words, "--overwrite"]]
    return Case(words, going, _of_training, processes)


CASES = {
    "train": _training(UNET),
    "train, one checkpoint": _training(UNET, "--checkpoints-total-limit", "1"),
    "train, finished and resumed": Case(
        [*UNET, "--checkpoints-total-limit", "1", "--resume-from-checkpoint", "latest"],
        [[*UNET, "--checkpoints-total-limit", "1", "--resume-from-checkpoint", "latest"]],
        _of_training,
        before=[[*UNET, "--checkpoints-total-limit", "1"]],
    ),
    "train, overwritten": Case(
        [*UNET, "--overwrite"], [[*UNET, "--overwrite"]], _of_training, before=[[*UNET, "--seed", "1"]]
    ),
    "train-classifier": _training(CLASSIFIER),
    "train-classifier, one checkpoint": _training(CLASSIFIER, "--checkpoints-total-limit", "1"),
    "run": Case(RUN, [[*RUN, "--resume"]], _of_run, before=[MODEL]),
    "run, more images": Case(
        [*RUN, "--resume", "--num-images", "8"], [[*RUN, "--resume", "--num-images", "8"]], _of_run,
        before=[MODEL, RUN],
    ),
    "run, overwritten": Case(
        [*RUN, "--overwrite"], [[*RUN, "--overwrite"]], _of_run, before=[MODEL, [*RUN, "--seed", "1"]]
    ),
    "bench": Case(BENCH, [BENCH], _of_bench, before=[MODEL, IMAGES, REFERENCE]),
    "ref": Case(
        [*REFERENCE[:-1], "out/train.safetensors"], [[*REFERENCE[:-1], "out/train.safetensors"]], _of_file,
        before=[MODEL, IMAGES],
    ),
    "eval": Case(EVAL, [EVAL], _of_file, before=[MODEL, IMAGES, REFERENCE]),
    "run, two processes": Case(RUN, [[*RUN, "--resume"]], _of_run, 2, before=[MODEL]),
    "train, two processes": _training(UNET, processes=2),
    "bench, two processes": Case(BENCH, [BENCH], _of_bench, 2, before=[MODEL, IMAGES, REFERENCE]),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"by default all: {', '.join(CASES)}")
    parser.add_argument("--every", type=int, default=1, help="kill at every k-th operation only")
    chosen = parser.parse_args()
    # libraries that a command imports, here once for all processes
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import diffusers  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import samplerzoo.bench.harness
    import samplerzoo.report.page
    import samplerzoo.training.train  # noqa: F401

    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.cases or CASES:
            started = time.monotonic()
            found = kill_at_each(CASES[name], Path(folder, name.replace(" ", "-")), chosen.every)
            failed |= bool(found["failures"]) or not found["kills"]
            print(json.dumps({"case": name, "seconds": round(time.monotonic() - started, 1), **found}), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
