"""Findings: at most five sentences that a reader can act on. None claims more than the statistics support."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

from pandas import DataFrame

from samplerzoo.bench.results import EXACT
from samplerzoo.metrics.distance_estimate import smallest_count
from samplerzoo.metrics.influence import NORMAL_95
from samplerzoo.report.decide import SAME_NOISE, Judge, Point, Tie, Verdict, bonferroni, pairings
from samplerzoo.report.difference import Difference
from samplerzoo.report.series import Floor, drop_lone_points
from samplerzoo.report.tables import NOTHING, figure, interval, orders, recall, share, signed
from samplerzoo.trust.markup import plain

MOST = 5
"""Most findings of a table."""

BUDGETS = (5, 10, 20)
"""Numbers of evaluations that most readers ask about."""

EXACT_GOALS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Goals for exact distances, each low enough for some purpose, on data with a standard deviation of 0.5."""

MOST_NAMES = 3

ALONE = "There is one row in each column, so there is nothing to rank."


def findings(judge: Judge, scales: Judge | None, floor: Floor | None, baseline: Point | None = None) -> list[str]:
    """Say what the rows of one protocol decide, beginning with what they do not decide.

    Args:
        scales: the same rows along the guidance scale; None if no line has two scales.
        floor: distance of real images; None if it was not measured.
        baseline: row that a user asked to compare all others with.
    """
    if judge.blind:
        return [_blind(judge)]
    if judge.protocol.features == EXACT:
        return [*_convergence(judge.points), *_stays_below(judge.points), *_surprises(judge, floor)][:MOST] or [ALONE]
    found = [] if baseline is None else [_as_good_as(judge, baseline)]
    found += _columns(judge, judge.verdicts())
    if baseline is None or not _cheaper(judge, baseline):
        found += _cheapest(judge)
    found += [*_guidance(scales), *_surprises(judge, floor), *_convergence(judge.points)]
    return found[:MOST] or [ALONE]


def _blind(judge: Judge) -> str:
    """Say why no difference can be called significant."""
    protocol = judge.protocol
    if protocol.images is not None and protocol.dimensions is not None:
        needed = smallest_count(protocol.dimensions)
        if protocol.images < needed:
            return (
                f"Cannot tell: at least {needed:,} images are needed for a difference of any size, twice as many as "
                f"features ({protocol.dimensions:,}); each row has {protocol.images:,}."
            )
    drawn = " Their labels were drawn at random, too, which moves a distance by more than samplers do." * (
        protocol.labels == "natural"
    )
    return (
        "Cannot tell: these rows are of an earlier version, which kept no errors, so no difference is called one."
        f"{drawn} The command under “Made with” measures them again."
    )


def _columns(judge: Judge, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Say which row is the best of a column, for at most three columns; those without any decision come first."""
    columns = most_usual([verdict.budget for verdict in verdicts], len(BUDGETS))
    shown = [verdict for verdict in verdicts if verdict.budget in columns]
    unknown = [verdict for verdict in shown if not verdict.ranks]
    if unknown:
        where = _listed([f"{verdict.budget:g}" for verdict in unknown])
        pairs = [(verdict, tie) for verdict in unknown for tie in verdict.ties]
        verdict, closest = min(pairs, key=lambda pair: pair[1].images or math.inf)
        first = f", the first that will be told: {plain(closest.point[0])} against {plain(verdict.best[0])}"
        yield (
            f"At {where} evaluations: cannot tell: {needed(judge, closest)}"
            f"{first if len(pairs) > 1 and closest.images and closest.difference.value else ''}."
        )
    yield from (_best(judge, verdict) for verdict in shown if verdict.ranks)


def most_usual(budgets: Sequence[float], most: int) -> list[float]:
    """Select at most `most` numbers of evaluations, those in BUDGETS before others, and return the lowest first."""
    return sorted(sorted(budgets, key=lambda budget: (budget not in BUDGETS, budget))[:most])


def _best(judge: Judge, verdict: Verdict) -> str:
    at = f"At {verdict.budget:g} evaluations{verdict.where}"
    best = _named(judge, verdict.best)
    if verdict.decided:
        (line, _), difference = verdict.worse[0]
        by = f"by {interval(difference.value, difference.error)}"
        if len(verdict.worse) == 1:
            return f"{at}, {best} is the best: {plain(line)} is worse, {by}."
        return f"{at}, {best} is the best: the {len(verdict.worse)} others are worse, the next, {plain(line)}, {by}."
    some = _listed(_some([plain(tie.point[0]) for tie in verdict.ties]))
    return (
        f"{at}, {best} is the lowest, and better than {len(verdict.worse)} of the others. "
        f"It cannot be told from {some}: {needed(judge, verdict.ties[0])}."
    )


def _some(names: Sequence[str]) -> Sequence[str]:
    """Return the first names, and behind them how many more there are."""
    return names if len(names) <= MOST_NAMES else [*names[:MOST_NAMES], f"{len(names) - MOST_NAMES} more"]


def needed(judge: Judge, tie: Tie) -> str:
    """Say how many images would make a difference significant, or why no number is given."""
    if tie.difference.value == 0:
        return "no number of images tells them apart, since they do not differ"
    value, error = tie.difference.value, tie.difference.error
    size = f"a difference of this size ({signed(value, error)}{_allowing(tie.difference, tie.careful, 'pairs')})"
    if tie.images is None:
        return f"it is not known how many images are needed for {size}"
    if tie.images <= (judge.protocol.images or 0):
        return f"more images are needed for {size}, since the other distances do not agree on its sign"
    unit = "of each seed" if (judge.points["seeds"] > 1).any() else "a row"
    return f"about {tie.images:,} images {unit} are needed for {size}"


def _allowing(difference: Difference, careful: float, what: str) -> str:
    """Say how wide the interval of a difference is that other differences are allowed for.

    Return an empty text unless that is why the difference is not significant.

    Args:
        careful: half the width of that interval in standard errors.
        what: what is allowed for, `pairs` or `rows`.
    """
    value, half = abs(difference.value), careful * difference.error
    decides = NORMAL_95 * difference.error < value < half
    return f", or ± {figure(half, 2)} if all {what} of the column are allowed for" if decides else ""


def _cheapest(judge: Judge) -> Iterator[str]:
    """Name the cheapest row that is not significantly different from the best of all rows."""
    if len(judge.points) < 2:
        return
    verdict = judge.verdict(judge.points)
    if not verdict.ranks:
        return
    cheapest = min((tie for tie in verdict.ties), key=lambda tie: judge.points.at[tie.point, "work"], default=None)
    work = judge.points["work"]
    best = _named(judge, verdict.best, evaluations=True)
    if cheapest is None or work[cheapest.point] >= work[verdict.best]:
        worse = "; every cheaper row is worse" * bool((work < work[verdict.best]).any())
        names = [plain(tie.point[0]) for tie in verdict.ties if work[tie.point] == work[verdict.best]]
        others = f"; not told from it: {_listed(_some(names))}" if names else ""
        yield f"The lowest distance of all{verdict.where} is that of {best}{worse}{others}."
        return
    most = max(cheapest.difference.value + cheapest.careful * cheapest.difference.error, 0.0)
    above = f", and by {figure(most, 2)} above it at most, all pairs allowed for" if cheapest.difference.error else ""
    yield (
        f"The cheapest row that is not told from the best of all{verdict.where}, {best}, is "
        f"{_named(judge, cheapest.point, evaluations=True)}{above}."
    )


def _as_good_as(judge: Judge, baseline: Point) -> str:
    """Name the cheapest row that is not significantly worse than the baseline, or say that no row is cheaper."""
    work, distance = judge.points["work"], judge.points["distance"]
    worse = {point for point, told in judge.against(baseline, named=True)["told"].items() if told is True}
    excess = {point: judge.difference(point, baseline) for point in _cheaper(judge, baseline)}
    good = [point for point, difference in excess.items() if point not in worse or difference.value < 0]
    aim = _named(judge, baseline, evaluations=True)
    if not excess:
        return f"No row is cheaper than the baseline, {aim}."
    if not good:
        nearest = min(excess, key=lambda point: excess[point].value)
        by = interval(excess[nearest].value, excess[nearest].error)
        than = f"{aim}{_same_noise(judge, nearest, baseline)}"
        return f"Every cheaper row is worse than {than}, the next, {_named(judge, nearest, evaluations=True)}, by {by}."
    first = min(good, key=lambda point: (work[point], distance[point]))
    budgets = judge.points["budget"].drop([baseline])
    careful = bonferroni(judge.level, int((budgets == budgets[first]).sum()))
    by = signed(excess[first].value, excess[first].error) + _allowing(excess[first], careful, "rows")
    return (
        f"The cheapest row that is not told to be worse than {aim} is {_named(judge, first, evaluations=True)}: the "
        f"difference{_same_noise(judge, first, baseline)} is {by}."
    )


def _same_noise(judge: Judge, one: Point, other: Point) -> str:
    """Return SAME_NOISE if two points differ in the other direction than their distances do, else an empty text."""
    distance = judge.points["distance"]
    return SAME_NOISE * bool(judge.difference(one, other).value * (distance[one] - distance[other]) < 0)


def _cheaper(judge: Judge, baseline: Point) -> list[Point]:
    """List the points with fewer evaluations than the baseline."""
    work = judge.points["work"]
    return [point for point in judge.points.index if work[point] < work[baseline]]


def _guidance(scales: Judge | None) -> Iterator[str]:
    """Compare the best guidance scale with the strongest one, on the line with the lowest distance."""
    if scales is None:
        return
    swept = drop_lone_points(scales.points)
    line = swept["distance"].idxmin()[0]
    own = swept[swept.index.get_level_values("line") == line]
    verdict = scales.verdict(own)
    strongest = own.index[-1]
    if not verdict.ranks or verdict.best == strongest:
        return
    text = f"Guidance of {plain(line)}: the lowest distance{verdict.where} is at scale {_scales(verdict)}"
    difference = scales.difference(strongest, verdict.best)
    if strongest in [tie.point for tie in verdict.ties]:
        yield f"{text}."
        return
    trade = [f"the distance is higher by {interval(difference.value, difference.error)}"]
    for field, name in (("metrics.label_accuracy", "label accuracy"), ("metrics.precision", "precision")):
        before, after = (
            share(own.at[point, field], own.at[point, "seeds"] * (scales.protocol.images or 0))
            for point in (verdict.best, strongest)
        )
        if NOTHING not in (before, after):
            trade.append(f"{name} is {after} in place of {before}")
    before, after = (recall(*own.loc[point, ["metrics.recall", "recall_error"]]) for point in (verdict.best, strongest))
    if NOTHING not in (before, after):
        unknown = own.loc[[verdict.best, strongest], "recall_error"].isna().any()
        trade.append(f"recall is {after} in place of {before}" + " (with no known error)" * bool(unknown))
    yield f"{text}. At scale {strongest[1]:g}, {_listed(trade)}."


def _scales(verdict: Verdict) -> str:
    others = sorted(tie.point[1] for tie in verdict.ties)
    equal = f" (not told from {_listed([f'{scale:g}' for scale in others])})" if others else ""
    return f"{verdict.best[1]:g}{equal}"


def _surprises(judge: Judge, floor: Floor | None) -> Iterator[str]:
    """Name the line that more evaluations make worse by the most, and a row with a lower distance than real images."""
    worse: list[tuple[Point, Point, Difference]] = []
    comparisons = 0
    for _, own in drop_lone_points(judge.points).groupby(level="line", observed=True):
        own = own.sort_values("work")
        best = own["distance"].idxmin()
        comparisons += pairings(len(own))
        worse += [
            (best, later, judge.difference(later, best)) for later in own.index[own["work"] > own.at[best, "work"]]
        ]
    told = judge.told([difference for _, _, difference in worse], comparisons)
    found = [each for each, apart in zip(worse, told, strict=True) if apart and each[2].value > 0]
    if found and any(difference.error for _, _, difference in found):
        best, later, difference = max(found, key=lambda each: each[2].value)
        at, by = judge.points["work"], interval(difference.value, difference.error)
        yield (
            f"More evaluations do not always help: {plain(later[0])} is worse at {at[later]:g} than at {at[best]:g}, "
            f"by {by}{_same_noise(judge, later, best)}. There, the error of the steps is not what counts most."
        )
    if floor is not None and not math.isnan(floor.error):
        errors = (judge.points["error"] ** 2 + floor.error**2) ** 0.5
        below = judge.points[judge.points["distance"] + _bonferroni_width(judge) * errors < floor.mean]
        if len(below):
            lowest = below["distance"].idxmin()
            yield (
                f"{_named(judge, lowest, evaluations=True)} is nearer to the reference than other real images are "
                f"({interval(*floor)})."
            )


def _bonferroni_width(judge: Judge) -> float:
    """Return how many standard errors one of all points has to be away from a fixed value (Bonferroni)."""
    return NormalDist().inv_cdf(1 - judge.level / 2 / len(judge.points))


def _convergence(points: DataFrame) -> Iterator[str]:
    """Name the samplers that converge with a lower order than they declare."""
    found = orders(points).dropna()
    if found.empty:
        return
    from samplerzoo.testing.convergence import TOLERANCE  # imports torch

    behind = found[found["measured"] < found["declared"] - TOLERANCE]
    if behind.empty:
        yield f"All samplers converge with the order that they declare, or better (to within {TOLERANCE:g})."
        return
    named = [
        f"{plain(line)} declares {declared:g} and has {figure(real, 3)}" for line, declared, real in behind.itertuples()
    ]
    yield f"Of {len(found)} samplers, not all converge with the order that they declare: {'; '.join(named)}."


def _stays_below(points: DataFrame) -> Iterator[str]:
    """Name, for each goal, the lines that reach it with the fewest evaluations and stay below it with more.

    The lowest distance of a column may be an accident: an exact distance can touch 0 where the errors of mean and
    standard deviation change their signs.
    """
    goals = []
    for goal in EXACT_GOALS:
        needed = {}
        for line, own in points.groupby(level="line", observed=True):
            above = own["work"][own["distance"] > goal].max()
            below = own["work"][own["work"] > above] if above == above else own["work"]
            if len(below):
                needed[line] = below.min()
        if needed:
            fewest = min(needed.values())
            names = [plain(line) for line, work in needed.items() if work == fewest]
            goals.append(f"{goal:g} with {fewest:g} ({_listed(_some(names))})")
    if goals:
        yield f"The fewest evaluations from which on the distance stays below a goal: {'; '.join(goals)}."


def _named(judge: Judge, point: Point, *, evaluations: bool = False) -> str:
    """Name a point with its distance: `unipc (0.42 ± 0.02)`, or `unipc at 10 evaluations (0.42 ± 0.02)`."""
    row = judge.points.loc[point]
    at = f" at {row['work']:,g} evaluation{'' if row['work'] == 1 else 's'}" if evaluations else ""
    return f"{plain(point[0])}{at} ({interval(row['distance'], row['error'])})"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
