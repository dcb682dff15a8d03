"""`samplerzoo list`: samplers, guidances, feature networks, spacings and models.

It reads names and source files. Only `--check` imports plugins, and only `--all` imports other libraries.
"""

from __future__ import annotations

import json
from typing import Any

import click

from samplerzoo import registry
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.summary import summary
from samplerzoo.cli.terminal import show
from samplerzoo.core.kinds import Kind
from samplerzoo.errors import ZooError
from samplerzoo.models.folder import INFO_FILE, PRETRAINED, pretrained, read_json

HEADINGS: dict[Kind, str] = {
    "sampler": "samplers",
    "guidance": "guidances",
    "features": "features",
    "spacing": "spacings",
    "architecture": "architectures",
}


@click.command("list", cls=TellsRepeated, params=[plugin_flag])
@click.option("--check", is_flag=True, help="import every plugin and say which are broken; exit code 1 if any is")
@click.option(
    "--all", "everything", is_flag=True, help="also the samplers of other libraries, each tried on an exact Gaussian"
)
@click.option("--json", "as_json", is_flag=True, help="for machines")
def command(plugin: tuple[str, ...], check: bool, everything: bool, as_json: bool) -> int:
    """List the samplers, guidances, feature networks (for metrics), spacings and models.

    `samplerzoo info NAME` says all about one of them.
    """
    for file in plugin:
        registry.load_file(file)
    found = {
        heading: [_entry(plugin, check) for plugin in registry.plugins(kind)] for kind, heading in HEADINGS.items()
    }
    if broken := registry.broken_files():
        heading = f"files of {registry.PLUGINS_VARIABLE}"
        found[heading] = [{"name": path, "source": "samplerzoo", "broken": fault} for path, fault in broken.items()]
    found["models"] = [_model(name) for name in pretrained()]
    for library in registry.sources() if everything else ():
        found[f"{registry.load_source(library).noun}s of {library}"] = _foreign(library)
    if as_json:
        show(json.dumps(found, indent=2))
    else:
        _print(found)
    return int(any(entry.get("broken") for entries in found.values() for entry in entries))


def _entry(plugin: registry.Plugin, check: bool) -> dict[str, Any]:
    entry = {"name": plugin.name, "source": plugin.source, "version": plugin.version, "summary": summary(plugin)}
    if check:
        try:
            plugin.load()
        except ZooError as error:
            entry["broken"] = str(error)
    return entry


def _foreign(library: str) -> list[dict[str, Any]]:
    """List the samplers of another library. Those that can be used come first, sorted by their error."""
    from samplerzoo.bench.screening import STEPS, verdicts

    release = registry.load_source(library).version
    found = []
    for verdict in sorted(
        verdicts(library), key=lambda verdict: (not verdict.offered, verdict.error is None, verdict.error, verdict.name)
    ):
        measured = "" if verdict.error is None else f"error {verdict.error:.1e} at {STEPS} steps"
        refused = "" if verdict.offered else f"not offered: {verdict.reason}"
        entry = {"name": f"{library}:{verdict.name}", "source": library, "version": release}
        summary = ", ".join(filter(None, [measured, refused]))
        found.append({**entry, "summary": summary, "offered": verdict.offered, "error": verdict.error})
    return found


def _model(name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "source": "samplerzoo", "summary": ""}
    folder = PRETRAINED / name
    try:
        info, network = read_json(folder, INFO_FILE), read_json(folder / "unet", "config.json")
    except ZooError as error:
        return {**entry, "broken": str(error)}
    size = network.get("sample_size")
    parts = [f"{size}x{size} pixels" if isinstance(size, int) else ""]
    parts.append(f"{info['num_classes']} classes" if info.get("num_classes") else "unconditional")
    parts.append("with a noise-aware classifier" if (folder / "classifier").is_dir() else "")
    return {**entry, "summary": ", ".join(filter(None, parts))}


def _print(found: dict[str, list[dict[str, Any]]]) -> None:
    width = max([len(entry["name"]) for entries in found.values() for entry in entries], default=0) + 2
    for heading, entries in found.items():
        show(f"{heading}:")
        for entry in entries:
            line = f"BROKEN: {entry['broken']}" if "broken" in entry else entry["summary"]
            foreign = "" if entry["source"] == "samplerzoo" else f"  ({entry['source']} {entry['version']})".rstrip()
            show(f"  {entry['name']:{width}}{line}{foreign}".rstrip())
        if not entries:
            show("  none")
