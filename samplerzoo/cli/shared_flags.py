"""Flags that several commands have, and that mean the same in each."""

from __future__ import annotations

from typing import Any

import click

from samplerzoo.cli.flags import flags, validated
from samplerzoo.errors import UsageError
from samplerzoo.sampling.tuning import PaceRequest

device_flag = click.Option(
    ["--device"], default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps  [default: the best]"
)
compile_flag = click.Option(
    ["--compile", "compiled"],
    is_flag=True,
    help="let torch.compile make the network faster, which itself takes half a minute and more",
)
network_flags = [*flags(PaceRequest), device_flag, compile_flag]
"""How the network of a run or a suite is called; none of them moves an image by more than rounding."""
json_flag = click.Option(["--json", "as_json"], is_flag=True, help="for machines")
debug_flag = click.Option(["--debug"], is_flag=True, help="show the traceback of an error")


def asked_pace(values: dict[str, Any], *, compiled: bool) -> PaceRequest:
    """From the values of --batch-size and --layout."""
    if compiled and values["layout"] is not None:
        raise UsageError("--compile has a layout of its own: leave --layout out")
    return validated(PaceRequest, values)
