"""`samplerzoo report DIR`: a benchmark as a page."""

from __future__ import annotations

from pathlib import Path

import click

from samplerzoo.cli.terminal import show


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write report.md, its plots and results.csv from the rows in a FOLDER of `samplerzoo bench`.

    `bench` does so when it ends. This command writes the report again, also while a benchmark is running.
    """
    from samplerzoo.report.page import write_report

    show(write_report(folder))
