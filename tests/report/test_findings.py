"""First lines of a report, from results rigged both ways: they say what is significant, and no more."""

from __future__ import annotations

from synthetic import protocol, rigged, row, sure

from samplerzoo.bench.evidence import Evidence
from samplerzoo.bench.results import Row
from samplerzoo.report.decide import Judge
from samplerzoo.report.findings import MOST, findings
from samplerzoo.report.series import Floor, along, average


def words(rows: list[Row], shared: float = 0.3, own: float = 0.01, floor: Floor | None = None) -> list[str]:
    evidence = rigged(rows, shared, own)
    sweeps = average(along(rows, "scale")) if any("scale" in each.recipe.guidance_options for each in rows) else None
    judge = Judge(rows[0].protocol, average(along(rows, "steps")), evidence)
    return findings(judge, None if sweeps is None else Judge(rows[0].protocol, sweeps, evidence), floor)


def curves(**lines: dict[int, float]) -> list[Row]:
    return [sure(row(name, steps, fd), 0.02) for name, fds in lines.items() for steps, fd in fds.items()]


def test_the_best_of_each_number_of_evaluations_with_its_interval() -> None:
    found = words(curves(a={5: 0.9, 10: 0.5}, b={5: 0.8, 10: 0.6}))
    assert found[0] == "At 5 evaluations, b (0.800 ± 0.039) is the best: a is worse, by 0.100 ± 0.028."
    assert found[1] == "At 10 evaluations, a (0.500 ± 0.039) is the best: b is worse, by 0.100 ± 0.028."
    flipped = words(curves(b={5: 0.9, 10: 0.5}, a={5: 0.8, 10: 0.6}))
    assert flipped[0].startswith("At 5 evaluations, a (0.800")


def test_of_many_the_best_is_said_with_its_lead_over_the_next() -> None:
    found = words(curves(a={5: 2.0}, b={5: 0.9}, c={5: 0.8}))
    assert found[0] == (
        "At 5 evaluations, c (0.800 ± 0.039) is the best: the 2 others are worse, the next, b, by 0.100 ± 0.028."
    )


def test_an_interval_without_0_that_tells_nothing_is_said_with_the_one_that_allows_for_all_pairs() -> None:
    """Of 2.1 standard errors: more than 1.96, which one pair asks for, and less than 2.39, which three do."""
    rows = curves(a={5: 0.8 + 2.1 * 0.1 * 2**0.5}, b={5: 0.8}, c={5: 9.0})
    assert "(+0.30 ± 0.28, or ± 0.34 if all pairs of the column are allowed for)" in words(rows, own=0.1)[0]
    assert "allowed for" not in words(curves(a={5: 0.9}, b={5: 0.8}, c={5: 9.0}), own=0.1)[0]


def against(rows: list[Row], baseline: str, own: float = 0.01) -> str:
    judge = Judge(rows[0].protocol, average(along(rows, "steps")), rigged(rows, 0.3, own))
    return findings(judge, None, None, judge.baseline(baseline))[0]


def test_the_cheapest_row_that_does_as_much_as_the_one_that_was_asked_for() -> None:
    rows = curves(a={5: 0.9, 10: 0.501, 1000: 0.5}, b={5: 0.8, 10: 0.6, 20: 0.4})
    assert against(rows, "a@1000") == (
        "The cheapest row that is not told to be worse than a at 1,000 evaluations (0.500 ± 0.039) is a at 10 "
        "evaluations (0.501 ± 0.039): the difference is +0.001 ± 0.028."
    )
    better = curves(a={5: 0.9, 1000: 0.5}, b={5: 0.4})
    assert "is b at 5 evaluations (0.400 ± 0.039): the difference is -0.100 ± 0.028." in against(better, "a@1000")
    assert against(rows[:2] + rows[3:], "b@20") == (
        "Every cheaper row is worse than b at 20 evaluations (0.400 ± 0.039), the next, a at 10 evaluations "
        "(0.501 ± 0.039), by 0.101 ± 0.028."
    )


def test_of_the_cheapest_row_itself_that_is_said() -> None:
    """Name it, since a name that several rows begin with means the cheapest of them."""
    rows = curves(a={5: 0.9, 10: 0.5}, b={5: 0.8})
    assert against(rows, "a") == "No row is cheaper than the baseline, a at 5 evaluations (0.900 ± 0.039)."
    assert against(rows, "a@5") == against(rows, "a")


def test_what_cannot_be_told_comes_first_and_no_sentence_ranks() -> None:
    found = words(curves(a={5: 0.9}, b={5: 0.8}), own=0.3)
    assert len(found) == 1
    assert found[0].startswith("At 5 evaluations: cannot tell: about ")
    assert "images a row are needed for a difference of this size (+0.10 ± 0.83)" in found[0]
    assert not any(word in found[0] for word in ("best", "lowest", "worse", "better"))


def test_a_column_that_is_not_told_comes_before_those_that_are() -> None:
    found = words(curves(a={5: 0.9, 10: 0.5005}, b={5: 0.8, 10: 0.5}))
    assert found[0].startswith("At 10 evaluations: cannot tell")
    assert found[1].startswith("At 5 evaluations, b")


def test_of_three_two_may_be_equal() -> None:
    found = words(curves(a={5: 0.801}, b={5: 0.8}, c={5: 2.0}))
    assert found[0].startswith("At 5 evaluations, b (0.800 ± 0.039) is the lowest, and better than 1 of the others. ")
    assert "It cannot be told from a: about " in found[0]


def test_that_a_row_is_better_on_the_same_noise_alone_is_said() -> None:
    fds = {("a", 0): 0.5, ("a", 1): 0.2, ("b", 0): 0.4}
    rows = [sure(row(name, 5, fd, seed=seed), 0.3) for (name, seed), fd in fds.items()]
    found = words(rows, 0.3, 0.01)
    assert found[0] == (
        "At 5 evaluations on the same noise, b (0.40 ± 0.59) is the best: a is worse, by 0.100 ± 0.028."
    )


def test_that_a_scale_is_better_on_the_same_noise_alone_is_said() -> None:
    fds = {(1.0, 0): 0.5, (1.0, 1): 0.3, (1.0, 2): 0.28, (2.0, 0): 0.4, (4.0, 0): 2.0}
    rows = [sure(row("ddim", 5, fd, guidance="cfg", scale=scale, seed=seed), 0.3) for (scale, seed), fd in fds.items()]
    assert any(": the lowest distance on the same noise is at scale 2." in sentence for sentence in words(rows))


def test_a_cheaper_row_with_a_lower_figure_is_worse_on_the_same_noise() -> None:
    fds = {("a", 5, 0): 0.6, ("a", 5, 1): 0.2, ("b", 10, 0): 0.5}
    rows = [sure(row(name, steps, fd, seed=seed), 0.3) for (name, steps, seed), fd in fds.items()]
    judge = Judge(protocol(), average(along(rows, "steps")), rigged(rows, 0.3, 0.01))
    (found,) = findings(judge, None, None, ("b", 10))
    assert found == (
        "Every cheaper row is worse than b at 10 evaluations (0.50 ± 0.59) on the same noise, the next, a at 5 "
        "evaluations (0.40 ± 0.42), by 0.100 ± 0.028."
    )


def test_what_is_allowed_for_is_said_where_it_decides() -> None:
    """Of 2.2 standard errors, one row is told from the baseline, and of three rows of a column none."""
    rows = curves(a={5: 0.831, 10: 0.8}, b={5: 0.831}, c={5: 0.831})
    judge = Judge(protocol(), average(along(rows, "steps")), rigged(rows, 0.3, 0.01))
    found = findings(judge, None, None, ("a", 10))
    assert "the difference is +0.031 ± 0.028, or ± 0.034 if all rows of the column are allowed for." in found[0]


def test_the_first_difference_that_more_images_tell_is_named() -> None:
    found = words(curves(a={5: 0.801}, b={5: 0.8}, c={5: 0.82}), own=0.05)
    assert found[0].startswith("At 5 evaluations: cannot tell: about ")
    assert found[0].endswith(", the first that will be told: c against b.")


def test_few_images_say_nothing() -> None:
    few = protocol(images=40)
    rows = [row("ddim", 5, 3.0, under=few), row("ddpm", 5, 1.0, under=few), row("ddim", 50, 0.5, under=few)]
    judge = Judge(few, average(along(rows, "steps")), Evidence())
    assert findings(judge, None, None) == [
        "Cannot tell: at least 256 images are needed for a difference of any size, twice as many as features (128); "
        "each row has 40."
    ]


def test_rows_of_an_earlier_version_say_what_is_missing() -> None:
    old = protocol(dimensions=None, labels="natural")
    judge = Judge(old, average(along([row("a", 5, 1.0, under=old), row("b", 5, 2.0, under=old)], "steps")), Evidence())
    [text] = findings(judge, None, None)
    assert text.startswith("Cannot tell: these rows are of an earlier version, which kept no errors")
    assert "labels were drawn at random" in text


def test_the_cheapest_that_is_not_told_from_the_best() -> None:
    found = " ".join(words(curves(a={5: 0.9, 10: 0.502, 50: 0.5})))
    assert (
        "The cheapest row that is not told from the best of all, a at 50 evaluations (0.500 ± 0.039), is a at 10 "
        "evaluations (0.502 ± 0.039), and by 0.036 above it at most, all pairs allowed for." in found
    )
    dear = " ".join(words(curves(a={5: 0.9, 10: 0.7, 50: 0.5})))
    assert (
        "The lowest distance of all is that of a at 50 evaluations (0.500 ± 0.039); every cheaper row is worse." in dear
    )


def test_a_line_that_more_evaluations_make_worse_is_named_only_if_that_is_told() -> None:
    rows = curves(a={5: 0.5, 20: 0.7}, b={5: 0.9, 20: 0.4})
    assert "More evaluations do not always help: a is worse at 20 than at 5, by 0.200 ± 0.028." in " ".join(words(rows))
    assert "More evaluations" not in " ".join(words(rows, own=0.3))
    assert "More evaluations" not in " ".join(words(curves(a={5: 0.7, 20: 0.5}, b={5: 0.9, 20: 0.4})))


def test_nearer_than_real_images_only_if_that_is_told() -> None:
    rows = curves(a={5: 0.2}, b={5: 0.9})
    assert "nearer to the reference than other real images" in " ".join(words(rows, floor=Floor(0.5, 0.01)))
    assert "nearer" not in " ".join(words(rows, floor=Floor(0.25, 0.05)))


def test_what_guidance_trades() -> None:
    def guided(scale: float, fd: float, accuracy: float, precision: float) -> Row:
        metrics = {"label_accuracy": accuracy, "precision": precision, "recall": 1 - fd / 18}
        return sure(row("ddim", 20, fd, guidance="cfg", scale=scale, metrics=metrics), 0.02)

    rows = [guided(0.0, 14.0, 0.1, 0.9), guided(1.0, 0.9, 0.98, 0.9), guided(5.0, 9.0, 1.0, 0.6)]
    found = " ".join(words(rows))
    assert (
        "Guidance of ddim, cfg: the lowest distance is at scale 1. At scale 5, the distance is higher by "
        "8.100 ± 0.028, label accuracy is 100.00% ± 0.14% in place of 98.00% ± 0.63%, precision is 60.00% ± 2.15% in "
        "place of 90.00% ± 1.32% and recall is 50.00% in place of 95.00% (with no known error)." in found
    )
    assert "Guidance of" not in " ".join(words(rows, own=30.0))
    known = [one.model_copy(update={"metrics": one.metrics.model_copy(update={"recall_se": 0.01})}) for one in rows]
    assert "recall is 50.00% ± 1.96% in place of 95.00% ± 1.96%." in " ".join(words(known))


def test_there_are_five_at_most() -> None:
    lines = {f"line{k}": {5: 0.9 + k, 8: 0.8 + k, 10: 0.7 + k, 20: 0.9 + k, 50: 0.6 + k} for k in range(4)}
    assert len(words(curves(**lines), floor=Floor(5.0, 0.01))) == MOST
