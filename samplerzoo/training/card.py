"""Model cards: the network, the data, and the command that repeats the training."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from samplerzoo.training.options import LoopOptions
from samplerzoo.trust.markup import code, plain, visible

if TYPE_CHECKING:
    from samplerzoo.data.image_sets import ImageData
    from samplerzoo.training.task import Report

NOT_THE_RECIPE = frozenset({"resume_from_checkpoint", "overwrite"})
"""Options that do not change the trained weights."""


def command_line(program: str, options: LoopOptions) -> str:
    """Return the command line with these options, without those that have their default value."""
    words = ["samplerzoo", program]
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if name in NOT_THE_RECIPE or value == field.default:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{flag}", text]
    return shlex.join(words)


def render_card(
    title: str, program: str, options: LoopOptions, data: ImageData, report: Report, figures: Mapping[str, object]
) -> str:
    """Return a model card in Markdown, with the front matter that the hub reads.

    Args:
        title: heading of the card.
        program: command that trained the model, `train` or `train-classifier`.
        figures: further rows of the table, by name.
    """
    kind = "unconditional-image-generation" if program == "train" else "image-classification"
    classes = f", {data.num_classes} classes ({plain(', '.join(data.class_names[:20]))})" if data.class_names else ""
    rows = {
        "data": f"{code(options.dataset)}, split {code(options.split)}: {len(data):,} images{classes}",
        "images": f"{data.channels} x {data.image_size} x {data.image_size}, pixels in [-1, 1]",
        "optimizer steps": f"{report.step:,} ({report.images:,} images, {report.images / len(data):.1f} epochs)",
        "training time": f"{report.seconds / 3600:.2f} hours",
        "weights": "exponential moving average" if options.use_ema else "as trained",
        **figures,
    }
    if report.changes:
        rows["changed on the way"] = plain("; ".join(report.changes))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"---\nlibrary_name: {'diffusers' if program == 'train' else 'transformers'}\n"
        f"pipeline_tag: {kind}\ntags: [samplerzoo, diffusion]\n---\n\n"
        f"# {plain(title)}\n\n| | |\n|---|---|\n{table}\n\nMade with\n\n    {visible(command_line(program, options))}\n"
    )
