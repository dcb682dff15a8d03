"""A benchmark folder as a page: report.md, its plots and pictures, and results.csv. No figure is typed by hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from samplerzoo.bench.results import EXACT, RESULTS_FILE, Protocol, Row, by_protocol, read
from samplerzoo.errors import UsageError
from samplerzoo.report import findings as words
from samplerzoo.report import gallery, plots, tables
from samplerzoo.report.series import Axis, Estimate, Line, Lines, Spread, estimated
from samplerzoo.system.files import atomic_file

REPORT_FILE, CSV_FILE = "report.md", "results.csv"

COMMON = ("spacing", "clip_x0", "dtype")
"""What is said with the protocol if it is one for all rows; if not, it is in their names."""

GALLERIES: dict[Axis, str] = {"steps": "pictures", "scale": "pictures-guidance"}
MOST_NAMES = 4


def write(folder: Path) -> Path:
    """The report of what the folder holds by now; returns report.md.

    Raises:
        UsageError: it holds no rows.
    """
    rows = [*{row.key: row for row in read(folder)}.values()]
    if not rows:
        raise UsageError(f"{folder} holds no {RESULTS_FILE} with rows; `samplerzoo bench -o {folder}` makes it")
    with atomic_file(folder / CSV_FILE) as partial:
        partial.write_text(tables.as_csv(rows))
    models = [*dict.fromkeys(row.protocol.model for row in rows)]
    parts = [
        f"# Samplers compared: {', '.join(models)}",
        f"Every row of every table: [{CSV_FILE}]({CSV_FILE}) and [{RESULTS_FILE}]({RESULTS_FILE}).",
        *_protocols(rows, folder),
        *_pictures(rows, models, folder),
        *_colophon(rows),
    ]
    with atomic_file(folder / REPORT_FILE) as partial:
        partial.write_text("\n\n".join(filter(None, parts)) + "\n")
    return folder / REPORT_FILE


def _protocols(rows: Sequence[Row], folder: Path) -> Iterable[str]:
    """A section for each set of rows that can be compared."""
    along, scales = Lines(rows), Lines(rows, "scale")
    stems: set[str] = set()
    for protocol, own in by_protocol(rows).items():
        stem = _stem(protocol, stems)
        yield from _section(protocol, along.of(own), scales.of(own), folder, stem)


def _section(
    protocol: Protocol, lines: Sequence[Line], sweeps: Sequence[Line], folder: Path, stem: str
) -> Iterable[str]:
    spread = Spread.of(point for line in lines for point in line.points)
    floor = _floor(lines)
    yield f"## {protocol.model}: {protocol.metric}"
    yield _what(protocol)
    yield "\n".join(f"- {sentence}" for sentence in words.about(lines, sweeps, spread, floor))
    names = plots.guidance(protocol, floor, sweeps, folder, stem)
    names += plots.distances(protocol, floor, lines, folder, stem)
    yield from (f"![{_alt(name, stem, protocol)}]({name})" for name in names)
    if any(len(line.points) > 1 for line in sweeps):
        yield f"Distance by guidance scale{_reading(sweeps, spread)}:"
        yield tables.pivot(sweeps, spread, floor, axis="scale")
    if any(len(line.points) > 1 for line in lines) or not sweeps:
        yield f"Distance by number of steps{_reading(lines, spread)}:"
        yield tables.pivot(lines, spread, floor)
    for title, table in tables.eta_tables(lines, spread).items():
        yield f"In the form of Table 1 of the DDIM paper, {title}:\n\n{table}"
    near = tables.near_table(lines)
    if near and protocol.features != EXACT:
        yield f"How many steps each needs (≥: it may fall further with more than were measured):\n\n{near}"
    orders = tables.order_table(lines)
    if orders:
        yield f"Order of convergence, measured in float64 between two noisy levels:\n\n{orders}"
    yield _folded(f"All figures of {protocol.metric}", tables.full(lines, protocol.metric))
    yield _folded("Protocol", _protocol_block(protocol, lines))


def _what(protocol: Protocol) -> str:
    """The protocol in a sentence, for who does not open the block."""
    if protocol.features == EXACT:
        return (
            "Fréchet distance between the exact distribution of what a sampler makes and that of the data: no images, "
            "no network and no chance. Lower is better."
        )
    against = f" of {protocol.reference_images:,} images" if protocol.reference_images is not None else ""
    text = f"Fréchet distance of {protocol.images:,} images to `{protocol.reference}`{against}; lower is better."
    if not protocol.metric.startswith("fid@"):
        text += f" The features are those of `{protocol.features}`: not comparable with published FIDs."
    return text


def _reading(lines: Sequence[Line], spread: Spread) -> str:
    if len(lines) == 1:
        return ""
    return ", in bold the lowest of its column" + (" and what is equal to it" if spread.ratio else "")


def _floor(lines: Sequence[Line]) -> Estimate | None:
    """That of as many real images; their labels depend on the seed, and so does it."""
    points = [point for line in lines for point in line.points]
    compared, every = (
        {row.recipe.seed: row.metrics.floor for row in rows if row.metrics.floor is not None}
        for rows in ([row for p in points for row in p.rows], [row for p in points for row in p.every])
    )
    return estimated([*compared.values()], [*every.values()]) if compared else None


def _protocol_block(protocol: Protocol, lines: Sequence[Line]) -> str:
    values: dict[str, Any] = {name: value for name, value in protocol.model_dump().items() if value is not None}
    for field in COMMON:
        found = {line.settings[field] for line in lines}
        if len(found) == 1:
            values[field] = found.pop()
    values["seeds"] = ", ".join(map(str, sorted({
        row.recipe.seed for line in lines for point in line.points for row in point.every
    })))  # fmt: skip
    values |= _constants(lines)
    return tables.markdown(["", ""], [[name, f"`{value}`"] for name, value in values.items()], texts=2)


def _constants(lines: Sequence[Line]) -> dict[str, str]:
    """Options of samplers and guidances that are one for all rows, and so in no name."""
    found: dict[str, dict[str, set[str]]] = {}
    for line in lines:
        for field, value in line.settings.items():
            kind, _, option = field.partition(".")
            if option:
                text = "" if value is None else f"{option} {value}"
                found.setdefault(f"{kind} {line.settings[kind]}", {}).setdefault(option, set()).add(text)
    said = {
        owner: [text for text, *others in options.values() if text and not others] for owner, options in found.items()
    }
    return {owner: ", ".join(words) for owner, words in said.items() if words}


def _stem(protocol: Protocol, taken: set[str]) -> str:
    """Of the names of a protocol's plots: fd_mnist-2000, or with -2 behind it where another has that."""
    base = re.sub(r"[^A-Za-z0-9_.]+", "-", protocol.metric).strip("-")
    stem = next(name for k in range(1, len(taken) + 2) if (name := base if k == 1 else f"{base}-{k}") not in taken)
    taken.add(stem)
    return stem


def _alt(name: str, stem: str, protocol: Protocol) -> str:
    kind = name.removeprefix(f"{stem}-").removesuffix(".png")
    if kind == "guidance":
        return f"Guidance scale against {protocol.metric} and the other metrics"
    return f"{protocol.metric} against {kind}"


def _folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{content}\n\n</details>"


def _pictures(rows: Sequence[Row], models: Sequence[str], folder: Path) -> Iterator[str]:
    """What the first images look like, under steps and under guidance."""
    found = []
    for place, model in enumerate(models):
        own = [row for row in rows if row.protocol.model == model]
        tail = f"-{place + 1}" if place else ""
        for axis, lines in _shown(rows, own).items():
            name = f"{GALLERIES[axis]}{tail}.png"
            if gallery.save(lines, axis, folder, name):
                found.append(f"![{model}: pictures by {axis}]({name})")
    if found:
        yield "## Pictures"
        labels = {row.protocol.labels for row in rows}
        alike = " and the same labels" if len(labels) == 1 and None not in labels else ""
        yield f"The first images of every row: the same noise{alike} in all of them."
        yield from found


def _shown(rows: Sequence[Row], own: Sequence[Row]) -> dict[Axis, list[Line]]:
    """The lines that go anywhere; all of them in one column, if none does."""
    axes: tuple[Axis, ...] = ("steps", "scale")
    found = {axis: [line for line in Lines(rows, axis).of(own) if len(line.points) > 1] for axis in axes}
    return {axis: lines for axis, lines in found.items() if lines} or {"steps": Lines(rows).of(own)}


def _colophon(rows: Sequence[Row]) -> Iterator[str]:
    """Warnings, machines, versions, and the command."""
    warnings: dict[str, list[Row]] = {}
    for row in rows:
        for text in row.warnings:
            warnings.setdefault(text, []).append(row)
    if warnings:
        yield "## Warnings"
        yield "\n".join(f"- {text} ({_rows(found, rows)})" for text, found in warnings.items())
    yield "## Made with"
    commands = [*dict.fromkeys(row.command for row in rows if row.command)]
    if commands:
        yield "```sh\n" + "\n".join(commands) + "\n```"
    machines = Counter(row.speed.machine for row in rows if row.speed is not None)
    if machines:
        yield tables.markdown(
            ["device", "threads", "processes", "images at once", "compiled", "layout", "rows"],
            [
                [
                    *map(str, (machine.device, machine.threads, machine.processes, machine.batch_size)),
                    "yes" if machine.compiled else "no",
                    "the compiler's" if machine.compiled else machine.layout.replace("_", " "),
                    str(count),
                ]
                for machine, count in machines.items()
            ],
        )
    if len(machines) > 1:
        yield "Rows that were not timed in the same way: their speeds cannot be compared."
    versions: dict[str, dict[str, None]] = {}
    for row in rows:
        for package, version in row.versions.items():
            versions.setdefault(package, {})[version] = None
    if versions:
        yield _folded("Versions", tables.markdown(["", ""], [[n, ", ".join(v)] for n, v in versions.items()], texts=2))


def _rows(some: Sequence[Row], rows: Sequence[Row]) -> str:
    """Which they are, or how many."""
    if len(some) == len(rows):
        return "all rows"
    names = [f"{line.name} at {steps:g} steps" for line in Lines(rows).of(some) for steps in tables.places_of([line])]
    return "; ".join(names) if len(names) <= MOST_NAMES else f"{len(some)} of {len(rows)} rows"
