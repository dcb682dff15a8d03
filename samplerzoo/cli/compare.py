"""`samplerzoo compare DIR DIR ...`: benchmarks beside each other."""

from __future__ import annotations

from pathlib import Path

import click

from samplerzoo.cli.terminal import show


@click.command("compare")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(folders: tuple[Path, ...]) -> None:
    """Show the rows of several FOLDERs of `samplerzoo bench` beside each other.

    A table holds figures of one protocol only. Where protocols differ, the differences are listed.
    """
    from samplerzoo.report.compare import compare

    show(compare(folders))
