"""Converged solutions against exact flow maps, and the requests that are refused."""

from __future__ import annotations

import math

import pytest
import torch

from samplerzoo.core.exact import consistency, gaussian, mixture
from samplerzoo.core.flow import flow_grid
from samplerzoo.core.model import Model
from samplerzoo.core.noise import Noise
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.sampling import converged, convergence
from samplerzoo.sampling.converged import check_flow, converge, distances
from samplerzoo.sampling.convergence import TOLERANCE
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.sample import sample

SHAPE = (1, 4, 4)
MEAN, STD = 0.2, 0.4


def plan_of(model: Model, count: int = 8, **keys: object) -> Plan:
    return make_plan(Recipe(sampler="ddim", **keys), model, count)


@pytest.mark.parametrize("path", [*NAMED_PATHS])
def test_on_a_gaussian_it_is_the_exact_flow_map(path: str) -> None:
    """The flow keeps the quantile down to the cleanest level; the mean there is the image."""
    schedule = NAMED_PATHS[path]()
    top, low = schedule.at(schedule.T), schedule.at(schedule.low)
    x = schedule.prior_std * Noise(3, range(8), SHAPE)().double()
    spread = [math.hypot(t.alpha * STD, t.sigma) for t in (top, low)]
    reached = low.alpha * MEAN + spread[1] / spread[0] * (x - top.alpha * MEAN)
    mean = MEAN + low.alpha * STD**2 / spread[1] ** 2 * (reached - low.alpha * MEAN)
    found = converge(plan_of(gaussian(schedule, MEAN, STD, shape=SHAPE, parametrization=SAMPLE), seed=3), range(8))
    assert (found.moved <= TOLERANCE).all()
    assert distances(found.images, mean).max() < TOLERANCE / 4
    whole = MEAN + STD / spread[0] * (x - top.alpha * MEAN)  # the flow map down to the clean level itself
    assert distances(found.images, whole).max() < TOLERANCE / 2


def test_on_a_mixture_it_is_what_many_steps_of_a_sampler_come_to(linear: Schedule) -> None:
    model = mixture(linear, torch.tensor([[1.0, 0.5], [-1.0, 0.0]]), 0.3)
    plan = plan_of(model, 20, class_labels="0-1")
    found = converge(plan, range(20))
    errors = [
        distances(sample(model, "unipc", steps=steps, labels="0-1", num_images=20).images, found.images).mean()
        for steps in (10, 30, 1000)
    ]
    assert errors[0] > 3 * errors[1] > 3 * errors[2]
    assert errors[2] < TOLERANCE / 2


@pytest.mark.parametrize("keys", [{}, {"guidance_low": 0.3, "guidance_high": 3.0}], ids=["everywhere", "interval"])
def test_guidance_and_clip_are_part_of_it(linear: Schedule, keys: dict[str, float]) -> None:
    model = mixture(linear, torch.tensor([[1.0, 0.5], [-1.0, 0.0]]), 0.3)
    options = {"scale": 3.0, **{name.removeprefix("guidance_"): value for name, value in keys.items()}}
    plan = plan_of(model, guidance="cfg", guidance_options=options, clip_x0="static:0.9", class_labels="0-1")
    found = converge(plan, range(8))
    assert (found.moved <= TOLERANCE).all()
    long = sample(
        model, "heun", steps=1000, guidance="cfg", guidance_scale=3.0, clip_x0="static:0.9", labels="0-1",
        num_images=8, **keys,
    )  # fmt: skip
    assert distances(long.images, found.images).max() < 5 * TOLERANCE  # heun steps over the jump, to first order


def test_a_jump_lies_between_two_levels(linear: Schedule) -> None:
    grid = flow_grid(linear, 20, [0.3, 1e9, math.inf])
    rhos = [level.sigma / level.alpha for level in grid.levels]
    assert len(grid) == len(flow_grid(linear, 20)) + 2
    above = min(rho for rho in rhos if rho > 0.3)
    below = max(rho for rho in rhos if rho < 0.3)
    assert above / below < 1 + 1e-5
    assert grid.levels[0].tau == linear.T
    assert grid.levels[-2].tau == linear.low


def test_only_images_that_still_move_are_solved_again(linear: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[int]]] = []

    def solve(plan: Plan, steps: int, indices: list[int], on_step: object) -> torch.Tensor:
        asked.append((steps, list(indices)))
        return torch.tensor([100.0 / steps if index == 7 else index for index in indices])[:, None, None, None]

    monkeypatch.setattr(converged, "_solve", solve)
    found = converge(plan_of(gaussian(linear, shape=SHAPE)), [4, 7, 9])
    assert asked[:3] == [(128, [4, 7, 9]), (256, [4, 7, 9]), (512, [7])]
    assert asked[-1] == (convergence.MOST_STEPS, [7])
    assert found.steps.tolist() == [256, convergence.MOST_STEPS, 256]
    assert (found.moved > TOLERANCE).tolist() == [False, True, False]


def test_an_image_does_not_depend_on_the_others(linear: Schedule) -> None:
    plan = plan_of(gaussian(linear, MEAN, STD, shape=SHAPE), 10)
    torch.testing.assert_close(converge(plan, [3]).images[0], converge(plan, range(10)).images[3], rtol=0, atol=1e-6)


def test_a_model_without_a_mean_is_refused() -> None:
    schedule = NAMED_PATHS["ve"]()
    plan = make_plan(Recipe(sampler="consistency", steps=2), consistency(schedule, shape=SHAPE), 1)
    with pytest.raises(UsageError, match="one possible image"):
        check_flow(plan.model)
