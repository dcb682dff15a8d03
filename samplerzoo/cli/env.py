"""`samplerzoo env`: versions and hardware."""

from __future__ import annotations

import json

import click

from samplerzoo import registry
from samplerzoo.cli.repeated import TellsRepeated


@click.command("env", cls=TellsRepeated)
@click.option("--json", "as_json", is_flag=True, help="for machines")
def command(as_json: bool) -> None:
    """Show versions and hardware, to be pasted into a bug report."""
    from samplerzoo.system.environment import choose_device, choose_dtype, machine, versions

    device = choose_device("auto")
    auto = {"device_auto": device, "dtype_auto": choose_dtype("auto", device)}
    found = {**versions(), **machine(), **auto, "plugins": plugin_sources()}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, found)) + 2
    for name, value in found.items():
        shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        click.echo(f"{name:{width}}{'none' if shown is None else shown}")


def plugin_sources() -> list[str]:
    """List the distributions and files that plugins come from."""
    found = [plugin for kind in registry.GROUPS for plugin in registry.plugins(kind)]
    return sorted({f"{plugin.source} {plugin.version}" for plugin in found})
