"""Decisions on differences that are significant, and on others that are not, from results rigged both ways."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import protocol, rigged, row, sure

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import Row
from samplerzoo.errors import UsageError
from samplerzoo.report.decide import Judge, Verdict, holm, named_rows
from samplerzoo.report.series import along, average, budgets

SAMPLERS = ("ddim", "unipc", "heun", "deis", "ipndm")


def judge(rows: list[Row], evidence: Evidence) -> Judge:
    return Judge(rows[0].protocol, average(along(rows, "steps")), evidence)


def verdict(rows: list[Row], shared: float = 0.3, own: float = 0.01) -> Verdict:
    (found,) = judge(rows, rigged(rows, shared, own)).verdicts()
    return found


def pair(one: float, other: float) -> list[Row]:
    return [sure(row("ddim", 5, one), 0.3), sure(row("unipc", 5, other), 0.3)]


# -- Holm


def test_holm_as_in_his_paper() -> None:
    """Multiply the lowest of four by 4, the next by 3, and so on; never less than one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_calls_nothing_true_too_often_where_nothing_is() -> None:
    rng = np.random.default_rng(0)
    wrong = [min(holm(rng.random(8).tolist())) < 0.05 for _ in range(2000)]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.02)  # 4 standard errors


# -- differences


def test_a_pair_is_told_by_its_own_error_and_not_by_that_of_each() -> None:
    """Tell 0.60 from 0.65 where noise moves each by 0.3, and their difference by 0.014."""
    found = verdict(pair(0.65, 0.60))
    assert found.best[0] == "unipc"
    assert found.decided
    difference = judge(pair(0.65, 0.60), rigged(pair(0.65, 0.60), 0.3, 0.01)).difference(("ddim", 5), ("unipc", 5))
    assert difference.value == pytest.approx(0.05)
    assert difference.error == pytest.approx(0.01 * 2**0.5)


def test_without_common_noise_the_same_difference_is_not_told() -> None:
    found = verdict(pair(0.65, 0.60), shared=0.0, own=0.3)
    assert not found.ranks
    [tie] = found.ties
    assert tie.images is not None
    needed = 2000 * (1.96 * 0.3 * 2**0.5 / 0.05) ** 2
    assert needed <= tie.images < 1.1 * needed


@pytest.mark.parametrize("metrics", [{"kid": 0.0}, {"fd_infinity": 0.0}])
def test_a_difference_that_another_distance_denies_is_not_told(metrics: dict[str, float]) -> None:
    one, other = pair(0.65, 0.60)
    assert not verdict([sure(one, 0.3, **metrics), other]).ranks
    assert verdict([sure(one, 0.3, kid=None), sure(other, 0.3, kid=None)]).decided  # a reference without a sample


def test_the_lowest_of_rows_that_are_equal_is_seldom_called_better() -> None:
    """Choosing the lowest by its figures makes its differences large: all pairs of a column count, not its own."""
    rng, error = np.random.default_rng(0), 0.1
    called = 0
    for _ in range(200):
        rows = [sure(row(f"x{k}", 5, float(fd)), error) for k, fd in enumerate(rng.normal(1.0, error, 12))]
        called += verdict(rows, shared=0.0, own=error).ranks
    assert called <= 0.05 * 200 + 4  # 1.3 standard errors above the promise; without the pairs it is about 30


def test_more_seeds_need_fewer_images_of_each() -> None:
    values = {"a": (0.5, 0.5), "b": (0.51, 0.51)}

    def needed(seeds: int) -> int | None:
        rows = [sure(row(name, 5, fds[seed], seed=seed), 0.02) for name, fds in values.items() for seed in range(seeds)]
        (found,) = judge(rows, rigged(rows, 0.0, 0.02)).verdicts()
        return found.ties[0].images

    assert needed(1) == 62_000  # 2,000 (1.96 * 0.02 * 2^0.5 / 0.01)^2 = 61,463
    assert needed(2) == 31_000


def test_more_rows_need_a_larger_difference() -> None:
    """Tell 2.3 errors of one pair, and not those of one of ten: Holm's correction."""
    worse = 0.60 + 2.3 * 0.01 * 2**0.5
    assert verdict(pair(worse, 0.60)).decided
    many = [*pair(worse, 0.60), *(sure(row(f"x{k}", 5, worse), 0.3) for k in range(9))]
    assert not verdict(many).ranks


def test_an_error_that_is_not_known_tells_nothing() -> None:
    rows = [sure(found, 0.3, fd_se=None) for found in pair(9.0, 0.60)]
    (found,) = judge(rows, Evidence()).verdicts()
    assert not found.ranks
    assert found.ties[0].images is None


def test_rows_that_were_never_side_by_side_are_compared_by_the_error_of_each() -> None:
    rows = pair(9.0, 0.60)
    assert verdict(rows).decided
    difference = judge(rows, Evidence()).difference(("ddim", 5), ("unipc", 5))
    assert difference.error == pytest.approx(0.3 * 2**0.5)
    assert difference.kernel_error == pytest.approx(0.03 * 2**0.5)
    (close,) = judge(pair(0.65, 0.60), Evidence()).verdicts()
    assert not close.ranks  # which is told of a pair


def test_rows_are_ranked_by_all_of_their_seeds() -> None:
    """On seed 0, which both have, a is lower by chance, which counts for a third of the mean of b."""
    fds = {("a", 0): 0.45, ("b", 0): 0.5, ("b", 1): 0.4, ("b", 2): 0.4}
    rows = [sure(row(name, 5, fd, seed=seed), 0.02) for (name, seed), fd in fds.items()]
    (found,) = judge(rows, rigged(rows, 0.0, 0.02)).verdicts()
    assert (found.best[0], found.where) == ("b", "")
    assert found.ties[0].difference.value == pytest.approx(0.45 - 1.3 / 3)


def test_a_row_that_is_better_on_the_same_noise_is_the_best() -> None:
    """The mean of a is lower by its seeds 1 and 2 alone: on seed 0, b is better, and that is told."""
    fds = {("a", 0): 0.5, ("a", 1): 0.3, ("a", 2): 0.28, ("b", 0): 0.4, ("c", 0): 2.0}
    rows = [sure(row(name, 5, fd, seed=seed), 0.3) for (name, seed), fd in fds.items()]
    (found,) = judge(rows, rigged(rows, 0.3, 0.01)).verdicts()
    assert (found.best[0], len(found.worse), found.where) == ("b", 2, " on the same noise")
    (same,) = judge(rows[:1] + rows[3:], rigged(rows, 0.3, 0.01)).verdicts()
    assert (same.best[0], same.where) == ("b", "")


def test_which_row_is_the_best_depends_on_no_other_row() -> None:
    """On the same noise b is better than a by 2.4 standard errors: that is told of two rows, and of five it is not."""
    fds = {("a", 0): 0.5, ("a", 1): 0.3, ("a", 2): 0.28, ("b", 0): 0.47}
    alone = [sure(row(name, 5, fd, seed=seed), 0.3) for (name, seed), fd in fds.items()]
    many = [*alone, *(sure(row(name, 5, 3.0), 0.3) for name in "cde")]
    for rows, ties in ((alone, []), (many, ["a"])):
        (found,) = judge(rows, rigged(rows, 0.3, 0.01)).verdicts()
        assert (found.best[0], found.where) == ("b", " on the same noise")
        assert [tie.point[0] for tie in found.ties] == ties


def test_some_rows_of_a_column_allow_for_all_of_its_pairs() -> None:
    rows = [*pair(0.63, 0.60), *(sure(row(f"x{k}", 5, 0.63), 0.3) for k in range(9))]
    found = judge(rows, rigged(rows, 0.3, 0.01))
    some = found.points.loc[[("ddim", 5), ("unipc", 5)]]
    assert found.verdict(some).ties
    assert judge(rows[:2], rigged(rows[:2], 0.3, 0.01)).verdict(some.assign(budget=5.0)).decided


def test_the_best_may_have_seeds_that_others_lack() -> None:
    """On seed 0, which all have, a is the lowest by chance; on the three seeds of a and b, b is better."""
    fds = {("a", 0): 0.499, ("a", 1): 0.9, ("a", 2): 0.9, ("b", 0): 0.5, ("b", 1): 0.5, ("b", 2): 0.5, ("c", 0): 2.0}
    rows = [sure(row(name, 5, fd, seed=seed), 0.02) for (name, seed), fd in fds.items()]
    (found,) = judge(rows, rigged(rows, 0.3, 0.01)).verdicts()
    assert (found.best[0], found.ties, len(found.worse)) == ("b", (), 2)


def test_a_difference_of_rounding_is_none() -> None:
    """One method under two names draws the same images but for rounding, and their paired error is then 0."""
    rows = [sure(row(name, 5, fd), 0.02) for name, fd in (("ddim", 0.5), ("ddpm", 0.50001), ("unipc", 0.6))]
    (found,) = judge(rows, rigged(rows, 0.3, 0.0)).verdicts()
    assert ([tie.difference.value for tie in found.ties], len(found.worse)) == ([0.0], 1)


def test_exact_figures_have_no_chance() -> None:
    exact = protocol(model="gaussian", images=None, labels=None, features="exact", dimensions=None)
    rows = [row(name, 5, fd, under=exact) for name, fd in (("a", 1e-5), ("b", 1.1e-5), ("c", 1e-5))]
    (found,) = judge(rows, Evidence()).verdicts()
    assert len(found.worse) == 1
    assert [tie.point[0] for tie in found.ties] in (["c"], ["a"])


# -- columns


def test_two_evaluations_a_step_stand_beside_one() -> None:
    heun = row("heun", 5, 1.0)
    heun = heun.model_copy(update={"cost": heun.cost.model_copy(update={"nfe": 9.0})})
    rows = [row("ddim", steps, 1.0) for steps in (5, 8, 9, 10)] + [row("unipc", 10, 1.0)]
    points = average(along([*rows[:1], *rows[3:], heun], "steps"))
    assert budgets(points).to_dict() == {("ddim", 5): 5, ("ddim", 10): 10, ("unipc", 10): 10, ("heun", 5): 10}
    points = average(along([*rows, heun], "steps"))  # ddim has 9 and 10, which are two columns
    assert budgets(points)["heun", 5] == 9
    assert budgets(points)["ddim", 8] == 8


# -- the baseline


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("ddim", [("ddim", 5.0), ("ddim", 10.0)]),
        ("ddim@10", [("ddim", 10.0)]),
        ("ddim@50", []),
        ("ddim e", [("ddim eta 1", 50.0)]),
        ("ddim, autoguidance old@abcd1234", [("ddim, autoguidance old@abcd1234", 10.0)]),
        ("ddim, autoguidance old@abcd1234@10", [("ddim, autoguidance old@abcd1234", 10.0)]),
        ("ddim, autoguidance old@ab", [("ddim, autoguidance old@abcd1234", 10.0)]),
        ("@10", []),
    ],
)
def test_a_baseline_is_named_whole_or_by_its_start(wanted: str, found: list[tuple[str, float]]) -> None:
    rows = [("ddim eta 1", 50.0), ("ddim", 5.0), ("ddim", 10.0), ("ddim, autoguidance old@abcd1234", 10.0)]
    assert named_rows(wanted, rows) == found


def rows_of_two() -> list[Row]:
    return [
        sure(row(name, steps, fd / steps), 0.01) for name, fd in (("ddim", 5.0), ("unipc", 4.0)) for steps in (5, 10)
    ]


def test_the_baseline_is_the_cheapest_row_of_the_best_family_or_the_one_that_is_named() -> None:
    rows = rows_of_two()
    found = judge(rows, rigged(rows, 0.3, 0.01))
    assert found.baseline() == ("unipc", 5)
    assert found.baseline("ddim") == ("ddim", 5)
    assert found.baseline("dd@10") == ("ddim", 10)
    for wrong in ("deis", "ddim@7"):
        with pytest.raises(UsageError, match=rf"no row '{wrong}' .*there are: ddim@5, ddim@10, unipc@5, unipc@10"):
            found.baseline(wrong)


def test_a_baseline_that_nobody_named_is_chosen_by_its_figures_so_that_all_pairs_count() -> None:
    """Tell a difference of p = 0.008 among four from a named baseline (0.032), and not among ten pairs (0.08)."""
    far = 2.65 * 0.01 * 2**0.5
    rows = [sure(row(name, 5, 1 + far * (name == "heun") + 0.001 * k), 0.3) for k, name in enumerate(SAMPLERS)]
    found = judge(rows, rigged(rows, 0.3, 0.01))
    assert found.baseline() == (SAMPLERS[0], 5)
    told = {named: found.against(found.baseline(), named=named)["told"].eq(True) for named in (True, False)}
    assert told[True].sum() == 1
    assert told[True]["heun", 5]
    assert told[False].sum() == 0


def test_equal_rows_are_seldom_told_from_a_baseline_that_they_chose() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        rows = [sure(row(f"s{k}", 5, rng.normal(1, 0.01)), 0.01) for k in range(20)]
        found = judge(rows, rigged(rows, 0.0, 0.01))
        wrong += found.against(found.baseline())["told"].eq(True).any()
    assert wrong <= 11  # 5 in 100 and three standard errors; 25 if only those with the baseline counted


def test_every_row_has_its_difference_to_the_baseline() -> None:
    rows = rows_of_two()
    table = judge(rows, rigged(rows, 0.3, 0.01)).against(("ddim", 5))
    assert table["value"].to_dict() == pytest.approx(
        {("ddim", 5): np.nan, ("ddim", 10): -0.5, ("unipc", 5): -0.2, ("unipc", 10): -0.6}, nan_ok=True
    )
    assert table["told"].tolist()[1:] == [True, True, True]
