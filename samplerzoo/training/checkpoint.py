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

from samplerzoo.data.class_names import listed
from samplerzoo.errors import UsageError, ZooError, reason

EMA_FILE = "ema.safetensors"
PROGRESS_FILE = "progress.json"
OPTIONS_FILE = "options.json"
DATA = "data"
"""Record of the data: number of images, and the classes."""
DATA_FLAGS = ("dataset", "dataset_config_name", "split", "image_column", "label_column", "classes")
"""Options that choose the data."""
FIXED = frozenset(
    "seed channels objective sigma_data ddpm_num_steps ddpm_beta_schedule ddpm_beta_start ddpm_beta_end "
    "rescale_betas_zero_snr block_out_channels layers_per_block attention_levels attention_head_dim norm_num_groups "
    "init_from use_ema clean model hidden_sizes depths".split()
)
"""Options that a checkpoint is bound to: the network, what it learns, the order of the data."""
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
    seen: int = 0
    """Images of the current epoch that all processes together have seen: the first so many in its order."""
    images: int = 0
    """Images seen in all epochs."""
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


def read_progress(folder: Path) -> Progress:
    """Read how far a checkpoint is. One that was written before images were counted has its batches counted.

    Raises:
        ZooError: it cannot be read.
    """
    try:
        content = json.loads((folder / PROGRESS_FILE).read_text())
        if "seen" not in content:
            then = json.loads((folder / OPTIONS_FILE).read_text())
            batch = then["train_batch_size"] * then["num_processes"]
            images = content["step"] * batch * then["gradient_accumulation_steps"]
            content = {**content, "seen": content["batch"] * batch, "images": images}
        return Progress(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{folder}: cannot be read: {reason(error)}") from error


def restore(accelerator: Accelerator, folder: Path) -> None:
    """Load the training state. Raise ZooError if it cannot be read or does not fit the network."""
    try:
        accelerator.load_state(str(folder))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ZooError(
            f"cannot resume from {folder}: {reason(error)} (same options as when it was written?)"
        ) from error


def changed_options(folder: Path, options: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options that differ from those in the checkpoint, as name -> (then, now).

    Those that the checkpoint does not record, of an older version, are left out.
    """
    then = json.loads((folder / OPTIONS_FILE).read_text())
    return {name: (then[name], now) for name, now in options.items() if name in then and then[name] != now}


def check_changes(changes: dict[str, tuple[Any, Any]], folder: Path) -> None:
    """Refuse changes that a training cannot go on with.

    Args:
        changes: those that `changed_options` returns.

    Raises:
        UsageError: names the flag, and what it was.
    """
    if DATA in changes:
        then, now = (f"{images:,} images of {listed(names) or 'no class'}" for images, names in changes[DATA])
        flags = ", ".join(_flag(name) for name in DATA_FLAGS if name in changes) or "--dataset"
        raise UsageError(
            f"cannot resume from {folder}: {flags}: it was trained on other data ({then}; these: {now}); to go on with "
            "other data, start anew in another --output-dir, with --init-from this one"
        )
    for name, (was, asked) in changes.items():
        if _is_bound(name, was, asked):
            without = was is None or was is False
            before = "without it" if without else f"with {_typed(was)}"
            keep = "leave it out" if without else f"give {_flag(name)} {_typed(was)}"
            raise UsageError(
                f"cannot resume from {folder}: {_flag(name)} {_typed(asked)}: it was trained {before}, and this cannot "
                f"be changed on the way: {keep}, or start anew in another --output-dir"
            )


def _is_bound(name: str, was: Any, asked: Any) -> bool:
    """Tell whether an option cannot be changed so. A moving average can be ended, and fp16 too, but not begun."""
    if name == "mixed_precision":
        return asked == "fp16"
    return name in FIXED and not _same(was, asked) and (name != "use_ema" or asked)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _typed(value: Any) -> str:
    """Return a value as a user types it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _same(was: Any, asked: Any) -> bool:
    """Tell whether two values name the same folder, as the path of one that is given in another way."""
    paths = isinstance(was, str) and isinstance(asked, str) and Path(was).exists() and Path(asked).exists()
    return paths and Path(was).samefile(asked)
