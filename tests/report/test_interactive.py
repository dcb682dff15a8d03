"""Page that works offline: its content, and that it agrees with the report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import IMAGES, erring, influence, noise, protocol, row, shard, sure

from samplerzoo.bench.evidence import collect
from samplerzoo.bench.image_mean import interval
from samplerzoo.bench.results import EXACT, Row, append_rows
from samplerzoo.report import interactive
from samplerzoo.report.decide import Judge
from samplerzoo.report.errors import error_tables
from samplerzoo.report.interactive import write_html, write_page
from samplerzoo.report.page import make_report
from samplerzoo.report.series import along, average
from samplerzoo.sampling.command import command_line

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


def page(folder: Path, rows: list[Row], *others: Path) -> dict[str, Any]:
    """Write rows and their page, and return the JSON in it."""
    append_rows(folder, rows)
    write_html([folder, *others], folder / "page.html")
    return written(folder / "page.html")


def written(file: Path) -> dict[str, Any]:
    """Return the JSON in a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', file.read_text())
    return json.loads(text)


def difference(section: dict[str, Any], one: int, other: int) -> tuple[float | None, float | None]:
    """Look a difference up as the page does: pairs of one point with later ones, row by row."""
    count, (a, b) = len(section["points"]), sorted((one, other))
    place = a * count - a * (a + 1) // 2 + b - a - 1
    value = section["differences"][place]
    return (value if one < other else -value), section["errors"][place]


@pytest.mark.parametrize(
    "seeds", [{"ddim": [0], "unipc": [0]}, {"ddim": [0, 1, 2], "unipc": [1, 2]}, {"ddim": [0], "unipc": [1]}]
)
def test_differences_are_those_of_the_report(tmp_path: Path, seeds: dict[str, list[int]]) -> None:
    rows = [
        sure(row(name, steps, 4.0 / steps + 0.1 * seed + (name == "unipc") / 7, seed=seed), 0.3)
        for name, own in seeds.items()
        for seed in own
        for steps in (5, 10)
    ]
    influence(tmp_path, rows, 0.3, 0.02)
    [section] = page(tmp_path, rows)["sections"]
    table = along(rows, "steps")
    judge = Judge(protocol(), average(table), collect(tmp_path, rows)[protocol()])
    points = [*judge.points.index]
    assert [(it["line"], it["steps"]) for it in section["points"]] == points
    for one, mine in enumerate(points):
        assert section["points"][one]["value"] == pytest.approx(judge.points.at[mine, "distance"], rel=1e-5)
        for other, theirs in enumerate(points[:one]):
            expected = judge.difference(mine, theirs)
            found = difference(section, one, other)
            assert found == pytest.approx((expected.value, expected.error), rel=1e-4)


def test_errors_of_images_are_those_of_the_report_pair_by_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the seeds of both rows; few images decide the mean of unipc, and not its difference to deis."""
    few = np.where(np.arange(IMAGES) < 2, 1.0, 1e-3)
    rows = [
        *(erring(tmp_path, "ddim", steps, noise(seed) / steps, seed=seed) for steps in (5, 10) for seed in (0, 1)),
        erring(tmp_path, "unipc", 5, few),
        erring(tmp_path, "deis", 5, few + noise(7), seed=0),
        erring(tmp_path, "heun", 5, noise(8), seed=2),
        *(erring(tmp_path, "ipndm", 5, noise(8 + seed), seed=seed) for seed in (0, 1)),
    ]
    [table] = error_tables(tmp_path, rows)
    [section] = page(tmp_path, rows)["sections"]
    names = [(it["line"], it["steps"]) for it in section["points"]]
    unipc, deis, ddim, ipndm = (names.index((name, 5)) for name in ("unipc", "deis", "ddim", "ipndm"))
    assert section["points"][unipc]["error"] is None
    assert section["points"][ddim]["ends"] == pytest.approx(interval(np.concatenate([noise(0), noise(1)]) / 5)[1:])
    heun = names.index(("heun", 5))  # has no seed in common with any other
    for one, other in ((deis, unipc), (ddim, ipndm), (ddim, heun)):
        found = table.excess(names[one][0], names[other][0], 5)
        assert difference(section, one, other) == pytest.approx((found.value, found.error), rel=1e-5)
        assert not np.isnan(found.error)
    assert difference(section, ddim, names.index(("ddim", 10)))[1] > 0
    monkeypatch.setattr(interactive, "MOST_BOOTSTRAPS", 3)
    write_html([tmp_path], tmp_path / "page.html")
    [section] = written(tmp_path / "page.html")["sections"]
    assert difference(section, ddim, names.index(("ddim", 10)))[1] is None  # in another column
    assert difference(section, deis, unipc)[1] > 0


def test_a_difference_of_rounding_is_none(tmp_path: Path) -> None:
    rows = [sure(row(name, 5, fd), 0.3) for name, fd in (("ddim", 1.0), ("unipc", 1.00009), ("deis", 1.0002))]
    [section] = page(tmp_path, rows)["sections"]
    assert section["differences"] == [0.0, pytest.approx(-2e-4), pytest.approx(-1.1e-4)]


def test_seeds_that_were_never_measured_side_by_side_are_compared_as_the_report_does(tmp_path: Path) -> None:
    """The cells of seed 0 are gone when those of seed 1 come, so that nothing is known of both together."""
    rows = [sure(row(name, 5, 2.0 + 0.1 * seed + k, seed=seed), 0.3)
            for seed in (0, 1) for k, name in enumerate(("ddim", "unipc"))]  # fmt: skip
    influence(tmp_path, rows[:2], 0.3, 0.02)
    collect(tmp_path, rows[:2])
    shutil.rmtree(tmp_path / "cells")
    influence(tmp_path, rows[2:], 0.3, 0.02)
    evidence = collect(tmp_path, rows)[protocol()]
    expected = Judge(protocol(), average(along(rows, "steps")), evidence).difference(("ddim", 5), ("unipc", 5))
    [section] = page(tmp_path, rows)["sections"]
    assert difference(section, 0, 1) == pytest.approx((expected.value, expected.error), rel=1e-4)


def test_exact_figures_have_no_error(tmp_path: Path) -> None:
    under = protocol(images=None, features=EXACT, labels=None, dimensions=None)
    [section] = page(tmp_path, [row("ddim", steps, 1.0 / steps, under=under) for steps in (5, 10)])["sections"]
    assert section["errors"] == [0.0]
    assert section["differences"] == [pytest.approx(0.1)]


def test_what_is_not_known_is_null_and_no_nan(tmp_path: Path) -> None:
    [section] = page(tmp_path, [row("ddim", 5, 2.0), row("unipc", 5, 1.0)])["sections"]
    assert [it["error"] for it in section["points"]] == [None, None]
    assert (section["differences"], section["errors"]) == ([1.0], [None])
    assert section["points"][0]["first"] is None


def test_pictures_are_the_first_and_those_that_hurt_the_most(tmp_path: Path) -> None:
    rows = [sure(row("ddim", 5, 2.0), 0.3)]
    influence(tmp_path, rows, 0.0, 1.0)
    from samplerzoo.bench.evidence import influence_file
    from samplerzoo.bench.shards import read_influence

    values = read_influence(
        influence_file(tmp_path / "cells" / rows[0].cell, rows[0].protocol), rows[0].protocol.images
    )[0]["fd"]
    shard(tmp_path, rows[0].cell, np.zeros((2000, 1, 4, 4), np.uint8))
    [point] = page(tmp_path, rows)["sections"][0]["points"]
    assert point["worst"]["images"] == [*np.argsort(-values)[:8]]
    assert point["first"].startswith("data:image/png;base64,")


def test_pictures_end_where_their_room_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("ddim", steps, 2.0) for steps in (5, 10, 20)]
    for each in rows:
        shard(tmp_path, each.cell, np.zeros((20, 3, 8, 8), np.uint8))
    monkeypatch.setattr(interactive, "MOST_PICTURES", 1)
    points = page(tmp_path, rows)["sections"][0]["points"]
    assert [point["first"] is None for point in points] == [False, True, True]


def test_names_of_any_origin_end_no_script(tmp_path: Path) -> None:
    hostile = protocol(model=HOSTILE)
    found = [(tmp_path, row("ddim", 5, 1.0, options={"mode": HOSTILE}, under=hostile, cell="c"))]
    write_page(found, {}, tmp_path / "page.html", {hostile: [HOSTILE]})
    assert "<img" not in (tmp_path / "page.html").read_text().partition('id="data"')[2].partition("</script>")[0]


def test_folders_stand_beside_each_other(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    append_rows(old, [row("ddim", 5, 2.0)])
    [section] = page(new, [row("ddim", 5, 1.0)], old)["sections"]
    assert {it["facets"]["folder"] for it in section["points"]} == {str(old), str(new)}


def test_tables_are_in_the_order_of_the_report_and_told_apart_by_their_titles(tmp_path: Path) -> None:
    earlier, other = protocol(dimensions=None, images=9000), protocol(fingerprint="e" * 64)
    rows = [row("ddim", 5, 2.0, under=earlier)]
    rows += [sure(row("ddim", 5, 2.0, under=under, cell=under.fingerprint), 0.1) for under in (protocol(), other)]
    influence(tmp_path, rows[1:], 0.1, 0.1)
    assert [section["title"] for section in page(tmp_path, rows)["sections"]] == [
        "mnist: fd_mnist@2000", "mnist: fd_mnist@2000 (2)", "mnist: fd_mnist@9000, without intervals"
    ]  # fmt: skip


def test_a_thousand_points_have_no_table_of_pairs(tmp_path: Path) -> None:
    rows = [row("ddim", 5, 1.0 + k, options={"eta": k / 1000}) for k in range(interactive.MOST_PAIRS + 1)]
    [section] = page(tmp_path, rows)["sections"]
    assert section["differences"] is None


def test_without_plotly_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive, "is_available", lambda: False)
    append_rows(tmp_path, [row("ddim", 5, 2.0)])
    report = make_report(tmp_path)
    assert report.page is None
    assert str(report).splitlines()[-2].endswith("pip install plotly, then `samplerzoo report`")
    assert not (tmp_path / "report.html").exists()


def test_a_command_makes_the_recipe_again() -> None:
    from samplerzoo.sampling.recipe import Recipe

    recipe = Recipe(
        sampler="dpm-solver++", sampler_options={"solver_order": 3, "eta": 0.1, "lower_order_final": False, "no": None},
        guidance="cfg", guidance_options={"scale": 2.0}, steps=10, spacing="karras:rho=5", class_labels="0-9", seed=3,
        model="my model", clip_x0="off",
    )  # fmt: skip
    assert command_line(recipe) == (
        "samplerzoo run --model 'my model' --sampler dpm-solver++ --solver-order 3 --eta 0.1 --no-lower-order-final "
        "--guidance cfg --guidance-scale 2 --steps 10 --spacing karras:rho=5 --class-labels 0-9 --clip-x0 off "
        "--dtype auto --seed 3"
    )
    listed = Recipe(sampler="ddim", timesteps=(999.0, 500.5, 0.0))
    assert command_line(listed) == "samplerzoo run --model mnist --sampler ddim --timesteps 999,500.5,0 --dtype auto"
