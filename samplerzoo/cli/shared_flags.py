"""Flags that several commands have, and that mean the same in each."""

from __future__ import annotations

import click

device_flag = click.Option(
    ["--device"], default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps  [default: the best]"
)
compile_flag = click.Option(
    ["--compile", "compiled"],
    is_flag=True,
    help="let torch.compile make the network faster, which itself takes half a minute and more",
)
json_flag = click.Option(["--json", "as_json"], is_flag=True, help="for machines")
debug_flag = click.Option(["--debug"], is_flag=True, help="show the traceback of an error")
