"""`samplerzoo train`: train a diffusion U-Net."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from samplerzoo.cli import INTERRUPTED
from samplerzoo.cli.flags import flags, validated
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.training.options import TrainOptions

if TYPE_CHECKING:
    from samplerzoo.training.task import Report

HELP = """Train a diffusion U-Net on images.

OUTPUT_DIR becomes a model folder, loadable at every checkpoint, with pictures of how training goes. Ctrl-C writes a
checkpoint; the same command with --resume-from-checkpoint latest goes on from it exactly. Several processes:
`torchrun --nproc-per-node 2 -m samplerzoo train ...` or `accelerate launch -m samplerzoo train ...`.

Cost: minutes on two cores for the 8x8 digits, hours for MNIST; photos need a GPU.
"""


@click.pass_context
def _train(context: click.Context, /, **values: Any) -> None:
    options = validated(TrainOptions, values)
    from samplerzoo.training.train import train

    finish(context, train(options), options.output_dir)


command = TellsRepeated("train", callback=_train, params=[*flags(TrainOptions)], help=HELP)


def finish(context: click.Context, report: Report, folder: str) -> None:
    """Print what was trained. After an interruption, exit with code 130, as shells do."""
    if report.main and report.interrupted:
        click.echo(f"stopped after step {report.step}; go on with the same command and --resume-from-checkpoint latest")
    elif report.main:
        loss = "" if report.loss is None else f", loss {report.loss:.4f}"
        click.echo(f"{folder}: step {report.step}, {report.images:,} images{loss}")
    if report.interrupted:
        context.exit(INTERRUPTED)
