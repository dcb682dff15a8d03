"""Reports say what the rows say: the same figures, each under its own protocol, and words that follow from them."""

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
from synthetic import cpu, protocol, row, shard

from samplerzoo import images
from samplerzoo.bench import results
from samplerzoo.bench.results import Row
from samplerzoo.errors import UsageError
from samplerzoo.report import gallery, tables
from samplerzoo.report.findings import findings
from samplerzoo.report.line_names import Axis
from samplerzoo.report.page import write_report
from samplerzoo.report.series import FD, Spread, along, average

ETAS = (0.0, 0.2, 1.0)


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


def words(rows: list[Row]) -> str:
    table = along(rows, "steps")
    return " ".join(findings(table, average(table), Spread.of(table), None))


def names(rows: list[Row], axis: Axis = "steps") -> list[str]:
    return [*along(rows, axis)["line"].cat.remove_unused_categories().cat.categories]


def test_every_figure_of_the_tables_is_one_of_the_rows(tmp_path: Path) -> None:
    rows = [ddim(eta, steps, 1.23456 * steps + eta) for eta in ETAS for steps in (5, 10)]
    found = tables_of(written(tmp_path, rows))
    (full,) = [table for table in found if table[0][1] == "steps"]
    assert full[0][:4] == ["", "steps", "`fd_mnist@2000`", "NFE"]
    expected = [[f"ddim eta {eta:g}", str(steps), f"{1.23456 * steps + eta:.4g}"] for eta in ETAS for steps in (5, 10)]
    assert [[*line[:2], f"{float(line[2]):.4g}"] for line in full[2:]] == expected
    pivot = next(table for table in found if table[0] == ["", "5", "10"])
    for eta, line in zip(ETAS, pivot[2:], strict=True):
        values = [float(cell.strip("*")) for cell in line[1:]]
        assert values == pytest.approx([1.23456 * steps + eta for steps in (5, 10)], rel=1e-3)
    options = next(table for table in found if table[0][0] == "eta \\ steps")
    assert [line[1:] for line in options[2:]] == [line[1:] for line in pivot[2:]]


def test_seeds_become_a_mean_and_a_spread(tmp_path: Path) -> None:
    rows = [ddim(0.0, 5, fd, seed=seed, metrics={"floor": 0.3}) for seed, fd in enumerate((2.0, 2.1, 2.2))]
    text = written(tmp_path, rows)
    assert "| ddim | 5 | 3 | 2.100 ± 0.100 |" in text.replace(" eta 0", "")
    text = written(tmp_path, [*rows, ddim(1.0, 5, 9.0)])
    assert "| ddim eta 0 | **2.000 ± 0.100** |" in text  # the mean of the seed that both have
    assert "moves a distance by 4.8%" in text
    assert "| ddim eta 0 | 5 | 3 |" in text


def test_of_rows_that_seeds_move_alike_less_tells_them_apart() -> None:
    """Seeds move each by tens of percent, and their ratio, ln 1.2 of it, not at all; by ln 1.1 in the other pair."""

    def spread(rows: list[Row]) -> Spread:
        return Spread.of(along(rows, "steps"))

    fds = (1.0, 1.5, 2.0)
    rows = [ddim(eta, 5, fd * (1 + eta / 5), seed=seed) for eta in (0.0, 1.0) for seed, fd in enumerate(fds)]
    found = spread(rows)
    assert found.alone == pytest.approx(np.std(np.log(fds), ddof=1))
    assert found.ratio == pytest.approx(0, abs=1e-12)  # differences of logarithms, in float64
    assert found.points == 2
    points = average(along(rows, "steps"))
    assert found.tells(points, points.iloc[1]).tolist() == [True, False]
    other = [ddim(0.0, 5, 1.0), ddim(0.0, 5, 1.1, seed=1), ddim(1.0, 5, 1.0), ddim(1.0, 5, 1.0, seed=1)]
    assert spread(other).ratio == pytest.approx(np.log(1.1) / np.sqrt(2))
    assert spread([ddim(0.0, 5, 1.0), ddim(0.0, 5, 1.1, seed=1)]).ratio == pytest.approx(np.log(1.1))


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
        "mnist: fd_mnist@2000", "mnist: fd_mnist@500", "mnist: fd_mnist@2000",
    ]  # fmt: skip
    for section, tens in zip(sections, (0, 2, 3), strict=True):
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
    assert plots == ["fd_mnist-2000-steps.png", "fd_mnist-2000-seconds.png"]  # NFE is the number of steps
    for name in plots:
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 1000
            ground = picture.convert("RGBA").getpixel((1, 1))
            assert isinstance(ground, tuple)
            assert min(ground) > 240, "opaque and light, on a dark page, too"


def test_nfe_has_a_plot_where_it_is_not_the_number_of_steps(tmp_path: Path) -> None:
    rows = [row("ddim", s, 1 + 9 / s, guidance=g, scale=2.0) for s in (5, 10) for g in ("cfg", "classifier")]
    assert "fd_mnist-2000-nfe.png" in written(tmp_path, rows)


def test_times_of_another_machine_are_left_out(tmp_path: Path) -> None:
    rows = suite()
    assert rows[0].speed is not None
    gpu = rows[0].speed.model_copy(update={"device": "cuda (NVIDIA H200)"})
    text = written(tmp_path, [rows[0].model_copy(update={"speed": gpu}), *rows[1:]])
    assert "speeds cannot be compared" in text
    assert "| cuda (NVIDIA H200) | 2 | 1 | 250 | no | contiguous | 1 |" in text


def test_a_compiled_network_is_another_machine(tmp_path: Path) -> None:
    rows = suite()
    assert rows[0].speed is not None
    compiled = rows[0].speed.model_copy(update={"compiled": True})
    text = written(tmp_path, [rows[0].model_copy(update={"speed": compiled}), *rows[1:]])
    assert "speeds cannot be compared" in text
    assert "| 250 | yes | the compiler's | 1 |" in text


def test_words_where_seeds_explain_the_difference() -> None:
    """1.00 below 1.02 is nothing where a seed moves a distance by 5%, and 1.5 is something."""
    seeds = [ddim(0.0, 5, fd, seed=seed) for seed, fd in enumerate((1.02, 0.97, 1.07))]
    text = words([*seeds, ddim(0.2, 5, 1.0), ddim(1.0, 5, 1.5)])
    assert "The lowest distance is that of ddim eta 0.2 at 5 steps (1.000)." in text
    assert "Equal to it, cheapest first: ddim eta 0 at 5 steps (1.020)." in text
    text = words([*seeds, ddim(0.2, 5, 1.0), ddim(1.0, 5, 1.01)])
    assert "Equal to it, cheapest first: ddim eta 1 at 5 steps (1.010) and ddim eta 0 at 5 steps (1.020)." in text
    text = words([ddim(0.0, 5, 1.02), ddim(0.2, 5, 1.0)])
    assert "Every row has one seed" in text
    assert "Equal" not in text


def test_many_ties_are_counted() -> None:
    rows = [row(f"x{k}", 5 + k, 1 + k / 1000, seed=seed) for k in range(9) for seed in (0, 1)]
    rows += [row("noisy", 5, fd, seed=seed) for seed, fd in enumerate((1.5, 3.0))]
    text = words(rows)
    assert "cheapest first: x1 at 6 steps (1.001), x2 at 7 steps (1.002), x3 at 8 steps (1.003)" in text
    assert "x5 at 10 steps (1.005) and 3 others." in text


def test_what_is_compared_has_the_same_seeds() -> None:
    """A seed that is hard on all rows is none of those that lack it."""
    rows = [ddim(0.0, 5, fd, seed=seed) for seed, fd in enumerate((1.0, 1.4, 1.4))] + [ddim(1.0, 5, 1.1)]
    points = average(along(rows, "steps"))
    assert points[FD].tolist() == [1.0, 1.1]
    assert points[f"{FD} sd"].iloc[0] == pytest.approx(np.std((1.0, 1.4, 1.4), ddof=1))
    text = words(rows)
    assert "All figures are of seed 0, which every row has" in text
    assert "The lowest distance is that of ddim eta 0 at 5 steps (1.000)." in text
    assert "Equal to it, cheapest first: ddim eta 1 at 5 steps (1.100)." in text


def test_rows_without_a_common_seed_are_said_to_have_none() -> None:
    rows = [ddim(eta, 5, 1 + seed / 10, seed=seed) for eta, seeds in ((0.0, (0, 1)), (1.0, (2, 3))) for seed in seeds]
    assert average(along(rows, "steps"))[FD].tolist() == pytest.approx([1.05, 1.25])
    assert "No seed is common to all rows: each figure is over the seeds of its own row." in words(rows)


def test_words_on_the_best_and_the_cheapest() -> None:
    rows = [ddim(0.0, steps, fd) for steps, fd in ((5, 3.0), (10, 1.04), (20, 1.0), (50, 1.02))]
    text = words(rows)
    assert "The lowest distance is that of ddim eta 0 at 20 steps (1.000)." in text
    assert "The cheapest within 5% of it is ddim eta 0 at 10 steps (1.040)." in text
    near = tables.near_table(average(along(rows, "steps")))
    assert near.endswith("| ddim eta 0 | 20 | 10 |")
    falling = [ddim(0.0, 5, 3.0), ddim(0.0, 10, 1.0)]
    assert tables.near_table(average(along(falling, "steps"))).endswith("| ≥ 10 |")
    assert "cheapest within" not in words(falling)


def test_words_on_the_fewest_evaluations_for_what_the_most_steps_reach() -> None:
    rows = [ddim(0.0, steps, fd) for steps, fd in ((5, 3.0), (10, 0.94), (20, 0.8))]
    rows += [ddpm("small", 1000, 0.95), ddpm("large", 1000, 0.9), ddpm("large", 20, 5.0)]
    text = words(rows)
    assert (
        "The fewest evaluations within 5% of ddpm large at 1,000 steps (0.9000), or below it, are 10, "
        "of ddim eta 0 at 10 steps (0.9400)." in text
    )
    assert "are 20, of ddim eta 0 at 20 steps (0.8000)." in words([r for r in rows if r.metrics.fd != 0.94])
    dear = row("ddim", 20, 0.8, options={"eta": 0.0}, cost=rows[0].cost.model_copy(update={"nfe": 2000.0}))
    assert "No row with fewer evaluations comes within 5% of ddpm large at 1,000 steps (0.9000)." in words(
        [rows[0], dear, *rows[4:]]
    )
    assert "fewest" not in words([rows[0], rows[4], rows[5]])  # the lowest of all, of which more is said


def test_one_option_by_steps(tmp_path: Path) -> None:
    """Every numeric option has a table, where lines differ in nothing else; with the eta of ddim, that of its paper."""

    def x(order: int, eta: float, steps: int, fd: float, **changes: Any) -> Row:
        return row("x", steps, fd, options={"order": order, "mode": "a", "fast": True, "eta": eta}, **changes)

    rows = [ddim(eta, s, eta + 1 / s) for eta in ETAS for s in (5, 10)]
    rows += [x(order, 0.5, s, order / s) for order in (10, 2) for s in (5, 10)]
    rows += [x(2, 1.0, 5, 3.0), row("x", 5, 1.0, options={"order": 3, "mode": "b", "fast": False, "eta": 0.0})]
    rows += [x(5, 0.5, 5, 0.1, guidance="cfg", scale=2.0), ddpm("large", 5, 0.01), ddpm("small", 5, 0.02)]
    points = average(along(rows, "steps"))
    found = tables.option_tables(points, Spread(None, None))
    assert [title for title, _ in found] == ["eta of ddim", "order of x a fast eta 0.5", "eta of x order 2 a fast"]
    (paper,), (orders,), (etas,) = (tables_of(table) for _, table in found)
    assert paper[0] == ["eta \\ steps", "5", "10"]
    assert [line[0] for line in paper[2:]] == ["0", "0.2", "1"]
    assert paper[2][1:] == ["**0.2000**", "**0.1000**"]
    assert orders[2:] == [["2", "**0.4000**", "**0.2000**"], ["10", "2.000", "1.000"]]
    assert etas[2:] == [["0.5", "**0.4000**", "**0.2000**"], ["1", "3.000", "–"]]
    text = written(tmp_path, rows)
    assert text.count("and number of steps, all else equal:") == 3


def test_options_that_are_one_for_all_rows_stand_with_the_protocol(tmp_path: Path) -> None:
    """Where they are set; what all rows leave open is not said."""
    rows = [row("x", steps, 1.0, options={"a": 0.5, "b": None, "c": steps}) for steps in (5, 10)]
    assert "| sampler x | `a 0.5` |" in written(tmp_path, rows)


def test_guidance(tmp_path: Path) -> None:
    rows = [
        row("ddim", 20, 1 + (scale - 1) ** 2, options={"eta": 0.0}, guidance=name, scale=scale,
            metrics={"label_accuracy": 0.9 + scale / 50, "precision": 0.8, "recall": 0.7 - scale / 10})
        for name in ("cfg", "classifier") for scale in (0.0, 1.0, 4.0)
    ]  # fmt: skip
    text = written(tmp_path, rows)
    assert "- The lowest distance is that of ddim eta 0, cfg 1 at 20 steps (1.000)." in text
    assert "fd_mnist-2000-guidance.png" in text
    assert "fd_mnist-2000-steps.png" not in text
    pivot = next(table for table in tables_of(text) if table[0] == ["", "0", "1", "4"])
    assert pivot[2] == ["ddim eta 0, cfg", "**2.000**", "**1.000**", "**10.00**"]


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
    shutil.rmtree(tmp_path / "cells")
    assert "pictures.png" in write_report(tmp_path).read_text(), "a report without its cells keeps its pictures"


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
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.md")
    with pytest.raises(UsageError, match="bench"):
        write_report(tmp_path / "nowhere")
