"""Tests of benchmarks/speed.py: fair pairs, medians, and a report that names missed bars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from measure import figure

    return figure


@pytest.fixture
def report(figure: Any) -> Any:
    from measure import report

    return report


def test_pairs_take_turns_and_begin_warm(figure: Any) -> None:
    calls: list[str] = []
    pairs = figure.paired(lambda: calls.append("a"), lambda: calls.append("b"), rounds=3)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert len(pairs) == 3
    assert all(a >= 0 and b >= 0 for a, b in pairs)


def test_a_pair_is_in_the_order_of_its_works_whichever_went_first(figure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "seconds", lambda work: work())
    assert figure.paired(lambda: 3.0, lambda: 2.0, rounds=4) == [(3.0, 2.0)] * 4
    assert figure.ratio("this", lambda: 3.0, lambda: 2.0, 4, "<= 1.5").met


def test_a_child_does_its_work_whenever_it_is_asked(
    figure: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from measure.child import Child

    (tmp_path / "work.py").write_text("""
def counting(start):
    numbers = iter(range(start, start + 2))
    def work():
        print("not an answer")
        return next(numbers)
    return work
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Child("work:counting", keep=False, start=5) as child, Child("work:counting", keep=True, start=7) as other:
        child.begin()
        assert other() == 7
        assert (child.answer(), child()) == (5, 6)
        with pytest.raises(SystemExit, match="work:counting"):
            child()


@pytest.mark.parametrize(
    ("bar", "met"), [("", None), ("<= 2", True), ("<= 1.9", False), (">= 2", True), (">= 3", False)]
)
def test_a_bar_is_for_the_median(figure: Any, bar: str, met: bool | None) -> None:
    assert figure.Figure("this", [9.0, 2.0, 1.0], bar).met is met


def test_the_report_says_what_was_measured_and_what_was_missed(figure: Any, report: Any, tmp_path: Path) -> None:
    Figure = figure.Figure
    report.write(
        tmp_path, "guidance", [Figure("cfg", [2.0, 2.5, 2.25], "<= 2.05", facts={"NFE": 2.0}), Figure("x", [1.0])]
    )
    growth = [
        Figure(f"{kind}: {x}", [x * 0.5] * 3, unit="s", facts={"x": x}) for kind in report.GROWTH for x in (1, 10, 100)
    ]
    report.write(tmp_path, "scale", growth)
    text = report.render(tmp_path).read_text()
    assert "| cfg | 2.25 (2 to 2.5) ratio | 3 | <= 2.05 | **missed** | NFE 2 |" in text
    assert "python benchmarks/speed.py guidance" in text
    assert "images 1, steps 1, size 1, processes 1." in text  # seconds are x / 2 and so linear in x
    assert (tmp_path / "growth.png").stat().st_size > 1000
    assert "Training" not in text  # it was not measured
    assert json.loads((tmp_path / "guidance.json").read_text())["machine"]["cpus"]
