"""Reports agree with their rows: the same figures, each under its own protocol, and sentences that follow from them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from synthetic import cpu, influence, protocol, rigged, row, shard, sure

from samplerzoo import images
from samplerzoo.bench import results
from samplerzoo.bench.evidence import collect
from samplerzoo.bench.results import Row
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.report import errors, gallery, plots, tables
from samplerzoo.report.decide import Judge
from samplerzoo.report.line_names import Axis
from samplerzoo.report.page import Report, make_report, write_report
from samplerzoo.report.series import FD, along, average

ETAS = (0.0, 0.2, 1.0)
REPORTS = Path(__file__).parents[2] / "benchmarks/reports"


def ddim(eta: float, steps: int, fd: float, **changes: Any) -> Row:
    return row("ddim", steps, fd, options={"eta": eta}, **changes)


def ddpm(variance: str, steps: int, fd: float, **changes: Any) -> Row:
    return row("ddpm", steps, fd, options={"variance": variance}, **changes)


def suite() -> list[Row]:
    """Make rows of eta by steps with everything measured, three seeds for eta 0, and one sampler that is far off."""
    rows = []
    for steps in (5, 10, 50):
        for eta in ETAS:
            for seed in (0, 1, 2) if not eta else (0,):
                metrics = {"floor": 0.3 + seed / 100, "kid": 0.01, "kid_sd": 0.002, "precision": 0.7, "recall": 0.5,
                           "label_accuracy": 0.9}  # fmt: skip
                fd = (1 + (20 + 30 * eta) / steps) * (1 + seed / 1000)
                rows.append(ddim(eta, steps, fd, seed=seed, metrics=metrics, speed=cpu(400 / steps), clipped=0.25))
        rows.append(ddpm("large", steps, 1 + 5000 / steps**2, speed=cpu(400 / steps), warnings=("few images",)))
    return rows


def written(folder: Path, rows: list[Row]) -> str:
    results.append_rows(folder, rows)
    return write_report(folder).read_text()


def tables_of(text: str) -> list[list[list[str]]]:
    """Return the cells of every table, marks and headings included."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def names(rows: list[Row], axis: Axis = "steps") -> list[str]:
    return [*along(rows, axis)["line"].cat.remove_unused_categories().cat.categories]


def test_every_figure_of_the_tables_is_one_of_the_rows(tmp_path: Path) -> None:
    rows = [ddim(eta, steps, 1.23456 * steps + eta) for eta in ETAS for steps in (5, 10)]
    found = tables_of(written(tmp_path, rows))
    (full,) = [table for table in found if table[0][1] == "steps"]
    assert full[0][:4] == ["", "steps", "NFE", "distance"]
    expected = [[f"ddim eta {eta:g}", str(steps), f"{1.23456 * steps + eta:.4g}"] for eta in ETAS for steps in (5, 10)]
    assert [[*line[:2], f"{float(line[3]):.4g}"] for line in full[2:]] == expected
    pivot = next(table for table in found if table[0] == ["", "5", "10"])
    for eta, line in zip(ETAS, pivot[2:], strict=True):
        values = [float(cell.strip("*")) for cell in line[1:]]
        assert values == pytest.approx([1.23456 * steps + eta for steps in (5, 10)], rel=1e-3)
    options = next(table for table in found if table[0][0] == "eta \\ evaluations")
    assert [line[1:] for line in options[2:]] == [line[1:] for line in pivot[2:]]


def test_seeds_become_a_mean_with_its_interval(tmp_path: Path) -> None:
    rows = [sure(ddim(0.0, 5, fd, seed=seed), 0.1) for seed, fd in enumerate((2.0, 2.1, 2.2))]
    text = written(tmp_path, rows)
    assert "| ddim | 5 | 5 | 3 | 2.10 ± 0.11 |" in text.replace(" eta 0", "")  # 1.96 x 0.1 / the root of 3
    assert "| ddim eta 0 | **2.10 ± 0.11** |" in written(tmp_path, [*rows, sure(ddim(1.0, 5, 9.0), 0.1)])


def test_the_evidence_stays_when_the_cells_are_gone(tmp_path: Path) -> None:
    rows = [sure(ddim(eta, 5, fd), 0.3) for eta, fd in ((0.0, 0.6), (1.0, 0.7))]
    influence(tmp_path, rows, 0.3, 0.01)
    text = written(tmp_path, rows)
    assert "- At 5 evaluations, ddim eta 0 (0.60 ± 0.59) is the best: ddim eta 1 is worse, by 0.10" in text
    assert "Difference to the baseline, ddim eta 0 at 5 evaluations" in text
    assert "| ddim eta 1 | +0.100 ± 0.0" in text
    shutil.rmtree(tmp_path / "cells")
    assert write_report(tmp_path).read_text() == text
    more = sure(ddim(0.2, 5, 0.65), 0.3)
    influence(tmp_path, [more], 0.3, 0.01)
    later = written(tmp_path, [more])  # its pairs with the rows before it are not known, and theirs still are
    assert "ddim eta 0 (0.60 ± 0.59) is the lowest, and better than 1 of the others. It cannot be told from" in later


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the plots, which take seconds."""
    monkeypatch.setattr(plots, "save_plots", lambda *_: {})
    monkeypatch.setattr(errors, "save_cost_plots", lambda *_: {})


@pytest.mark.usefixtures("without_plots")
def test_old_reports_are_read_and_say_what_they_lack(tmp_path: Path) -> None:
    for folder in REPORTS.glob("*/results.jsonl"):
        (tmp_path / folder.parent.name).mkdir()
        shutil.copy(folder, tmp_path / folder.parent.name)
        found = make_report(tmp_path / folder.parent.name)
        for under, sentences in found.findings.items():
            assert sentences
            if under.features not in ("exact", "error") and under.dimensions is None:
                assert sentences[0].startswith("Cannot tell: these rows are of an earlier version")


@pytest.mark.usefixtures("without_plots")
def test_errors_are_said_on_the_terminal_as_distances_are(tmp_path: Path) -> None:
    found = make_report(shutil.copytree(REPORTS / "exact-mnist", tmp_path / "it"))
    features = [under.features for under in found.findings]
    assert features == ["mnist", "error"]
    assert "At 8 evaluations the nearest is ipndm" in str(found)
    titles = re.findall(r"^## exact:mnist.*: (\w+)@", found.path.read_text(), re.MULTILINE)
    assert titles == ["fd_mnist", "error"]


def test_protocols_of_one_title_are_told_apart_on_the_terminal() -> None:
    found = {protocol(): ["a"], protocol(fingerprint="e" * 64): ["b"], protocol(images=500): ["c"]}
    said = str(Report(Path("report.md"), None, found)).splitlines()
    assert said[:-2] == ["mnist, fd_mnist@2000:", "a", "mnist, fd_mnist@2000 (2):", "b", "mnist, fd_mnist@500:", "c"]


def test_the_baseline_is_in_every_section_that_has_it(tmp_path: Path) -> None:
    rows = [sure(ddim(eta, 5, fd), 0.3) for eta, fd in ((0.0, 0.6), (1.0, 0.7))]
    influence(tmp_path, rows, 0.3, 0.01)
    results.append_rows(tmp_path, rows)
    make_report(tmp_path, "ddim eta 1")
    assert "Difference to the baseline, ddim eta 1 at 5 evaluations" in (tmp_path / "report.md").read_text()
    with pytest.raises(UsageError, match=r"no row 'heun' to compare with; there are: ddim eta 0@5, ddim eta 1@5"):
        make_report(tmp_path, "heun")


def test_the_csv_holds_every_field_of_every_row(tmp_path: Path) -> None:
    written(tmp_path, suite())
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    with (tmp_path / "results.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(lines) == len(suite())
    for flat, line in zip(found, lines, strict=True):
        assert float(flat["metrics.fd"]) == line["metrics"]["fd"]
        assert flat["recipe.sampler_options.eta"] == str(line["recipe"]["sampler_options"].get("eta", ""))
        assert json.loads(flat["timesteps"]) == line["timesteps"]
        for part in ("metrics", "cost", "protocol"):
            for name, value in line[part].items():
                assert flat[f"{part}.{name}"] == ("" if value is None else str(value))


def test_of_two_rows_with_one_key_the_later_counts(tmp_path: Path) -> None:
    old, new = ddim(0.0, 5, 7.0), ddim(0.0, 5, 3.0)
    lines = [json.dumps(row.model_dump(mode="json")) for row in (old, new)]
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n")
    text = write_report(tmp_path).read_text()
    assert "3.000" in text
    assert "7.000" not in text


def test_no_table_holds_two_protocols(tmp_path: Path) -> None:
    small = protocol(images=500)
    other = protocol(reference="test", reference_id="another")
    rows = [ddim(eta, steps, 1.0 + eta) for eta in ETAS for steps in (5, 10)]
    rows += [ddim(eta, 5, 20.0 + eta, under=small) for eta in ETAS]
    rows += [ddim(eta, 10, 30.0 + eta, under=other) for eta in ETAS]
    text = written(tmp_path, rows)
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:4]
    assert [section.splitlines()[0] for section in sections] == [
        "mnist: fd_mnist@2000", "mnist: fd_mnist@2000 (2)", "mnist: fd_mnist@500",
    ]  # fmt: skip
    for section, tens in zip(sections, (0, 3, 2), strict=True):  # most images first: those say most
        values = [float(cell.strip("*")) for table in tables_of(section) for line in table[2:] for cell in line
                  if re.fullmatch(r"\*{0,2}\d+\.\d{2,}\*{0,2}", cell)]  # fmt: skip
        assert values
        assert {int(value // 10) for value in values} == {tens}


def test_the_markdown_is_well_formed(tmp_path: Path) -> None:
    odd = row("odd", 5, 2.0, options={"mode": "a|b", "note": "two\nlines"})
    text = written(tmp_path, [*suite(), odd, row("odd", 5, 3.0, options={"mode": "c", "note": "x"})])
    for table in tables_of(text):
        assert len({len(line) for line in table}) == 1
        assert all(re.fullmatch(r":--|--:", mark) for mark in table[1])
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (tmp_path / name).is_file(), name
    assert text.count("<details>") == text.count("</details>") > 0
    assert text.count("```") % 2 == 0
    assert "samplerzoo bench suite.toml -o out" in text
    assert "- few images (ddpm large at 5 steps; ddpm large at 10 steps; ddpm large at 50 steps)" in text
    assert "| torch | 2.6.0 |" in text
    assert "not comparable with published FIDs" in text


def test_the_plots_are_pictures(tmp_path: Path) -> None:
    text = written(tmp_path, suite())
    plots = [name for name in re.findall(r"\]\(([^)]+)\)", text) if name.endswith(".png")]
    assert plots == ["fd_mnist-2000-front.png", "fd_mnist-2000-lines.png", "fd_mnist-2000-seconds.png"]
    for name in plots:
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 1000
            ground = picture.convert("RGBA").getpixel((1, 1))
            assert isinstance(ground, tuple)
            assert min(ground) > 240, "opaque and light, on a dark page, too"


def test_times_of_another_machine_are_left_out(tmp_path: Path) -> None:
    rows = suite()
    assert rows[0].speed is not None
    gpu = rows[0].speed.model_copy(update={"device": "cuda (NVIDIA H200)"})
    text = written(tmp_path, [rows[0].model_copy(update={"speed": gpu}), *rows[1:]])
    assert "speeds cannot be compared" in text
    assert "| cuda (NVIDIA H200) | 2 | 1 | 250 | no | contiguous | 1 |" in text
    assert not [*tmp_path.glob("*-seconds.png")]


@pytest.mark.parametrize(("slower", "plotted"), [(1.4, True), (1.6, False)])
def test_times_of_a_machine_that_did_other_work_are_not_plotted(tmp_path: Path, slower: float, plotted: bool) -> None:
    """An evaluation takes as long in 5 steps as in 10."""
    rows = []
    for steps, seconds in ((5, 5), (10, 10 * slower)):
        made = ddim(0.0, steps, 1 / steps)
        speed = suite()[0].speed
        assert speed is not None
        rows.append(made.model_copy(update={"speed": speed.model_copy(update={"images_per_second": 1 / seconds})}))
    written(tmp_path, rows)
    assert bool([*tmp_path.glob("*-seconds.png")]) == plotted


def test_a_compiled_network_is_another_machine(tmp_path: Path) -> None:
    rows = suite()
    assert rows[0].speed is not None
    compiled = rows[0].speed.model_copy(update={"compiled": True})
    text = written(tmp_path, [rows[0].model_copy(update={"speed": compiled}), *rows[1:]])
    assert "speeds cannot be compared" in text
    assert "| 250 | yes | the compiler's | 1 |" in text


def test_one_option_by_evaluations(tmp_path: Path) -> None:
    """Every numeric option has a table, where lines differ in nothing else; with the eta of ddim, that of its paper."""

    def x(order: int, eta: float, steps: int, fd: float, **changes: Any) -> Row:
        return row("x", steps, fd, options={"order": order, "mode": "a", "fast": True, "eta": eta}, **changes)

    rows = [ddim(eta, s, eta + 1 / s) for eta in ETAS for s in (5, 10)]
    rows += [x(order, 0.5, s, order / s) for order in (10, 2) for s in (5, 10)]
    rows += [x(2, 1.0, 5, 3.0), row("x", 5, 1.0, options={"order": 3, "mode": "b", "fast": False, "eta": 0.0})]
    rows += [x(5, 0.5, 5, 0.1, guidance="cfg", scale=2.0), ddpm("large", 5, 0.01), ddpm("small", 5, 0.02)]
    rows = [sure(each) for each in rows]
    judge = Judge(rows[0].protocol, average(along(rows, "steps")), rigged(rows, 0.0, 0.0))
    found = tables.option_tables(judge)
    assert [title for title, _ in found] == ["eta of ddim", "order of x a fast eta 0.5", "eta of x order 2 a fast"]
    (paper,), (orders,), (etas,) = (tables_of(table) for _, table in found)
    assert paper[0] == ["eta \\ evaluations", "5", "10"]
    assert [line[0] for line in paper[2:]] == ["0", "0.2", "1"]
    assert paper[2][1:] == ["**0.2000**", "**0.1000**"]
    assert orders[2:] == [["2", "**0.4000**", "**0.2000**"], ["10", "2.000", "1.000"]]
    assert etas[2:] == [["0.5", "**0.4000**", "0.2000"], ["1", "3.000", "–"]]  # nothing to compare with is not the best
    text = written(tmp_path, rows)
    assert text.count("and evaluations, all else equal:") == 3


def test_options_that_are_one_for_all_rows_stand_with_the_protocol(tmp_path: Path) -> None:
    """Find them there if they are set; what all rows leave open is not said."""
    rows = [row("x", steps, 1.0, options={"a": 0.5, "b": None, "c": steps}) for steps in (5, 10)]
    assert "| sampler x | `a 0.5` |" in written(tmp_path, rows)


def test_guidance(tmp_path: Path) -> None:
    rows = [
        row("ddim", 20, 1 + (scale - 1) ** 2, options={"eta": 0.0}, guidance=name, scale=scale,
            metrics={"label_accuracy": 0.9 + scale / 50, "precision": 0.8, "recall": 0.7 - scale / 10})
        for name in ("cfg", "classifier") for scale in (0.0, 1.0, 4.0)
    ]  # fmt: skip
    text = written(tmp_path, rows)
    assert "fd_mnist-2000-guidance.png" in text
    assert "fd_mnist-2000-lines.png" not in text
    by_scale = next(table for table in tables_of(text) if table[0] == ["", "0", "1", "4"])
    assert by_scale[2] == ["ddim eta 0, cfg", "2.000", "1.000", "10.00"]


def test_figures_have_their_intervals(tmp_path: Path) -> None:
    """Show those of the distance at infinity, precision and recall; two seeds of one recall halve its variance."""
    metrics = {"precision": 0.8, "recall": 0.7, "recall_se": 0.01}
    rows = [sure(row("x", 5, 1.0, metrics=metrics), 0.1), sure(row("y", 5, 2.0, metrics=metrics), 0.1)]
    rows.append(sure(row("y", 5, 2.0, seed=1, metrics=metrics), 0.1))
    (full,) = (table for table in tables_of(written(tmp_path, rows)) if "recall" in table[0])
    found = [dict(zip(full[0], line, strict=True)) for line in full[2:]]
    assert [line["at infinity, from n/2 and n"] for line in found] == ["1.00 ± 0.20", "2.00 ± 0.14"]
    assert [line["recall"] for line in found] == ["70.00% ± 1.96%", "70.00% ± 1.39%"]
    assert [line["precision"] for line in found] == ["80.00% ± 1.75%", "80.00% ± 1.24%"]


def test_the_gaussian(tmp_path: Path) -> None:
    exact = protocol(model="gaussian", images=None, labels=None, features="exact", reference_images=None)
    rows = [
        ddim(eta, steps, 0.3 / steps**2, under=exact, metrics={"order": 1.0 - eta / 2})
        for eta in (0.0, 1.0) for steps in (1, 10, 100)
    ]  # fmt: skip
    rows.append(row("of-another-machine", 10, 0.5, under=exact, metrics={"order": 2.0}))
    text = written(tmp_path, rows)
    assert "## gaussian: fd_exact\n" in text
    assert "seed" not in text.split("| model |")[0].replace("seeds", "")
    assert (
        "Of 2 samplers, not all converge with the order that they declare: ddim eta 1 declares 1 and has 0.500." in text
    )
    order = next(table for table in tables_of(text) if "declared order" in table[0])
    assert order[2:] == [["ddim eta 0", "1", "1.00"], ["ddim eta 1", "1", "0.500"], ["of-another-machine", "–", "2.00"]]
    assert "3.000e-05" in text
    assert "pictures" not in text.lower()


def test_the_gallery_shows_the_first_images_of_every_cell(tmp_path: Path) -> None:
    rows = [ddim(eta, steps, 1.0) for eta in (0.0, 1.0) for steps in (5, 10)]
    values = {row.cell: 40 * (k + 1) for k, row in enumerate(rows[:3])}
    for cell, value in values.items():
        shard(tmp_path, cell, np.stack([np.full((1, 28, 28), value + i, np.uint8) for i in range(5)]))
    text = written(tmp_path, rows)
    assert "![mnist: pictures by steps](pictures.png)" in text
    pixels = np.asarray(Image.open(tmp_path / "pictures.png"))
    size = (28 * round(images.CELL / 28)) ** 2
    places = []
    for value in values.values():
        for i in range(gallery.MOST):
            assert size <= (pixels == value + i).sum() < 1.01 * size  # letters have a few gray pixels, too
        assert (pixels == value + gallery.MOST).sum() < 0.01 * size
        places.append(np.median(np.argwhere(pixels == value), axis=0))
    (a, b, c) = places
    assert abs(a - b)[0] < 2 < (c - a)[0], "a row a sampler"
    assert abs(a - c)[1] < 2 < (b - a)[1], "a column a number of steps"
    assert "mnist: pictures by steps, of 3 of the 4 rows of these lines: no images of the others are kept." in text
    for cell in [*values][1:]:
        shutil.rmtree(tmp_path / "cells" / cell)
    assert "of 3 of the 4 rows" in write_report(tmp_path).read_text(), "a sheet of fewer rows does not take its place"
    shutil.rmtree(tmp_path / "cells")
    assert "pictures.png" in write_report(tmp_path).read_text(), "a report without its cells keeps its pictures"
    assert (pixels == np.asarray(Image.open(tmp_path / "pictures.png"))).all()
    shard(tmp_path, rows[3].cell, np.full((5, 1, 28, 28), 200, np.uint8))
    for cell, value in values.items():
        shard(tmp_path, cell, np.full((5, 1, 28, 28), value, np.uint8))
    assert "of the others" not in write_report(tmp_path).read_text(), "and one of more rows does"


def test_names_say_what_differs() -> None:
    rows = [
        row("heun", 5, 1.0, options={"churn": churn, "noise": 1.0, "last": True}, guidance="cfg", scale=1.5)
        for churn in (0.0, 0.25)
    ]  # fmt: skip
    quadratic = rows[0].model_copy(update={"recipe": rows[0].recipe.model_copy(update={"spacing": "quadratic"})})
    assert names([*rows, quadratic]) == [
        "heun churn 0, cfg 1.5, trailing", "heun churn 0, cfg 1.5, quadratic", "heun churn 0.25, cfg 1.5, trailing",
    ]  # fmt: skip


def test_names_of_guidances_leave_out_what_is_off() -> None:
    def guided(**options: Any) -> Row:
        made = row("ddim", 20, 1.0, guidance="cfg", scale=2.0)
        filled = {**made.recipe.guidance_options, "rescale": 0.0, "low": 0.0, "high": None, **options}
        return made.model_copy(update={"recipe": made.recipe.model_copy(update={"guidance_options": filled})})

    rows = [guided(), guided(low=0.3, high=5.0), guided(rescale=0.7)]
    assert names(rows, "scale") == [
        "ddim, cfg", "ddim, cfg low 0.3 high 5", "ddim, cfg rescale 0.7",
    ]  # fmt: skip


def test_the_files_of_plugins_are_told_apart_only_where_their_names_do_not() -> None:
    def of(sampler: str, **plugins: str) -> Row:
        made = row(sampler, 5, 1.0, options={"c": 0.5})
        return made.model_copy(update={"recipe": made.recipe.model_copy(update={"plugins": plugins})})

    one, other = of("etd2", a="6cbfccf4" + "0" * 56), of("etd2", a="cc96bdbb" + "0" * 56)
    assert names([of("ddim"), one]) == ["ddim c 0.5", "etd2 c 0.5"]
    assert names([one, other]) == ["etd2 c 0.5, plugins 6cbfccf4", "etd2 c 0.5, plugins cc96bdbb"]


def test_different_settings_never_share_a_name() -> None:
    """A guidance option that is 0 goes without saying, and so would one that an older row lacks."""
    rows = [row("ddim", 20, fd, guidance="cfg", scale=2.0) for fd in (1.0, 2.0)]
    newer = rows[1].recipe.model_copy(update={"guidance_options": {"scale": 2.0, "rescale": 0.0, "low": None}})
    rows[1] = rows[1].model_copy(update={"recipe": newer})
    assert names(rows) == ["ddim, cfg 2", "ddim, cfg 2 (2)"]
    assert average(along(rows, "steps"))[FD].tolist() == [1.0, 2.0]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from samplerzoo.cli import main

    assert main(["report", str(tmp_path)]) == 2
    assert "holds no rows of a benchmark" in capsys.readouterr().err
    results.append_rows(tmp_path, suite())
    assert main(["report", str(tmp_path)]) == 0
    *findings, page, path = capsys.readouterr().out.splitlines()
    assert findings
    assert [page, path] == [str(tmp_path / "report.html"), str(tmp_path / "report.md")]
    with pytest.raises(UsageError, match="bench"):
        write_report(tmp_path / "nowhere")


def facts_alone(record: dict[str, str]) -> dict[str, str]:
    """Return the metadata of a file as an earlier version wrote them, without a digest."""
    return {name: fact for name, fact in json.loads(record["facts"]).items() if name != "digest"}


@pytest.mark.parametrize("digest", ["kept", "gone"])
@pytest.mark.parametrize(
    "broken",
    [
        lambda c: -c, lambda c: np.triu(c), lambda c: c + np.inf, lambda c: c * (2 - np.eye(len(c))), lambda c: c[:1],
        lambda c: c * np.nan, lambda c: c * 10, lambda c: c / 10, lambda c: c[::-1, ::-1],
    ],
    ids=[
        "negative", "not symmetric", "infinite", "above the variances", "of another shape",
        "not known", "ten times", "a tenth", "of other rows",
    ],
)  # fmt: skip
def test_evidence_that_cannot_be_is_refused_with_the_file(tmp_path: Path, broken, digest: str) -> None:
    """It is not that of its rows; so also without the digest, as in files of earlier versions."""
    rows = [sure(ddim(0.0, 5, 2.0), 0.1), sure(ddim(1.0, 5, 2.2), 0.2)]
    influence(tmp_path, rows, 0.1, 0.05)
    results.append_rows(tmp_path, rows)
    path = tmp_path / "evidence.safetensors"
    collect(tmp_path, rows)
    with safe_open(path, framework="numpy") as content:
        record, tables = content.metadata(), {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    if digest == "gone":
        record = facts_alone(record)
    with np.errstate(invalid="ignore"):
        save_file({name: np.ascontiguousarray(broken(table)) for name, table in tables.items()}, path, record)
    with pytest.raises(ZooError, match=r"evidence\.safetensors: .*remove it, and `samplerzoo report .* from the cells"):
        write_report(tmp_path)
    shutil.rmtree(tmp_path / "cells")
    with pytest.raises(ZooError, match=r"evidence\.safetensors: .*take it from a copy of the folder"):
        write_report(tmp_path)


def test_figures_that_are_exchanged_are_refused(tmp_path: Path) -> None:
    rows = [sure(ddim(0.0, 5, 2.0), 0.1)]
    influence(tmp_path, rows, 0.1, 0.05)
    collect(tmp_path, rows)
    path = tmp_path / "evidence.safetensors"
    with safe_open(path, framework="numpy") as content:
        record, tables = content.metadata(), {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    save_file(dict(zip(tables, reversed(tables.values()), strict=True)), path, facts_alone(record))
    with pytest.raises(ZooError, match=r"fd: a standard error of 0\.01, where its row in .* has 0\.1; remove"):
        collect(tmp_path, rows)


def test_influence_values_are_those_of_their_row(tmp_path: Path) -> None:
    rows = [sure(ddim(0.0, 5, 2.0), 0.1)]
    influence(tmp_path, rows, 0.1, 0.05)
    worse = [sure(ddim(0.0, 5, 2.0), 0.2)]
    with pytest.raises(ZooError, match=r"influence-.*remove the line of its cell from results\.jsonl, and the same"):
        collect(tmp_path, worse)


def test_kernel_distances_of_larger_error_than_that_of_all_are_refused(tmp_path: Path) -> None:
    """The error of a row holds that of the choice of real images, too, so that one below it is right."""
    rows = [sure(ddim(0.0, 5, 2.0), 0.1, kid_se=0.011)]
    influence(tmp_path, rows, 0.1, 0.05)
    collect(tmp_path, rows)
    with pytest.raises(ZooError, match=r"kid: a standard error of 0\.01, where"):
        collect(tmp_path, [sure(ddim(0.0, 5, 2.0), 0.1, kid_se=0.009)])


def test_rows_whose_covariance_is_gone_are_counted(tmp_path: Path) -> None:
    rows = [sure(ddim(eta, 5, 0.6 + eta), 0.3) for eta in (0.0, 0.5, 1.0)]
    influence(tmp_path, rows[:2], 0.3, 0.01)
    results.append_rows(tmp_path, rows)
    told = "No covariance with it is kept of 1 row, which is taken as independent of it"
    assert told in make_report(tmp_path).path.read_text()
    influence(tmp_path, rows, 0.3, 0.01)
    assert "No covariance" not in make_report(tmp_path).path.read_text()


def test_a_baseline_stands_with_the_commands(tmp_path: Path) -> None:
    results.append_rows(tmp_path, [ddim(0.0, 5, 2.0), ddim(1.0, 5, 2.2)])
    report = make_report(tmp_path, "ddim eta 1").path.read_text()
    assert f"samplerzoo report {tmp_path} --baseline 'ddim eta 1'\n" in report
    assert "--baseline" not in make_report(tmp_path).path.read_text()


def test_evidence_of_no_error_at_all_is_read(tmp_path: Path) -> None:
    rows = [sure(ddim(0.0, 5, 2.0)), sure(ddim(1.0, 5, 2.2))]
    influence(tmp_path, rows, 0.0, 0.0)
    assert "ddim eta 0" in written(tmp_path, rows)
