"""Flags that are made from the fields of plugins."""

from __future__ import annotations

from typing import Any, Literal

import click
import pytest
from pydantic import Field, PositiveInt, model_validator

from samplerzoo.cli.flags import flags, given, validated
from samplerzoo.errors import UsageError
from samplerzoo.fields import facts
from samplerzoo.options import Options


class Everything(Options):
    eta: float = Field(0.5, ge=0, le=1, description="how much")
    size: PositiveInt | None = Field(None, description="how large")
    kind: Literal["small", "large"] = Field("small", description="which")
    channels: Literal[1, 3] | None = Field(None, description="grey or colour")
    widths: tuple[PositiveInt, ...] = Field((8, 16), description="of the levels")
    random_flip: bool = Field(False, description="mirror")
    conditional: bool | None = Field(None, description="or not")
    name: str = Field(description="must be given")

    @model_validator(mode="after")
    def _together(self) -> Everything:
        if self.kind == "large" and self.size == 1:
            raise ValueError("large and 1 do not go together")
        return self


def parse(*words: str, prefix: str = "") -> dict[str, Any]:
    command = click.Command("test", params=[*flags(Everything, prefix)])
    return given(command.make_context("test", list(words)).params)


def test_values_come_with_their_types() -> None:
    words = "--name x --eta 1 --size 3 --kind large --channels 3 --widths 4,5,6 --random-flip --no-conditional".split()
    assert parse(*words) == {
        "name": "x", "eta": 1.0, "size": 3, "kind": "large", "channels": 3, "widths": (4, 5, 6), "random_flip": True,
        "conditional": False,
    }  # fmt: skip


def test_what_is_not_typed_is_left_to_the_field() -> None:
    assert parse("--name", "x") == {"name": "x"}
    assert validated(Everything, parse("--name", "x")) == Everything(name="x")


def test_a_prefix_stands_before_flag_and_value() -> None:
    assert parse("--guidance-name", "x", "--guidance-random-flip", prefix="guidance_") == {
        "guidance_name": "x",
        "guidance_random_flip": True,
    }


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--eta 2", "2 should be less than or equal to 1"),
        ("--eta nan", "nan should be a finite number"),
        ("--eta inf", "inf should be a finite number"),
        ("--size 0", "0 should be greater than 0"),
        ("--size 1.5", "valid integer"),
        ("--kind medium", "medium is none of small, large"),
        ("--channels 2", "2 is none of 1, 3"),
        ("--widths 1,0", "greater than 0"),
        ("--widths 1,,2", "valid integer"),
    ],
)
def test_bounds_hold_at_the_flag(words: str, text: str) -> None:
    with pytest.raises(click.BadParameter, match=text):
        parse("--name", "x", *words.split())


def test_a_missing_flag_is_named() -> None:
    with pytest.raises(click.MissingParameter) as error:
        parse()
    assert "--name" in error.value.format_message()


def test_options_that_do_not_go_together_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"^large and 1 do not go together$"):
        validated(Everything, parse("--name", "x", "--kind", "large", "--size", "1"))


def test_help_has_default_bounds_and_choices() -> None:
    command = click.Command("test", params=[*flags(Everything)])
    text = " ".join(command.get_help(click.Context(command)).split())
    assert "--eta NUMBER how much [default: 0.5; at least 0, at most 1]" in text
    assert "--size INTEGER how large [above 0]" in text
    assert "--kind small|large which [default: small]" in text
    assert "--widths INTEGER,... of the levels [default: 8,16; above 0]" in text
    assert "--random-flip / --no-random-flip mirror [default: no]" in text
    assert facts(Everything)["name"].required
