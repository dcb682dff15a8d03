"""Evidence: how sure the figures of a benchmark are, alone and against each other.

Every measured cell keeps the influence values of its images. They give the covariances of the figures of all rows. The
covariances are kept in the benchmark folder, so that a report can do without the cells. Rows of one seed share noise
and labels, and are paired image by image; rows of different seeds are independent.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from samplerzoo.bench import shards
from samplerzoo.bench.results import SCORE, Protocol, Row
from samplerzoo.errors import ZooError
from samplerzoo.metrics.influence import NORMAL_95, covariance_of_means
from samplerzoo.system.files import atomic_file, digest_text
from samplerzoo.trust.arrays import Expected, checked, read_arrays, save_arrays
from samplerzoo.trust.records import parse_record

EVIDENCE_FILE = "evidence.safetensors"
ROUNDING = 1e-4
"""Relative error of single-precision values, which older files hold, and of figures computed from them."""
BOOTSTRAP = (0.1, 2.0)
"""Bounds on the standard error of a score, in multiples of that of its bootstrap interval: few images make it wide."""
CELLS_OF = "cells"
"""Key of the metadata that say which cells the rows and columns of each covariance are of."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Covariances of the figures of one protocol.

    Attributes:
        covariance: for each figure (`fd`, `kid`), a table with names of cells as rows and columns; unknown values are
            NaN.
    """

    covariance: Mapping[str, DataFrame] = field(default_factory=dict)

    def error(self, figure: str, cell: str) -> float:
        """Return the standard error of one figure of a cell; NaN if it is not known."""
        places, values = self._values.get(figure, ({}, np.empty((0, 0))))
        return float(np.sqrt(values[places[cell], places[cell]])) if cell in places else float("nan")

    def between(self, figure: str, cells: Sequence[str | None]) -> NDArray[np.float64]:
        """Return the covariances of one figure of cells, (N, N); NaN where they are not known, or a name is None."""
        places, values = self._values.get(figure, ({}, np.empty((0, 0))))
        rows = np.array([places.get(cell, -1) if cell else -1 for cell in cells])
        known = rows >= 0
        found = np.full((len(cells), len(cells)), np.nan)
        found[np.ix_(known, known)] = values[np.ix_(rows[known], rows[known])]
        return found

    @functools.cached_property
    def _values(self) -> dict[str, tuple[dict[str, int], NDArray[np.float64]]]:
        """Places of cells, and values, for each figure. Looking up single numbers in a DataFrame is slow."""
        return {
            figure: ({cell: place for place, cell in enumerate(table.index)}, table.to_numpy())
            for figure, table in self.covariance.items()
        }

    def updated(self, newer: Evidence) -> Evidence:
        """Merge with newer evidence, which wins where both have a value."""
        joined = {**self.covariance, **newer.covariance}
        for figure in self.covariance.keys() & newer.covariance.keys():
            joined[figure] = _joined(self.covariance[figure], newer.covariance[figure])
        return Evidence(joined)


def _joined(older: DataFrame, newer: DataFrame) -> DataFrame:
    """Join two tables of covariances; newer values win. In numpy, since pandas would go column by column."""
    cells = newer.index.union(older.index)
    values = np.full((len(cells), len(cells)), np.nan)
    for table in (older, newer):
        rows = cells.get_indexer(table.index)
        known = table[table.index].to_numpy()  # columns in the order of the rows
        values[np.ix_(rows, rows)] = np.where(np.isnan(known), values[np.ix_(rows, rows)], known)
    return DataFrame(values, cells, cells)


def features_folder(cell: Path, features_id: str) -> Path:
    """Return the folder of a cell's features."""
    return cell / digest_text(features_id)


def influence_file(cell: Path, protocol: Protocol) -> Path:
    """Return the file with the influence values of a cell's images on the figures of a protocol."""
    name = f"influence-{protocol.images}-{protocol.reference_id}.safetensors"
    return features_folder(cell, protocol.features_id) / name


def of_folder(folder: Path, row: Row) -> Row:
    """Return a row with the folder in the name of its cell, since two folders may hold a cell of one name."""
    return row.model_copy(update={"cell": f"{folder} {row.cell}"})


def gather(places: Iterable[tuple[Path, Row]], *, apart: bool = False) -> dict[Protocol, Evidence]:
    """Compute the covariances of the rows whose cells still exist.

    Args:
        places: rows, each with its benchmark folder. Rows of several folders can be compared.
        apart: whether cells are named with their folder, as by `of_folder`.
    """
    found: dict[Protocol, dict[int, list[tuple[str, Path]]]] = {}
    files: list[tuple[Row, Path]] = []
    for folder, row in places:
        file = influence_file(folder / shards.CELLS / row.cell, row.protocol)
        if file.is_file():
            row = of_folder(folder, row) if apart else row
            of_seed = found.setdefault(row.protocol, {}).setdefault(row.recipe.seed, [])
            of_seed.append((row.cell, file))
            files.append((row, file))
    evidence = {protocol: _of_protocol([*seeds.values()], protocol.images) for protocol, seeds in found.items()}
    for row, file in files:
        _check_of_row(row, evidence[row.protocol], file, shards.MEASURED_AGAIN)
    return evidence


def _of_protocol(seeds: Sequence[Sequence[tuple[str, Path]]], images: int | None) -> Evidence:
    """Join the covariances of several seeds. Between seeds the covariance is 0."""
    blocks: dict[str, list[DataFrame]] = {}
    for cells in seeds:
        for figure, block in _of_seed(dict(cells), images).items():
            blocks.setdefault(figure, []).append(block)
    joined = {}
    for figure, parts in blocks.items():
        names = [name for part in parts for name in part.index]
        values = np.zeros((len(names), len(names)))
        start = 0
        for part in parts:
            end = start + len(part)
            values[start:end, start:end] = part.to_numpy()
            start = end
        joined[figure] = DataFrame(values, names, names)
    return Evidence(joined)


def _of_seed(cells: Mapping[str, Path], images: int | None) -> dict[str, DataFrame]:
    values: dict[str, dict[str, np.ndarray]] = {}
    labels = None
    for cell, file in cells.items():
        influence, labels = shards.read_influence(file, images)  # one protocol and one seed have the same labels
        for figure, of_images in influence.items():
            values.setdefault(figure, {})[cell] = of_images
    return {
        figure: DataFrame(covariance_of_means(np.stack([*own.values()], axis=1), labels), [*own], [*own])
        for figure, own in values.items()
    }


def gather_folders(places: Sequence[tuple[Path, Row]]) -> dict[Protocol, Evidence]:
    """Return the evidence of several benchmark folders, from their cells and what each has kept of deleted ones.

    Cells are named with their folder; see `of_folder`.

    Args:
        places: rows, each with its benchmark folder.
    """
    found = gather(places, apart=True)
    for folder in dict.fromkeys(folder for folder, _ in places):
        for protocol, kept in _read(folder, [row for own, row in places if own == folder]).items():
            named = {
                figure: table.rename(index=f"{folder} {{}}".format, columns=f"{folder} {{}}".format)
                for figure, table in kept.covariance.items()
            }
            found[protocol] = Evidence(named).updated(found.get(protocol, Evidence()))
    return found


def collect(folder: Path, rows: Sequence[Row]) -> dict[Protocol, Evidence]:
    """Return the evidence of a benchmark folder, from its cells and from the file that outlives them.

    New evidence is added to that file.
    """
    kept, new = _read(folder, rows), gather((folder, row) for row in rows)
    found = {protocol: kept.get(protocol, Evidence()).updated(own) for protocol, own in new.items()}
    if new:
        _write(folder, {**kept, **found})
    return {**kept, **found}


def _key(protocol: Protocol) -> str:
    return digest_text(protocol.model_dump_json(exclude={"target"}))  # distances have none, and had no such field once


def _read(folder: Path, rows: Sequence[Row]) -> dict[Protocol, Evidence]:
    path = folder / EVIDENCE_FILE
    if not path.exists():
        return {}
    way_out = shards.remade_from_cells(folder)
    protocols = {_key(row.protocol): row.protocol for row in rows}
    found: dict[Protocol, dict[str, DataFrame]] = {}
    arrays, facts = read_arrays(path, way_out)
    for name, cells in parse_record(facts.get(CELLS_OF, ""), dict[str, list[str]], f"{path}: {CELLS_OF}").items():
        key, _, figure = name.partition(" ")
        if key in protocols:
            if name not in arrays:
                raise ZooError(f"{path}: has no array {name!r}, which its metadata names; {way_out}")
            covariance = arrays[name]
            _check_covariance(covariance, cells, f"{path}: {name}", way_out)
            covariance = covariance.astype(np.float64)
            found.setdefault(protocols[key], {})[figure] = DataFrame(covariance, cells, cells)
    evidence = {protocol: Evidence(tables) for protocol, tables in found.items()}
    for row in rows:
        _check_of_row(row, evidence.get(row.protocol, Evidence()), path, way_out)
    return evidence


def _check_of_row(row: Row, evidence: Evidence, path: Path, way_out: str) -> None:
    """Refuse evidence whose variance disagrees with the standard error in the row: it is of other images.

    For a kernel distance the row's error is an upper bound, since it includes the choice of real images. For a score it
    comes from a bootstrap, so `BOOTSTRAP` bounds the ratio.
    """
    known: dict[str, tuple[float | None, float, float]] = {}
    if row.metrics is not None:
        known = {"fd": (row.metrics.fd_se, 1.0, 1.0), "kid": (row.metrics.kid_se, 0.0, 1.0)}
    if row.score is not None and row.score.low is not None and row.score.high is not None:
        known = {SCORE: ((row.score.high - row.score.low) / (2 * NORMAL_95), *BOOTSTRAP)}
    for figure, (error, least, most) in known.items():
        if error is None or figure not in evidence.covariance or row.cell not in evidence.covariance[figure].index:
            continue
        found = evidence.error(figure, row.cell)
        if not error * least * (1 - ROUNDING) <= found <= error * most * (1 + ROUNDING):
            raise ZooError(
                f"{path}: {row.cell} {figure}: a standard error of {found:.4g}, where its row in results.jsonl has "
                f"{error:.4g}; {way_out}"
            )


def _check_covariance(covariance: NDArray[np.float64], cells: Sequence[str], what: str, way_out: str) -> None:
    """Refuse a table that cannot be a covariance matrix, up to the rounding of older, single-precision files."""
    checked(covariance, Expected((len(cells), len(cells)), known=False), what, way_out)
    variance = np.diagonal(covariance)
    if len({*cells}) < len(cells):
        raise ZooError(f"{what}: a cell stands there twice; {way_out}")
    if (variance < 0).any() or not np.allclose(covariance, covariance.T, ROUNDING, 0.0, equal_nan=True):
        raise ZooError(f"{what}: no covariance, which is symmetric, with no negative variance; {way_out}")
    most = np.sqrt(np.outer(variance, variance)) * (1 + ROUNDING)
    if (np.abs(covariance) > most).any():
        raise ZooError(f"{what}: a covariance above those of the cells alone; {way_out}")


def _write(folder: Path, evidence: Mapping[Protocol, Evidence]) -> None:
    tensors, cells = {}, {}
    for protocol, own in evidence.items():
        for figure, table in own.covariance.items():
            name = f"{_key(protocol)} {figure}"
            # in double precision: the variance of a difference is a small remainder of large covariances
            tensors[name] = np.ascontiguousarray(table.to_numpy(), dtype=np.float64)
            cells[name] = [*table.index]
    with atomic_file(folder / EVIDENCE_FILE) as partial:
        save_arrays(partial, tensors, {CELLS_OF: json.dumps(cells)})
