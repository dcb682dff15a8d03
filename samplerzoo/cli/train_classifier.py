"""`samplerzoo train-classifier`: train a noise-aware classifier, or one of clean images."""

from __future__ import annotations

from typing import Any

import click

from samplerzoo.cli.flags import flags, validated
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.train import finish
from samplerzoo.training.options import ClassifierOptions

HELP = """Train the noise-aware classifier that classifier guidance needs.

Give --model to take the noise schedule of the model that it shall guide, and put the result into that model's folder
as `classifier`. With --clean it learns from clean images; its penultimate layer is then a feature network for
metrics. Interruption, resuming and several processes are as for `samplerzoo train`.

Cost: minutes on two cores for digits, those of MNIST included.
"""


@click.pass_context
def _train(context: click.Context, /, **values: Any) -> None:
    options = validated(ClassifierOptions, values)
    from samplerzoo.training.train import train_classifier

    finish(context, train_classifier(options), options.output_dir)


command = TellsRepeated("train-classifier", callback=_train, params=[*flags(ClassifierOptions)], help=HELP)
