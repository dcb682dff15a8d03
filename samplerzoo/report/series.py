"""Rows as a reader sees them: what differs between them names them, and their seeds become a mean and a spread."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from samplerzoo.bench.results import EXACT, Row
from samplerzoo.sampling.recipe import Recipe

Axis = Literal["steps", "scale"]
"""What a line runs along; all else that images depend on, save the seed, is one for the whole line."""

SCALE = "guidance.scale"
TELLING = 2.0
"""Standard errors by which two means must differ to be told apart."""


@dataclass(frozen=True)
class Estimate:
    """A figure over seeds.

    Attributes:
        mean: over the seeds that are compared.
        sd: over all seeds that there are; None of a single one.
        count: of the seeds that are compared.
    """

    mean: float
    sd: float | None
    count: int


@dataclass(frozen=True, eq=False)
class Point:
    """Rows that differ in their seed alone.

    Attributes:
        rows: of the seeds that all points have which it is compared with: a seed's noise and labels move all alike.
        more: of further seeds, which tell how far a seed moves a figure.
    """

    rows: tuple[Row, ...]
    more: tuple[Row, ...] = ()

    @property
    def every(self) -> tuple[Row, ...]:
        return self.rows + self.more

    @property
    def steps(self) -> int:
        return self.rows[0].recipe.steps

    @property
    def scale(self) -> float | None:
        return self.rows[0].recipe.guidance_options.get("scale")

    def place(self, axis: Axis) -> float | None:
        return self.steps if axis == "steps" else self.scale

    @property
    def nfe(self) -> float:
        return self.rows[0].cost.nfe

    @property
    def work(self) -> float:
        """Network evaluations, those of a second network and the gradients of a classifier, to say what is cheaper."""
        cost = self.rows[0].cost
        return cost.nfe + cost.classifier_gradients + cost.second_nfe

    @property
    def fd(self) -> Estimate:
        found = self.estimate("metrics.fd")
        assert found is not None
        return found

    def estimate(self, field: str) -> Estimate | None:
        """Of a field of the rows such as `metrics.kid`; None where no row has it."""
        values, every = (
            [value for row in rows if (value := look(row, field)) is not None] for rows in (self.rows, self.every)
        )
        return estimated(values, every) if values else None

    def mean(self, field: str) -> float | None:
        found = self.estimate(field)
        return None if found is None else found.mean


def estimated(values: Sequence[float], every: Sequence[float]) -> Estimate:
    """From the values of the seeds that are compared, and of all seeds."""
    return Estimate(statistics.fmean(values), statistics.stdev(every) if len(every) > 1 else None, len(values))


@dataclass(frozen=True, eq=False)
class Line:
    """Points along an axis, in its order.

    Attributes:
        settings: what all points have in common, by field: sampler, sampler.eta, spacing ...
    """

    name: str
    settings: dict[str, Any]
    points: tuple[Point, ...]

    @property
    def family(self) -> tuple[str, str | None]:
        """Lines of one sampler and one guidance look alike."""
        return self.settings["sampler"], self.settings["guidance"]

    def at(self, x: float, axis: Axis = "steps") -> Point | None:
        return next((point for point in self.points if point.place(axis) == x), None)

    def without(self, *fields: str) -> str:
        """The settings but for some, as a key."""
        return json.dumps({name: value for name, value in self.settings.items() if name not in fields})


@dataclass(frozen=True)
class Spread:
    """How far seeds move distances.

    Attributes:
        alone: standard deviation of a distance, relative to it, pooled over all points with several seeds.
        ratio: the same of the ratio of two distances that have their seed in common, which moves both alike; it tells
            whether two differ. 0 of exact figures, None if every row has one seed.
        points: how many had several seeds.
    """

    alone: float | None
    ratio: float | None
    points: int = 0

    @classmethod
    def of(cls, points: Iterable[Point]) -> Spread:
        points = list(points)
        if all(row.protocol.features == EXACT for point in points for row in point.every):
            return cls(0.0, 0.0)
        found = [logs for point in points if len(logs := _logarithms(point)) > 1]
        if not found:
            return cls(None, None)
        pairs = [
            {seed: a[seed] - b[seed] for seed in a.keys() & b.keys()}
            for a, b in combinations(found, 2)
            if len(a.keys() & b.keys()) > 1
        ]
        alone = _pooled(found)
        return cls(alone, _pooled(pairs) if pairs else math.sqrt(2) * alone, len(found))

    def tells(self, a: Estimate, b: Estimate) -> bool:
        """Whether two means over the same seeds differ by more than seeds explain; all do if that is not known."""
        if a.mean <= 0 or b.mean <= 0:
            return a.mean != b.mean
        error = (self.ratio or 0.0) / math.sqrt(min(a.count, b.count))
        return abs(math.log(a.mean / b.mean)) > TELLING * error


def _logarithms(point: Point) -> dict[int, float]:
    """Of the distances, by seed: their differences are relative ones."""
    return {row.recipe.seed: math.log(row.metrics.fd) for row in point.every if row.metrics.fd > 0}


def _pooled(groups: Sequence[Mapping[int, float]]) -> float:
    """The standard deviation within groups of two or more."""
    freedom = sum(len(group) - 1 for group in groups)
    return math.sqrt(sum((len(group) - 1) * statistics.variance(group.values()) for group in groups) / freedom)


class Lines:
    """Names and groups rows. The names hold for all rows that it is made with, whichever are asked for."""

    def __init__(self, rows: Sequence[Row], axis: Axis = "steps") -> None:
        self._axis = axis
        self._values: dict[tuple[str, str], set[str]] = {}
        for row in rows:
            for field, value in self._settings(row.recipe).items():
                self._values.setdefault((_owner(row.recipe, field), field), set()).add(json.dumps(value))
        self._samplers = [*dict.fromkeys(row.recipe.sampler for row in rows)]

    def of(self, rows: Iterable[Row]) -> list[Line]:
        """Samplers in the order of the rows, their options in numerical order, points in the order of the axis."""
        found: dict[str, dict[float, list[Row]]] = {}
        for row in rows:
            x = Point((row,)).place(self._axis)
            if x is not None:
                line = found.setdefault(json.dumps(self._settings(row.recipe)), {})
                line.setdefault(x, []).append(row)
        common = common_seeds([rows for line in found.values() for rows in line.values()])
        return sorted((self._line(line, common) for line in found.values()), key=self._place)

    def _line(self, rows: dict[float, list[Row]], seeds: frozenset[int]) -> Line:
        points = tuple(compared(rows[x], seeds) for x in sorted(rows))
        recipe = points[0].rows[0].recipe
        return Line(self._name(recipe), self._settings(recipe), points)

    def _place(self, line: Line) -> tuple[int, str, list[float]]:
        numbers = [value for field, value in line.settings.items() if "." in field and isinstance(value, (int, float))]
        return self._samplers.index(line.settings["sampler"]), line.settings["guidance"] or "", numbers

    def _settings(self, recipe: Recipe) -> dict[str, Any]:
        """All but the seed that tells the images of a model apart."""
        found: dict[str, Any] = {
            "sampler": recipe.sampler,
            **{f"sampler.{name}": value for name, value in recipe.sampler_options.items()},
            "guidance": recipe.guidance,
            **{f"guidance.{name}": value for name, value in _guidance_options(recipe).items()},
            "steps": recipe.steps,
            "spacing": recipe.spacing,
            "timesteps": recipe.timesteps,
            "clip_x0": recipe.clip_x0,
            "dtype": recipe.dtype,
            "plugins": sorted(sha[:8] for sha in recipe.plugins.values()),
        }
        along = "steps" if self._axis == "steps" else SCALE
        return {field: value for field, value in found.items() if field != along}

    def _name(self, recipe: Recipe) -> str:
        """Sampler and guidance, and what is not the same for all: `ddim eta 0.5, cfg 2, quadratic`."""
        settings = self._settings(recipe)
        own = [field for field in settings if field.startswith("sampler.")]
        words = [recipe.sampler]
        words += [_text(field, settings[field]) for field in own if len(own) == 1 or self._varies(recipe, field)]
        parts = [" ".join(words)]
        if recipe.guidance is not None:
            words = [recipe.guidance]
            if SCALE in settings:
                words.append(number(settings[SCALE]))
            rest = [field for field in settings if field.startswith("guidance.") and field != SCALE]
            said = [field for field in rest if self._varies(recipe, field) and settings[field] not in (None, 0)]
            words += [_text(field, settings[field]) for field in said]  # what is 0 is off, and goes without saying
            parts.append(" ".join(words))
        others = [field for field in settings if "." not in field and field not in ("sampler", "guidance")]
        parts += [_text(field, settings[field]) for field in others if self._varies(recipe, field)]
        return ", ".join(filter(None, parts))

    def _varies(self, recipe: Recipe, field: str) -> bool:
        return len(self._values[_owner(recipe, field), field]) > 1


def common_seeds(groups: Iterable[Iterable[Row]]) -> frozenset[int]:
    """Those that every group has a row of."""
    seeds = [frozenset(row.recipe.seed for row in rows) for rows in groups]
    return frozenset.intersection(*seeds) if seeds else frozenset()


def compared(rows: Sequence[Row], seeds: frozenset[int]) -> Point:
    """Of the rows of one place, where these seeds are compared; all, if there are none."""
    own = tuple(row for row in rows if row.recipe.seed in seeds or not seeds)
    return Point(own, tuple(row for row in rows if row not in own))


def look(row: Row, field: str) -> Any:
    """`metrics.fd` of a row; None where there is nothing on the way."""
    value: Any = row
    for name in field.split("."):
        value = None if value is None else getattr(value, name)
    return value


def number(value: float) -> str:
    """Short, if nothing is lost: 0.5, 2, 0.30000000000000004."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _guidance_options(recipe: Recipe) -> dict[str, Any]:
    """A second model is called by the last part of its name, and known by its weights."""
    options = recipe.guidance_options
    if recipe.second_fingerprint is None:
        return options
    return {**options, "model": f"{Path(options['model']).name}@{recipe.second_fingerprint[:8]}"}


def _owner(recipe: Recipe, field: str) -> str:
    """Whose setting it is: two samplers may have options of one name."""
    kind = field.partition(".")[0]
    return getattr(recipe, kind) or "" if "." in field else ""


def _text(field: str, value: Any) -> str:
    name = field.rpartition(".")[2]
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return f"{number(value)} steps" if name == "steps" else f"{name} {number(value)}"
    if isinstance(value, str):
        return f"clip {value}" if name == "clip_x0" else value
    return f"{name} {' '.join(map(str, value))}".rstrip()
