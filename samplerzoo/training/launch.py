"""Set-up of a training: its Accelerator and its output folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar, cast

import torch
from accelerate import Accelerator

from samplerzoo.errors import UsageError
from samplerzoo.system import environment
from samplerzoo.system.files import contents, locked, remove_folder
from samplerzoo.system.processes import on_main, processes
from samplerzoo.training.options import LoopOptions, Precision

PRECISION, ACCUMULATION = "ACCELERATE_MIXED_PRECISION", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
"""Environment variables through which `accelerate launch` passes its flags and its config."""
PRECISIONS = ("no", "fp16", "bf16")
UNKNOWN = {
    "DeepSpeed": "ACCELERATE_USE_DEEPSPEED",
    "FSDP": "ACCELERATE_USE_FSDP",
    "Megatron-LM": "ACCELERATE_USE_MEGATRON_LM",
    "parallelism of the network": "ACCELERATE_USE_PARALLELISM_CONFIG",
}
"""Ways to share one network among processes, and the variables with which a launcher requests them."""

Chosen = TypeVar("Chosen", bound=LoopOptions)


def make_accelerator(options: LoopOptions) -> Accelerator:
    """Create the Accelerator for the processes and devices of this launch.

    Raises:
        UsageError: the package of the logger is not installed.
        ZooError: several processes were started that do not see each other.
    """
    if options.logger != "none" and find_spec(options.logger) is None:
        raise UsageError(f"--logger {options.logger} needs a package: pip install 'samplerzoo[{options.logger}]'")
    processes()  # raises an error if processes do not see each other
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        mixed_precision=options.mixed_precision,
        step_scheduler_with_optimizer=False,  # else the schedule advances once per process and step
        log_with=None if options.logger == "none" else options.logger,
        project_dir=options.output_dir,
    )


def with_launcher(options: Chosen) -> Chosen:
    """Fill in precision and accumulation from the launcher, so that card and checkpoints record them.

    A flag of our own command overrides the launcher's. "auto" is the launcher's precision, if it sets one, else bf16 if
    the device computes it natively.

    Raises:
        UsageError: the launcher requests something that training here does not support.
    """
    for kind, variable in UNKNOWN.items():
        if os.environ.get(variable, "false").lower() in ("1", "true"):
            raise UsageError(
                f"the launcher asks for {kind} ({variable}), and a network is trained whole on each process: leave it "
                "out, as in `accelerate launch --multi_gpu -m samplerzoo train ...` or `torchrun`"
            )
    typed, device = options.model_fields_set, _device()
    precision, launched = options.mixed_precision, os.environ.get(PRECISION)
    source = "--mixed-precision"
    if launched is not None and ("mixed_precision" not in typed or precision == "auto"):
        if launched not in PRECISIONS:
            raise UsageError(
                f"the launcher asks for the precision {launched} ({PRECISION}), and training knows "
                f"{', '.join(PRECISIONS)}: accelerate launch --mixed_precision bf16"
            )
        precision, source = cast(Precision, launched), PRECISION
        _say(f"mixed precision {launched}, as the launcher says")
    elif launched not in (None, "no", precision):
        _say(f"mixed precision {precision}, as --mixed-precision says, and not {launched}, as the launcher does")
    if precision == "auto":
        precision = "bf16" if environment.native_bfloat16(device) else "no"
    if precision == "fp16" and device == "cpu":
        raise UsageError(f"{source}: fp16 is for a GPU, and this is a CPU: take bf16 or no")
    return options.model_copy(
        update={"mixed_precision": precision, "gradient_accumulation_steps": _accumulation(options)}
    )


def _accumulation(options: LoopOptions) -> int:
    """Return the number of forward passes per optimizer step. As in Accelerate, the launcher's number comes first."""
    asked = options.gradient_accumulation_steps
    launched = int(os.environ.get(ACCUMULATION, asked))
    if "gradient_accumulation_steps" in options.model_fields_set and launched != asked:
        raise UsageError(
            f"--gradient-accumulation-steps {asked}, and the launcher says {launched} ({ACCUMULATION}): give one"
        )
    return launched


def _device() -> str:
    """Return the kind of device that the training runs on."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if device is None else str(device.type)


def _say(text: str) -> None:
    if not processes()[0]:
        print(text)


@contextmanager
def hold_folder(options: LoopOptions) -> Iterator[None]:
    """Lock the output folder against other trainings.

    Raises:
        UsageError: the folder is a file, or holds other files and neither `overwrite` nor `resume_from_checkpoint` is
            set.
        ZooError: another training has locked it.
    """
    output = Path(options.output_dir)

    def check() -> None:
        if contents(output) and not (options.overwrite or options.resume_from_checkpoint):
            raise UsageError(f"{output} is not empty: add --resume-from-checkpoint latest to go on, or --overwrite")

    there = output.exists()
    try:
        with locked(output, "training"):
            on_main(check)
            yield
    finally:
        if not there and not contents(output) and not processes()[0]:  # the training was refused before it wrote a file
            remove_folder(output)
