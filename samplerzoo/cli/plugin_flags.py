"""Commands whose flags depend on the sampler and the guidance that their line names."""

from __future__ import annotations

from typing import Any

import click

from samplerzoo import registry
from samplerzoo.errors import UsageError, did_you_mean
from samplerzoo.registry import GUIDANCE_PREFIX, Kind

SECTIONS = f"{__name__}.sections"
"""Where the context keeps the plugins' flags: heading -> options."""

sampler_flag = click.Option(
    ["--sampler"], default="ddim", metavar="NAME", help="one of `samplerzoo list`  [default: ddim]"
)
plugin_flag = click.Option(
    ["--plugin"], multiple=True, metavar="FILE", help="Python file with a plugin; may be repeated"
)


def typed_so_far(command: click.Command, ctx: click.Context, args: list[str]) -> dict[str, Any]:
    """What the line says by the flags that are known already, the others passed over."""
    ctx.ignore_unknown_options = True
    typed, _, _ = command.make_parser(ctx).parse_args(list(args))
    ctx.ignore_unknown_options = False
    return dict(typed)


class PluginCommand(click.Command):
    """Has `--sampler`, perhaps `--guidance`, and all flags of those that are named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from samplerzoo.cli.flags import flags

        chosen = self._peek(ctx, args)
        for file in chosen["plugin"]:
            registry.load_file(file)
        sections = {f"Options of {chosen['sampler']}": flags(registry.get("sampler", chosen["sampler"]).load())}
        if chosen["guidance"]:
            guidance = registry.get("guidance", chosen["guidance"]).load()
            sections[f"Options of {chosen['guidance']}"] = flags(guidance, GUIDANCE_PREFIX)
        ctx.meta[SECTIONS] = sections
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise UsageError(self._explain(ctx, error.option_name, chosen)) from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return super().get_params(ctx) + [flag for section in ctx.meta.get(SECTIONS, {}).values() for flag in section]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, options in {"Options": super().get_params(ctx), **ctx.meta[SECTIONS]}.items():
            with formatter.section(heading):
                records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
                formatter.write_dl(records or [("none", "")])

    def _peek(self, ctx: click.Context, args: list[str]) -> dict[str, Any]:
        """What the line says of plugins, read before their flags are known."""
        typed = typed_so_far(self, ctx, args)
        names = [param.name for param in self.params]
        return {
            "sampler": typed.get("sampler", sampler_flag.default),
            "guidance": typed.get("guidance") if "guidance" in names else None,
            "plugin": typed.get("plugin", []),
        }

    def _explain(self, ctx: click.Context, flag: str, chosen: dict[str, Any]) -> str:
        """Whose flag it is, or else which it is nearest to."""
        option = flag.lstrip("-").replace("-", "_").removeprefix("no_")
        kind: Kind = "guidance" if option.startswith(GUIDANCE_PREFIX) else "sampler"
        field = option.removeprefix(GUIDANCE_PREFIX)
        having = registry.owners(kind, field)
        if having and kind == "guidance" and not chosen["guidance"]:
            return f"{flag} is an option of a guidance: add {' or '.join(f'--guidance {name}' for name in having)}"
        if having and chosen[kind] not in having:
            return f"{flag}: {registry.unknown_option(kind, chosen[kind], field)}"
        known = [name for param in self.get_params(ctx) for name in param.opts + param.secondary_opts]
        return f"no option {flag}{did_you_mean(flag, known)}; see `{ctx.command_path} --sampler NAME --help`"
