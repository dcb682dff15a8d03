"""Page in a real browser: filter, hover, click, baseline, slider, address, dark, hostile names, and no request."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from synthetic import IMAGES, erring, influence, noise, protocol, row, shard, sure

from samplerzoo.bench.evidence import collect
from samplerzoo.bench.results import Row, append_rows
from samplerzoo.report import errors, plots
from samplerzoo.report.decide import Judge
from samplerzoo.report.interactive import write_html, write_page
from samplerzoo.report.page import make_report
from samplerzoo.report.series import along, average

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no browser: apt-get install chromium")

HOSTILE = "<img src=x onerror=window.bad=1>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of six rows, of which one has a hostile option."""
    folder = tmp_path_factory.mktemp("report")
    rows: list[Row] = [
        sure(row("ddim", steps, (4.0 + 2 * eta) / steps, options={"eta": eta}), 0.1)
        for steps in (5, 10)
        for eta in (0.0, 1.0)
    ]
    rows += [sure(row("unipc", steps, 3.5 / steps, options={"solver_type": HOSTILE}), 0.1) for steps in (5, 10)]
    influence(folder, rows, 0.1, 0.005)
    for place, each in enumerate(rows):
        shard(folder, each.cell, np.full((2000, 1, 4, 4), 40 * place, np.uint8))
    append_rows(folder, rows)
    places = [(folder, each) for each in rows]
    write_page(places, collect(folder, rows), folder / "report.html", {protocol(): ["unipc is the best."]})
    return folder / "report.html"


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """Open the page; no request may leave it, and no script may fail."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    requests, faults = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("pageerror", lambda fault: faults.append(str(fault)))
    tab.goto(file.as_uri())
    tab.wait_for_selector("#plot .legend")
    yield tab
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []
    assert tab.evaluate("window.bad") is None
    tab.close()


def texts(page: Any, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def view(page: Any) -> dict[str, Any]:
    return json.loads(unquote(page.url.partition("#")[2]))


def test_filters_hide_rows_and_the_axes_follow(page: Any) -> None:
    assert len(texts(page, "#rows tbody tr")) == 6
    highest = page.evaluate("document.getElementById('plot')._fullLayout.yaxis.range[1]")
    page.click("#filters summary")
    page.uncheck("[data-facet=eta][data-value='1']")
    assert len(texts(page, "#rows tbody tr")) == 4
    page.wait_for_function(f"document.getElementById('plot')._fullLayout.yaxis.range[1] < {highest}")
    page.fill("#find", "unipc")
    assert len(texts(page, "#rows tbody tr")) == 2
    page.click("#reset")
    assert len(texts(page, "#rows tbody tr")) == 6


def test_the_first_thing_said_is_the_best_row_and_how_sure_that_is(page: Any) -> None:
    """Take ddim eta 0 (0.4), ddim eta 1 (0.6) and unipc (0.35) at 10 evaluations, errors paired: 0.005 sqrt 2."""
    assert page.locator("#budget").input_value() == "10"
    assert page.locator("#about").inner_text().startswith("Fréchet distance of 2,000 images")
    verdict = page.locator("#verdict").inner_text()
    assert verdict.startswith("unipc")
    assert "is the best" in verdict
    assert "2 others are worse, more than by chance" in verdict
    lines = [line.split("\t") for line in page.locator("#ranking tr").all_inner_texts()[1:]]
    assert [(name.split(",")[0].split(" bh2")[0], said) for name, _, said, *_ in lines][1:] == [
        ("ddim eta 0", "worse"), ("ddim eta 1", "worse")
    ]  # fmt: skip
    assert lines[1][3].startswith("+0.050 ± 0.0")
    page.select_option("#budget", "5")
    assert view(page)["n"] == 5
    assert "0.7" in page.locator("#verdict").inner_text()


def test_what_cannot_be_told_is_said_with_the_images_that_would(browser: Any, tmp_path: Path) -> None:
    rows = [sure(row(name, 10, fd), 0.1) for name, fd in (("ddim", 1.0), ("unipc", 1.01), ("heun", 3.0))]
    influence(tmp_path, rows, 0.1, 0.02)
    append_rows(tmp_path, rows)
    write_html([tmp_path], tmp_path / "report.html")
    tab = browser.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    assert "ddim has the lowest figure" in tab.locator("#verdict").inner_text()
    assert "one other cannot be told from it by 2,000 images" in tab.locator("#verdict").inner_text()
    name, _, said, difference, images = tab.locator("#ranking tr").nth(2).inner_text().split("\t")
    assert (name, said) == ("unipc", "not told apart")
    value, _, half = difference.partition(" ± ")
    needed = 2000 * (2.3940 * float(half) / 1.959964 / float(value)) ** 2  # of three pairs: 1 - 0.05/6 in the normal
    assert float(images.removeprefix("about ").replace(",", "")) == pytest.approx(needed, rel=0.15)
    assert (
        tab.locator("#pivot td.best").all_inner_texts()
        == tab.locator("#pivot tr:nth-child(2) td").all_inner_texts()[1:]
    )
    assert len(tab.locator("#pivot td.tie").all()) == 1
    tab.close()


@pytest.mark.parametrize("own", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("seeds", [{}, {"ddim": [0, 1, 2], "heun": [1], "deis": [0, 1]}])
def test_the_answer_is_that_of_the_report(
    browser: Any, tmp_path: Path, own: float, seeds: dict[str, list[int]]
) -> None:
    """Whatever the errors and seeds: the same best row, the same ties in the same order, the same numbers of images."""
    names = ("ddim", "unipc", "heun", "deis", "ipndm", "ddpm")
    rows = [
        sure(row(name, 10, 1.0 + 0.05 * k**1.5 + 0.03 * seed, seed=seed), 0.1, kid=0.1 + 0.01 * k - 0.05 * seed)
        for k, name in enumerate(names)
        for seed in seeds.get(name, [0])
    ]
    influence(tmp_path, [found for found in rows if found.recipe.sampler != "unipc"], 0.3, own)  # whose images are gone
    append_rows(tmp_path, rows)
    judge = Judge(protocol(), average(along(rows, "steps")), collect(tmp_path, rows)[protocol()])
    [verdict] = judge.verdicts()
    write_html([tmp_path], tmp_path / "report.html")
    tab = browser.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    lines = [line.split("\t") for line in tab.locator("#ranking tr").all_inner_texts()[1:]]
    assert lines[0][0] == verdict.best[0]
    ties = [line for line in lines if line[2] == "not told apart"]
    assert [line[0] for line in ties] == [tie.point[0] for tie in verdict.ties]
    assert sum(line[2] == "worse" for line in lines) == len(verdict.worse)
    for line, tie in zip(ties, verdict.ties, strict=True):
        enough = tie.images is not None and tie.images <= 2000
        said = "more: its other distances have the other order" if enough else f"about {tie.images:,}"
        assert line[4] == ("" if tie.images is None else said)
    tab.close()


def as_read(markdown: str) -> str:
    """Return a cell of a report as a reader sees it, with <b> for bold."""
    text = markdown.strip().replace("\\", "")
    return f"<b>{text.replace('**', '')}" if text.startswith("**") else text.replace("–", "")


def test_the_page_says_what_the_report_says(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances and errors: the same words, figures and decisions, where further seeds alone make ddim lower."""
    names = ("heun", "unipc", "ddim", "deis", "ipndm")
    seeds = {"ddim": (0, 1, 2), "deis": (0, 1), "unipc": (0, 1)}
    rows = [
        sure(row(name, steps, (1 + 0.04 * k**1.5 - 0.2 * seed) * 9 / steps, seed=seed), 0.1)
        for k, name in enumerate(names)
        for steps in (5, 10)
        for seed in seeds.get(name, (0,))
    ]
    rows.append(sure(row("ddpm", 10, 0.90005), 0.1))  # of what heun differs from by rounding
    influence(tmp_path, rows, 0.1, 0.01)
    rows += [
        erring(tmp_path, name, steps, (noise(seed, 0.1) * (1 - 0.5 * seed) + noise(k, 0.001) * k) / steps, seed=seed)
        for k, name in enumerate(names)
        for steps in (5, 10)
        for seed in seeds.get(name, (0,))
    ]
    far = np.where(np.arange(IMAGES) < 4, 1.0, 0.0)  # whose interval would end below 0
    rows += [erring(tmp_path, "dpm-solver++", 5, far), erring(tmp_path, "dpm-solver++", 10, far * 0.9)]
    append_rows(tmp_path, rows)
    monkeypatch.setattr(plots, "save_plots", lambda *_: {})
    monkeypatch.setattr(errors, "save_cost_plots", lambda *_: {})
    report = make_report(tmp_path, "heun@10").path.read_text()
    tab = browser.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    for section, what in enumerate(("Distance", "Error")):
        tab.select_option("#section", str(section))
        pattern = rf"\n{what} by evaluations of the network[^\n]*\n\n\|.*\n\|.*\n((?:\|.*\n)+)"
        [table] = re.findall(pattern, report)
        lines = [[as_read(cell) for cell in line.strip("|").split("|")] for line in table.splitlines()]
        drawn = tab.locator("#pivot").evaluate(
            "table => [...table.rows].slice(1).map(row => [...row.cells].map(it => "
            "(['best', 'tie'].includes(it.className) ? '<b>' : '') + it.textContent))"
        )
        assert lines == drawn
        assert sum(cell.startswith("<b>") for line in drawn for cell in line) > 1
        for budget in (5, 10):
            start = f"- At {budget} evaluations on the same noise"
            [sentence] = [line for line in report.splitlines() if line.startswith(start)
                          and ("nearest" in line) == (what == "Error")]  # fmt: skip
            tab.select_option("#budget", str(budget))
            verdict, best = tab.locator("#verdict").inner_text(), tab.locator("#verdict b").inner_text()
            figure = tab.locator("#ranking tr:nth-child(2) td").nth(1).inner_text()
            assert " on the same noise" in verdict
            assert f" {best} ({figure})" in sentence.replace("\\", "")
            assert figure in verdict
        assert tab.locator("#baseline").input_value() == "heun@10"
    tab.close()


@pytest.mark.parametrize("baseline", [None, "ddim"])
def test_the_page_tells_the_differences_that_the_report_tells(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, baseline: str | None
) -> None:
    """Tell a difference of 2.65 standard errors among five rows from a baseline that was named, and from no other."""
    names = ("ddim", "unipc", "heun", "deis", "ipndm")
    rows = [sure(row(name, 5, 1 + 0.001 * k), 0.1) for k, name in enumerate(names)]
    influence(tmp_path, rows, 0.1, 0.01)
    judge = Judge(protocol(), average(along(rows, "steps")), collect(tmp_path, rows)[protocol()])
    value = 1 + 2.65 * judge.difference(("heun", 5), ("ddim", 5)).error
    rows[2] = sure(rows[2].model_copy(update={"metrics": rows[2].metrics.model_copy(update={"fd": value})}), 0.1)
    append_rows(tmp_path, rows)
    monkeypatch.setattr(plots, "save_plots", lambda *_: {})
    report = make_report(tmp_path, baseline).path.read_text()
    [table] = re.findall(r"\nDifference to the baseline, ddim[^\n]*\n\n\|.*\n\|.*\n((?:\|.*\n)+)", report)
    told = [as_read(line.strip("|").split("|")[1]) for line in table.splitlines()]
    tab = browser.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    tab.select_option("#y", "difference")
    assert tab.locator("#pivot td:last-child").all_inner_texts() == told
    assert sum(cell.endswith("*") for cell in told) == (baseline is not None)
    tab.select_option("#baseline", "heun@5")  # chosen by who reads, with the figures before their eyes
    assert "*" not in tab.locator("#pivot").inner_text()
    tab.close()


def test_a_figure_below_zero_has_a_mark_on_the_logarithmic_axis(browser: Any, tmp_path: Path) -> None:
    append_rows(tmp_path, [sure(row("ddim", steps, fd), 0.1) for steps, fd in ((5, 1.0), (10, -0.02), (20, 0.04))])
    write_html([tmp_path], tmp_path / "report.html")
    tab = browser.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    tab.wait_for_selector("#plot .legend")
    assert tab.evaluate("document.getElementById('plot')._fullLayout.yaxis.type") == "log"
    drawn = tab.evaluate("(({y, marker}) => [y, marker.symbol])(document.getElementById('plot').data[0])")
    assert drawn == [[1, 0.02, 0.04], ["diamond", "triangle-down-open", "circle"]]
    assert "1 of 3 rows" in tab.locator("#note").inner_text()
    tab.close()


def test_an_option_that_says_no_more_than_the_sampler_is_no_filter(page: Any) -> None:
    assert page.locator("#facets legend").all_text_contents() == ["sampler", "eta"]


def test_a_baseline_makes_every_cell_a_paired_difference(page: Any) -> None:
    page.check("[aria-label='baseline ddim eta 0@5']")
    page.select_option("#y", "difference")
    lines = page.locator("#pivot tr").all_inner_texts()
    assert lines[1].split("\t")[:2] == ["ddim eta 0", "baseline"]
    cells = [line.split("\t") for line in lines]
    [worse] = [own for own in cells if own[0] == "ddim eta 1"]
    value, _, half = worse[1].removesuffix(" *").partition(" ± ")
    assert float(value) == pytest.approx(0.4, abs=0.01)
    assert 0 < float(half) < 0.05  # unpaired it would be 0.28
    assert worse[1].endswith("*")
    assert view(page)["b"] == "ddim eta 0@5"


def test_a_click_on_a_point_shows_its_pictures_beside_the_baselines(page: Any) -> None:
    page.wait_for_timeout(300)
    box = page.locator("#plot .scatterlayer .trace").first.locator("path.point").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hoverlayer .hovertext")
    assert "to the baseline" in page.locator(".hoverlayer .hovertext").first.text_content()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#detail h2")
    assert page.locator("#detail code").inner_text().startswith("samplerzoo run --model mnist --sampler ddim")
    page.locator("#slider").fill("20")
    assert page.locator(".pair img").nth(1).evaluate("it => it.style.clipPath") == "inset(0px 80% 0px 0px)"
    assert "add the most" in page.locator("#worst").inner_text()


def test_the_keyboard_chooses_rows_and_baselines(page: Any) -> None:
    line = page.locator("#rows tbody tr").nth(2)
    line.focus()
    page.keyboard.press("Enter")
    chosen = page.locator("#detail h2").inner_text()
    page.keyboard.press("b")  # the row is still where the keyboard is, though the table was drawn again
    assert view(page)["b"] == view(page)["p"] == chosen
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert view(page)["p"] not in (None, chosen)


def test_the_keyboard_reaches_the_answer_the_filter_and_the_sorting(page: Any) -> None:
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(it => it.dataset.key || it.id || it.tagName)(document.activeElement)"))
    assert {"theme", "budget", "y", "x", "baseline", "find", "csv", "SUMMARY", "sort value"} <= reached
    assert sum(it.startswith("rank ") for it in reached) == 3


def test_a_view_is_in_the_address(page: Any, browser: Any) -> None:
    page.select_option("#x", "steps")
    page.click("#filters summary")
    page.uncheck("[data-facet=sampler][data-value=ddim]")
    again = browser.new_page()
    again.goto(page.url)
    again.wait_for_selector("#rows tbody tr")
    assert len(again.locator("#rows tbody tr").all()) == 2
    assert again.locator("#x").input_value() == "steps"
    again.goto(page.url.partition("#")[0] + "#%7B%22s%22:99,%22sort%22:3,%22off%22:7}")  # of somebody's own making
    again.reload()
    again.wait_for_selector("#rows tbody tr")
    again.close()


def test_the_table_sorts(page: Any) -> None:
    page.click("#rows th button:has-text('Fréchet distance')")
    first = texts(page, "#rows tbody tr td:nth-child(2)")
    page.click("#rows th button:has-text('Fréchet distance')")
    assert texts(page, "#rows tbody tr td:nth-child(2)") == first[::-1]


def test_rows_are_saved_as_csv(page: Any) -> None:
    with page.expect_download() as waiting:
        page.click("#csv")
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert len(lines) == 7
    assert lines[0].startswith('"row","steps","work"')


def test_dark_is_kept_in_the_address(page: Any) -> None:
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert view(page)["theme"] == "dark"


def test_nothing_is_wider_than_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.slow
def test_ten_thousand_points_stay_fluid(browser: Any, tmp_path: Path) -> None:
    etas = [k / 2500 for k in range(2500)]
    rows = [row("ddim", steps, 1.0 + eta, options={"eta": eta}) for eta in etas for steps in (5, 10, 20, 50)]
    append_rows(tmp_path, rows)
    write_html([tmp_path], tmp_path / "report.html")
    tab = browser.new_page()
    tab.set_default_timeout(60_000)
    tab.goto((tmp_path / "report.html").as_uri())
    tab.wait_for_selector("#rows tbody tr")
    assert tab.locator("#rows tbody tr").count() == 500
    milliseconds = tab.evaluate(
        "(() => { const start = performance.now(); draw(); return performance.now() - start; })()"
    )
    print(f"{milliseconds:.0f} ms to draw {len(rows):,} points again")
    assert milliseconds < 5000
    tab.close()
