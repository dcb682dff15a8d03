"""Training state on disk, in OUTPUT/checkpoints/checkpoint-N. It is written atomically and restored exactly.

Accelerate saves network, optimizer, learning-rate schedule and random states. Hooks add the moving average as
safetensors and the position in the data as JSON, because `register_for_checkpointing` would pickle them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from torch import nn

from samplerzoo.errors import UsageError, ZooError, reason

EMA_FILE = "ema.safetensors"
PROGRESS_FILE = "progress.json"
OPTIONS_FILE = "options.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass
class Progress:
    """Position of a training in its data, and what it has to remember until its next checkpoint."""

    step: int = 0
    """Optimizer steps done."""
    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches of the current epoch that each process has done. Each is one forward pass."""
    seconds: float = 0.0
    """Training time so far."""
    losses: list[float] = field(default_factory=list)
    """Losses that are not yet averaged into a line of metrics.jsonl."""
    changes: list[str] = field(default_factory=list)
    """Options that differed when the training was resumed, as sentences for the model card."""


def register_hooks(accelerator: Accelerator, net: nn.Module, ema: EMAModel | None, progress: Progress) -> None:
    """Make `accelerator.save_state` and `load_state` include the moving average and the progress."""

    def save(models: list[nn.Module], weights: list[dict[str, Any]], folder: str) -> None:
        if not accelerator.is_main_process:
            return
        Path(folder, PROGRESS_FILE).write_text(json.dumps(asdict(progress)))
        if ema is not None:
            save_file(ema_weights(net, ema), Path(folder, EMA_FILE), {"steps": str(ema.optimization_step)})

    def load(models: list[nn.Module], folder: str) -> None:
        vars(progress).update(json.loads(Path(folder, PROGRESS_FILE).read_text()))
        if ema is not None:
            stored = load_file(Path(folder, EMA_FILE))
            for (name, _), shadow in zip(net.named_parameters(), ema.shadow_params, strict=True):
                shadow.copy_(stored[name])
            ema.optimization_step = progress.step

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)


def ema_weights(net: nn.Module, ema: EMAModel) -> dict[str, torch.Tensor]:
    """Return the moving average of each parameter by its name."""
    names = (name for name, _ in net.named_parameters())
    return {name: shadow.contiguous() for name, shadow in zip(names, ema.shadow_params, strict=True)}


def write_checkpoint(
    accelerator: Accelerator, output: Path, progress: Progress, options: dict[str, Any], keep: int
) -> Path:
    """Save the training state atomically, then delete all but the newest `keep` checkpoints.

    Every process calls this.

    Args:
        output: folder of the training.
        options: options to record, for `changed_options`.

    Returns:
        Folder of the new checkpoint.
    """
    folder = output / "checkpoints" / f"checkpoint-{progress.step:07d}"
    partial = folder.with_name(f".partial-{folder.name}")
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (partial / OPTIONS_FILE).write_text(json.dumps(options, indent=1))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if accelerator.is_main_process:
        for old in existing(output)[:-keep]:
            shutil.rmtree(old)
    return folder


def existing(output: Path) -> list[Path]:
    """Return the complete checkpoints, oldest first."""
    found = [path for path in (output / "checkpoints").glob("checkpoint-*") if CHECKPOINT.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def find_checkpoint(output: Path, wanted: str) -> Path:
    """Return the checkpoint that `--resume-from-checkpoint` names: "latest", a path, or a name in `output`.

    Raises:
        UsageError: there is no such checkpoint.
    """
    if wanted == "latest":
        found = existing(output)
        if not found:
            raise UsageError(f"no checkpoint in {output / 'checkpoints'}: leave out --resume-from-checkpoint to start")
        return found[-1]
    folder = Path(wanted) if Path(wanted).is_dir() else output / "checkpoints" / wanted
    if not (folder / PROGRESS_FILE).is_file():
        raise UsageError(f"{wanted} is not a checkpoint; those of this run: {', '.join(map(str, existing(output)))}")
    return folder


def restore(accelerator: Accelerator, folder: Path) -> None:
    """Load the training state. Raise ZooError if it cannot be read or does not fit the network."""
    try:
        accelerator.load_state(str(folder))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ZooError(
            f"cannot resume from {folder}: {reason(error)} (same options as when it was written?)"
        ) from error


def changed_options(folder: Path, options: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options that differ from those in the checkpoint, as name -> (then, now)."""
    then = json.loads((folder / OPTIONS_FILE).read_text())
    return {name: (then.get(name), now) for name, now in options.items() if then.get(name) != now}
