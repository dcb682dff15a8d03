"""A benchmark folder as a page: report.md, its plots and pictures, and results.csv. No figure is typed by hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pandas import DataFrame

from samplerzoo.bench.results import EXACT, RESULTS_FILE, Protocol, Row, read_some, tabulate
from samplerzoo.markup import code, fenced, plain, tagged
from samplerzoo.report import plots, tables
from samplerzoo.report.errors import error_tables, section
from samplerzoo.report.findings import findings
from samplerzoo.report.gallery import save_gallery
from samplerzoo.report.line_names import Axis, settings
from samplerzoo.report.series import (
    SEED,
    Floor,
    Spread,
    along,
    average,
    by_protocol,
    common_seeds,
    drop_lone_points,
    with_seconds,
)
from samplerzoo.system.files import atomic_file

REPORT_FILE, CSV_FILE = "report.md", "results.csv"

COMMON = ("spacing", "clip_x0", "dtype")
"""Settings that stand with the protocol if all rows agree. If not, they are in the names of the rows."""

GALLERIES: dict[Axis, str] = {"steps": "pictures", "scale": "pictures-guidance"}
"""Name of the sheet of pictures along each axis."""

MOST_NAMES = 4

LONGEST = 100
"""Letters of the name of a file; disks take 255 bytes."""


def write_report(folder: Path) -> Path:
    """Write the report of what a benchmark folder holds by now.

    Returns:
        Path of report.md.

    Raises:
        UsageError: the folder holds no rows.
    """
    every = read_some(folder)
    with atomic_file(folder / CSV_FILE) as partial:
        partial.write_text(_as_csv(every))
    models = [*dict.fromkeys(row.protocol.model for row in every)]
    errors = error_tables(folder, [row for row in every if row.error is not None])
    lines, sweeps = along(every, "steps"), along(every, "scale")
    parts = [
        f"# Samplers compared: {plain(', '.join(models))}",
        f"Every row of every table: [{CSV_FILE}]({CSV_FILE}) and [{RESULTS_FILE}]({RESULTS_FILE}).",
        *(part for table in errors for part in section(table)),
        *_protocols(_measured(lines), _measured(sweeps), folder),
        *_pictures(lines, sweeps, folder),
        *_colophon(lines),
    ]
    with atomic_file(folder / REPORT_FILE) as partial:
        partial.write_text("\n\n".join(filter(None, parts)) + "\n")
    return folder / REPORT_FILE


def _measured(rows: DataFrame) -> DataFrame:
    """Leave out the rows of errors."""
    return rows.loc[[row.metrics is not None for row in rows["row"]]]


def _as_csv(rows: Sequence[Row]) -> str:
    """Write the frame of the rows with all digits; a list is JSON."""
    frame = tabulate(rows)
    for name in frame.select_dtypes("object"):
        frame[name] = [json.dumps(value) if isinstance(value, list) else value for value in frame[name]]
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _protocols(lines: DataFrame, sweeps: DataFrame, folder: Path) -> Iterator[str]:
    """Write a section for each set of rows that can be compared."""
    stems: set[str] = set()
    for protocol, own in by_protocol(lines).items():
        stem = _stem(protocol, stems)
        stems.add(stem)
        yield from _section(protocol, own, sweeps[sweeps.index.isin(own.index)], folder, stem)


def _section(protocol: Protocol, rows: DataFrame, sweeps: DataFrame, folder: Path, stem: str) -> Iterator[str]:
    """Write what the rows of one protocol say: findings, plots, tables, and how they were measured.

    Args:
        rows: all rows of the protocol, along the steps.
        sweeps: those of them with a guidance scale, along it.
        stem: start of the plots' file names.
    """
    rows, machine = with_seconds(rows)
    points, scales, spread, floor = average(rows), average(sweeps), Spread.of(rows), _floor(rows)
    yield f"## {plain(protocol.model)}: {plain(protocol.metric)}"
    yield _measure(protocol)
    yield "\n".join(f"- {sentence}" for sentence in findings(rows, points, spread, floor))
    names = plots.plot_guidance(protocol, floor, scales, folder, stem)
    names += plots.plot_distances(protocol, floor, points, machine, folder, stem)
    yield from (f"![{_alt(name, stem, protocol)}]({name})" for name in names)
    if len(drop_lone_points(scales)):
        yield f"Distance by guidance scale{_reading(scales, spread)}:"
        yield tables.pivot(scales, spread, floor)
    if len(drop_lone_points(points)) or scales.empty:
        yield f"Distance by number of steps{_reading(points, spread)}:"
        yield tables.pivot(points, spread, floor)
    for title, table in tables.option_tables(points, spread):
        yield f"Distance by {plain(title)} and number of steps, all else equal:\n\n{table}"
    near = tables.near_table(points)
    if near and protocol.features != EXACT:
        yield f"Steps that each needs (≥: more steps than were measured may lower it further):\n\n{near}"
    orders = tables.order_table(points)
    if orders:
        yield f"Order of convergence, measured in float64 between two noisy levels:\n\n{orders}"
    yield _folded(f"All figures of {protocol.metric}", tables.full_table(points, protocol.metric))
    yield _folded("Protocol", _protocol_block(protocol, rows))


def _measure(protocol: Protocol) -> str:
    """Say in a sentence what is measured, for readers who do not open the protocol."""
    if protocol.features == EXACT:
        return (
            "Fréchet distance between the exact distribution of what a sampler makes and that of the data: no images, "
            "no network and no chance. Lower is better."
        )
    against = f" of {protocol.reference_images:,} images" if protocol.reference_images is not None else ""
    text = f"Fréchet distance of {protocol.images:,} images to {code(protocol.reference)}{against}; lower is better."
    if not protocol.metric.startswith("fid@"):
        text += f" The features are those of {code(protocol.features)}: not comparable with published FIDs."
    return text


def _reading(points: DataFrame, spread: Spread) -> str:
    """Say what is in bold in a table of these points."""
    if points.index.get_level_values("line").nunique() == 1:
        return ""
    return ", in bold the lowest of its column" + (" and what is equal to it" if spread.ratio else "")


def _floor(rows: DataFrame) -> Floor | None:
    """Average the distance of real images over seeds: their labels depend on the seed."""
    floors = rows.dropna(subset="metrics.floor").groupby(SEED)["metrics.floor"].last()
    if floors.empty:
        return None
    compared = floors[floors.index.isin(common_seeds(rows) or floors.index)]
    return Floor(compared.mean(), floors.std()) if len(compared) else None


def _protocol_block(protocol: Protocol, rows: DataFrame) -> str:
    """Table all that the rows have in common."""
    values: dict[str, Any] = {name: value for name, value in protocol.model_dump().items() if value is not None}
    for field in COMMON:
        if rows[f"recipe.{field}"].nunique(dropna=False) == 1:
            values[field] = rows[f"recipe.{field}"].iloc[0]
    values["seeds"] = ", ".join(map(str, sorted(rows[SEED].unique())))
    values |= _constants(rows)
    return tables.markdown(["", ""], [[plain(name), code(str(value))] for name, value in values.items()], texts=2)


def _constants(rows: DataFrame) -> dict[str, str]:
    """Collect the options that are the same in all rows of their sampler or guidance, and so in no name."""
    values: dict[str, set[str]] = {}
    for row in rows["row"]:
        for field, value in settings(row.recipe).items():
            if "." in field:
                values.setdefault(field, set()).add(str(value))
    found: dict[str, list[str]] = {}
    for field, texts in values.items():
        owner, _, option = field.rpartition(".")
        if len(texts) == 1 and texts != {"None"}:
            found.setdefault(owner, []).append(f"{option} {texts.pop()}")
    return {owner: ", ".join(texts) for owner, texts in found.items()}


def _stem(protocol: Protocol, taken: set[str]) -> str:
    """Begin the names of a protocol's plots: fd_mnist-2000, or with -2 behind it where another has that."""
    base = re.sub(r"[^A-Za-z0-9_.]+", "-", protocol.metric).strip("-.")[:LONGEST] or "metric"
    return next(name for k in range(1, len(taken) + 2) if (name := base if k == 1 else f"{base}-{k}") not in taken)


def _alt(name: str, stem: str, protocol: Protocol) -> str:
    """Describe a plot by its file name."""
    kind = name.removeprefix(f"{stem}-").removesuffix(".png")
    if kind == "guidance":
        return f"Guidance scale against {plain(protocol.metric)} and the other metrics"
    return f"{plain(protocol.metric)} against {kind}"


def _folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{tagged(title)}</summary>\n\n{content}\n\n</details>"


def _pictures(lines: DataFrame, sweeps: DataFrame, folder: Path) -> Iterator[str]:
    """Show the first images of each model's rows, by steps and by guidance scale."""
    found = []
    for index, model in enumerate(lines["protocol.model"].unique()):
        tail = f"-{index + 1}" if index else ""
        for axis, rows in _shown(lines, sweeps, model).items():
            name = f"{GALLERIES[axis]}{tail}.png"
            if save_gallery(rows, axis, folder, name):
                found.append(f"![{plain(model)}: pictures by {axis}]({name})")
    if found:
        yield "## Pictures"
        labels = {row.protocol.labels for row in lines["row"]}
        alike = " and the same labels" if len(labels) == 1 and None not in labels else ""
        yield f"The first images of every row: the same noise{alike} in all of them."
        yield from found


def _shown(lines: DataFrame, sweeps: DataFrame, model: str) -> dict[Axis, DataFrame]:
    """Select a model's rows on lines with two places or more, by axis; all rows by steps if no line has."""
    tables: dict[Axis, DataFrame] = {"steps": lines, "scale": sweeps}
    own = {axis: rows[rows["protocol.model"] == model] for axis, rows in tables.items()}
    swept = {axis: rows[rows.groupby("line", observed=True)["place"].transform("nunique") > 1]
             for axis, rows in own.items()}  # fmt: skip
    return {axis: rows for axis, rows in swept.items() if len(rows)} or {"steps": own["steps"]}


def _colophon(rows: DataFrame) -> Iterable[str]:
    """List warnings, commands, machines and versions."""
    warned = rows.explode("warnings").dropna(subset="warnings")
    if len(warned):
        yield "## Warnings"
        texts = warned.groupby("warnings", sort=False)
        yield "\n".join(f"- {plain(text)} ({_names(found, len(rows))})" for text, found in texts)
    yield "## Made with"
    commands = [command for command in rows["command"].unique() if command]
    if commands:
        yield fenced("\n".join(commands), "sh")
    machines = Counter(row.speed.machine for row in rows["row"] if row.speed is not None)
    if machines:
        yield tables.markdown(
            ["device", "threads", "processes", "images at once", "compiled", "layout", "rows"],
            [
                [
                    plain(machine.device),
                    *map(str, (machine.threads, machine.processes, machine.batch_size)),
                    "yes" if machine.compiled else "no",
                    "the compiler's" if machine.compiled else plain(machine.layout.replace("_", " ")),
                    str(count),
                ]
                for machine, count in machines.items()
            ],
        )
    if len(machines) > 1:
        yield "Rows that were not timed in the same way: their speeds cannot be compared."
    versions = rows.filter(regex=r"^versions\.")
    if len(versions.columns):
        body = [
            [plain(name.removeprefix("versions.")), plain(", ".join(versions[name].dropna().unique()))]
            for name in versions
        ]
        yield _folded("Versions", tables.markdown(["", ""], body, texts=2))


def _names(some: DataFrame, every: int) -> str:
    """Name some rows, or say how many of all they are."""
    if len(some) == every:
        return "all rows"
    points = some[["line", "place"]].drop_duplicates().sort_values(["line", "place"])
    names = [f"{plain(line)} at {steps:g} steps" for line, steps in points.itertuples(index=False)]
    return "; ".join(names) if len(names) <= MOST_NAMES else f"{len(some)} of {every} rows"
