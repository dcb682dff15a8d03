"""A work in a process of its own, done whenever it is asked for: works that need different processes can be paired."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Child:
    """Calls `module:function(**arguments)` once, and what that gives at every call; the answer is what it returned.

    Args:
        keep: whether memory that is freed stays with the process, as the command line of samplerzoo asks for.
        threads: of torch; as many as it likes if None.
        arguments: that JSON can write.
    """

    def __init__(self, work: str, *, keep: bool, threads: int | None = None, **arguments: Any) -> None:
        path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "measure.child", work, json.dumps(arguments), str(keep)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __call__(self) -> Any:
        self.begin()
        return self.answer()

    def begin(self) -> None:
        """Ask, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for what was asked for."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"speed: {' '.join(map(str, self._process.args))} failed")  # type: ignore[arg-type]
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def main(work: str, arguments: str, keep: str) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what else is printed is not an answer
    if keep == "True":
        from samplerzoo.system.memory import keep_freed_memory

        keep_freed_memory()
    module, _, name = work.partition(":")
    done = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    for _ in sys.stdin:
        print(json.dumps(done()), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
