"""A benchmark as one HTML file that works offline: filter the points, choose a baseline, look at the pictures.

The page holds all that it shows, and its scripts: nothing is fetched. Text of any origin is handed over as JSON, and
the page writes it as text, never as markup.
"""

from __future__ import annotations

import base64
import importlib.resources
import importlib.util
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samplerzoo import images
from samplerzoo.bench import shards
from samplerzoo.bench.evidence import Evidence, collect, gather, influence_file
from samplerzoo.bench.image_errors import gather_errors
from samplerzoo.bench.image_mean import covariance as covariance_of_images
from samplerzoo.bench.results import EXACT, Protocol, Row, read_some
from samplerzoo.errors import UsageError
from samplerzoo.images import Pixels
from samplerzoo.report.decide import COMPARED
from samplerzoo.report.image_table import FEW
from samplerzoo.report.line_names import name_lines, number, settings
from samplerzoo.report.series import Floor, along, columns, floor_of, rank, work_of
from samplerzoo.sampling.command import command_line
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.markup import unmarked

HTML_FILE = "report.html"

SHOWN, WORST = 16, 8
"""First images of a row that the page shows, and how many of those that hurt it most."""

TILE, ACROSS, GAP, GREY = 96, 8, 1, 136
"""Largest side of a picture in pixels, pictures side by side, pixels between them, and their grey."""

MOST_PICTURES = 24 * 2**20
"""Letters of pictures from which on rows have none: the page has to open in a moment."""

MOST_PAIRS = 400
"""Points of a table up to which the page holds the errors of all their differences."""

DIGITS = 6
"""Significant digits of figures."""

Matrix = NDArray[np.float64]

Places = Sequence[tuple[Path, Row]]
"""Rows, each with the benchmark folder that it is from."""


def is_available() -> bool:
    """Return True if plotly, which draws the page's plots, is installed."""
    return importlib.util.find_spec("plotly") is not None


def write_html(folders: Sequence[Path], path: Path) -> None:
    """Write the page of a benchmark folder, or of several beside each other, without sentences.

    Raises:
        UsageError: plotly is not installed, or a folder holds no rows.
    """
    found = [(folder, row) for folder in folders for row in read_some(folder)]
    alone = len(folders) == 1  # what is kept of cells that are gone says nothing of another folder's
    evidence = collect(folders[0], [row for _, row in found]) if alone else gather(found)
    write_page(found, evidence, path, {})


def write_page(
    found: Places,
    evidence: Mapping[Protocol, Evidence],
    path: Path,
    findings: Mapping[Protocol, Sequence[str]],
) -> None:
    """Write the page of these rows.

    Args:
        evidence: covariances of their figures, by protocol.
        findings: sentences of the report, by protocol.

    Raises:
        UsageError: plotly is not installed.
    """
    if not is_available():
        raise UsageError("plotly, which draws this page, is not installed: pip install plotly")
    folders = [*dict.fromkeys(folder for folder, _ in found)]
    measured = [pair for pair in found if pair[1].metrics is not None]
    with_errors = [pair for pair in found if pair[1].error is not None]
    pictures = _Pictures(MOST_PICTURES)
    sections = [
        _section(_distances(protocol, own, evidence.get(protocol, Evidence())), folders, findings, pictures)
        for protocol, own in sorted(_by_protocol(measured).items(), key=lambda each: rank(each[0]))
    ] + [
        _section(_errors(protocol, own), folders, findings, pictures)
        for protocol, own in sorted(_by_protocol(with_errors).items(), key=lambda each: rank(each[0]))
    ]
    models = dict.fromkeys(row.protocol.model for _, row in found)
    titles: Counter[str] = Counter()
    for section in sections:
        titles[section["title"]] += 1
        if titles[section["title"]] > 1:  # other labels, references or weights
            section["title"] += f" ({titles[section['title']]})"
    data = json.dumps({"title": ", ".join(models), "sections": sections}, allow_nan=False)
    template = importlib.resources.files("samplerzoo.report").joinpath("page.html").read_text(encoding="utf-8")
    head, _, rest = template.partition("/*plotly*/")
    middle, _, tail = rest.partition("/*data*/")
    with atomic_file(path) as partial:
        partial.write_text("".join([head, _plotly(), middle, data.replace("<", "\\u003c"), tail]), "utf-8")


def _plotly() -> str:
    """Read plotly's script, without the import of plotly, which takes longer than a report."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Spot:
    """Rows that differ in their seeds alone: a point of the plot.

    Attributes:
        steps: of the sampler.
        rows: by seed.
    """

    folder: Path
    line: str
    steps: int
    rows: Mapping[int, Row]

    @property
    def row(self) -> Row:
        return next(iter(self.rows.values()))

    def mean(self, of_row: Callable[[Row], float | None]) -> float:
        """Return the mean over seeds; NaN if a row lacks the figure."""
        values = [of_row(row) for row in self.rows.values()]
        return math.nan if None in values else float(np.mean([value for value in values if value is not None]))


@dataclass(frozen=True, eq=False)
class Table:
    """Spots that can be compared, with the figure that they are compared by.

    Attributes:
        about: what the figure is, for readers who see such a page for the first time.
        values: figure of each spot.
        errors: standard error of each figure; NaN if it is not known.
        differences, their_errors: of each pair of spots, `one - other`, and the standard errors; None of too many.
        hurt: how much each image of a row adds to its figure, if that is known.
        least: smallest difference that may be told.
        agree: whether the other figures of each pair differ with the same sign; None of too many, or without others.
    """

    protocol: Protocol
    measure: str
    about: str
    spots: Sequence[Spot]
    values: Matrix
    errors: Matrix
    differences: Matrix | None
    their_errors: Matrix | None
    hurt: Callable[[Spot], Matrix | None]
    floor: Floor | None = None
    least: float = 0.0
    agree: NDArray[np.bool_] | None = None


def _by_protocol(found: Places) -> dict[Protocol, Places]:
    protocols: dict[Protocol, list[tuple[Path, Row]]] = {}
    for folder, row in found:
        protocols.setdefault(row.protocol, []).append((folder, row))
    return {**protocols}


def _spots(found: Places) -> list[Spot]:
    """Join the rows that differ in their seeds alone."""
    if not found:
        return []
    joined: dict[tuple[int, int, Path], dict[int, Row]] = {}
    lines = name_lines([row.recipe for _, row in found], "steps")
    for code, (folder, row) in zip(lines.codes, found, strict=True):
        joined.setdefault((int(code), row.recipe.steps, folder), {})[row.recipe.seed] = row
    order = sorted(joined, key=lambda key: key[:2])
    return [Spot(key[2], str(lines.categories[key[0]]), key[1], joined[key]) for key in order]


def _distances(protocol: Protocol, found: Places, evidence: Evidence) -> Table:
    """Compare by the Fréchet distance, without its bias where that is known."""
    spots = _spots(found)

    def figure(row: Row) -> float:
        assert row.metrics is not None
        return row.metrics.fd if row.metrics.fd_jackknifed is None else row.metrics.fd_jackknifed

    def error(row: Row) -> float | None:
        return None if row.metrics is None else row.metrics.fd_se

    checks = [lambda row, name=name: getattr(row.metrics, name) for name in COMPARED[1:]]
    known = evidence.covariance.get("fd")
    if known is not None:  # two folders may hold one cell
        known = known.loc[~known.index.duplicated(), ~known.columns.duplicated()]

    def covariance(cells: Sequence[str]) -> Matrix:
        if protocol.features == EXACT:
            return np.zeros((len(cells), len(cells)))
        if known is None:
            return np.full((len(cells), len(cells)), math.nan)
        return known.reindex(index=cells, columns=cells).to_numpy(dtype=float)

    def hurt(spot: Spot) -> Matrix | None:
        file = influence_file(spot.folder / shards.CELLS / spot.row.cell, protocol)
        return shards.read_influence(file, protocol.images)[0].get("fd") if file.is_file() else None

    rows = along([row for _, row in found], "steps")
    about = (
        "Fréchet distance between the distribution of what a sampler makes and that of the data, both of them exact: "
        "no images, no network and no chance. Lower is better."
        if protocol.images is None
        else f"Fréchet distance of {protocol.images:,} images to those of {protocol.reference}: lower is better. "
        "± is a 95% interval, of these images on this network. What few images add to it is taken off, so that it may "
        "be below 0."
    )
    measure = f"Fréchet distance, {protocol.metric}"
    return _table(protocol, measure, about, spots, figure, error, checks, covariance, hurt, floor_of(rows))


def _errors(protocol: Protocol, found: Places) -> Table:
    """Compare by the error of an image; samplers without one have no spot."""
    spots = _spots([(folder, row) for folder, row in found if row.error is not None and row.error.mean is not None])
    folders = {spot.folder for spot in spots}
    by_cell = {
        folder: gather_errors(folder, [row for own, row in found if own == folder]) for folder in sorted(folders)
    }
    single = {cell: values for errors in by_cell.values() for cell, values in errors.items()}
    few = (protocol.images or 0) < FEW

    def figure(row: Row) -> float:
        assert row.error is not None
        assert row.error.mean is not None
        return row.error.mean

    def covariance(cells: Sequence[str]) -> Matrix:
        here = [place for place, cell in enumerate(cells) if cell in single and not few]
        whole = np.full((len(cells), len(cells)), math.nan)
        if here:
            stack = np.stack([single[cells[place]] for place in here], axis=1)
            whole[np.ix_(here, here)] = covariance_of_images(stack)
        return whole

    moved = max((row.error.moved or 0.0 for _, row in found if row.error is not None), default=0.0)
    about = (
        "Distance of each image to where ever more steps lead from the same noise, as the root mean square over pixels "
        f"in [-1, 1]: lower is better. Means over {protocol.images} images; ± is a 95% interval. Samplers that draw "
        "noise on the way have no such error, and are not here."
    )
    table = _table(
        protocol, "error of an image, root mean square in [-1, 1]", about, spots, figure, lambda row: None,
        (), covariance, lambda spot: by_cell[spot.folder].get(spot.row.cell), None,
    )  # fmt: skip
    return Table(**{**vars(table), "least": moved})


def _table(
    protocol: Protocol,
    measure: str,
    about: str,
    spots: Sequence[Spot],
    figure: Callable[[Row], float],
    error: Callable[[Row], float | None],
    checks: Sequence[Callable[[Row], float | None]],
    covariance: Callable[[Sequence[str]], Matrix],
    hurt: Callable[[Spot], Matrix | None],
    floor: Floor | None,
) -> Table:
    """Work out all differences and their errors: image by image over the seeds that two spots share, if there are any.

    Spots that were never measured side by side are compared as if they were independent, over all their seeds, as
    `decide.difference` does.

    Args:
        figure, error: figure of a row, and its standard error if that is known by itself.
        checks: other figures, whose differences must have the sign of that of the first one, where they are known.
        covariance: covariances of the figures of cells that have one seed; those of two seeds are independent.
    """
    count, values = len(spots), np.array([spot.mean(figure) for spot in spots])
    seeds = np.array([len(spot.rows) for spot in spots])
    apart = np.array([_squares([error(row) for row in spot.rows.values()]) for spot in spots]) / seeds**2
    if count > MOST_PAIRS:
        own = np.array([sum(covariance([row.cell])[0, 0] for row in spot.rows.values()) for spot in spots]) / seeds**2
        alone = np.sqrt(np.where(np.isnan(own), apart, own))
        return Table(protocol, measure, about, spots, values, alone, None, None, hurt, floor)
    shared, variance, own = np.zeros((count, count)), np.zeros((count, count)), np.zeros(count)
    of_seeds = {
        seed: [place for place, spot in enumerate(spots) if seed in spot.rows]
        for seed in sorted({seed for spot in spots for seed in spot.rows})
    }
    for seed, here in of_seeds.items():
        c = covariance([spots[place].rows[seed].cell for place in here])
        own[here] += np.diag(c)
        shared[np.ix_(here, here)] += 1
        variance[np.ix_(here, here)] += np.diag(c)[:, None] + np.diag(c) - 2 * c
    own /= seeds**2
    alone = np.where(np.isnan(own), apart, own)
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = np.where(shared > 0, variance / shared**2, alone[:, None] + alone)
        squares = np.where(squares >= 0, squares, math.nan)
        paired = ~np.isnan(squares) | np.isnan(apart[:, None] + apart)
        their_errors = np.sqrt(np.where(paired, squares, apart[:, None] + apart))

        def between(of_row: Callable[[Row], float | None]) -> Matrix:
            total = np.zeros((count, count))
            for seed, here in of_seeds.items():
                found = np.array([of_row(spots[place].rows[seed]) for place in here], dtype=float)
                total[np.ix_(here, here)] += found[:, None] - found
            means = np.array([spot.mean(of_row) for spot in spots])
            return np.where((shared > 0) & paired, total / shared, means[:, None] - means)

        differences, others = between(figure), [between(check) for check in checks]
        agree = np.all([np.isnan(other) | (other * differences > 0) for other in others], axis=0) if others else None
        errors = np.sqrt(alone)
    return Table(protocol, measure, about, spots, values, errors, differences, their_errors, hurt, floor, agree=agree)


def _squares(errors: Sequence[float | None]) -> float:
    """Add the squares of errors; NaN if one is not known."""
    return sum(math.nan if error is None else error**2 for error in errors)


def _section(
    table: Table, folders: Sequence[Path], findings: Mapping[Protocol, Sequence[str]], pictures: _Pictures
) -> dict[str, Any]:
    """Write a table as JSON."""
    spots, protocol = table.spots, table.protocol
    lines_at: dict[float, set[str]] = {}
    for spot in spots:
        lines_at.setdefault(work_of(spot.row), set()).add(f"{spot.line} {spot.folder}")
    column = columns(lines_at)
    return {
        "title": f"{protocol.model}: {protocol.metric}" + ", without intervals" * bool(np.isnan(table.errors).all()),
        "measure": table.measure,
        "about": table.about,
        "images": protocol.images,
        "findings": [unmarked(text) for text in findings.get(protocol, ())],
        "floor": None if table.floor is None else [_short(table.floor.mean), _short(table.floor.error)],
        "least": _short(table.least),
        "across": ACROSS,
        "points": [
            _point(spot, str(spot.folder) if len(folders) > 1 else None)
            | {"value": _short(table.values[place]), "error": _short(table.errors[place])}
            | {"budget": column[work_of(spot.row)]}
            | pictures.of(spot, table.hurt)
            for place, spot in enumerate(spots)
        ],
        "differences": _upper(table.differences),
        "errors": _upper(table.their_errors),
        "agree": None if table.agree is None else table.agree[np.triu_indices(len(spots), 1)].astype(int).tolist(),
    }  # fmt: skip


def _point(spot: Spot, folder: str | None) -> dict[str, Any]:
    """Describe a point: its name, what it can be filtered by, and its other figures."""
    row = spot.row
    metrics = {
        name: _short(spot.mean(lambda row, name=name: getattr(row.metrics, name, None)))  # type: ignore[misc]
        for name in ("kid", "fd_infinity", "label_accuracy", "precision", "recall", "order")
    }
    seconds = [1 / row.speed.images_per_second for row in spot.rows.values() if row.speed is not None]
    facets = {name.rpartition(".")[2] if "." in name else name: value for name, value in settings(row.recipe).items()}
    facets |= {} if folder is None else {"folder": folder}
    return {
        "line": spot.line,
        "folder": folder,
        "steps": spot.steps,
        "work": _short(work_of(row)),
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
        """Return the first images of a row, and those that add the most to its figure, where the cell is there."""
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
        """Lay pictures out as a PNG, in rows."""
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


def _short(value: float) -> float | None:
    """Round a figure; None if it is not known, since JSON has no NaN."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _upper(values: Matrix | None) -> list[float | None] | None:
    """List the values above the diagonal of a matrix, row by row."""
    if values is None:
        return None
    return [_short(value) for value in values[np.triu_indices(len(values), 1)].tolist()]
