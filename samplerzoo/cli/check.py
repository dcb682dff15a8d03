"""`samplerzoo check NAME`: the conformance kit, on a sampler or a guidance with the options that are given."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from samplerzoo import registry
from samplerzoo.cli.plugin_flags import PluginCommand, plugin_flag
from samplerzoo.cli.shared_flags import json_flag
from samplerzoo.errors import UsageError, did_you_mean
from samplerzoo.registry import GUIDANCE_PREFIX, Kind

if TYPE_CHECKING:
    from samplerzoo.testing import Outcome

KINDS: tuple[Kind, ...] = ("sampler", "guidance")
"""Kinds of plugins that the kit has checks for."""

PREFIXES = {"sampler": "", "guidance": GUIDANCE_PREFIX}


class CheckCommand(PluginCommand):
    """A command with the flags of the plugin whose name comes first, as `run` has them."""

    def chosen(self, ctx: click.Context, typed: dict[str, Any]) -> dict[Kind, str | None]:
        name = typed.get("name")
        if not isinstance(name, str):
            return {}
        if name.startswith("-"):
            raise UsageError(f"the name comes first: {ctx.command_path} NAME {name} ...")
        return dict.fromkeys(kinds_of(name), name)

    def help_line(self, ctx: click.Context, typed: dict[str, Any]) -> str:
        return f"{ctx.command_path} {typed.get('name')} --help"


@click.command("check", cls=CheckCommand, params=[plugin_flag, json_flag])
@click.argument("name")
@click.option("--thorough", is_flag=True, help="also check long runs and all combinations of options: minutes")
def command(name: str, plugin: tuple[str, ...], as_json: bool, thorough: bool, **wanted: Any) -> int:
    """Run every check of the conformance kit on a sampler or a guidance, and print what each found.

    The plugin is checked with the given options, against exact answers. That needs no network, no data and no Monte
    Carlo, and takes a few seconds. The exit code is 1 if a check fails. In tests of your own,
    samplerzoo.testing.check_sampler does the same.
    """
    found = []
    for kind in kinds_of(name):
        prefix = PREFIXES[kind]
        options = {
            flag.removeprefix(prefix): value
            for flag, value in wanted.items()
            if value is not None and flag.startswith(GUIDANCE_PREFIX) == bool(prefix)
        }
        found.append(_checked(kind, name, options, quiet=as_json, thorough=thorough))
    if as_json:
        click.echo(json.dumps(found if len(found) > 1 else found[0], indent=2))
    return int(any(not each["passed"] for each in found))


def kinds_of(name: str) -> list[Kind]:
    """List the kinds of this name that can be checked.

    Raises:
        UsageError: there is none.
    """
    kinds = registry.kinds(name)
    found = [kind for kind in KINDS if kind in kinds]
    if found:
        return found
    if kinds:
        raise UsageError(f"{name} is a feature network, and there are checks for samplers and guidances alone")
    known = sorted({plugin.name for kind in KINDS for plugin in registry.plugins(kind)})
    raise UsageError(f"no sampler or guidance {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")


def _checked(kind: Kind, name: str, options: dict[str, Any], *, quiet: bool, thorough: bool) -> dict[str, Any]:
    """Run the checks, and print a line for each as soon as it is done unless `quiet`."""
    made: Any = registry.make(kind, name, options)
    from samplerzoo.testing import outcomes, refused_paths
    from samplerzoo.testing.fixtures import PATHS

    seen: list[Outcome] = []
    if not quiet:
        click.echo(f"{made!r}")
    for outcome in outcomes(made, thorough=thorough):
        first = outcome.status == "failed" and all(before.status != "failed" for before in seen)
        seen.append(outcome)
        if not quiet:
            click.echo(f"  {outcome.whole if first else outcome}")
        if outcome.error is not None and click.get_current_context().find_root().obj:  # --debug
            traceback.print_exception(outcome.error)
    count = Counter(outcome.status for outcome in seen)
    refused = refused_paths(seen)
    paths = [] if kind != "sampler" else [path.kind for path in PATHS if path.kind not in refused]
    if not quiet:
        on = f", on {' and '.join(paths)} paths" if paths else ""
        click.echo(", ".join(f"{number} {status}" for status, number in count.items()) + on)
    return {
        "name": name,
        "kind": kind,
        "plugin": repr(made),
        "passed": not count["failed"],
        "paths": paths,
        "checks": [
            {"check": each.check, "status": each.status, "reason": each.reason, "details": [*each.details]}
            for each in seen
        ],
    }
