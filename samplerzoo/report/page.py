"""A benchmark folder as a page: report.md, its plots and pictures, and results.csv. No figure is typed by hand."""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pandas import DataFrame
from tqdm.auto import tqdm

from samplerzoo.bench.evidence import Evidence, collect
from samplerzoo.bench.machine import Machine
from samplerzoo.bench.results import EXACT, RESULTS_FILE, Protocol, Row, read_some, tabulate
from samplerzoo.errors import UsageError
from samplerzoo.report import interactive, plots, tables
from samplerzoo.report.decide import Judge, Point
from samplerzoo.report.errors import ErrorTable, error_tables, section
from samplerzoo.report.errors import findings as findings_of_errors
from samplerzoo.report.findings import findings
from samplerzoo.report.gallery import save_gallery
from samplerzoo.report.line_names import Axis, numbered, settings
from samplerzoo.report.models import contests
from samplerzoo.report.scores import findings as findings_of_scores
from samplerzoo.report.scores import score_sections, score_tables
from samplerzoo.report.series import (
    SEED,
    Floor,
    along,
    average,
    drop_lone_points,
    floor_of,
    rank,
    timed_alike,
    with_seconds,
)
from samplerzoo.report.times import time_section
from samplerzoo.system.files import atomic_file
from samplerzoo.trust.markup import code, fenced, plain, tagged

REPORT_FILE, CSV_FILE = "report.md", "results.csv"

COMMON = ("spacing", "clip_x0", "dtype")
"""Settings that are listed with the protocol if all rows agree in them. If not, they are in the names of the rows."""

GALLERIES: dict[Axis, str] = {"steps": "pictures", "scale": "pictures-guidance"}
"""Name of the sheet of pictures along each axis."""

MOST_NAMES = 4

MOST_PROMPTS_SHOWN = 20

DELAY = 1.0
"""Seconds after which a report that is being written shows its progress on a terminal."""

LONGEST = 100
"""Maximum number of characters of a metric in a file name; file systems take 255 bytes."""


@dataclass(frozen=True)
class Report:
    """Report that was written.

    Attributes:
        path: report.md.
        page: report.html; None without plotly.
        findings: sentences that its sections open with, by protocol.
    """

    path: Path
    page: Path | None
    findings: Mapping[Protocol, Sequence[str]]

    def __str__(self) -> str:
        """Return the findings as lines of text, with the paths last."""
        lines = []
        titles = numbered([f"{protocol.model}, {protocol.measure}" for protocol in self.findings])
        for title, found in zip(titles, self.findings.values(), strict=True):
            if len(self.findings) > 1:
                lines.append(f"{title}:")
            lines += found
        page = "to filter, compare and look at pictures in a browser: pip install plotly, then `samplerzoo report`"
        return "\n".join([*lines, str(self.page or page), str(self.path)])


def write_report(folder: Path) -> Path:
    """Write the report of a benchmark folder, and return its path; see `make_report`."""
    return make_report(folder).path


def make_report(folder: Path, baseline: str | None = None) -> Report:
    """Write the report of the rows that a benchmark folder holds so far.

    Args:
        baseline: row that all others are compared with; see `Judge.baseline`.

    Raises:
        UsageError: the folder holds no rows, or no table has the baseline.
    """
    every = read_some(folder)
    with atomic_file(folder / CSV_FILE) as partial:
        partial.write_text(_as_csv(every))
    errors = error_tables(folder, [row for row in every if row.error is not None])
    stems = _stems([table.protocol for table in errors])
    rows = [row for row in every if row.metrics is not None]
    lines, sweeps = along(every, "steps"), along(every, "scale")
    evidence = collect(folder, every)
    scores = score_tables([row for row in every if row.score is not None], evidence)
    sections = _sections(rows, evidence, baseline)
    of_models = contests([each.judge for each in sections])
    _refuse_unknown(baseline, [*(each.judge for each in sections), *errors])
    models = [*dict.fromkeys(row.protocol.model for row in every)]
    pictured = (_measured(lines), _measured(sweeps)) if rows else (lines, sweeps)
    written = [
        *(each.write() for each in of_models),
        *(each.write(folder) for each in sections),
        *(section(table, folder, stem, _known(table, baseline)) for table, stem in zip(errors, stems, strict=True)),
        score_sections(scores),
        time_section(lines),
        _prompts(every),
        _pictures(*pictured, folder),
    ]
    parts = [
        f"# Samplers compared: {plain(', '.join(models))}",
        *_told_apart(part for each in tqdm(written, "report", delay=DELAY, leave=False, disable=None) for part in each),
        *_colophon(lines, folder, baseline),
        f"Every row of every table: [{CSV_FILE}]({CSV_FILE}) and [{RESULTS_FILE}]({RESULTS_FILE}).",
    ]
    with atomic_file(folder / REPORT_FILE) as partial:
        partial.write_text("\n\n".join(filter(None, parts)) + "\n")
    said: dict[Protocol, Sequence[str]] = {each.protocol: each.findings for each in of_models}
    said |= {each.protocol: each.findings for each in sections}
    said |= {table.protocol: findings_of_errors(table) for table in errors}
    said |= {table.protocol: findings_of_scores(table) for table in scores}
    page = None
    if interactive.is_available() and (sections or errors):  # a page of scores alone would be empty
        page = folder / interactive.HTML_FILE
        baselines = {each.protocol: each.shown_baseline for each in sections} | {
            table.protocol: interactive.Baseline(table.baseline_row(wanted).cell, wanted is not None)
            for table in errors
            if table.rows
            for wanted in [_known(table, baseline)]
        }
        interactive.write_page([(folder, row) for row in every], evidence, page, said, baselines)
    return Report(folder / REPORT_FILE, page, {protocol: found for protocol, found in said.items() if found})


def _told_apart(parts: Iterable[str]) -> Iterator[str]:
    """Put a number behind the titles of sections that are there already, as the page does."""
    found = [*parts]
    heads = [place for place, part in enumerate(found) if part.startswith("## ")]
    titles = dict(zip(heads, numbered([found[place] for place in heads]), strict=True))
    return (titles.get(place, part) for place, part in enumerate(found))


def _refuse_unknown(baseline: str | None, tables: Sequence[Judge | ErrorTable]) -> None:
    """Refuse a baseline that no table has.

    Raises:
        UsageError: no table has it; the message lists the rows of the first table.
    """
    if baseline is None or any(_known(table, baseline) for table in tables):
        return
    if not tables:
        raise UsageError("a baseline is for distances and errors, and there are none here: leave --baseline out")
    tables[0].baseline(baseline)


def _known(table: Judge | ErrorTable, baseline: str | None) -> str | None:
    """Return the baseline if the table has it, otherwise None."""
    if baseline is None:
        return None
    try:
        table.baseline(baseline)
    except UsageError:
        return None
    return baseline


def _measured(rows: DataFrame) -> DataFrame:
    """Return the rows with a distance."""
    return rows.loc[[row.metrics is not None for row in rows["row"]]]


def _as_csv(rows: Sequence[Row]) -> str:
    """Write the rows as CSV with all digits. Lists are written as JSON."""
    frame = tabulate(rows)
    for name in frame.select_dtypes("object"):
        frame[name] = [json.dumps(value) if isinstance(value, list) else value for value in frame[name]]
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _sections(measured: Sequence[Row], evidence: Mapping[Protocol, Evidence], wanted: str | None) -> list[Section]:
    """Prepare a section for each set of rows that can be compared.

    A section without the wanted baseline chooses one by default. Rows are named by what sets them apart from others of
    their section.
    """
    found: list[Section] = []
    protocols = sorted(dict.fromkeys(row.protocol for row in measured), key=rank)
    for protocol, stem in zip(protocols, _stems(protocols), strict=True):
        of_protocol = [row for row in measured if row.protocol == protocol]
        rows, machine = with_seconds(along(of_protocol, "steps"))
        of_rows = evidence.get(protocol, Evidence())
        judge = Judge(protocol, average(rows), of_rows)
        swept = average(along(of_protocol, "scale"))
        asked = _known(judge, wanted)
        baseline = judge.baseline(asked)
        scales = Judge(protocol, swept, of_rows) if len(drop_lone_points(swept)) else None
        timed = machine if timed_alike(rows) else None
        found.append(Section(protocol, rows, judge, scales, floor_of(rows), timed, baseline, asked is not None, stem))
    return found


@dataclass(frozen=True, eq=False)
class Section:
    """Part of a report about the rows of one protocol: findings, plots, tables, and how they were measured.

    Attributes:
        rows: all rows of the protocol, along the steps.
        scales: judge of the rows along the guidance scale; None if no line has two scales.
        floor: distance of real images; None if it was not measured.
        machine: machine that took the seconds; None if they cannot be compared.
        baseline: row that all others are compared with.
        asked: whether a user asked for this baseline.
        stem: start of the plots' file names.
    """

    protocol: Protocol
    rows: DataFrame
    judge: Judge
    scales: Judge | None
    floor: Floor | None
    machine: Machine | None
    baseline: Point
    asked: bool
    stem: str

    @functools.cached_property
    def findings(self) -> list[str]:
        """Sentences on what the rows decide."""
        return findings(self.judge, self.scales, self.floor, self.baseline if self.asked else None)

    @property
    def shown_baseline(self) -> interactive.Baseline:
        return interactive.Baseline(self.judge.points.at[self.baseline, "row"].cell, self.asked)

    def write(self, folder: Path) -> Iterator[str]:
        """Write the parts of the section, and its plots to the folder."""
        protocol, judge = self.protocol, self.judge
        yield f"## {plain(protocol.title)}"
        yield "\n".join(f"- {sentence}" for sentence in self.findings)
        yield _measure(protocol, blind=judge.blind)
        asked = [self.baseline] if self.asked else []
        found = plots.save_plots(judge, self.scales, self.floor, self.machine, folder, self.stem, asked)
        for name, alt in found.items():
            yield f"![{plain(alt)}]({name})"
        if self.scales is not None:
            yield "Distance by guidance scale:"
            yield tables.by_scale(self.scales.points, self.floor)
        yield f"Distance by evaluations of the network{_reading(judge)}:"
        yield tables.by_budget(judge, judge.points, self.floor)
        if not judge.blind and len(judge.points) > 1 and protocol.features != EXACT:  # exact ones need no table
            yield _against(judge, self.baseline, named=self.asked)
            yield tables.differences(judge, self.baseline, named=self.asked)
        for title, table in tables.option_tables(judge):
            yield f"Distance by {plain(title)} and evaluations, all else equal:\n\n{table}"
        orders = tables.order_table(judge.points)
        if orders:
            yield f"Order of convergence, measured in float64 between two noisy levels:\n\n{orders}"
        title = f"All figures of {protocol.metric}"
        yield _folded(title, tables.full_table(judge, self.baseline))
        yield _folded("Protocol", _protocol_block(protocol, self.rows))


def _measure(protocol: Protocol, *, blind: bool) -> str:
    """Say what is measured, for readers who do not open the protocol."""
    if protocol.features == EXACT:
        return (
            "Fréchet distance between the exact distribution of what a sampler makes and that of the data: no images, "
            "no network and no chance. Lower is better."
        )
    against = f" of {protocol.reference_images:,} images" if protocol.reference_images is not None else ""
    text = f"Fréchet distance of {protocol.images:,} images to {code(protocol.reference)}{against}; lower is better."
    if not blind:
        text += (
            " Its bias of few images is removed by a jackknife of ten groups; ± is a 95% interval, of these images on "
            "this model. Figures without one have no known error."
        )
    if not protocol.metric.startswith("fid@"):
        text += f" The features are those of {code(protocol.features)}: not comparable with published FIDs."
    return text


def _reading(judge: Judge) -> str:
    """Say how to read a table by evaluations."""
    text = ""
    if any(verdict.ranks for verdict in judge.verdicts()):
        text = ", in bold the best of each column" + (
            "" if judge.protocol.features == EXACT else " and what cannot be told from it"
        )
    if (judge.points["work"] != judge.points["budget"]).any():
        text += " (a number behind a figure: its own evaluations)"
    if (judge.points["work"] > judge.points["cost.nfe"]).any():
        text += "; calls of a second network and gradients of a classifier count as evaluations, too"
    return text


def _against(judge: Judge, baseline: Point, *, named: bool) -> str:
    """Explain the table of differences: its baseline, and what its stars mean."""
    line, work = baseline[0], judge.points.at[baseline, "work"]
    careful = (
        "Bold is more careful, since the lowest of a column is chosen by its figures: it allows for all pairs, so that "
        "a row may be in bold with a star."
        if named
        else "The baseline was chosen by its figures, so that all pairs of a column count; of one that you name with "
        "--baseline, its own alone do."
    )
    gone = judge.unpaired(baseline)
    rows = "1 row, which is" if gone == 1 else f"{gone:,} rows, which are"
    apart = f"No covariance with it is kept of {rows} taken as independent of it: that tells less. "
    return (
        f"Difference to the baseline, {plain(line)} at {work:g} evaluations, image by image where both share a seed. "
        f"{apart * bool(gone)}"
        "A star marks what is told from it: by Holm's correction over a column, and with the same sign of the kernel "
        f"distance and of the distance at infinity. {careful}"
    )


def _protocol_block(protocol: Protocol, rows: DataFrame) -> str:
    """Tabulate all that the rows have in common."""
    values: dict[str, Any] = {name: value for name, value in protocol.model_dump().items() if value is not None}
    for field in COMMON:
        if rows[f"recipe.{field}"].nunique(dropna=False) == 1:
            values[field] = rows[f"recipe.{field}"].iloc[0]
    values["seeds"] = ", ".join(map(str, sorted(rows[SEED].unique())))
    values |= _constants(rows)
    return tables.markdown(["", ""], [[plain(name), code(str(value))] for name, value in values.items()], texts=2)


def _constants(rows: DataFrame) -> dict[str, str]:
    """Collect the options that are the same in all rows of their sampler or guidance, so that no name has them."""
    values: dict[str, set[str]] = {}
    for row in rows["row"]:
        for field, value in settings(row.recipe).items():
            if "." in field:
                values.setdefault(field, set()).add(str(value))
    found: dict[str, list[str]] = {}
    for field, texts in values.items():
        owner, _, option = field.rpartition(".")
        if len(texts) == 1 and texts != {"None"}:
            found.setdefault(owner, []).append(f"{option} {texts.pop()}")
    return {owner: ", ".join(texts) for owner, texts in found.items()}


def _stems(protocols: Sequence[Protocol]) -> list[str]:
    """Return a distinct start of the plots' file names for each protocol.

    It is the metric, as in `fd_mnist-2000`, or `fd_mnist-2000-2` if an earlier protocol has that name.
    """
    found: list[str] = []
    for protocol in protocols:
        base = re.sub(r"[^A-Za-z0-9_.]+", "-", protocol.metric).strip("-.")[:LONGEST] or "metric"
        found.append(next(name for k in range(1, len(found) + 2)
                          if (name := base if k == 1 else f"{base}-{k}") not in found))  # fmt: skip
    return found


def _folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{tagged(title)}</summary>\n\n{content}\n\n</details>"


def _prompts(rows: Sequence[Row]) -> Iterator[str]:
    """List the first prompts of each set, with its negative prompt."""
    asked = {row.protocol.prompts: row.recipe for row in rows if row.protocol.prompts is not None}
    for name, recipe in asked.items():
        prompts = recipe.prompts or ()
        yield f"## {plain(str(name))}"
        away = "" if recipe.negative_prompt is None else f' Negative prompt: "{plain(recipe.negative_prompt)}".'
        yield f"Image i has prompt i mod {len(prompts)}.{away}"
        shown = [f'- "{plain(prompt)}"' for prompt in prompts[:MOST_PROMPTS_SHOWN]]
        left = len(prompts) - len(shown)
        yield "\n".join(shown + [f"- and {left} more"] * (left > 0))


def _pictures(lines: DataFrame, sweeps: DataFrame, folder: Path) -> Iterator[str]:
    """Show the first images of each model's rows, by steps and by guidance scale."""
    found = []
    for index, model in enumerate(lines["protocol.model"].unique()):
        tail = f"-{index + 1}" if index else ""
        for axis, rows in _shown(lines, sweeps, model).items():
            name = f"{GALLERIES[axis]}{tail}.png"
            sheet = save_gallery(rows, axis, folder, name)
            if sheet is not None:
                shown, every = sheet
                title = f"{plain(model)}: pictures by {axis}"
                found.append(f"![{title}]({name})")
                if 0 < shown < every:
                    of = f"{shown} of the {every} rows of these lines"
                    found.append(f"{title}, of {of}: no images of the others are kept.")
    if found:
        yield "## Pictures"
        labels = {row.protocol.labels for row in lines["row"]}
        alike = " and the same labels" if len(labels) == 1 and None not in labels else ""
        yield f"The first images of rows: the same noise{alike} in all of them."
        yield from found


def _shown(lines: DataFrame, sweeps: DataFrame, model: str) -> dict[Axis, DataFrame]:
    """Select a model's rows on lines with two places or more, by axis; all rows by steps if there is no such line."""
    tables: dict[Axis, DataFrame] = {"steps": lines, "scale": sweeps}
    own = {axis: rows[rows["protocol.model"] == model] for axis, rows in tables.items()}
    swept = {axis: rows[rows.groupby("line", observed=True)["place"].transform("nunique") > 1]
             for axis, rows in own.items()}  # fmt: skip
    return {axis: rows for axis, rows in swept.items() if len(rows)} or {"steps": own["steps"]}


def _colophon(rows: DataFrame, folder: Path, baseline: str | None) -> Iterable[str]:
    """List warnings, commands, machines and versions; and the baseline, if it was named."""
    warned = rows.explode("warnings").dropna(subset="warnings")
    if len(warned):
        yield "## Warnings"
        texts = warned.groupby("warnings", sort=False)
        yield "\n".join(f"- {plain(text)} ({_names(found, len(rows))})" for text, found in texts)
    yield "## Made with"
    commands = [command for command in rows["command"].unique() if command]
    if baseline is not None:
        commands.append(shlex.join(["samplerzoo", "report", str(folder), "--baseline", baseline]))
    if commands:
        yield fenced("\n".join(commands), "sh")
    machines = Counter(row.speed.machine for row in rows["row"] if row.speed is not None)
    if machines:
        yield tables.markdown(
            ["device", "threads", "processes", "images at once", "compiled", "layout", "rows"],
            [
                [
                    plain(machine.device + (f", {machine.offload} offload" if machine.offload else "")),
                    *map(str, (machine.threads, machine.processes, machine.batch_size)),
                    "yes" if machine.compiled else "no",
                    "the compiler's" if machine.compiled else plain(machine.layout.replace("_", " ")),
                    str(count),
                ]
                for machine, count in machines.items()
            ],
        )
    if len(machines) > 1:
        yield "Rows that were not timed in the same way: their speeds cannot be compared."
    versions = rows.filter(regex=r"^versions\.")
    if len(versions.columns):
        body = [
            [plain(name.removeprefix("versions.")), plain(", ".join(versions[name].dropna().unique()))]
            for name in versions
        ]
        yield _folded("Versions", tables.markdown(["", ""], body, texts=2))


def _names(some: DataFrame, every: int) -> str:
    """Name some rows if they are few, otherwise say how many of all rows they are."""
    if len(some) == every:
        return "all rows"
    points = some[["line", "place"]].drop_duplicates().sort_values(["line", "place"])
    names = [f"{plain(line)} at {steps:g} steps" for line, steps in points.itertuples(index=False)]
    return "; ".join(names) if len(names) <= MOST_NAMES else f"{len(some)} of {every} rows"
