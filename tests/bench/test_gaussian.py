"""Rows without a network, against figures that were computed independently."""

from __future__ import annotations

from pathlib import Path

import pytest

from samplerzoo import registry
from samplerzoo.bench import results
from samplerzoo.bench.gaussian import rows
from samplerzoo.bench.results import Row
from samplerzoo.bench.suite import default_recipes, parse_suite, read_suite
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.registry import Plugin
from samplerzoo.sampling.recipe import Recipe

SUITE = Path(__file__).parents[2] / "benchmarks" / "gaussian.toml"

TWICE = """
import samplerzoo as zoo

class Twice(zoo.Sampler):
    order = property(lambda self: 2)

    def step(self, x, t, s, denoise, noise):
        denoise(x, t)
        p = denoise(x, t)
        return s.alpha * p.x0 + s.sigma * p.eps
"""


def recipe(sampler: str, steps: int, spacing: str = "trailing", **options: object) -> Recipe:
    return Recipe(model="gaussian", sampler=sampler, steps=steps, spacing=spacing, sampler_options=options)


def row(*args, **options) -> Row:
    (found,) = rows([recipe(*args, **options)], warn=pytest.fail)
    return found


@pytest.mark.parametrize(("steps", "fd"), [(500, 1.1e-5), (600, 1.65e-3), (750, 2.1e-4), (1000, 4.8e-6)])
def test_leading_starts_where_the_step_count_says(steps: int, fd: float) -> None:
    """At 600 steps it begins at timestep 599, which is far from noise."""
    assert row("ddim", steps, "leading").metrics.fd == pytest.approx(fd, rel=0.05)


def test_trailing_gets_better_with_every_step_count() -> None:
    found = [each.metrics.fd for each in rows([recipe("ddim", steps) for steps in (5, 10, 50, 500, 600, 750, 1000)])]
    assert found == sorted(found, reverse=True)


# DDIM's output standard deviation, by diffusers too; to four digits
STDS = [("leading", 10, 0.3741), ("leading", 100, 0.4860), ("trailing", 50, 0.4714), ("linspace", 20, 0.4305)]


@pytest.mark.parametrize(("spacing", "steps", "std"), STDS)
def test_the_distance_is_that_of_the_published_spread(linear: Schedule, spacing: str, steps: int, std: float) -> None:
    """DDIM scales all of x_T alike, and so too that its mean is 0, where it should be alpha / 2."""
    mean = std * linear.grid(steps, spacing).levels[0].alpha * 0.5
    expected = (std - 0.5) ** 2 + mean**2
    assert row("ddim", steps, spacing).metrics.fd == pytest.approx(expected, abs=1.1e-4 * abs(std - 0.5) + 1e-7)


def test_eta_1_is_ddpm_with_the_small_variance() -> None:
    ddim, ddpm = row("ddim", 20, eta=1.0), row("ddpm", 20)
    assert ddim.metrics.fd == pytest.approx(ddpm.metrics.fd, rel=1e-9)
    assert ddim.metrics.order == pytest.approx(ddpm.metrics.order, rel=1e-6)
    assert ddim.cell != ddpm.cell


def test_a_row_says_all_that_is_needed_to_repeat_it(tmp_path: Path) -> None:
    found = row("ddim", 7)
    assert found.recipe.sampler_options == {"eta": 0.0}
    assert found.recipe.clip_x0 == "off"
    assert len(found.timesteps) == found.cost.nfe == 7
    assert found.protocol.metric == "fd_exact"
    assert found.versions["samplerzoo"]
    results.append_rows(tmp_path, [found])
    assert results.read_rows(tmp_path) == [found]
    (again,) = rows([found.recipe])
    assert again == found


def test_evaluations_are_counted_and_an_order_that_is_not_reached_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_files", {})
    (tmp_path / "twice.py").write_text(TWICE)
    registry.load_file(tmp_path / "twice.py")
    found = row("twice", 10)
    assert found.cost.nfe == 20
    assert found.metrics.fd == row("ddim", 10).metrics.fd
    assert found.warnings == ("it declares order 2, and order 1.01 was measured",)
    assert list(found.recipe.plugins) == [str(tmp_path / "twice.py")]


def test_what_has_no_exact_answer_is_told_in_a_line_and_left_out() -> None:
    told: list[str] = []
    impossible = [
        recipe("ddpm", 5, variance="learned"),
        recipe("ddim", 5).model_copy(update={"clip_x0": "static"}),
        recipe("ddim", 5).model_copy(update={"guidance": "cfg"}),
        recipe("ddim", 1001),
        recipe("ddin", 5),
    ]
    (found,) = rows([*impossible, recipe("ddim", 5)], told.append)
    assert found.recipe.sampler == "ddim"
    reasons = ["no learned variance", "--clip-x0 off", "not guided", "1001 steps do not fit", "did you mean ddim"]
    assert len(told) == len(reasons)
    for line, reason in zip(told, reasons, strict=True):
        assert reason in line
        assert "\n" not in line


def test_an_option_that_changes_no_row_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert len([*rows([recipe("heun", steps, s_min=5.0) for steps in (2, 3)])]) == 2
    assert capsys.readouterr().err == (
        "samplerzoo: s_min=5.0 of sampler heun changes nothing in any of the 2 rows with it: its default does the same "
        "there\n"
    )
    assert len([*rows([recipe("ddim", 3, eta=0.5)])]) == 1
    assert not capsys.readouterr().err


def test_every_sampler_by_default_and_no_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [plugin for plugin in registry.plugins("sampler") if plugin.source == "samplerzoo"]
    monkeypatch.setattr(registry, "plugins", lambda kind: [*installed, Plugin("sampler", "bad", "x", "1", dict)])
    told: list[str] = []
    found = default_recipes([5, 10], told.append)
    of_the_mean = [p.name for p in installed if p.name != "consistency"]  # which is for models of samples
    assert [(r.sampler, r.steps) for r in found] == [(name, n) for name in of_the_mean for n in (5, 10)]
    assert len(told) == 1
    assert "'bad' of x is broken" in told[0]


def test_our_suite_has_every_built_in_sampler() -> None:
    recipes = [recipe for recipe, _ in parse_suite(read_suite(SUITE), SUITE.name).points]
    own = [plugin for plugin in registry.plugins("sampler") if plugin.source == "samplerzoo"]
    means = {plugin.name for plugin in own if plugin.load().needs_mean}  # those of this model
    assert {recipe.sampler for recipe in recipes} == means
    assert {recipe.steps for recipe in recipes} == {5, 10, 20, 50, 100, 200, 500, 1000}
    assert len(recipes) == 152


# -- other paths


@pytest.mark.parametrize("path", ["vp", "cosine", "ve", "flow"])
def test_every_path_has_its_rows(path: str) -> None:
    """More steps come nearer on every path, second order methods faster, and orders are measured on that path."""
    model = f"gaussian:{path}"
    ddim, second = (
        [*rows([Recipe(model=model, sampler=name, steps=n) for n in (10, 40, 160)], pytest.fail)]
        for name in ("ddim", "dpm-solver++")
    )
    for found in (ddim, second):
        distances = [each.metrics.fd for each in found if each.metrics]
        assert distances == sorted(distances, reverse=True)
        assert {each.recipe.model for each in found} == {each.protocol.model for each in found} == {model}
    assert second[1].metrics.fd < ddim[1].metrics.fd / 10
    assert ddim[0].metrics.order == pytest.approx(1, abs=0.15)
    assert second[0].metrics.order > 1.85


def test_paths_are_other_protocols_and_other_cells() -> None:
    found = [*rows([Recipe(model=f"gaussian:{path}", sampler="ddim", steps=5) for path in ("vp", "ve", "flow")])]
    assert len({each.cell for each in found}) == len({each.protocol.fingerprint for each in found}) == 3
    (plain,) = rows([Recipe(model="gaussian", sampler="ddim", steps=5)])
    assert plain.cell == found[0].cell


def test_flow_matching_on_a_gaussian_by_hand() -> None:
    """Euler on the straight path scales a Gaussian by 1 + h v'(tau) a step, and the last step is the mean."""
    (found,) = rows([Recipe(model="gaussian:flow", sampler="probability-flow", steps=4)])
    mean, std = 0.0, 1.0
    for t, s in ((1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)):
        alpha = max(1 - t, 2**-12)
        variance = alpha**2 * 0.25 + t**2
        gain = (t - alpha * 0.25) / variance  # slope of E[eps - x0 | x] in x
        shift = -0.5 - gain * alpha * 0.5  # its value where x is 0
        mean, std = mean + (s - t) * (gain * mean + shift), std * (1 + (s - t) * gain)
    assert found.metrics.fd == pytest.approx((mean - 0.5) ** 2 + (std - 0.5) ** 2, rel=1e-3)


def test_a_path_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="gaussian:vp, gaussian:cosine, gaussian:ve, gaussian:flow"):
        parse_suite({"model": "gaussian:fow"}, "a suite")


def test_a_suite_on_another_path_has_every_sampler() -> None:
    suite = parse_suite({"model": "gaussian:ve", "steps": 5}, "a suite")
    assert {recipe.model for recipe, _ in suite.points} == {"gaussian:ve"}
    assert len(suite.points) == len(default_recipes([5]))
