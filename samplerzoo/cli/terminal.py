"""Terminal: all that commands print goes through here, since some of it is text from files."""

from __future__ import annotations

import click

from samplerzoo.trust.markup import visible


def show(text: object) -> None:
    """Print text on stdout. Control characters are made visible, so that the terminal does not obey them."""
    click.echo(visible(str(text), lines=True))
