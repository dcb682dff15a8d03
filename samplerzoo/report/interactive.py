"""A benchmark as one HTML file that works offline: filter the points, choose a baseline, look at the pictures.

The page contains its data and its scripts, and fetches nothing. Untrusted text is passed to it as JSON, and the page
shows it as text, never as markup.
"""

from __future__ import annotations

import base64
import importlib.resources
import importlib.util
import io
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samplerzoo import images
from samplerzoo.bench import shards
from samplerzoo.bench.evidence import Evidence, collect, gather_folders, influence_file, of_folder
from samplerzoo.bench.image_errors import gather_errors
from samplerzoo.bench.image_mean import standard_errors
from samplerzoo.bench.results import EXACT, Protocol, Row, read_some
from samplerzoo.errors import UsageError
from samplerzoo.images import Pixels
from samplerzoo.report import errors, tables
from samplerzoo.report.difference import EQUAL, ROUNDING, differences, distance_of
from samplerzoo.report.errors import by_seed, contrasts
from samplerzoo.report.image_table import FEW
from samplerzoo.report.line_names import name_lines, number, numbered, settings
from samplerzoo.report.series import Floor, along, columns, floor_of, rank
from samplerzoo.sampling.command import command_line
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.markup import unmarked

HTML_FILE = "report.html"

SHOWN, WORST = 16, 8
"""Number of first images of a row that the page shows, and number of images that add the most to its figure."""

TILE, ACROSS, GAP, GREY = 96, 8, 1, 136
"""Largest side of a picture in pixels, pictures side by side, and the pixels between them with their grey level."""

MOST_PICTURES = 24 * 2**20
"""Maximum size of all pictures in characters. Rows after it have no pictures, so that the page opens quickly."""

MOST_PAIRS = 400
"""Maximum number of points in a table for which the page holds the differences of all pairs, and their errors."""

MANY = f" More than {MOST_PAIRS} rows are compared as if they were independent, which tells less than the report does."
"""Sentence for a table with more points."""

MOST_BOOTSTRAPS = 80
"""Maximum number of points for which errors of images are compared across columns, too: each pair takes a bootstrap."""

DIGITS, ALL_DIGITS = 6, 17
"""Significant digits of most figures, and of the figures that decide which point is the lowest."""

Matrix = NDArray[np.float64]

Places = Sequence[tuple[Path, Row]]
"""Rows, each with the benchmark folder that it is from."""


def is_available() -> bool:
    """Return True if plotly, which draws the page's plots, is installed."""
    return importlib.util.find_spec("plotly") is not None


def write_html(folders: Sequence[Path], path: Path) -> None:
    """Write the page of a benchmark folder, or of several beside each other, without findings.

    Raises:
        UsageError: plotly is not installed, or a folder holds no rows.
    """
    found = [(folder, row) for folder in folders for row in read_some(folder)]
    alone = len(folders) == 1  # covariances kept of deleted cells include none with another folder's
    evidence = collect(folders[0], [row for _, row in found]) if alone else gather_folders(found)
    write_page(found, evidence, path, {})


class Baseline(NamedTuple):
    """Point that others are compared with: one of its cells, and whether a user asked for it."""

    cell: str
    named: bool


def write_page(
    found: Places,
    evidence: Mapping[Protocol, Evidence],
    path: Path,
    findings: Mapping[Protocol, Sequence[str]],
    baselines: Mapping[Protocol, Baseline] = MappingProxyType({}),
) -> None:
    """Write the page of these rows.

    Args:
        evidence: covariances of their figures, by protocol.
        findings: sentences of the report, by protocol.
        baselines: points that the others are compared with when the page opens, by protocol. The default is the
            cheapest row of the sampler and guidance that have the lowest figure.

    Raises:
        UsageError: plotly is not installed.
    """
    if not is_available():
        raise UsageError("plotly, which draws this page, is not installed: pip install plotly")
    folders = [*dict.fromkeys(folder for folder, _ in found)]
    measured = [pair for pair in found if pair[1].metrics is not None]
    with_errors = [pair for pair in found if pair[1].error is not None]
    pictures = _Pictures(MOST_PICTURES)
    compared = [
        _distances(protocol, spots, evidence.get(protocol, Evidence()), apart=len(folders) > 1)
        for protocol, spots in sorted(_spots(measured).items(), key=lambda each: rank(each[0]))
    ] + [
        _errors(protocol, [(folder, row) for folder, row in with_errors if row.protocol == protocol])
        for protocol in sorted(dict.fromkeys(row.protocol for _, row in with_errors), key=rank)
    ]
    sections = [_section(table, folders, findings, baselines.get(table.protocol), pictures) for table in compared]
    models = dict.fromkeys(row.protocol.model for _, row in found)
    for section, title in zip(sections, numbered([section["title"] for section in sections]), strict=True):
        section["title"] = title
    data = json.dumps({"title": ", ".join(models), "sections": sections}, allow_nan=False)
    template = importlib.resources.files("samplerzoo.report").joinpath("page.html").read_text(encoding="utf-8")
    head, _, rest = template.partition("/*plotly*/")
    middle, _, tail = rest.partition("/*data*/")
    with atomic_file(path) as partial:
        partial.write_text("".join([head, _plotly(), middle, data.replace("<", "\\u003c"), tail]), "utf-8")


def _plotly() -> str:
    """Read plotly's script without importing plotly, since the import takes longer than a report."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Spot:
    """Point of the plot: rows that differ in their seeds alone.

    Attributes:
        steps: steps of the sampler.
        rows: rows by seed.
    """

    folder: Path
    line: str
    steps: int
    rows: Mapping[int, Row]

    @property
    def cells(self) -> set[str]:
        return {row.cell for row in self.rows.values()}

    @property
    def row(self) -> Row:
        return next(iter(self.rows.values()))

    def mean(self, of_row: Callable[[Row], float | None]) -> float:
        """Return the mean over seeds; NaN if a row lacks the figure."""
        values = [of_row(row) for row in self.rows.values()]
        return math.nan if None in values else float(np.mean([value for value in values if value is not None]))


@dataclass(frozen=True, eq=False)
class Table:
    """Spots that can be compared, with the figure by which they are compared.

    Attributes:
        about: explanation of the figure, for readers who see such a page for the first time.
        measured: function that returns the figure of a spot; its standard error, NaN if not known; and the ends of its
            interval, if the interval is not symmetric about the figure.
        digits: significant digits of a figure without an interval.
        differences, their_errors: difference `one - other` of each pair of spots, and its standard error, both as
            (spots, spots); None for more than MOST_PAIRS spots.
        hurt: function that returns how much each image of a spot adds to its figure; None if not known.
        least: smallest difference that may be significant.
        rounding: largest difference that counts as none, as a share of the plain distance.
        agree: whether the other figures of each pair differ with the same sign, (spots, spots); None for more than
            MOST_PAIRS spots, or if there are no other figures.
    """

    protocol: Protocol
    measure: str
    about: str
    spots: Sequence[Spot]
    measured: Callable[[Spot], tuple[float, ...]]
    differences: Matrix | None
    their_errors: Matrix | None
    hurt: Callable[[Spot], Matrix | None]
    floor: Floor | None = None
    digits: int = tables.DIGITS
    least: float = 0.0
    rounding: float = 0.0
    agree: NDArray[np.bool_] | None = None


def _spots(found: Places) -> dict[Protocol, list[Spot]]:
    """Join rows that differ in their seeds alone into spots, by protocol, named by what sets them apart within it."""
    of_protocol: dict[Protocol, list[tuple[Path, Row]]] = {}
    for folder, row in found:
        of_protocol.setdefault(row.protocol, []).append((folder, row))
    return {protocol: _joined(own) for protocol, own in of_protocol.items()}


def _joined(found: Places) -> list[Spot]:
    joined: dict[tuple[int, int, Path], dict[int, Row]] = {}
    lines = name_lines([row.recipe for _, row in found], "steps")
    for code, (folder, row) in zip(lines.codes, found, strict=True):
        joined.setdefault((int(code), row.recipe.steps, folder), {})[row.recipe.seed] = row
    keys = sorted(joined, key=lambda key: key[:2])
    return [Spot(folder, str(lines.categories[code]), steps, joined[code, steps, folder])
            for code, steps, folder in keys]  # fmt: skip


def _columns(spots: Sequence[Spot]) -> list[float]:
    """Return the column of each spot, by its number of evaluations; see `series.columns`."""
    lines_at: dict[float, set[str]] = {}
    for spot in spots:
        lines_at.setdefault(spot.row.cost.work, set()).add(f"{spot.line} {spot.folder}")
    column = columns(lines_at)
    return [column[spot.row.cost.work] for spot in spots]


def _distances(protocol: Protocol, spots: Sequence[Spot], evidence: Evidence, *, apart: bool) -> Table:
    """Make the table of Fréchet distances, without their bias if that is known.

    Args:
        apart: whether the evidence has cells named with their folder; see `gather`.
    """

    def hurt(spot: Spot) -> Matrix | None:
        file = influence_file(spot.folder / shards.CELLS / spot.row.cell, protocol)
        return shards.read_influence(file, protocol.images)[0].get("fd") if file.is_file() else None

    about = (
        "Fréchet distance between the distribution of what a sampler makes and that of the data, both of them exact: "
        "no images, no network and no chance. Lower is better."
        if protocol.images is None
        else f"Fréchet distance of {protocol.images:,} images to those of {protocol.reference}: lower is better. "
        "± is a 95% interval, of these images on this network. What few images add to it is taken off, so that it may "
        "be below 0."
    ) + MANY * (len(spots) > MOST_PAIRS)
    rows = [{seed: of_folder(spot.folder, row) if apart else row for seed, row in spot.rows.items()} for spot in spots]
    pairs = differences(rows, evidence) if len(spots) <= MOST_PAIRS else None
    return Table(
        protocol, f"Fréchet distance, {protocol.metric}", about, spots,
        lambda spot: distance_of([*spot.rows.values()]),
        pairs and pairs.value, pairs and pairs.error, hurt,
        floor_of(along([row for spot in spots for row in spot.rows.values()], "steps")), agree=pairs and pairs.agrees,
        rounding=EQUAL if protocol.features == EXACT else ROUNDING,
    )  # fmt: skip


def _errors(protocol: Protocol, found: Places) -> Table:
    """Make the table of errors of images. Samplers without an error have no spot in it."""
    spots = [spot for spot in _spots(found)[protocol] if spot.row.error is not None and spot.row.error.mean is not None]
    by_cell = {
        folder: gather_errors(folder, [row for own, row in found if own == folder])
        for folder in sorted({spot.folder for spot in spots})
    }
    moved = max((row.error.moved or 0.0 for _, row in found if row.error is not None), default=0.0)
    about = (
        "Distance of each image to where ever more steps lead from the same noise, as the root mean square over pixels "
        f"in [-1, 1]: lower is better. Means over {protocol.images} images; ± is a 95% interval. Samplers that draw "
        "noise on the way have no such error, and are not here."
    ) + MANY * (len(spots) > MOST_PAIRS)
    differences, their_errors = _of_errors(spots, by_cell) if len(spots) <= MOST_PAIRS else (None, None)
    return Table(
        protocol, "error of an image, root mean square in [-1, 1]", about, spots,
        lambda spot: errors.measured([*spot.rows.values()], by_cell[spot.folder]), differences, their_errors,
        lambda spot: by_cell[spot.folder].get(spot.row.cell), least=moved, digits=errors.DIGITS,
    )  # fmt: skip


def _of_errors(spots: Sequence[Spot], by_cell: Mapping[Path, Mapping[str, Matrix]]) -> tuple[Matrix, Matrix]:
    """Return the differences of all pairs, image by image, and their standard errors, as `ErrorTable` computes them.

    Both are NaN where images are gone. For more than MOST_BOOTSTRAPS spots, they are NaN across columns, too.
    """
    column, seeded = _columns(spots), [by_seed([*spot.rows.values()], by_cell[spot.folder]) for spot in spots]
    values = np.full((len(spots), len(spots)), math.nan)
    np.fill_diagonal(values, 0.0)
    sure = values.copy()
    compared: dict[int, list[tuple[int, int, Matrix]]] = {}
    for one, other in itertools.combinations(range(len(spots)), 2):
        if len(spots) <= MOST_BOOTSTRAPS or column[one] == column[other]:
            found = contrasts(seeded[one], seeded[other])
            if len(found):
                compared.setdefault(len(found), []).append((one, other, found))
    for alike in compared.values():
        few = (spots[0].row.protocol.images or 0) < FEW
        stack = np.stack([found for _, _, found in alike], axis=1)
        known = np.full(len(alike), math.nan) if few else standard_errors(stack)
        for (one, other, _), value, error in zip(alike, stack.mean(axis=0), known, strict=True):
            values[one, other], values[other, one] = value, -value
            sure[one, other] = sure[other, one] = error
    return values, sure


def _section(
    table: Table,
    folders: Sequence[Path],
    findings: Mapping[Protocol, Sequence[str]],
    baseline: Baseline | None,
    pictures: _Pictures,
) -> dict[str, Any]:
    """Describe a table, ready for JSON.

    Args:
        baseline: point that the others are compared with when the page opens; None lets the page choose.
    """
    spots, protocol, budgets = table.spots, table.protocol, _columns(table.spots)
    figures = [_figure(table, spot) for spot in spots]
    blind = all(it["error"] is None for it in figures)
    return {
        "title": f"{protocol.model}: {protocol.measure}" + ", without intervals" * blind,
        "measure": table.measure,
        "about": table.about,
        "images": protocol.images,
        "findings": [unmarked(text) for text in findings.get(protocol, ())],
        "floor": None if table.floor is None else [_short(table.floor.mean), _short(table.floor.error)],
        "least": _short(table.least),
        "rounding": table.rounding,
        "digits": table.digits,
        "baseline": next((place for place, spot in enumerate(spots) if baseline and baseline.cell in spot.cells), None),
        "named": baseline is not None and baseline.named,
        "across": ACROSS,
        "points": [
            _point(spot, str(spot.folder) if len(folders) > 1 else None)
            | figure
            | {"budget": budget}
            | pictures.of(spot, table.hurt)
            for spot, figure, budget in zip(spots, figures, budgets, strict=True)
        ],
        "differences": _upper(table.differences),
        "errors": _upper(table.their_errors),
        "agree": None if table.agree is None else table.agree[np.triu_indices(len(spots), 1)].astype(int).tolist(),
    }  # fmt: skip


def _figure(table: Table, spot: Spot) -> dict[str, Any]:
    """Describe the figure of a spot. Ends of its interval are None if it is symmetric or not known."""
    value, error, *ends = (_short(it, ALL_DIGITS) for it in table.measured(spot))
    return {"value": value, "error": error, "ends": ends if ends and error is not None else None}


def _point(spot: Spot, folder: str | None) -> dict[str, Any]:
    """Describe a point: its name, what it can be filtered by, and its other figures."""
    row = spot.row
    metrics = {
        name: _short(spot.mean(lambda row, name=name: getattr(row.metrics, name, None)))  # type: ignore[misc]
        for name in ("fd", "kid", "fd_infinity", "label_accuracy", "precision", "recall", "order")
    }
    seconds = [1 / row.speed.images_per_second for row in spot.rows.values() if row.speed is not None]
    facets = {name.rpartition(".")[2] if "." in name else name: value for name, value in settings(row.recipe).items()}
    facets |= {} if folder is None else {"folder": folder}
    return {
        "line": spot.line,
        "folder": folder,
        "steps": spot.steps,
        "work": _short(row.cost.work),
        "seconds": _short(float(np.mean(seconds))) if seconds else None,
        "seeds": len(spot.rows),
        "facets": {name: _facet(value) for name, value in facets.items() if value not in (None, [], ())},
        "command": command_line(row.recipe),
        **metrics,
    }


def _facet(value: Any) -> str:
    return number(value) if type(value) in (int, float) else str(value)


class _Pictures:
    """Pictures of rows as data URLs, as long as there is room for them on the page."""

    def __init__(self, room: int) -> None:
        self._room = room

    def of(self, spot: Spot, hurt: Callable[[Spot], Matrix | None]) -> dict[str, Any]:
        """Return the first images of a spot, and those that add the most to its figure; None for what is missing."""
        folder = spot.folder / shards.CELLS / spot.row.cell
        first = shards.first_images(folder, SHOWN) if self._room > 0 else None
        if first is None or first.shape[-1] not in images.MODES:
            return {"first": None, "worst": None}
        values = hurt(spot)
        order = [] if values is None else [int(index) for index in np.argsort(-values)[:WORST]]
        worst = shards.images_at(folder, order) if order else None
        return {
            "first": self._sheet(first),
            "worst": None if worst is None else {"images": order, "picture": self._sheet(worst)},
        }

    def _sheet(self, pixels: Pixels) -> str:
        """Lay out pictures in rows, and return the data URL of the sheet as a PNG."""
        count, *sides, channels = pixels.shape
        factor = min(TILE / max(sides), 1.0)
        width, height = (max(round(side * factor), 1) for side in reversed(sides))
        across, down = ACROSS * (width + GAP) - GAP, -(-count // ACROSS) * (height + GAP) - GAP
        sheet = Image.new(images.MODES[channels], (across, down), (GREY,) * channels)
        for place, image in enumerate(pixels):
            tile = (
                images.picture(image)
                if factor == 1
                else images.picture(image).resize((width, height), Image.Resampling.BOX)
            )
            sheet.paste(tile, (place % ACROSS * (width + GAP), place // ACROSS * (height + GAP)))
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG", optimize=True)
        text = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        self._room -= len(text)
        return text


def _short(value: float, digits: int = DIGITS) -> float | None:
    """Round a figure. Return None if it is not finite, since JSON has no NaN."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def _upper(values: Matrix | None) -> list[float | None] | None:
    """List the values above the diagonal of a matrix, row by row."""
    if values is None:
        return None
    return [_short(value) for value in values[np.triu_indices(len(values), 1)].tolist()]
