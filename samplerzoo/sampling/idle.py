"""Warnings of options that change nothing in a run or in a benchmark, since a user who sets one expects an effect."""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import torch
from torch import Tensor

from samplerzoo.core.blame import plugin_title
from samplerzoo.core.condition import Condition
from samplerzoo.core.exact import learned, mixture
from samplerzoo.core.guidance import Guidance, TwoModelGuidance
from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler, suited
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.walk import walk
from samplerzoo.errors import ZooError
from samplerzoo.models.load import warn
from samplerzoo.options import Options
from samplerzoo.sampling.plan import Plan
from samplerzoo.sampling.recipe import Recipe

Plugin = TypeVar("Plugin", Sampler, Guidance)

MODELS = TwoModelGuidance.model_fields.keys() - Guidance.model_fields.keys()
"""Options that name a model. A rehearsal has models of its own, and is the same with any of them."""

STEPS, SIDE = 20, 8
"""Most steps, and pixels along a side, of the first rehearsal. An option that acts there needs no longer one."""

MOST_LABELS = 10
"""Most labels of a run that are rehearsed, with an image each."""

MOST_VALUES = 10_000_000
"""Most values of all states of a rehearsal, which take seconds. Of a larger run nothing is said."""

REHEARSED = 8
"""Most rows with an option, spread over all of them, in which it is tried whether it changes anything."""

FAR, NEAR = 1.0, None
"""Distance of two classes in a pixel: as in pictures, or so little that no prediction is certain."""


def warn_of_idle_options(plan: Plan, recipe: Recipe) -> None:
    """Warn of the options in a recipe that change nothing in a run, such as `s_min` of `heun` without churn."""
    for option, plugin in idle_options(plan, recipe.sampler_options, recipe.guidance_options):
        warn(
            f"samplerzoo: {option_title(option, plugin)} changes nothing in this run: with the other options as they "
            "are, its default does the same"
        )


def warn_of_options_idle_in_all(rows: Sequence[tuple[Plan, Recipe]], word: str = "row") -> None:
    """Warn of options that change nothing in any row for which the user gave them.

    Args:
        rows: plans, with the recipes as the user gave them.
        word: what users call a row.
    """
    of_samplers: dict[tuple[str, str], list[Plan]] = {}  # by option and plugin in words, and by the option's name
    of_guidances: dict[tuple[str, str], list[Plan]] = {}
    for plan, recipe in rows:
        for name in recipe.sampler_options:
            of_samplers.setdefault((option_title(name, plan.sampler), name), []).append(plan)
        if plan.guidance is not None:
            for name in recipe.guidance_options:
                of_guidances.setdefault((option_title(name, plan.guidance), name), []).append(plan)
    for (option, name), plans in of_samplers.items():
        _warn_if_idle(option, plans, word, of_sampler=[name])
    for (option, name), plans in of_guidances.items():
        _warn_if_idle(option, plans, word, of_guidance=[name])


def _warn_if_idle(
    option: str, plans: Sequence[Plan], word: str, *, of_sampler: Sequence[str] = (), of_guidance: Sequence[str] = ()
) -> None:
    """Warn of an option that changes nothing in any of these plans."""
    places = {round(n * (len(plans) - 1) / (REHEARSED - 1)) for n in range(REHEARSED)}
    if all(idle_options(plans[place], of_sampler, of_guidance) for place in sorted(places)):
        where = f"the {word}" if len(plans) == 1 else f"any of the {len(plans)} {word}s"
        warn(f"samplerzoo: {option} changes nothing in {where} with it: its default does the same there")


def option_title(name: str, plugin: Sampler | Guidance) -> str:
    """Return an option in words, such as `guidance_rescale=0.7 of guidance cfg`."""
    prefix = GUIDANCE_PREFIX if isinstance(plugin, Guidance) else ""
    return f"{prefix}{name}={getattr(plugin, name)} of {plugin_title(plugin)}"


def idle_options(
    plan: Plan, of_sampler: Iterable[str], of_guidance: Iterable[str]
) -> list[tuple[str, Sampler | Guidance]]:
    """Return the given options without which the same noise makes the same states.

    They are found by rehearsals on exact data, with classes, an exact classifier, a worse model, a learned variance and
    a mean shift, so that every option can have an effect. Of a pipeline that draws by itself nothing is found.
    """
    if plan.model.drawer is not None:
        return []
    labels = [*dict.fromkeys(plan.labels or range(min(2, plan.model.classes or 2)))][:MOST_LABELS]
    if len(plan.grid) * len(labels) * math.prod(plan.model.shape) > MOST_VALUES:
        return []
    rehearsals = [
        _Rehearsal(plan, labels, _thinned(plan.grid), SIDE, NEAR),
        *(_Rehearsal(plan, labels, plan.grid, max(plan.model.shape), apart) for apart in (NEAR, FAR)),
    ]
    return [
        (name, plugin)
        for name, plugin, other in _plans_without(plan, of_sampler, of_guidance)
        if (other.sampler, other.guidance) != (plan.sampler, plan.guidance)
        and all(rehearsal.is_alike(other) for rehearsal in rehearsals)
    ]


def _plans_without(
    plan: Plan, of_sampler: Iterable[str], of_guidance: Iterable[str]
) -> Iterator[tuple[str, Sampler | Guidance, Plan]]:
    """Yield each given option that other options do not require, with its plugin, and the plan without the option."""
    for name in _optional(plan.sampler, of_sampler):
        with suppress(ValueError, ZooError):
            sampler = suited(_without(plan.sampler, name), plan.model)
            yield name, plan.sampler, dataclasses.replace(plan, sampler=sampler)
    if plan.guidance is not None:
        for name in _optional(plan.guidance, of_guidance):
            with suppress(ValueError):
                yield name, plan.guidance, dataclasses.replace(plan, guidance=_without(plan.guidance, name))


def _optional(plugin: Options, given: Iterable[str]) -> list[str]:
    fields = type(plugin).model_fields
    return [name for name in given if name in fields and name not in MODELS and not fields[name].is_required()]


def _without(plugin: Plugin, name: str) -> Plugin:
    return type(plugin).model_validate({other: value for other, value in dict(plugin).items() if other != name})


def _thinned(grid: Grid) -> Grid:
    """Return some levels of a grid, if it has more than `STEPS` steps."""
    if len(grid) <= STEPS:
        return grid
    return Grid(tuple(grid.levels[round(n * len(grid) / STEPS)] for n in range(STEPS + 1)))


class _Rehearsal:
    """Run on exact data.

    Args:
        plan: plan whose states are compared with those of others.
        labels: labels of the images, one each.
        side: most pixels along a side.
        apart: distance of two classes in a pixel; None for little.
    """

    def __init__(self, plan: Plan, labels: Sequence[int], grid: Grid, side: int, apart: float | None) -> None:
        self._plan, self._labels, self._grid = plan, labels, grid
        channels, *sides = plan.model.shape
        shape = channels, *(min(each, side) for each in sides)
        self._exact = _exact(plan.model.schedule, shape, plan.model.classes or len(labels), apart)

    def is_alike(self, other: Plan) -> bool:
        """Tell whether another plan's plugins make the same states of the same noise. A plan that fails is not."""
        try:
            with warnings.catch_warnings(action="ignore"):  # the run itself shows them
                return self._walk(other).equal(self._own)
        except Exception:  # a plugin may fail in any way, and the run itself says so
            return False

    @functools.cached_property
    def _own(self) -> Tensor:
        return self._walk(self._plan)

    @torch.no_grad()
    def _walk(self, plan: Plan) -> Tensor:
        """Return x_T and all states, (steps + 1, labels, C, H, W)."""
        generator = torch.Generator().manual_seed(0)
        exact, condition = self._exact, self._exact.condition([*self._labels])

        def shifted(x: Tensor, level: Level) -> Prediction:
            p = exact.denoise(x, level, condition)
            return p.replace(shift=torch.tanh(x) / level.sigma)

        def noise() -> Tensor:
            return torch.randn(len(self._labels), *exact.shape, generator=generator, dtype=torch.float64)

        guidance = plan.guidance
        guided = shifted if guidance is None else guidance.within_interval(exact.denoise, condition, exact)
        return torch.stack(list(walk(plan.sampler, self._grid, Denoiser(guided, exact.schedule), noise)))


def _exact(schedule: Schedule, shape: tuple[int, ...], classes: int, apart: float | None) -> Model:
    """Make a model of classes, of which all even ones are one component and all odd ones another, with a worse model.

    Args:
        apart: distance of the components in a pixel; None for so little that they overlap.
    """
    size = math.prod(shape)
    pattern = torch.linspace(-1.0, 1.0, size, dtype=torch.float64).reshape(shape)
    means = torch.stack([pattern, -pattern]) * (1 / math.sqrt(size) if apart is None else apart)
    sharp, blurred = (
        _with_classes(mixture(schedule, means, std, parametrization=SAMPLE), classes) for std in (0.5, 0.8)
    )
    return dataclasses.replace(sharp, second=blurred)


def _with_classes(model: Model, classes: int) -> Model:
    """Give a model of two components more classes, with a learned variance."""
    net, classifier, components = model.net, model.classifier, torch.arange(classes) % 2
    components = torch.cat([components, torch.tensor([2])])  # the null label
    assert classifier is not None

    def folded(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return net(x, time, model.condition(components[condition.inputs["class_labels"]]))

    many = dataclasses.replace(
        model, net=folded, num_classes=classes, null_label=classes, classifier_classes=classes,
        classifier=lambda x, level: classifier(x, level)[:, components[:-1]],
    )  # fmt: skip
    return learned(many, torch.sigmoid)
