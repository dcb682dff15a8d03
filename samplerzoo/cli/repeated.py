"""Command class that handles a flag given twice."""

from __future__ import annotations

import os
from collections import Counter

import click

from samplerzoo.errors import UsageError


class TellsRepeated(click.Command):
    """Command that takes the last value of a flag given twice, and says so on stderr.

    So a value on the command line overrides that of a shell alias. A flag that takes a list is refused instead, since
    the user probably wants both values.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed, _, order = self.make_parser(ctx).parse_args(list(args))
        for param, times in Counter(order).items():
            if not isinstance(param, click.Option) or param.multiple or param.is_flag or times == 1:
                continue
            if (param.metavar or "").endswith(",..."):
                raise UsageError(f"{param.opts[0]} is given twice: write its values with commas between them")
            if os.environ.get("RANK", "0") == "0":
                click.echo(
                    f"samplerzoo: {param.opts[0]} is given twice; the last counts, {typed[param.name]}", err=True
                )
        return super().parse_args(ctx, args)
