"""Models compared: rows rigged in both directions, models that others leave alone, and what the report says."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import protocol, rigged, row, sure

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import EXACT, Row, append_rows
from samplerzoo.report.decide import Judge
from samplerzoo.report.models import Contest, contests
from samplerzoo.report.page import make_report
from samplerzoo.report.series import along, average

ERROR = 0.05


def rows(model: str, *figures: tuple[str, int, float], error: float = ERROR, **changes: object) -> list[Row]:
    own = protocol(model=model, fingerprint=model * 8, **changes)
    return [sure(row(name, steps, fd, under=own), error) for name, steps, fd in figures]


def judge(found: list[Row]) -> Judge:
    return Judge(found[0].protocol, average(along(found, "steps")), Evidence())


def contest(*models: list[Row]) -> Contest:
    [found] = contests([judge(each) for each in models])
    return found


@pytest.mark.parametrize("better", ["vp", "flow"])
def test_the_better_model_is_named_with_its_best_row(better: str) -> None:
    other = {"vp": "flow", "flow": "vp"}[better]
    figures = {better: (("ddim", 5, 2.0), ("unipc", 5, 1.0)), other: (("ddim", 5, 4.0), ("unipc", 5, 5.0))}
    found = contest(*(rows(name, *figures[name]) for name in ("vp", "flow")))
    assert found.findings == [
        f"At 5 evaluations {better}: unipc (1.000 ± 0.098) is the lowest, and better than {other}: ddim "
        "(4.000 ± 0.098), by 3.00 ± 0.14."
    ]


def test_models_that_are_near_are_not_told_apart() -> None:
    """The difference of 0.1 is 1.4 standard errors. Of three rows there are three pairs, so that 2.39 are needed."""
    [said] = contest(rows("vp", ("ddim", 5, 1.1), ("unipc", 5, 3.0)), rows("flow", ("ddim", 5, 1.0))).findings
    assert "flow: ddim (1.000 ± 0.098) is the lowest, and cannot be told from vp: ddim (1.100 ± 0.098): about " in said
    assert "5,800 images a row are needed for a difference of this size (+0.10 ± 0.14)" in said


def test_of_three_models_each_other_one_is_judged() -> None:
    [said] = contest(
        rows("vp", ("ddim", 5, 1.0)), rows("flow", ("ddim", 5, 1.05)), rows("edm", ("heun", 5, 9.0))
    ).findings
    assert "cannot be told from flow: ddim" in said
    assert "; it is better than edm: heun (9.000 ± 0.098), by 8.00 ± 0.14." in said


def test_more_rows_to_choose_from_need_a_larger_difference() -> None:
    flow, near = rows("flow", ("ddim", 5, 1.0)), ("ddim", 5, 1.17)
    more = [(name, 5, 3.0) for name in ("unipc", "deis", "ipndm", "heun", "euler-ancestral")]
    assert "better than vp: ddim" in contest(rows("vp", near), flow).findings[0]
    assert "cannot be told from vp: ddim" in contest(rows("vp", near, *more), flow).findings[0]


def test_the_best_row_of_a_model_is_that_of_its_own_section() -> None:
    """By its further seed a of vp is lower; on the seed that both have, b is, and that is told."""
    own = protocol(model="vp", fingerprint="vp" * 8)
    fds = {("a", 0): 0.5, ("a", 1): 0.2, ("b", 0): 0.4}
    vp = [sure(row(name, 5, fd, under=own, seed=seed), 0.3) for (name, seed), fd in fds.items()]
    judges = [Judge(own, average(along(vp, "steps")), rigged(vp, 0.3, 0.01)), judge(rows("flow", ("z", 5, 9.0)))]
    [found] = contests(judges)
    start = "At 5 evaluations vp: b (0.40 ± 0.59) comes first, and better than flow: z"
    assert found.findings[0].startswith(start)


@pytest.mark.parametrize("changes", [{"reference": "test"}, {"images": 1000}, {"features": EXACT, "images": None}])
def test_models_that_were_measured_otherwise_are_not_compared(changes: dict[str, object]) -> None:
    both = changes if changes.get("features") == EXACT else {}
    models = rows("vp", ("ddim", 5, 1.0), **both), rows("flow", ("ddim", 5, 2.0), **changes)
    assert contests([judge(each) for each in models]) == []


def test_the_report_opens_with_the_models(tmp_path: Path) -> None:
    append_rows(tmp_path, rows("vp", ("ddim", 5, 1.0), ("ddim", 10, 0.5), ("unipc", 20, 0.4)))
    append_rows(tmp_path, rows("flow|x", ("ddim", 5, 0.5), ("unipc", 10, 0.5)))
    report = make_report(tmp_path)
    text = report.path.read_text()
    assert text.index("## vp, flow\\|x: fd_mnist@2000") < text.index("## vp: fd_mnist@2000")
    assert "| 5 | ddim (1.000 ± 0.098) | ddim (0.500 ± 0.098) | -0.50 ± 0.14 |" in text
    assert "| evaluations | vp | flow\\|x | flow\\|x less vp |" in text
    assert not [line for line in text.splitlines() if line.startswith("| 20 | unipc")]
    assert str(report).startswith("vp, flow|x, fd_mnist@2000:\nAt 5 evaluations")
