"""Training state on disk, in OUTPUT/checkpoints/checkpoint-N. It is written atomically and restored exactly.

Accelerate saves network, optimizer, learning-rate schedule and random states. Hooks add the moving average as
safetensors and the position in the data as JSON, because `register_for_checkpointing` would pickle them. The last file
lists the others with their SHA-256: a checkpoint is complete if it has that file and all others match it.

When a checkpoint is written again, the old one is called checkpoint-N-replaced until the new one has its name. A
checkpoint is renamed before it is removed. So at every moment the newest complete state has a name that is searched.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from pydantic import NonNegativeInt, StringConstraints
from safetensors.torch import load_file, save_file
from torch import nn

from samplerzoo.data.class_names import listed
from samplerzoo.data.image_sets import ImageData
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.system.files import PARTIAL, REPLACED, digest, remove_folder, write_json
from samplerzoo.trust.markup import visible
from samplerzoo.trust.records import read_object, read_record

EMA_FILE = "ema.safetensors"
PROGRESS_FILE = "progress.json"
OPTIONS_FILE = "options.json"
DATA = "data"
"""Record of the data: number of images, and the classes."""
PICTURES = "pictures"
"""Record of the data: their fingerprint."""
MARKS_FILE = "pictures.safetensors"
"""File with the marks of the pictures, to name one that has changed."""
DATA_FLAGS = ("dataset", "dataset_config_name", "split", "image_column", "label_column", "classes")
"""Options that choose the data."""
FIXED = frozenset(
    "seed channels image_size objective sigma_data ddpm_num_steps ddpm_beta_schedule ddpm_beta_start ddpm_beta_end "
    "rescale_betas_zero_snr block_out_channels layers_per_block attention_levels attention_head_dim norm_num_groups "
    "init_from use_ema clean model hidden_sizes depths".split()
)
"""Options that must not change when training resumes: the network, its objective, and the order of the data."""
LIST_FILE = "files.json"
"""File with the name and the SHA-256 of every other file."""
CHECKPOINT = re.compile(rf"checkpoint-(\d+)({REPLACED})?")

FileName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+$")]
"""Name of a file directly in a checkpoint."""


@dataclass
class Progress:
    """Progress of a training: its position in the data, and what else a checkpoint has to keep."""

    step: NonNegativeInt = 0
    """Optimizer steps done."""
    epoch: NonNegativeInt = 0
    """Epochs done."""
    batch: NonNegativeInt = 0
    """Batches of the current epoch that each process has done. Each is one forward pass."""
    seen: NonNegativeInt = 0
    """Images of the current epoch that all processes together have seen, the first ones in its order."""
    images: NonNegativeInt = 0
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
        vars(progress).update(vars(read_record(Path(folder, PROGRESS_FILE), Progress)))
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
    accelerator: Accelerator, output: Path, progress: Progress, options: dict[str, Any], data: ImageData, keep: int
) -> Path:
    """Save the training state atomically, then delete all but the newest `keep` checkpoints.

    Every process calls this.

    Args:
        output: folder of the training.
        options: options to record, for `changed_options`.
        data: images that it is trained on, for `check_changes`.

    Returns:
        Folder of the new checkpoint.
    """
    folder = output / "checkpoints" / f"checkpoint-{progress.step:07d}"
    partial = folder.with_name(f"{PARTIAL}{folder.name}")
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            write_json(partial / OPTIONS_FILE, options)
            if data.marks is not None:
                data.marks.save(partial / MARKS_FILE)
            write_json(partial / LIST_FILE, {path.name: digest(path) for path in sorted(partial.iterdir())})
            _put_in_place(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if accelerator.is_main_process:
        found = existing(output)
        older = [path for path in found if _order(path)[0] < progress.step]
        left = [path for path in found if path not in older and path != folder]  # replaced, or abandoned
        for path in [*left, *older[: len(older) - (keep - 1)]]:
            remove_folder(path)
    return folder


def _put_in_place(partial: Path, folder: Path) -> None:
    """Give a finished checkpoint its final name. An older checkpoint with that name is renamed first."""
    if folder.exists():
        replaced = folder.with_name(folder.name + REPLACED)
        remove_folder(replaced)
        os.replace(folder, replaced)
    os.replace(partial, folder)


def existing(output: Path) -> list[Path]:
    """Return the checkpoints, complete or not, oldest first."""
    found = [path for path in (output / "checkpoints").glob("checkpoint-*") if CHECKPOINT.fullmatch(path.name)]
    return sorted(found, key=_order)


def _order(folder: Path) -> tuple[int, bool]:
    """Return the sort key of a checkpoint: its step; a replaced one comes before the new one of the same step."""
    match = CHECKPOINT.fullmatch(folder.name)
    assert match is not None
    return int(match[1]), match[2] is None


def damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint; None if it is complete."""
    if not (folder / LIST_FILE).is_file():
        return f"it has no {LIST_FILE}, which is written last"
    try:
        for name, expected in read_record(folder / LIST_FILE, dict[FileName, str]).items():
            if digest(folder / name) != expected:
                return f"{name} is not as it was written"
    except ZooError as error:
        return str(error)
    return None


def find_checkpoint(output: Path, wanted: str) -> Path:
    """Return the checkpoint that `--resume-from-checkpoint` names: "latest", a path, or a name in `output`.

    The latest is the newest complete one. A line on stderr names each newer incomplete one, and says why.

    Raises:
        UsageError: there is no such checkpoint.
        ZooError: none is complete.
    """
    found = existing(output)
    if wanted == "latest":
        for folder in reversed(found):
            fault = damage(folder)
            if fault is None:
                return folder
            print(f"{folder} is passed over: {fault}", file=sys.stderr)
        if not found:
            raise UsageError(
                f"no checkpoint in {output / 'checkpoints'}: --overwrite in place of --resume-from-checkpoint starts "
                "from the beginning"
            )
        newest = shlex.join(["--resume-from-checkpoint", str(found[-1])])
        raise ZooError(
            f"no checkpoint in {output / 'checkpoints'} is whole: name one, as {newest}, to try it all the same, or "
            "start from the beginning with --overwrite in place of it"
        )
    folder = Path(wanted) if Path(wanted).is_dir() else output / "checkpoints" / wanted
    if not (folder / PROGRESS_FILE).is_file():
        raise UsageError(f"{wanted} is not a checkpoint; those of this run: {', '.join(map(str, found)) or 'none'}")
    return folder


def read_progress(folder: Path) -> Progress:
    """Read the progress of a checkpoint. In old checkpoints, images are computed from the batches.

    Raises:
        ZooError: it cannot be read.
    """
    file = folder / PROGRESS_FILE
    progress = read_record(file, Progress)
    if "seen" not in read_object(file):
        then = read_object(folder / OPTIONS_FILE)
        try:
            batch = then["train_batch_size"] * then["num_processes"]
            progress.images = progress.step * batch * then["gradient_accumulation_steps"]
            progress.seen = progress.batch * batch
        except (KeyError, TypeError) as error:
            raise ZooError(f"{folder / OPTIONS_FILE}: images cannot be counted: {reason(error)}") from error
    return progress


def remove_all(output: Path) -> None:
    """Remove the checkpoints of an older training, the newest last."""
    for folder in existing(output):
        remove_folder(folder)


def restore(accelerator: Accelerator, folder: Path) -> None:
    """Load the training state. Raise ZooError if it cannot be read or does not fit the network."""
    try:
        accelerator.load_state(str(folder))
    except Exception as error:  # the kind of error depends on which file is broken, and how
        raise ZooError(
            f"cannot resume from {folder}: {reason(error)} (same options as when it was written?)"
        ) from error


def changed_options(folder: Path, options: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options that differ from those in the checkpoint, as name -> (then, now).

    Options that a checkpoint of an older version does not record are left out.
    """
    then = read_object(folder / OPTIONS_FILE)
    return {name: (then[name], now) for name, now in options.items() if name in then and then[name] != now}


def check_changes(changes: dict[str, tuple[Any, Any]], folder: Path, data: ImageData) -> None:
    """Refuse changes with which a training cannot be resumed.

    Args:
        changes: result of `changed_options`.
        data: current images.

    Raises:
        UsageError: names the flag, and its old value.
    """
    others = PICTURES in changes and data.table is not None  # digits differ only in size and channels, which are flags
    if DATA in changes or others:
        said = f"as many pictures of the same classes, with other names, labels or contents{_such_as(data, folder)}"
        if DATA in changes:
            then, now = (f"{images:,} images of {listed(names) or 'no class'}" for images, names in changes[DATA])
            said = f"{then}; these: {now}"
        flags = ", ".join(_flag(name) for name in DATA_FLAGS if name in changes) or "--dataset"
        has_start = "init_from" in read_object(folder / OPTIONS_FILE)
        start = f" --init-from {shlex.quote(str(folder.parents[1]))}" if has_start else ""
        raise UsageError(
            f"cannot resume from {folder}: {flags}: it was trained on other data ({said}); to go on with other data, "
            f"start anew: --output-dir OTHER{start}"
        )
    for name, (was, asked) in changes.items():
        if _is_bound(name, was, asked):
            without = was is None or (was is False and asked)
            before = "without it" if without else f"with {'it' if isinstance(was, bool) else _typed(was)}"
            keep = "leave it out" if without else f"give {_said(name, was)}"
            raise UsageError(
                f"cannot resume from {folder}: {_said(name, was if asked is None else asked)}: it was trained "
                f"{before}, and this cannot be changed on the way: {keep}, or start anew in another --output-dir"
            )


def _such_as(data: ImageData, folder: Path) -> str:
    """Name a picture that has changed since the checkpoint was written, if the marks tell."""
    if data.table is None or data.marks is None or not (changed := data.marks.changed(folder / MARKS_FILE)):
        return ""
    named = visible(data.table.path(changed[0]) or f"that of row {changed[0]}")
    return f", {len(changed):,} of them, such as {named}" if len(changed) > 1 else f": {named}"


def _is_bound(name: str, was: Any, asked: Any) -> bool:
    """Tell whether a change of an option is refused. A moving average or fp16 can be ended, but not started."""
    if name == "mixed_precision":
        return asked == "fp16"
    if name == "conditional":  # without the flag, it depends on whether there are labels
        return (was is False) != (asked is False)
    if name == "image_size" and was is None:  # an older version did not record the size of the data
        return False
    return name in FIXED and not _same(was, asked) and (name != "use_ema" or asked)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _said(name: str, value: Any) -> str:
    """Return an option with its value as a user would type them."""
    if isinstance(value, bool):
        return _flag(name if value else f"no_{name}")
    return f"{_flag(name)} {_typed(value)}"


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _same(was: Any, asked: Any) -> bool:
    """Tell whether two values are paths of the same folder."""
    paths = isinstance(was, str) and isinstance(asked, str) and Path(was).exists() and Path(asked).exists()
    return paths and Path(was).samefile(asked)
