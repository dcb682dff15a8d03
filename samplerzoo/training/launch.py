"""What surrounds a training: the processes that it runs on, and the folder that it writes to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout

from samplerzoo.errors import UsageError, ZooError
from samplerzoo.system.processes import processes
from samplerzoo.training.options import LoopOptions

LOCK_FILE = ".lock"


def make_accelerator(options: LoopOptions) -> Accelerator:
    """Accelerate, on whatever this process was launched as."""
    if options.logger != "none" and find_spec(options.logger) is None:
        raise UsageError(f"--logger {options.logger} needs a package: pip install 'samplerzoo[{options.logger}]'")
    processes()  # refuses those that would each believe that they are alone
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        mixed_precision=options.mixed_precision,
        log_with=None if options.logger == "none" else options.logger,
        project_dir=options.output_dir,
    )


@contextmanager
def claimed(options: LoopOptions, accelerator: Accelerator) -> Iterator[None]:
    """The output folder, held against other trainings. One with other files in it is not ours unless told so."""
    output = Path(options.output_dir)
    lock = FileLock(output / LOCK_FILE)
    if accelerator.is_main_process:
        _check(output, options)
        output.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ZooError(f"{output} is in use by another training") from None
        if options.overwrite and not options.resume_from_checkpoint:  # or "latest" would find those of another run
            shutil.rmtree(output / "checkpoints", ignore_errors=True)
    accelerator.wait_for_everyone()
    try:
        yield
    finally:
        lock.release()


def _check(output: Path, options: LoopOptions) -> None:
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file: give a folder as --output-dir")
    taken = output.is_dir() and any(path.name != LOCK_FILE for path in output.iterdir())
    if taken and not (options.overwrite or options.resume_from_checkpoint):
        raise UsageError(f"{output} is not empty: add --resume-from-checkpoint latest to go on, or --overwrite")
