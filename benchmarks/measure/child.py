"""Work in a process of its own, repeated on demand: two of them can be timed in turn."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Child:
    """Process that calls `module:function(**arguments)` once. Each call calls the result and returns its answer.

    Args:
        keep: if True, the process keeps freed memory, as the command line of samplerzoo does.
        threads: number of threads of torch; its default if None.
        arguments: values that JSON can hold.
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
        """Start one repetition without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the repetition that `begin` started, and return its answer."""
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
    answers, sys.stdout = sys.stdout, sys.stderr  # other output must not be read as an answer
    if keep == "True":
        from samplerzoo.system.memory import keep_freed_memory

        keep_freed_memory()
    module, _, name = work.partition(":")
    done = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    for _ in sys.stdin:
        print(json.dumps(done()), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
