"""`samplerzoo compare DIR DIR ...`: show benchmarks side by side."""

from __future__ import annotations

from pathlib import Path

import click

from samplerzoo.cli.paths import FILE, PATH, check_suffix
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.terminal import show


@click.command("compare", cls=TellsRepeated)
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option("--html", type=FILE, help="write a page of all of them, too")
def command(folders: tuple[Path, ...], html: Path | None) -> None:
    """Show the rows of several FOLDERs of `samplerzoo bench` beside each other.

    A table holds figures of one protocol only. Where protocols differ, the differences are listed.
    """
    if html is not None:
        check_suffix(html, ".html", "the page")
    from samplerzoo.report import interactive
    from samplerzoo.report.compare import compare, distinct

    show(compare(folders))
    if html is not None:
        interactive.write_html(distinct(folders), html)
        show(html)
