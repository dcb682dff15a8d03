"""Set-up of a training: its Accelerator and its output folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator

from samplerzoo.errors import UsageError
from samplerzoo.system import environment
from samplerzoo.system.files import contents, locked
from samplerzoo.system.processes import on_main, processes
from samplerzoo.training.options import LoopOptions

Chosen = TypeVar("Chosen", bound=LoopOptions)


def make_accelerator(options: LoopOptions) -> Accelerator:
    """Create the Accelerator for the processes and devices of this launch.

    Raises:
        UsageError: the package of the logger is not installed.
        ZooError: several processes were started that do not see each other.
    """
    if options.logger != "none" and find_spec(options.logger) is None:
        raise UsageError(f"--logger {options.logger} needs a package: pip install 'samplerzoo[{options.logger}]'")
    processes()  # refuses processes that do not see each other
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        mixed_precision=options.mixed_precision,
        log_with=None if options.logger == "none" else options.logger,
        project_dir=options.output_dir,
    )


def with_precision(options: Chosen) -> Chosen:
    """Fill in the mixed precision that "auto" is on this machine, so that card and checkpoints name it."""
    if options.mixed_precision != "auto":
        return options
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    native = environment.native_bfloat16("cpu" if device is None else str(device.type))
    return options.model_copy(update={"mixed_precision": "bf16" if native else "no"})


@contextmanager
def hold_folder(options: LoopOptions) -> Iterator[None]:
    """Hold the output folder against other trainings.

    Raises:
        UsageError: the folder is a file, or holds other files and neither `overwrite` nor `resume_from_checkpoint` is
            set.
        ZooError: another training holds it.
    """
    output = Path(options.output_dir)

    def check() -> None:
        if contents(output) and not (options.overwrite or options.resume_from_checkpoint):
            raise UsageError(f"{output} is not empty: add --resume-from-checkpoint latest to go on, or --overwrite")

    with locked(output, "training"):
        on_main(check)
        yield
