"""Errors in words and tables: errors rigged in both directions, seeds, baselines, and rows without an error."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from synthetic import IMAGES, erring, noise, of_errors, row, sure

from samplerzoo.bench import results
from samplerzoo.bench.image_errors import STOCHASTIC
from samplerzoo.bench.image_mean import interval, standard_error
from samplerzoo.bench.results import CostPerImage, ImageError, Row, append_rows, read_rows
from samplerzoo.bench.shards import save as save_shard
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.report.compare import compare
from samplerzoo.report.errors import ErrorTable, contrasts, error_tables, findings, section
from samplerzoo.report.page import make_report, write_report


def cost(nfe: int) -> CostPerImage:
    return CostPerImage(nfe=nfe, network_calls=nfe, classifier_gradients=0)


def table(folder: Path, rows: Sequence[Row]) -> ErrorTable:
    [found] = error_tables(folder, rows)
    return found


def test_a_difference_that_all_images_share_is_told_though_the_errors_overlap(tmp_path: Path) -> None:
    common = noise(0, 0.1)
    rows = [erring(tmp_path, "ddim", 5, common + noise(1, 0.001)), erring(tmp_path, "unipc", 5, common)]
    found = table(tmp_path, rows)
    assert found.mean("ddim", 5) < interval(common)[2]  # alone, one lies within the interval of the other
    assert findings(found) == [f"At 5 evaluations the nearest is unipc ({written(common)})."]
    difference = found.difference("ddim", "unipc", 5)
    assert difference is not None
    assert difference == pytest.approx(interval(noise(1, 0.001)), rel=1e-3)


def test_errors_to_other_solutions_are_not_compared(tmp_path: Path) -> None:
    """Each scale has a converged solution. Rows of earlier versions do not say which, but their recipes do."""
    for scale, name, size in itertools.product((1.0, 3.0), ("ddim", "unipc"), (1, 2)):
        errors = noise(0) * size * scale * (1 if name == "ddim" else 2)
        append_rows(tmp_path, [erring(tmp_path, name, 5 * size, errors, guidance="cfg", scale=scale)])
    one, three = error_tables(tmp_path, read_rows(tmp_path))
    assert [found.protocol.title.rpartition(": ")[2] for found in (one, three)] == [
        f"error@{IMAGES}, cfg scale=1.0", f"error@{IMAGES}, cfg scale=3.0"
    ]  # fmt: skip
    assert {len(found.rows) for found in (one, three)} == {4}
    text = make_report(tmp_path).path.read_text()
    assert "ddim, cfg 1" in text
    assert "Difference to ddim, cfg 1" in text
    assert "Difference to ddim, cfg 3" in text


def test_a_difference_that_images_do_not_share_is_not_told(tmp_path: Path) -> None:
    rows = [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "unipc", 5, noise(1))]
    [sentence] = findings(table(tmp_path, rows))
    assert sentence.startswith("At 5 evaluations: cannot tell. No row is told from the lowest, ")
    text = "\n".join(section(table(tmp_path, rows), tmp_path, "error"))
    assert "**" not in text


def test_what_is_not_told_from_the_nearest_is_named_and_bold(tmp_path: Path) -> None:
    rows = [
        erring(tmp_path, name, 5, errors)
        for name, errors in (("ddim", noise(0)), ("unipc", noise(1)), ("heun", 3 * noise(2)))
    ]
    [sentence] = findings(table(tmp_path, rows))
    assert sentence.startswith("At 5 evaluations the nearest is ")
    assert "; not told from it: " in sentence
    text = "\n".join(section(table(tmp_path, rows), tmp_path, "error"))
    assert text.count("**") == 4  # two are bold


@pytest.mark.parametrize("better", ["ddim", "unipc"])
def test_the_nearest_is_named_in_each_column(tmp_path: Path, better: str) -> None:
    rows = [
        erring(tmp_path, name, steps, noise(0) * (1 if name == better else 2) / steps)
        for name in ("ddim", "unipc")
        for steps in (5, 10)
    ]
    found = table(tmp_path, rows)
    assert [sentence.split(" (")[0] for sentence in findings(found)] == [
        f"At {steps} evaluations the nearest is {better}" for steps in (5, 10)
    ]
    assert found.baseline() == better
    assert found.baseline("ddim") == "ddim"
    with pytest.raises(UsageError, match=r"no row 'heun'.*ddim, unipc"):
        found.baseline("heun")
    assert f"Difference to {better}, image by image" in "\n".join(section(found, tmp_path, "error"))


def test_findings_are_few_of_the_usual_columns_and_begin_with_what_cannot_be_told(tmp_path: Path) -> None:
    apart = {5: 2, 6: 2, 7: 2, 8: 2, 10: 2, 20: 1, 50: 2}
    rows = [
        erring(tmp_path, name, steps, noise(0) * (factor if name == "ddim" else 1))
        for steps, factor in apart.items()
        for name in ("ddim", "unipc")
    ]
    found = findings(table(tmp_path, rows))
    assert [sentence.split()[1] for sentence in found] == ["20", "5", "6", "7", "10"]
    assert "cannot tell" in found[0]


def test_seeds_are_pooled_and_paired_with_their_own(tmp_path: Path) -> None:
    common = {seed: noise(seed, 0.1) for seed in (0, 1)}
    rows = [
        erring(tmp_path, name, 5, common[seed] + (0.01 if name == "ddim" else 0), seed=seed)
        for name in ("ddim", "unipc")
        for seed in (0, 1)
    ]
    found = table(tmp_path, rows)
    assert found.mean("unipc", 5) == pytest.approx(np.mean([*common.values()]))
    assert found.difference("ddim", "unipc", 5) == pytest.approx((0.01, 0.01, 0.01), rel=1e-4)
    assert written(np.concatenate([*common.values()])) in "\n".join(section(found, tmp_path, "error"))


def test_rows_stand_by_evaluations_and_not_by_steps(tmp_path: Path) -> None:
    rows = [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "ddim", 10, noise(1), guidance="cfg", scale=2.0)]
    assert table(tmp_path, rows).budgets == [5, 20]


def test_a_method_of_two_evaluations_stands_beside_others_of_one_more(tmp_path: Path) -> None:
    rows = [
        erring(tmp_path, "heun", 5, noise(0, 2.0), cost=cost(9)),
        erring(tmp_path, "ddim", 10, noise(0, 0.2)),
        erring(tmp_path, "unipc", 10, noise(0, 0.1)),
        *(erring(tmp_path, "heun", steps, noise(0, 1.0), cost=cost(2 * steps - 1)) for steps in (10, 20)),
    ]
    found = table(tmp_path, rows)
    assert found.budgets == [10, 19, 39]
    assert found.baseline() == "unipc"
    [line] = [
        line
        for line in "\n".join(section(found, tmp_path, "error")).splitlines()
        if line.startswith("| heun") and "(9)" in line
    ]
    assert "**" not in line


def test_the_baseline_that_is_asked_for_is_in_the_report(tmp_path: Path) -> None:
    results.append_rows(tmp_path, [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "unipc", 5, noise(0) / 2)])
    for name in ("ddim", "ddim@5"):
        assert "Difference to ddim, image by image" in make_report(tmp_path, name).path.read_text()
    with pytest.raises(UsageError, match="no row 'heun'"):
        make_report(tmp_path, "heun")


def test_lines_whose_images_are_gone_are_named(tmp_path: Path) -> None:
    rows = [erring(tmp_path, name, 5, noise(k)) for k, name in enumerate(("ddim", "unipc", "heun"))]
    results.append_rows(tmp_path, rows)
    assert "No errors of single images" not in make_report(tmp_path).path.read_text()
    (tmp_path / "errors.safetensors").unlink(missing_ok=True)
    shutil.rmtree(tmp_path / "cells" / rows[2].cell)
    text = make_report(tmp_path).path.read_text()
    assert "No errors of single images are kept of heun: no difference to these is told." in text


def test_a_baseline_is_looked_for_among_all_rows(tmp_path: Path) -> None:
    """Find one that not all models have, or that has a distance and no error."""
    rows = [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "unipc", 5, noise(0) / 2)]
    other = rows[0].model_copy(update={"cell": "other", "protocol": of_errors(fingerprint="e" * 64)})
    results.append_rows(tmp_path, [*rows, other])
    assert "Difference to unipc, image by image" in make_report(tmp_path, "unipc").path.read_text()
    results.append_rows(tmp_path, [sure(row("deis", 5, 0.3), 0.1), sure(row("heun", 5, 0.4), 0.1)])
    assert "Difference to unipc, image by image" in make_report(tmp_path, "unipc").path.read_text()
    assert "Difference to the baseline, deis at 5" in make_report(tmp_path, "deis").path.read_text()
    with pytest.raises(UsageError, match="no row 'ipndm' to compare with; there are: deis@5, heun@5"):
        make_report(tmp_path, "ipndm")


def test_lines_are_plotted_by_evaluations(tmp_path: Path) -> None:
    rows = [erring(tmp_path, name, steps, noise(0) / steps) for name in ("ddim", "unipc") for steps in (5, 10)]
    text = "\n".join(section(table(tmp_path, rows), tmp_path, "error-32"))
    for name in ("error-32-front.png", "error-32-lines.png"):
        assert f"]({name})" in text
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 500
    alone = "\n".join(section(table(tmp_path, rows[:1]), tmp_path, "alone"))
    assert "png" not in alone


def test_intervals_in_plots_end_where_those_in_tables_do(tmp_path: Path) -> None:
    """Take errors of which some are large and all others almost 0: their interval would reach below 0."""
    errors = np.where(np.arange(IMAGES) < 4, 1.0, 1e-4)
    assert errors.mean() < 1.96 * standard_error(errors)
    points = table(tmp_path, [erring(tmp_path, "ddim", 5, errors), erring(tmp_path, "ddim", 10, noise(0))]).points
    for ends, values in zip(points[["low", "high"]].to_numpy(), (errors, noise(0)), strict=True):
        assert (*ends,) == interval(values)[1:]
    assert points["low"].min() == 1e-4


def test_a_mean_that_few_images_decide_has_no_interval_and_is_told_from_none(tmp_path: Path) -> None:
    astray = np.full(IMAGES, 1e-6)
    astray[:2] = 0.5
    rows = [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "unipc", 5, astray)]
    text = "\n".join(section(table(tmp_path, rows), tmp_path, "error"))
    assert "| unipc | 0.0156 |" in text
    assert "Means without an interval: 1. Fewer than 3 images decide each of them" in text
    assert "--images 128 may tell" in text  # 64 images hold 1.9 that decide
    assert "cannot tell" in text


def test_images_that_all_hit_say_nothing_of_rare_misses(tmp_path: Path) -> None:
    rows = [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "unipc", 5, np.zeros(IMAGES))]
    text = "\n".join(section(table(tmp_path, rows), tmp_path, "error"))
    assert "| 0 |" in text.replace("**", "")
    assert "Below 256 images fewer intervals of means hold" in text
    assert "--images 256 may tell" in text  # of 256, three go astray if it is one in a hundred


def test_names_of_any_origin_are_text(tmp_path: Path) -> None:
    [good] = [erring(tmp_path, "ddim", 5, noise(0))]
    hostile = good.model_copy(update={"protocol": good.protocol.model_copy(update={"model": "<img src=x>|**a**"})})
    [found] = error_tables(tmp_path, [hostile])
    assert "<img" not in "\n".join(section(found, tmp_path, "error")).replace("\\<img", "")


def test_two_folders_are_compared_image_by_image(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    results.append_rows(old, [erring(old, "ddim", 5, noise(0) + 0.01), erring(old, "unipc", 5, noise(0))])
    results.append_rows(new, [erring(new, "ddim", 5, noise(0))])
    lines = compare([old, new]).replace(f"{tmp_path}/", "").splitlines()
    [ddim] = [line for line in lines if line.startswith("| ddim")]
    assert ddim == f"| ddim | 5 | 5 | {written(noise(0) + 0.01)} | {written(noise(0))} | -0.0100 [-0.0100, -0.0100] |"
    [unipc] = [line for line in lines if line.startswith("| unipc")]
    assert unipc == f"| unipc | 5 | 5 | {written(noise(0))} | – | – |"


def test_errors_stand_behind_distances_in_a_comparison(tmp_path: Path) -> None:
    results.append_rows(tmp_path, [row("ddim", 5, 1.5), erring(tmp_path, "ddim", 5, noise(0))])
    titles = [line for line in compare([tmp_path]).splitlines() if line.startswith("Protocol")]
    assert titles == ["Protocol 1: mnist, fd_mnist@2000", "Protocol 2: mnist, error@64"]


def test_what_has_no_error_says_why(tmp_path: Path) -> None:
    without = row("ddpm", 5, 0.0, under=of_errors(), error=ImageError(), warnings=(STOCHASTIC,))
    rows = [erring(tmp_path, "ddim", 5, noise(0)), without.model_copy(update={"metrics": None})]
    assert [*section(table(tmp_path, rows), tmp_path, "error")][-1] == f"ddpm: {STOCHASTIC}."
    assert [*section(table(tmp_path, rows[1:]), tmp_path, "error")][-1] == f"ddpm: {STOCHASTIC}."


def test_what_means_are_over_is_said_of_the_rows_that_there_are(tmp_path: Path) -> None:
    """No interval is promised to rows that have none, and rows of several seeds have more images than each."""
    one, other = erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "ddim", 5, noise(1), seed=1)
    first = "\n".join(section(table(tmp_path, [one]), tmp_path, "error"))
    assert "Means over 64 images, with 95% intervals by a bootstrap-t over them." in first
    both = "\n".join(section(table(tmp_path, [one, other]), tmp_path, "error"))
    assert "Means over 64 images of each seed, of which rows have up to 2, with 95% intervals" in both
    few = one.model_copy(update={"protocol": one.protocol.model_copy(update={"images": 32})})
    found = "\n".join(section(table(tmp_path / "images are gone", [few]), tmp_path, "error"))
    assert "Means over 32 images, without intervals: those need 64 images." in found
    drawn = row("ddpm", 5, 0.0, under=of_errors(), error=ImageError(), warnings=(STOCHASTIC,))
    none = "\n".join(section(table(tmp_path, [drawn.model_copy(update={"metrics": None})]), tmp_path, "error"))
    assert "interval" not in none
    assert "Means over" not in none


def test_a_page_with_distances_and_errors(tmp_path: Path) -> None:
    rows = [row("ddim", 5, 1.5), row("ddim", 10, 1.0), erring(tmp_path, "ddim", 5, noise(0))]
    results.append_rows(tmp_path, rows)
    text = write_report(tmp_path).read_text()
    assert "## mnist: error@64" in text
    assert "## mnist: fd_mnist@2000" in text
    assert "error.mean" in (tmp_path / "results.csv").read_text()


def test_a_row_that_its_images_deny_is_the_one_to_measure_again(tmp_path: Path) -> None:
    """To remove the file of errors, which is made of the same images again, would lead to the same refusal."""
    found = erring(tmp_path, "ddim", 5, noise(0))
    assert found.error is not None
    halved = found.model_copy(update={"error": found.error.model_copy(update={"mean": 0.5 * found.error.mean})})
    with pytest.raises(ZooError, match=r"have a mean of .*; remove the line of its cell from results\.jsonl"):
        error_tables(tmp_path, [halved])


def test_errors_of_another_cell_are_refused_and_not_left_out(tmp_path: Path) -> None:
    rows = [erring(tmp_path, name, 5, noise(seed)) for seed, name in enumerate(("ddim", "unipc"))]
    shards_of = [next((tmp_path / "cells" / row.cell).rglob("errors-*")) for row in rows]
    for shard, errors in zip(shards_of, (noise(0), noise(1)), strict=True):
        save_shard(shard, {"errors": errors})
    assert len(error_tables(tmp_path, rows)[0].errors) == 2
    shutil.copy(shards_of[0], shards_of[1])
    with pytest.raises(ZooError, match=r"was written as .*; remove it, and it is made again when it is needed"):
        error_tables(tmp_path, rows)


def test_errors_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    rows = [erring(tmp_path, "ddim", 5, noise(0))]
    (tmp_path / "errors.safetensors").write_text("no tensors")
    with pytest.raises(ZooError, match=r"errors\.safetensors: cannot be read: .*remove it"):
        error_tables(tmp_path, rows)


def test_without_single_images_the_row_itself_is_shown(tmp_path: Path) -> None:
    found = erring(tmp_path / "elsewhere", "ddim", 5, noise(0))
    assert written(noise(0)) in "\n".join(section(table(tmp_path, [found]), tmp_path, "error"))


def written(errors: np.ndarray) -> str:
    mean, low, high = interval(errors)
    return f"{mean:#.3g} [{low:#.3g}, {high:#.3g}]"


def test_a_baseline_may_be_the_start_of_a_name(tmp_path: Path) -> None:
    rows = [erring(tmp_path, "ddim", 5, noise(0), options={"eta": 0.0}), erring(tmp_path, "unipc", 5, noise(1))]
    rows.append(erring(tmp_path, "ddim", 5, noise(2), options={"eta": 0.5}))
    found = table(tmp_path, rows)
    assert found.baseline("ddim") == "ddim eta 0"
    assert found.baseline("ddim eta 0.5@5") == "ddim eta 0.5"
    with pytest.raises(UsageError, match="no row 'heun'"):
        found.baseline("heun")


def test_rows_without_any_error_make_a_report_and_its_page(tmp_path: Path) -> None:
    stochastic = row("ddpm", 5, 0.0, under=of_errors(), error=ImageError()).model_copy(update={"metrics": None})
    results.append_rows(tmp_path, [stochastic])
    make_report(tmp_path)
    assert STOCHASTIC in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_errors_that_cannot_be_are_refused_with_the_file(tmp_path: Path, wrong: float) -> None:
    results.append_rows(tmp_path, [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "unipc", 5, noise(1))])
    write_report(tmp_path)
    kept = load_file(tmp_path / "errors.safetensors")
    save_file({key: np.full_like(values, wrong) for key, values in kept.items()}, tmp_path / "errors.safetensors")
    with pytest.raises(ZooError, match=r"errors\.safetensors: .*remove it, and `samplerzoo report .*from the cells"):
        write_report(tmp_path)


def test_errors_of_images_are_those_of_their_row(tmp_path: Path) -> None:
    results.append_rows(tmp_path, [erring(tmp_path, "ddim", 5, noise(0)), erring(tmp_path, "unipc", 5, noise(1))])
    report = write_report(tmp_path).read_text()
    shutil.rmtree(tmp_path / "cells")
    assert write_report(tmp_path).read_text() == report
    kept = load_file(tmp_path / "errors.safetensors")
    save_file({key: 10 * values for key, values in kept.items()}, tmp_path / "errors.safetensors")
    with pytest.raises(ZooError, match=r"errors\.safetensors: .* and its row in results\.jsonl has .*a copy of the"):
        write_report(tmp_path)


def test_a_line_that_is_nearer_on_the_same_noise_is_the_nearest(tmp_path: Path) -> None:
    """The mean of ddim is lower by its seed 1 alone: on seed 0, unipc is nearer, and that is told."""
    rows = [
        erring(tmp_path, "ddim", 5, noise(0)),
        erring(tmp_path, "ddim", 5, noise(1) / 100, seed=1),
        erring(tmp_path, "unipc", 5, noise(0) * 0.9),
    ]
    found = table(tmp_path, rows)
    assert found.mean("ddim", 5) < found.mean("unipc", 5)
    assert findings(found) == [f"At 5 evaluations on the same noise the nearest is unipc ({written(noise(0) * 0.9)})."]
    assert found.baseline() == "unipc"
    assert found.told(5) == {"ddim"}


def test_values_of_a_difference_have_its_mean_and_its_spread() -> None:
    """Those of two samples, of rows without a seed in common; those of each image, of the same seeds."""
    a, b, c = (noise(seed, scale) for seed, scale in ((1, 0.02), (2, 0.04), (3, 0.03)))
    apart = contrasts({0: a, 1: b}, {2: c})
    assert apart.mean() == pytest.approx((a.mean() + b.mean()) / 2 - c.mean())
    n = len(a)
    expected = (a.var() + b.var()) / 4 / n + c.var() / n
    assert apart.var() / len(apart) == pytest.approx(expected)
    assert (contrasts({0: a, 1: b}, {0: b, 1: c}) == np.concatenate([a - b, b - c])).all()
    assert len(contrasts({}, {0: a})) == 0


def test_further_seeds_count_the_less_the_more_images_are_alike() -> None:
    a, further = noise(1), noise(2) * 3
    alike = contrasts({0: a}, {0: a + 0.001 * noise(4), 1: further})
    assert alike.mean() == pytest.approx(-0.001 * noise(4).mean(), abs=1e-3)
    unlike = noise(3)
    found = contrasts({0: a}, {0: unlike, 1: further}).mean()
    pooled = a.mean() - (unlike.mean() + further.mean()) / 2
    assert abs(found - pooled) < 0.1 * abs(pooled)


def test_a_row_that_lost_the_images_of_a_seed_is_not_compared(tmp_path: Path) -> None:
    """Its mean is of all seeds, so a difference of the seeds that are left would be another one."""
    rows = [erring(tmp_path, "ddim", 5, noise(seed) * (2 - seed), seed=seed) for seed in (0, 1)]
    rows.append(erring(tmp_path, "unipc", 5, noise(0)))
    shutil.rmtree(tmp_path / "cells" / rows[1].cell)
    found = table(tmp_path, rows)
    assert found.without_images() == ["ddim"]
    assert (found.told(5), found.difference("ddim", "unipc", 5)) == (set(), None)
    assert "Difference to" not in "".join(section(found, tmp_path, "errors"))


LAYOUTS = [((0,), (0, 1, 2)), ((0, 1), (1, 2)), ((0,), (1,))]
"""Seeds of two rows: some in common, and none."""


def share_covered(trials: int, mine: tuple[int, ...], theirs: tuple[int, ...]) -> float:
    """Return how often intervals of 95% hold the difference of two rows with other seeds, of 64 images each.

    Errors are lognormal, and nine tenths of their logarithms are those of the noise that both rows have in common.
    """
    rng, spread, inside = np.random.default_rng(0), 0.5, 0
    for _ in range(trials):
        common = {seed: rng.normal(size=IMAGES) for seed in {*mine, *theirs}}
        one, other = (
            {
                seed: factor * np.exp(spread * (0.9**0.5 * common[seed] + 0.1**0.5 * rng.normal(size=IMAGES)))
                for seed in seeds
            }
            for factor, seeds in ((1.0, mine), (1.1, theirs))
        )
        _, low, high = interval(contrasts(one, other))
        inside += low <= -0.1 * np.exp(spread**2 / 2) <= high
    return inside / trials


@pytest.mark.parametrize(("mine", "theirs"), LAYOUTS)
def test_intervals_hold_the_difference_of_rows_with_other_seeds(mine: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    assert share_covered(2000, mine, theirs) == pytest.approx(0.95, abs=0.03)


def test_rows_without_a_seed_in_common_are_ranked(tmp_path: Path) -> None:
    rows = [erring(tmp_path, "ddim", 5, noise(0) * 2), erring(tmp_path, "unipc", 5, noise(1), seed=1)]
    found = table(tmp_path, rows)
    assert (found.best(5), found.told(5)) == ("unipc", {"ddim"})


@pytest.mark.parametrize(("seeds", "strays"), [(1, 2), (2, 1)])
def test_images_for_an_interval_are_those_of_each_seed(tmp_path: Path, seeds: int, strays: int) -> None:
    """Two images decide, where three are needed: with twice the images of each seed there are four."""
    values = {"ddim": np.where(np.arange(IMAGES) < strays, 1.0, 1e-3), "unipc": noise(0)}
    rows = [erring(tmp_path, name, 5, own, seed=seed) for name, own in values.items() for seed in range(seeds)]
    assert f"--images {2 * IMAGES} may tell" in "\n".join(section(table(tmp_path, rows), tmp_path, "errors"))


def test_how_many_images_would_tell_is_said(tmp_path: Path) -> None:
    """Of the differences to the lowest, that of ddim asks for the fewest images."""
    base, off = noise(0), np.where(np.arange(IMAGES) % 2, 1e-3, -0.9e-3)
    rows = [erring(tmp_path, name, 5, base + by * off) for name, by in (("unipc", 0), ("ddim", 1.2), ("deis", -0.1))]
    (sentence,) = findings(table(tmp_path, rows))
    best = "deis"
    assert sentence.startswith(f"At 5 evaluations: cannot tell. No row is told from the lowest, {best} (")
    number = int(re.findall(r"about ([\d,]+) images a row tell", sentence)[0].replace(",", ""))
    values = 1.3 * off
    careful = NormalDist().inv_cdf(1 - 0.05 / 2 / 3)
    exact = IMAGES * (careful * standard_error(values) / values.mean()) ** 2
    assert exact <= number <= 1.1 * exact


def test_a_line_that_is_told_to_be_better_on_further_seeds_is_the_nearest(tmp_path: Path) -> None:
    """On seed 0 alone ddim is lower by chance; on the two that it shares with unipc, it is worse."""
    rows = [
        erring(tmp_path, "ddim", 5, noise(0)),
        erring(tmp_path, "ddim", 5, noise(1) * 2, seed=1),
        erring(tmp_path, "unipc", 5, noise(0) * 1.001),
        erring(tmp_path, "unipc", 5, noise(1), seed=1),
        erring(tmp_path, "heun", 5, noise(0) * 2),
    ]
    assert findings(table(tmp_path, rows))[0].split(" (")[0].endswith("the nearest is unipc")


def test_the_page_begins_with_the_row_of_the_baseline_that_is_named(tmp_path: Path) -> None:
    rows = [erring(tmp_path, name, steps, noise(0) / steps) for name in ("ddim", "unipc") for steps in (5, 10)]
    found = table(tmp_path, rows)
    assert [found.baseline_row(wanted).cell for wanted in ("unipc@10", "unipc@7", "unipc")] == [
        rows[3].cell, rows[2].cell, rows[2].cell
    ]  # fmt: skip
