"""Commands whose flags depend on the sampler and the guidance that the command line names."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from samplerzoo import registry
from samplerzoo.cli import SEE
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.core.kinds import GUIDANCE_PREFIX, Kind
from samplerzoo.errors import UsageError, did_you_mean

SECTIONS = f"{__name__}.sections"
"""Key in a context's meta: the plugins' flags, as heading -> options."""

sampler_flag = click.Option(
    ["--sampler"], default="ddim", metavar="NAME", help="one of `samplerzoo list`  [default: ddim]"
)
plugin_flag = click.Option(
    ["--plugin"], multiple=True, metavar="FILE", help="Python file with a plugin; may be repeated"
)

scale_flag = click.Option(
    [f"--{GUIDANCE_PREFIX}scale".replace("_", "-")],
    type=float,
    metavar="NUMBER",
    help="guidance_scale of a pipeline that guides by itself; for a guidance of samplerzoo, add --guidance",
)


def typed_so_far(command: click.Command, ctx: click.Context, args: list[str]) -> dict[str, Any]:
    """Parse the flags of a command line that are known so far, and skip the others."""
    ctx.ignore_unknown_options = True
    typed, _, _ = command.make_parser(ctx).parse_args(list(args))
    ctx.ignore_unknown_options = False
    return dict(typed)


def unknown_flag(flag: str, chosen: Mapping[Kind, str | None], params: Sequence[click.Parameter], see: str) -> str:
    """Return the message for an unknown flag: which plugins have it, or which flag has the most similar name.

    Args:
        chosen: name of the plugin on the command line for each kind that the command takes, or None.
        params: all flags of the command.
        see: command that lists all flags.
    """
    option = flag.lstrip("-").replace("-", "_").removeprefix("no_")
    kind: Kind = "guidance" if option.startswith(GUIDANCE_PREFIX) else "sampler"
    field = option.removeprefix(GUIDANCE_PREFIX)
    having = registry.owners(kind, field) if kind in chosen else []
    name = chosen.get(kind)
    if having and name is None:
        return f"{flag} goes behind the {kind} that has it: {' or '.join(f'--{kind} {owner}' for owner in having)}"
    if having and name not in having:
        return f"{flag}: {registry.unknown_option(kind, str(name), field)}"
    known = [option for param in params for option in param.opts + param.secondary_opts]
    return f"no option {flag}{did_you_mean(flag, known)}; see `{see}`"


class PluginCommand(TellsRepeated):
    """Command with `--sampler`, perhaps `--guidance`, and the flags of the plugins that they name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from samplerzoo.cli.flags import flags

        typed = typed_so_far(self, ctx, args)
        for file in typed.get("plugin") or []:
            registry.load_file(file)
        chosen = self.chosen(ctx, typed)
        ctx.meta[SEE] = see = self.help_line(ctx, typed, chosen)
        ctx.meta[SECTIONS] = {
            f"Options of {name}": flags(registry.get(kind, name).load(), GUIDANCE_PREFIX * (kind == "guidance"))
            for kind, name in chosen.items()
            if name
        }
        if "guidance" in chosen and chosen["guidance"] is None:
            ctx.meta[SECTIONS]["Options of a whole pipeline"] = [scale_flag]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise UsageError(unknown_flag(error.option_name, chosen, self.get_params(ctx), see)) from error

    def chosen(self, ctx: click.Context, typed: dict[str, Any]) -> dict[Kind, str | None]:
        """Return the name of the plugin for each kind whose flags the command takes; None if the user chose none."""
        found: dict[Kind, str | None] = {"sampler": typed.get("sampler", sampler_flag.default)}
        if "guidance" in [param.name for param in self.params]:
            found["guidance"] = typed.get("guidance") or None
        return found

    def help_line(self, ctx: click.Context, typed: dict[str, Any], chosen: Mapping[Kind, str | None]) -> str:
        """Return the command line that lists all flags, including those of the plugins."""
        files = [word for file in typed.get("plugin") or [] for word in ("--plugin", file)]
        named = [word for kind, name in chosen.items() if name for word in (f"--{kind}", name)]
        return shlex.join([*ctx.command_path.split(), *files, *named, "--help"])

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return super().get_params(ctx) + [flag for section in ctx.meta.get(SECTIONS, {}).values() for flag in section]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, options in {"Options": super().get_params(ctx), **ctx.meta[SECTIONS]}.items():
            with formatter.section(heading):
                records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
                formatter.write_dl(records or [("none", "")])
