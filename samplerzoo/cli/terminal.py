"""The terminal: what commands print goes through here, since some of it is text from files."""

from __future__ import annotations

import click

from samplerzoo.trust.markup import visible


def show(text: object) -> None:
    """Print text on stdout. Control characters in it are shown, and not obeyed."""
    click.echo(visible(str(text), lines=True))
