"""Commands that say which of two values counts, where a flag is given twice."""

from __future__ import annotations

import os
from collections import Counter

import click

from samplerzoo.errors import UsageError


class TellsRepeated(click.Command):
    """Command in which the last of two values counts, as people expect who override what an alias has, and is told.

    A list is refused: whoever gives two values to a flag that takes several means both.
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
