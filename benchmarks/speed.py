"""Speed of samplerzoo: `python benchmarks/speed.py [SECTION ...]` measures and writes benchmarks/reports/speed.

Each section is a file in benchmarks/measure. The machine must do nothing else. `peers` needs azula
(`pip install --no-deps azula einops`).
"""

from __future__ import annotations

import importlib
from pathlib import Path

import click
from measure import report

from samplerzoo.system.memory import keep_freed_memory

FOLDER = Path(__file__).parent / "reports" / "speed"


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice([*report.TITLES]))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
def command(sections: tuple[str, ...], output: Path) -> None:
    """Measure these SECTIONS, or all, and write the report."""
    keep_freed_memory()  # as the command line of samplerzoo does; peers in this process have it, too
    for section in sections or report.TITLES:
        figures = importlib.import_module(f"measure.{section}").measure()
        report.write(output, section, figures)
        for figure in figures:
            click.echo(f"{section}  {figure.median:.4g} {figure.unit}  {figure.bar}  {figure.what}")
    click.echo(report.render(output))


if __name__ == "__main__":
    command()
