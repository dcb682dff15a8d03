"""Scores of images in a report: how near the images of each sampler are to their prompts, by evaluations.

Rows of one seed have the same noise and the same prompts, so they are compared image by image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.image_mean import Interval, error_of, pooled
from samplerzoo.bench.results import SCORE, ImageScore, Protocol, Row
from samplerzoo.report.difference import Difference, Pairs, by_seed
from samplerzoo.report.errors import DIGITS
from samplerzoo.report.findings import MOST, most_usual
from samplerzoo.report.image_table import FEW, ImageTable, in_columns
from samplerzoo.report.line_names import name_lines, number
from samplerzoo.report.series import rank
from samplerzoo.report.tables import NOTHING, figure, markdown, signed
from samplerzoo.trust.markup import plain


@dataclass(frozen=True, eq=False)
class ScoreTable(ImageTable):
    """Rows of scores of one protocol, with the covariances of their means."""

    evidence: Evidence

    def cost(self, rows: Sequence[Row]) -> float:
        """Return minus the mean score, since the highest score is the best."""
        return -fmean(row.score.mean for row in rows if row.score is not None)

    def excess(self, line: str, other: str, work: float) -> Difference:
        """Return by how much the score of a line is below that of another line of its column; NaN if not known."""
        found = self.difference(other, line, work)
        return Difference(math.nan, math.nan) if found is None else found

    def difference(self, line: str, other: str, work: float) -> Difference | None:
        """Return `line - other`, image by image where both share a seed; None if either has no row in the column."""
        if (line, work) not in self.rows or (other, work) not in self.rows:
            return None
        rows = by_seed([{row.recipe.seed: row for row in self.rows[each, work]} for each in (line, other)])
        found = Pairs(rows, SCORE, self.evidence)
        means = np.array([[mean for mean, *_ in _known(own)] for own in rows])
        errors = np.array([[error_of(each) for each in _known(own)] for own in rows])
        value, error = found.between(means)[0], found.error(errors)
        return Difference(float(value[0, 1]), float(error[0, 1]))


def _known(rows: Sequence[Row | None]) -> list[Interval]:
    """Return the score of each row with its interval; 0 where there is no row."""
    scores = [ImageScore(mean=0.0, low=0.0, high=0.0) if row is None else row.score for row in rows]
    return [(score.mean, score.low, score.high) for score in scores if score is not None]


def score_tables(rows: Sequence[Row], evidence: Mapping[Protocol, Evidence]) -> list[ScoreTable]:
    """Split rows of scores into tables of rows that can be compared, those with the most images first."""
    tables = []
    for protocol in sorted(dict.fromkeys(row.protocol for row in rows), key=rank):
        own = [row for row in rows if row.protocol == protocol]
        found: dict[tuple[str, float], list[Row]] = {}
        for line, row in zip(name_lines([row.recipe for row in own], "steps"), own, strict=True):
            found.setdefault((line, row.cost.work), []).append(row)
        tables.append(ScoreTable(protocol, in_columns(found), evidence.get(protocol, Evidence())))
    return tables


def score_sections(tables: Sequence[ScoreTable]) -> Iterator[str]:
    """Write the parts of a report on rows of scores, a section for each table."""
    for table in tables:
        yield from _section(table)


def _section(table: ScoreTable) -> Iterator[str]:
    protocol = table.protocol
    yield f"## {plain(protocol.title)}"
    yield (
        f"Score of an image: {protocol.reference_id} of the angle between its features and those of its prompt, in "
        f"{plain(protocol.reference)} (Hessel et al. 2021). {table.over} Higher is nearer to the prompt, which is "
        "not nearer to real images."
    )
    found = findings(table)
    if found:
        yield "\n".join(f"- {plain(sentence)}" for sentence in found)
    bold = "" if table.few else ", in bold the best of each column and what is not told from it"
    yield f"Score by evaluations of the network{bold}:"
    yield _means(table)
    differences = _differences(table)
    if differences:
        yield (
            f"Difference to {plain(table.usual_baseline)}, image by image where both share a seed, with its 95% "
            f"interval:\n\n{differences}"
        )


def findings(table: ScoreTable) -> list[str]:
    """Say which row has the highest score at the usual numbers of evaluations; undecided columns come first."""
    if table.few:
        return [f"Cannot tell: at least {FEW} images are needed; each row has {table.protocol.images}."]
    unknown, known = [], []
    for work in most_usual([work for work in table.budgets if len(table.beside(work)) > 1], MOST):
        best = table.best(work)
        mean = _figure(table.rows[best, work])
        where = f"At {work:g} evaluations{table.where(work)}"
        if not table.told(work):
            highest = f"{best} ({mean}){table.needed(work)}"
            unknown.append(f"{where}: cannot tell. No row is told from the highest, {highest}.")
            continue
        equal = [line for line in table.beside(work) if line != best and line not in table.told(work)]
        tail = f"; not told from it: {', '.join(equal)}" if equal else ""
        known.append(f"{where} the highest is {best} ({mean}){tail}.")
    return unknown + known


def _means(table: ScoreTable) -> str:
    body = []
    for line in table.lines:
        cells = []
        for work in table.budgets:
            text = _figure(table.rows.get((line, work), ()))
            bold = (line, work) in table.rows and bool(table.told(work)) and line not in table.told(work)
            cells.append(f"**{text}**" if bold else text)
        body.append([plain(line), *cells])
    return markdown(["", *map(number, table.budgets)], body)


def _differences(table: ScoreTable) -> str:
    """Tabulate the differences to the baseline; return an empty text if no error is known, or images are few."""
    body = []
    for line in table.lines:
        found = [table.difference(line, table.usual_baseline, work) for work in table.budgets]
        if line != table.usual_baseline and any(each is not None and not math.isnan(each.error) for each in found):
            body.append([plain(line), *(NOTHING if it is None else signed(it.value, it.error) for it in found)])
    return markdown(["", *map(number, table.budgets)], body) if body and not table.few else ""


def _figure(rows: Sequence[Row]) -> str:
    """Write the mean over all seeds, with its interval if that of each seed is known."""
    if not rows:
        return NOTHING
    mean, low, high = (figure(it, DIGITS) for it in pooled(_known(rows)))
    return mean if NOTHING in (low, high) else f"{mean} [{low}, {high}]"
