"""`samplerzoo check NAME`: run the conformance kit on a plugin with the given options."""

from __future__ import annotations

import json
import shlex
import traceback
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from samplerzoo import registry
from samplerzoo.cli.plugin_flags import PluginCommand, plugin_flag
from samplerzoo.cli.shared_flags import json_flag
from samplerzoo.core.blame import blaming
from samplerzoo.core.kinds import GUIDANCE_PREFIX, Kind
from samplerzoo.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from samplerzoo.testing import Outcome

KINDS: dict[Kind, str] = {
    "sampler": "sampler",
    "guidance": "guidance",
    "features": "feature network",
    "spacing": "spacing",
}
"""Kinds of plugins that the kit has checks for, in words. If several kinds have a name, the first one counts."""


class CheckCommand(PluginCommand):
    """Command with the flags of the plugin that its first word names, as `run` has them."""

    def chosen(self, ctx: click.Context, typed: dict[str, Any]) -> dict[Kind, str | None]:
        name = typed.get("name")
        if not isinstance(name, str):
            return {}
        if name.startswith("-"):
            raise UsageError(f"the name comes first: {ctx.command_path} NAME {name} ...")
        kind, plugin, _ = named(name, typed.get("kind"))
        return {kind: plugin}

    def help_line(self, ctx: click.Context, typed: dict[str, Any], chosen: Mapping[Kind, str | None]) -> str:
        files = [word for file in typed.get("plugin") or [] for word in ("--plugin", file)]
        kind = ["--kind", typed["kind"]] if typed.get("kind") else []
        name = [typed["name"]] if isinstance(typed.get("name"), str) else []
        return shlex.join([*ctx.command_path.split(), *files, *kind, *name, "--help"])


@click.command("check", cls=CheckCommand, params=[plugin_flag, json_flag])
@click.option("--kind", type=click.Choice([*KINDS]), help="kind of plugin, where two kinds have the name")
@click.argument("name")
@click.option("--thorough", is_flag=True, help="also vary any two options at once, and make large images: minutes")
def command(name: str, kind: Kind | None, plugin: tuple[str, ...], as_json: bool, thorough: bool, **wanted: Any) -> int:
    """Run every check of the conformance kit on a plugin, and print what each found.

    NAME is that of a sampler, a guidance, a feature network (perhaps with its source, as in classifier:mnist) or a
    spacing. It is checked with the given options, against exact answers. That needs no network but a feature network's
    own, no data and no Monte Carlo, and takes from seconds to a minute. The exit code is 1 if a check fails. In tests
    of your own, samplerzoo.testing.check_sampler does the same.
    """
    others = [other for other in KINDS if kind is None and other in registry.kinds(name)][1:]
    kind, name, options = named(name, kind)
    if others:
        rest = " or ".join(f"--kind {other}" for other in others)
        click.echo(f"samplerzoo: this checks the {KINDS[kind]} {name}; {rest} checks the other", err=True)
    prefix = GUIDANCE_PREFIX if kind == "guidance" else ""
    options |= {flag.removeprefix(prefix): value for flag, value in wanted.items() if value is not None}
    found = _checked(kind, name, options, quiet=as_json, thorough=thorough)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    return int(not found["passed"])


def named(text: str, kind: Kind | None) -> tuple[Kind, str, dict[str, Any]]:
    """Find the plugin that a text names: its kind, its name, and options written behind the name.

    Args:
        kind: kind that the user gave; None for the first kind that has the name.

    Raises:
        UsageError: there is no such plugin, or no checks of its kind.
    """
    kinds = registry.kinds(text)
    for found in [kind] if kind else KINDS:
        if found in kinds:
            return found, text, {}
    spaced, options = registry.split_spacing(text)
    if options and kind in (None, "spacing") and "spacing" in registry.kinds(spaced):
        return "spacing", spaced, options
    short, _, source = text.partition(":")
    if source and kind in (None, "features") and "features" in registry.kinds(short):
        return "features", short, {"source": source}
    if kind is not None:
        registry.get(kind, text)  # raises an error that lists the known names
    if kinds:
        raise UsageError(f"{text} is {registry.USAGE[kinds[0]].format(text)}: there are no checks of that kind")
    registry.refuse_file(text, "samplerzoo", "check")
    known = sorted({plugin.name for each in KINDS for plugin in registry.plugins(each)})
    raise UsageError(f"no plugin {text!r}{did_you_mean(text, known)}; known: {', '.join(known)}")


def _checked(kind: Kind, name: str, options: dict[str, Any], *, quiet: bool, thorough: bool) -> dict[str, Any]:
    """Run the checks, and print a line for each as soon as it is done unless `quiet`."""
    made: Any = registry.make(kind, name, options)
    if kind == "features":
        with blaming(made):
            str(made.id)  # raises an error if the source is missing or wrong
    from samplerzoo.testing import outcomes, refused_paths
    from samplerzoo.testing.fixtures import PATHS

    seen: list[Outcome] = []
    if not quiet:
        click.echo(f"{made!r}")
    for outcome in outcomes(made, thorough=thorough):
        failed = [before for before in seen if before.status == "failed"]
        alike = [before for before in failed if before.reason == outcome.reason and outcome.status == "failed"]
        seen.append(outcome)
        if not quiet and alike:
            click.echo(f"  {outcome.check}: FAILED, as {alike[0].check}")
        elif not quiet:
            click.echo(f"  {outcome.whole if outcome.status == 'failed' and not failed else outcome}")
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
