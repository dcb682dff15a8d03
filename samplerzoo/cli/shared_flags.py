"""Flags that several commands have, and that mean the same in each."""

from __future__ import annotations

import json
from typing import Any

import click

from samplerzoo.cli.flags import flags, validated
from samplerzoo.core.model import OFFLOADS
from samplerzoo.errors import UsageError
from samplerzoo.sampling.tuning import TuningRequest

device_flag = click.Option(
    ["--device"], default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps  [default: the best]"
)
compile_flag = click.Option(
    ["--compile", "compiled"],
    is_flag=True,
    help="let torch.compile make the network faster, which itself takes half a minute and more",
)
offload_flag = click.Option(
    ["--offload"],
    type=click.Choice(OFFLOADS),
    help="let the weights of a whole pipeline wait in memory, and bring what is needed to the accelerator: a part at a "
    "time (model), or a layer, by hooks of accelerate (sequential) or of diffusers (group): slower, in less memory",
)
network_flags = [*flags(TuningRequest), device_flag, compile_flag, offload_flag]
"""Flags for how the network is called in a run or a suite. None changes an image by more than rounding."""
prompt_flags: list[click.Option] = [
    click.Option(
        ["--prompts"],
        multiple=True,
        metavar="TEXT|FILE",
        help="what a text-to-image model is asked for: a text, or a file with a prompt a line or in a column of .csv, "
        ".tsv, .jsonl or .parquet; may be repeated; image i has prompt i mod their number",
    ),
    click.Option(
        ["--prompt-column"], metavar="NAME", help="column of the prompts in such a table  [default: prompt, caption or "
        "text]",
    ),
]  # fmt: skip


def _arguments(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> dict[str, Any] | None:
    """Parse words of the form name=value. A value is read as JSON, or as plain text if it is not JSON."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise UsageError(f"--pipeline-option {word}: give name=value, as --pipeline-option guidance_scale=5")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name.replace("-", "_")] = value
    return found or None


argument_flag = click.Option(
    ["--pipeline-option", "pipeline_options"],
    multiple=True,
    callback=_arguments,
    metavar="NAME=VALUE",
    help="argument of the call of a whole pipeline, as JSON or text; may be repeated",
)
baseline_flag = click.Option(
    ["--baseline"],
    metavar="NAME[@NFE]",
    help="row that all others are compared with, by its name in the report and its evaluations  "
    "[default: the cheapest row of the best sampler]",
)
json_flag = click.Option(["--json", "as_json"], is_flag=True, help="for machines")
debug_flag = click.Option(["--debug"], is_flag=True, help="show the traceback of an error")


def tuning_request(batch_size: int | None, layout: str | None, *, compiled: bool) -> TuningRequest:
    """Make a tuning request from --batch-size, --layout and --compile."""
    if compiled and layout is not None:
        raise UsageError("--compile has a layout of its own: leave --layout out")
    return validated(TuningRequest, {"batch_size": batch_size, "layout": layout})
