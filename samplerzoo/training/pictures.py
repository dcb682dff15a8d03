"""Pictures of a training. Each file is written atomically."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from pydantic import ConfigDict, NonNegativeInt
from torch import Tensor

from samplerzoo import images
from samplerzoo.core.schedule import Schedule
from samplerzoo.options import Options
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.records import read_lines

SMOOTHING = 0.8
"""Decay of the exponential mean of the loss."""
SHOWN_LEVELS = 9
"""Number of levels in the picture of the forward process."""


class LogLine(Options):
    """Fields of a line of metrics.jsonl that are read again."""

    model_config = ConfigDict(extra="ignore")

    step: NonNegativeInt
    loss: float


def save_loss(metrics: Path, path: Path) -> None:
    """Plot the loss over steps, raw and smoothed. Do nothing if there are no metrics yet.

    Args:
        metrics: the file metrics.jsonl.
    """
    lines = read_lines(metrics, LogLine)
    if not lines:
        return
    steps, losses = [line.step for line in lines], [line.loss for line in lines]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(steps, losses, alpha=0.3, label="mean of the logged steps")
    axes.semilogy(steps, _smooth(losses), label="smoothed")
    axes.set(xlabel="optimizer step", ylabel="loss")
    axes.legend()
    _save(figure, path)


def save_sheet(generated: Tensor, labels: list[int] | None, class_names: Sequence[str], path: Path) -> None:
    """Draw images (N, C, H, W) on one sheet, with their classes."""
    images.save_png(images.grid(generated, labels, class_names), path)


def save_beside(
    real: Tensor, generated: Tensor, labels: list[int] | None, class_names: Sequence[str], path: Path
) -> None:
    """Draw a sheet of real images next to a sheet of generated ones with the same classes."""
    sheets = {name: images.grid(x, labels, class_names) for name, x in (("real", real), ("generated", generated))}
    width, height = sheets["real"].size
    figure = Figure(figsize=(12, 6 * height / width + 0.4), layout="constrained")
    for axes, (title, sheet) in zip(figure.subplots(1, 2), sheets.items(), strict=True):
        axes.imshow(sheet, cmap="gray", interpolation="nearest")
        axes.set_title(title)
        axes.axis("off")
    _save(figure, path)


def save_forward(real: Tensor, schedule: Schedule, path: Path) -> None:
    """Draw real images (N, C, H, W) at increasing noise, x_t = alpha x_0 + sigma eps, one row per image."""
    levels = schedule.grid(SHOWN_LEVELS - 1).levels[::-1]
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    figure = Figure(figsize=(1.3 * SHOWN_LEVELS, 1.3 * len(real) + 0.4), layout="constrained")
    for column, level in enumerate(levels):
        noisy = images.to_uint8(level.alpha * real + level.sigma * noise)
        for row, picture in enumerate(noisy):
            axes = figure.add_subplot(len(real), SHOWN_LEVELS, row * SHOWN_LEVELS + column + 1)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.axis("off")
            if not row:
                axes.set_title("real" if level.clean else f"t = {schedule.timestep(level.tau):.4g}")
    _save(figure, path)


def _smooth(values: list[float]) -> list[float]:
    """Return the exponential mean, with the bias correction of Adam."""
    mean, weight, smooth = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smooth.append(mean / weight)
    return smooth


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
