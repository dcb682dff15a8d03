"""Rows for data N(0.5, 0.5^2), whose denoiser and whose Fréchet distance are exact, on any kind of noise path.

No network and no image takes part, so a row is the error of the sampler alone, to the last digit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress

from samplerzoo import testing
from samplerzoo.bench import results
from samplerzoo.bench.cell import cell_name, cell_title
from samplerzoo.bench.results import EXACT, Metrics, Protocol, Row
from samplerzoo.bench.suite import Warn, gaussian_path, say
from samplerzoo.core.blame import blame
from samplerzoo.core.cost import Cost
from samplerzoo.core.model import Model
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.errors import UsageError, reason
from samplerzoo.sampling.idle import warn_of_options_idle_in_all
from samplerzoo.sampling.pace import count_cost
from samplerzoo.sampling.plan import Plan, fill_defaults, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.system.environment import versions
from samplerzoo.testing.fixtures import usual

MEAN, STD = 0.5, 0.5

Order = tuple[float | None, tuple[str, ...]]
"""Measured order of convergence, or None, and the warnings about it."""


def rows(recipes: Sequence[Recipe], warn: Warn = say) -> Iterator[Row]:
    """Yield one row per recipe. A recipe without an exact answer is left out, and `warn` gets the reason."""
    orders: dict[tuple[str, ...], Order] = {}
    found = versions()
    warn_of_options_idle_in_all([*_plans(recipes)])
    for recipe in recipes:
        try:
            row = _row(recipe, orders).model_copy(update={"versions": found})
        except Exception as error:  # a plugin may fail in any way
            warn(f"{cell_title(recipe)}: {reason(blame(error) or error)}")
            continue
        yield row


def _plans(recipes: Sequence[Recipe]) -> Iterator[tuple[Plan, Recipe]]:
    """Yield the plan of each recipe that has one, with the recipe as the user gave it."""
    for recipe in recipes:
        with suppress(Exception):  # `rows` tells the reason
            yield make_plan(recipe, _model(recipe.model), 1), recipe


def prepare_exact(recipe: Recipe) -> tuple[Recipe, Plan, Cost]:
    """Return the recipe with every default filled in, its plan, and the cost of an image.

    Raises:
        UsageError: the recipe has no exact answer.
    """
    if recipe.guidance is not None or recipe.own_scale is not None:
        flag = "--guidance" if recipe.guidance is not None else "--guidance-scale"
        raise UsageError(f"the exact Gaussian is not guided; leave {flag} out")
    plan = make_plan(recipe, _model(recipe.model), 1)
    if plan.clip.mode != "off":
        raise UsageError("the exact moments are those of a run without a clip; give --clip-x0 off")
    filled = fill_defaults(recipe, plan, _fingerprint(recipe.model))
    filled = filled.model_copy(update={"model": recipe.model})  # as it was: it names no folder
    return filled, plan, count_cost(plan)


@functools.cache
def _model(name: str) -> Model:
    schedule = NAMED_PATHS[gaussian_path(name)]()
    return testing.gaussian(schedule, MEAN, STD, parametrization=usual(schedule))


def _fingerprint(name: str) -> str:
    return hashlib.sha256(json.dumps([MEAN, STD, gaussian_path(name)]).encode()).hexdigest()


def _row(recipe: Recipe, orders: dict[tuple[str, ...], Order]) -> Row:
    recipe, plan, cost = prepare_exact(recipe)
    out = testing.moments(plan.model, plan.sampler, plan.grid)
    fd = (out.mean.item() - MEAN) ** 2 + (out.std.item() - STD) ** 2  # Dowson and Landau 1982, in one dimension
    key = recipe.model, recipe.sampler, repr(plan.sampler)
    if key not in orders:
        orders[key] = _order(plan)
    order, warnings = orders[key]
    return Row(
        cell=cell_name(recipe, plan),
        recipe=recipe,
        timesteps=tuple(plan.model.schedule.timesteps(plan.grid)),
        protocol=_protocol(recipe.model),
        metrics=Metrics(fd=fd, order=order),
        cost=results.CostPerImage(**cost.per_image()),
        warnings=warnings,
    )


def _order(plan: Plan) -> Order:
    sampler = plan.sampler
    try:
        found = testing.convergence(sampler, path=plan.model.schedule.kind)
    except Exception as error:
        return None, (f"its order was not measured: {reason(blame(error) or error)}",)
    if math.isinf(found.order):
        return None, ("its order was not measured: between two levels it is exact",)
    if found.reaches(sampler.order):
        return found.order, ()
    return found.order, (f"it declares order {sampler.order}, and order {found.order:.2f} was measured",)


def _protocol(model: str) -> Protocol:
    fingerprint = _fingerprint(model)
    return Protocol(
        model=model,
        fingerprint=fingerprint,
        images=None,
        labels=None,
        features=EXACT,
        features_id="moments",
        reference=f"N({MEAN:g}, {STD:g}^2)",
        reference_id=fingerprint[:16],
        reference_images=None,
    )
