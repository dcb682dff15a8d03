"""`samplerzoo report DIR`: a benchmark as a page."""

from __future__ import annotations

from pathlib import Path

import click

from samplerzoo.cli.paths import PATH
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.shared_flags import baseline_flag
from samplerzoo.cli.terminal import show

flags: list[click.Parameter] = [click.Argument(["folder"], type=PATH), baseline_flag]


@click.command("report", cls=TellsRepeated, params=flags)
def command(folder: Path, baseline: str | None) -> None:
    """Write report.md, its plots, results.csv and report.html from the rows in a FOLDER of `samplerzoo bench`.

    report.html is for a browser, works offline, and needs plotly: filter rows, choose the baseline by a click, and look
    at the pictures of a row beside the baseline's.

    `bench` does so when it ends. This command writes the report again, also while a benchmark is running.
    """
    from samplerzoo.report.page import make_report

    show(make_report(folder, baseline))
