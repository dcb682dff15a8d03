"""Scores of images in a report: how near the images of each sampler are to their prompts, by evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from samplerzoo.bench.results import Protocol, Row
from samplerzoo.report.errors import DIGITS
from samplerzoo.report.line_names import name_lines, number
from samplerzoo.report.series import work_of
from samplerzoo.report.tables import NOTHING, figure, markdown
from samplerzoo.trust.markup import plain


def score_sections(rows: Sequence[Row]) -> Iterator[str]:
    """Write the parts of a report on rows of scores, a table for those that can be compared."""
    for protocol in dict.fromkeys(row.protocol for row in rows):
        yield from _section(protocol, [row for row in rows if row.protocol == protocol])


def _section(protocol: Protocol, rows: Sequence[Row]) -> Iterator[str]:
    yield f"## {plain(protocol.title)}"
    yield (
        f"Score of an image: {protocol.reference_id} of the angle between its features and those of its prompt, in "
        f"{plain(protocol.reference)} (Hessel et al. 2021). Means over {protocol.images} images, with 95% intervals by "
        "a bootstrap over them. Higher is nearer to the prompt, which is not nearer to real images."
    )
    found: dict[tuple[str, float], list[Row]] = {}
    for line, row in zip(name_lines([row.recipe for row in rows], "steps"), rows, strict=True):
        found.setdefault((line, work_of(row)), []).append(row)
    budgets = sorted({work for _, work in found})
    body = [
        [plain(line), *(_figure(found.get((line, work), ())) for work in budgets)]
        for line in dict.fromkeys(line for line, _ in found)
    ]
    yield "Score by evaluations of the network:"
    yield markdown(["", *map(number, budgets)], body)


def _figure(rows: Sequence[Row]) -> str:
    """Write the mean over all seeds, and of one seed its interval."""
    scores = [row.score for row in rows if row.score is not None]
    if not scores:
        return NOTHING
    mean = figure(sum(score.mean for score in scores) / len(scores), DIGITS)
    if len(scores) > 1:
        return mean
    return f"{mean} [{figure(scores[0].low, DIGITS)}, {figure(scores[0].high, DIGITS)}]"
