"""Models compared: which has the best row at each number of evaluations, whatever its sampler."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas
from pandas import DataFrame

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import EXACT, Protocol
from samplerzoo.report.decide import Judge, Point, pairings
from samplerzoo.report.difference import Difference
from samplerzoo.report.findings import BUDGETS, most_usual, needed
from samplerzoo.report.line_names import number, numbered
from samplerzoo.report.series import POINT
from samplerzoo.report.tables import NOTHING, interval, markdown, signed
from samplerzoo.trust.markup import plain


@dataclass(frozen=True, eq=False)
class Contest:
    """Best rows of several models that were measured in one way.

    Attributes:
        names: names of the models.
        judge: judge of the rows of all models, each line with the model's name before it. Rows of two models are
            compared as if they were independent, since their evidence has no covariance of them.
        owners: name of each row's model.
    """

    names: Sequence[str]
    judge: Judge
    owners: dict[Point, str]

    @property
    def protocol(self) -> Protocol:
        """Protocol that all models share, with the names of all."""
        return _without_model(self.judge.protocol).model_copy(update={"model": ", ".join(self.names)})

    @property
    def columns(self) -> dict[float, DataFrame]:
        """Rows of every number of evaluations at which two models have some."""
        found = dict[float, DataFrame](iter(self.judge.points.groupby("budget")))
        return {budget: column for budget, column in found.items() if len(self._of_models(column)) > 1}

    def _of_models(self, column: DataFrame) -> set[str]:
        return {self.owners[point] for point in column.index}

    def best(self, column: DataFrame, name: str) -> Point | None:
        """Return the best row of a model in a column; None if it has none there."""
        own = column.loc[[self.owners[point] == name for point in column.index]]
        return self.judge.verdict(own).best if len(own) else None

    @functools.cached_property
    def findings(self) -> list[str]:
        """Say which model has the best row at the usual numbers of evaluations."""
        columns = self.columns
        return [self._sentence(columns[budget]) for budget in most_usual([*columns], len(BUDGETS))]

    def _sentence(self, column: DataFrame) -> str:
        """Compare the best row of all with the best ones of the other models, on all seeds of each."""
        verdict, among = self.judge.verdict(column), pairings(len(column))
        first, parts = verdict.best, []
        for name in self.names:
            rival = self.best(column, name)
            if rival is None or name == self.owners[first]:
                continue
            found = self.judge.difference(rival, first)
            [told] = self.judge.told([found], among)
            of_rival = self._named(column, rival)
            parts.append(
                f"better than {of_rival}, by {interval(found.value, found.error)}"
                if told and found.value > 0
                else f"cannot be told from {of_rival}: {needed(self.judge, self.judge.tie(rival, found, among))}"
            )
        budget = column["budget"].iloc[0]
        leads = "comes first" if verdict.where else "is the lowest"
        return f"At {budget:g} evaluations {self._named(column, first)} {leads}, and {'; it is '.join(parts)}."

    def _named(self, column: DataFrame, point: Point) -> str:
        distance, error = column.loc[[point], ["distance", "error"]].iloc[0]
        return f"{plain(point[0])} ({interval(distance, error)})"

    def write(self) -> Iterator[str]:
        """Write the section of a report."""
        yield f"## {plain(self.protocol.title)}"
        yield "\n".join(f"- {sentence}" for sentence in self.findings)
        yield (
            "The best row of each model, by evaluations. Models share no covariances, so their rows are compared as if "
            "they were independent, which tells less; of a difference all pairs of rows of a column are allowed for."
        )
        body = []
        for budget, column in self.columns.items():
            best = [self.best(column, name) for name in self.names]
            known = [point for point in best if point is not None]
            texts = [
                NOTHING if it is None else self._named(column, it).removeprefix(f"{plain(name)}: ")
                for name, it in zip(self.names, best, strict=True)
            ]
            if len(self.names) == 2:
                texts.append(_interval(self.judge.difference(known[1], known[0])) if len(known) == 2 else NOTHING)
            body.append([number(budget), *texts])
        change = [f"{plain(self.names[1])} less {plain(self.names[0])}"] if len(self.names) == 2 else []
        yield markdown(["evaluations", *map(plain, self.names), *change], body)


def contests(judges: Sequence[Judge]) -> list[Contest]:
    """Find the models that can be compared: those whose rows were measured in one way.

    Exact distances are left out: each is of a path of its own, with no network to choose.
    """
    found: dict[Protocol, list[Judge]] = {}
    for judge in judges:
        if judge.protocol.features != EXACT and not judge.blind:
            found.setdefault(_without_model(judge.protocol), []).append(judge)
    return [_contest(group) for group in found.values() if len(group) > 1]


def _contest(group: Sequence[Judge]) -> Contest:
    names = numbered([judge.protocol.model for judge in group])
    tables: list[DataFrame] = []
    owners: dict[Point, str] = {}
    for name, judge in zip(names, group, strict=True):
        table = judge.points.drop(columns="budget")
        table.index = pandas.MultiIndex.from_tuples([(f"{name}: {line}", at) for line, at in table.index], names=POINT)
        owners |= dict.fromkeys(table.index, name)
        tables.append(table)
    evidence = functools.reduce(Evidence.updated, (judge.evidence for judge in group))
    return Contest(names, Judge(group[0].protocol, pandas.concat(tables), evidence), owners)


def _without_model(protocol: Protocol) -> Protocol:
    return protocol.model_copy(update={"model": "", "fingerprint": ""})


def _interval(found: Difference) -> str:
    return signed(found.value, found.error)
