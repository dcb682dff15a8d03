"""Flags of `bench`: lists that multiply out, and options that belong to the sampler before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from samplerzoo import registry
from samplerzoo.cli.flags import FieldType, flags, given
from samplerzoo.cli.plugin_flags import typed_so_far, unknown_flag
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.errors import UsageError, ZooError

ROWS = f"{__name__}.rows"
"""Key in a context's meta: the rows of the command line."""

FLAG = "--sampler"


class Several(click.ParamType):
    """Type of a flag with comma-separated values, each validated by the field."""

    def __init__(self, one: FieldType) -> None:
        self.name = f"{one.name},..."
        self.one = one

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return [self.one.convert(part.strip(), param, ctx) for part in value.split(",")]


def several(options: Sequence[click.Option], single: Sequence[str] = ()) -> list[click.Option]:
    """Let flags take any number of values, except for flags in `single` and flags whose value is a list already."""
    for option in options:
        if isinstance(option.type, FieldType) and not option.type.known.is_list and option.name not in single:
            option.type = Several(option.type)
            option.metavar = f"{option.metavar},..."
    return list(options)


@dataclass(frozen=True)
class Segment:
    """Words of a command line from one --sampler to the next."""

    samplers: list[str]
    words: list[str]


class SweepCommand(TellsRepeated):
    """Command with any number of `--sampler`, each followed by options of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for file in typed_so_far(self, ctx, args).get("plugin") or []:  # before parsing, since plugins define flags
            registry.load_file(file)
        words, segments = _split(args)
        rows = []
        for segment in segments:
            row, rest = _row(ctx, segment)
            rows.append(row)
            words += rest
        ctx.meta[ROWS] = rows
        try:
            return super().parse_args(ctx, words)
        except click.NoSuchOption as error:
            raise UsageError(self._explain(ctx, error.option_name, segments)) from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return super().get_params(ctx) + _guidance_flags()

    def _explain(self, ctx: click.Context, flag: str, segments: Sequence[Segment]) -> str:
        """Return the message for a flag that the sampler before it does not have; see `unknown_flag`."""
        mine = [it for it in segments if any(word.partition("=")[0].replace("_", "-") == flag for word in it.words)]
        params = self.get_params(ctx) + [option for it in mine for option in _sampler_flags(it.samplers)]
        params.append(click.Option([FLAG]))
        return unknown_flag(
            flag, {"sampler": mine[0].samplers[0] if mine else None}, params, f"{ctx.command_path} --help"
        )


def _split(args: Sequence[str]) -> tuple[list[str], list[Segment]]:
    """Split a command line into the words before the first sampler, and those of each sampler."""
    head: list[str] = []
    segments: list[Segment] = []
    words = iter(args)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag != FLAG:
            (segments[-1].words if segments else head).append(word)
            continue
        names = value if equals else next(words, "")
        if not names or names.startswith("-"):
            raise UsageError(f"{FLAG} needs a name; `samplerzoo list` has them")
        segments.append(Segment([name.strip() for name in names.split(",")], []))
    return head, segments


def _row(ctx: click.Context, segment: Segment) -> tuple[dict[str, Any], list[str]]:
    """Parse the flags of a segment's samplers. Return the row, and the other words in their order."""
    own = TellsRepeated("bench", params=[*_sampler_flags(segment.samplers)], add_help_option=False)
    found = own.make_context(
        ctx.command_path,
        list(segment.words),
        ignore_unknown_options=True,
        allow_extra_args=True,
        token_normalize_func=ctx.token_normalize_func,
    )
    return {"sampler": segment.samplers, **given(found.params)}, found.args


def _sampler_flags(names: Sequence[str]) -> list[click.Option]:
    """Return the flags of several samplers, each once."""
    found = [option for name in names for option in several(flags(registry.get("sampler", name).load()))]
    return [*{option.name: option for option in reversed(found)}.values()][::-1]


def _guidance_flags() -> list[click.Parameter]:
    """Return the flags of every guidance, since the suite's file may name the guidance."""
    found: dict[str | None, click.Parameter] = {}
    for plugin in registry.plugins("guidance"):
        try:
            options = several(flags(plugin.load(), GUIDANCE_PREFIX))
        except ZooError:  # a broken plugin matters only if it is named, and is reported then
            continue
        for option in options:
            found.setdefault(option.name, option)
    return list(found.values())
