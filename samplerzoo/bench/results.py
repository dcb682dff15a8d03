"""The rows of a benchmark: results.jsonl, a line a finished cell and protocol, with all that is needed to repeat it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from samplerzoo.bench.machine import Machine
from samplerzoo.errors import ZooError
from samplerzoo.metrics.evaluate import Metrics
from samplerzoo.metrics.names import metric_name
from samplerzoo.options import Options, complaint
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.system.files import atomic_file

RESULTS_FILE = "results.jsonl"
EXACT = "exact"
"""The features of a model whose output distribution is known: the distance is computed, and needs no images."""


class Protocol(Options):
    """How a row was measured. Two numbers can be compared if all of this agrees.

    Attributes:
        images: how many; None for exact moments.
        features, features_id: name, as metrics carry it, and what weights and preprocessing stand behind it.
        reference, reference_id: name of the reference statistics, and their SHA-256 (first 16 hex digits).
        floor, floor_id: the same of the real images that the floor is drawn from, if there are any.
    """

    model: str
    fingerprint: str
    images: int | None
    labels: str | None
    features: str
    features_id: str
    reference: str
    reference_id: str
    reference_images: int | None
    floor: str | None = None
    floor_id: str | None = None

    @property
    def metric(self) -> str:
        """fd_mnist@5000; fid@5000 for the features of the published Inception network, and for no others."""
        return metric_name(self.features, self.features_id, self.images)


class Cost(Options):
    """Counted at the network, per image."""

    nfe: float
    network_calls: float
    classifier_gradients: float
    second_nfe: float = 0.0
    """Of a guidance's own network."""


class Speed(Machine):
    """How fast, and where; measured on sampling alone: warm-up, features and files are left out.

    Attributes:
        images_per_second: of one process.
        peak_memory: bytes.
    """

    images_per_second: float
    peak_memory: int


class Row(Options):
    """A line of results.jsonl.

    Attributes:
        cell: its name: the hash of all that image i depends on.
        clipped: share of the values of x0 that were clipped; None if clipping was off.
    """

    cell: str
    recipe: Recipe
    timesteps: tuple[float, ...]
    protocol: Protocol
    metrics: Metrics
    cost: Cost
    speed: Speed | None = None
    clipped: float | None = None
    warnings: tuple[str, ...] = ()
    command: str = ""
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def key(self) -> tuple[str, Protocol]:
        """What a row is the row of; a newer one with this key takes its place."""
        return self.cell, self.protocol


def read(folder: Path) -> list[Row]:
    """The rows of a benchmark folder, in the order they were finished.

    Raises:
        ZooError: a line is no row.
    """
    path = folder / RESULTS_FILE
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            rows.append(Row.model_validate_json(line))
        except ValidationError as error:
            raise ZooError(f"{path}, line {number}: no row of a benchmark: {complaint(error)}") from error
    return rows


def write(folder: Path, rows: Iterable[Row]) -> None:
    """All rows, as a whole file; of two with one key the later one stays, in the place of the first."""
    unique = {row.key: row for row in rows}
    with atomic_file(folder / RESULTS_FILE) as partial:
        partial.write_text("".join(json.dumps(row.model_dump(mode="json")) + "\n" for row in unique.values()))


def by_protocol(rows: Iterable[Row]) -> dict[Protocol, list[Row]]:
    """Rows that may stand in one table."""
    tables: dict[Protocol, list[Row]] = {}
    for row in rows:
        tables.setdefault(row.protocol, []).append(row)
    return tables
