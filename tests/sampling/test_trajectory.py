"""The way of the first images: which moments it shows, and that predictions stand below the states they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samplerzoo.core.paths import VP
from samplerzoo.core.schedule import Schedule
from samplerzoo.models.load import load
from samplerzoo.sampling import trajectory
from samplerzoo.sampling.driver import stream
from samplerzoo.sampling.plan import make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.trajectory import Trajectory, moments


@pytest.fixture
def schedule() -> Schedule:
    return VP(np.linspace(1e-4, 0.02, 1000))


def test_moments_are_even_in_log_snr(schedule: Schedule) -> None:
    grid = schedule.grid(200, "trailing")
    chosen = moments(grid, 11)
    assert (chosen[0], chosen[-1]) == (0, 200)
    noisy = [grid.levels[number].log_snr for number in chosen[:-1]]
    gaps = np.diff(noisy)
    assert len(chosen) == 11
    assert gaps.max() < 1.6 * gaps.min()  # the levels next to even ones; even steps would have a ratio of 10


def test_a_short_grid_is_shown_whole(schedule: Schedule) -> None:
    assert moments(schedule.grid(4, "trailing"), 11) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("sampler", ["ddim", "heun", "predictor-corrector"])
def test_predictions_belong_to_the_states_above_them(sampler: str, tmp_path: Path, monkeypatch) -> None:
    """Of a sampler that calls the network several times a step, the first call at the level counts."""
    model = load("exact:digits", device="cpu")
    recipe = Recipe(sampler=sampler, steps=4, model="exact:digits")
    plan = make_plan(recipe, model, 3).with_weights(model)
    way, states = Trajectory(plan, recipe), {}

    def reached(number, level, x) -> None:
        states[number] = (level, x.clone())
        way.reached(number, level, x)

    list(stream(plan, on_step=reached, on_prediction=way.predicted))
    condition = model.condition([plan.labels[i] for i in range(3)])
    for number, (level, x) in states.items():
        state, predicted = way._pair(number)
        expected = x if level.clean else model.denoise(x, level, condition).x0
        assert np.abs(state.astype(int) - trajectory.images.to_uint8(x).astype(int)).max() == 0
        assert np.abs(predicted.astype(int) - trajectory.images.to_uint8(expected).astype(int)).max() <= 1
    way.save(tmp_path)
    assert {it.name for it in tmp_path.iterdir()} == {*trajectory.FILES}


def test_a_way_has_two_rows_an_image_and_a_column_a_moment() -> None:
    pairs = [tuple(np.full((2, 8, 8, 1), 100 * row + 10 * k, np.uint8) for row in range(2)) for k in range(3)]
    sheet = np.asarray(trajectory.way(pairs, ["t = 9", "t = 4", "x0"], "ddim"))
    side = trajectory.images.tile_size(pairs[0][0])[0]
    left, top = (
        trajectory.MARGIN + 3 * trajectory.FONT_SIZE,
        trajectory.MARGIN + 2 * (trajectory.FONT_SIZE + trajectory.GAP),
    )
    for image in range(2):
        for row in range(2):
            y = (
                top
                + image * (2 * (side + trajectory.GAP) + trajectory.MARGIN)
                + row * (side + trajectory.GAP)
                + side // 2
            )
            line = sheet[y, left + side // 2 :: side + trajectory.GAP][:3]
            assert line.tolist() == [100 * row, 100 * row + 10, 100 * row + 20]
