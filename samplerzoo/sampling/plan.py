"""Plan: a recipe as live objects, or one clear error."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from samplerzoo import registry
from samplerzoo.core.blame import plugin_title
from samplerzoo.core.condition import Condition
from samplerzoo.core.guidance import Guidance, TwoModelGuidance
from samplerzoo.core.kinds import check_methods
from samplerzoo.core.level import Grid
from samplerzoo.core.model import NO_CLIP, Model
from samplerzoo.core.prediction import Clip
from samplerzoo.core.protocol import check_values
from samplerzoo.core.sampler import Sampler, grid_of, suited
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.text import TextEncoder
from samplerzoo.errors import UsageError, expect, whole
from samplerzoo.models.handle import ModelHandle
from samplerzoo.models.load import lasting, open_model, warn_once
from samplerzoo.models.second import as_second
from samplerzoo.sampling.keywords import listing
from samplerzoo.sampling.labels import Labels, parse_class_labels
from samplerzoo.sampling.recipe import EXPLICIT, SCALE, Recipe
from samplerzoo.trust.limits import MOST_IMAGES
from samplerzoo.trust.markup import visible

SHOWN_LETTERS = 40
"""Characters of a prompt in messages."""

LONG_END = 3.0
"""Ratio of a grid's last two steps between noisy levels, in log-SNR, above which its end is considered too long."""
MANY_STEPS = 50
"""Steps from which such an end is not reported: it changes an image by only about two of 256 grey levels."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that the images of a run depend on, as live objects.

    Attributes:
        model: the model; a stub, as in `ModelHandle`, until `with_weights` puts in the real one.
        clip: bound on x0.
        labels: one per image, or None.
        prompts: prompts for a text-to-image model; image i has prompt i modulo their number.
        negative_prompt: prompt that guidance leads away from, instead of the empty prompt.
        second: the guidance's own model, if it has one.
        own_scale: scale of a whole pipeline's own guidance; None for the pipeline's default.
        warnings: doubts about the images, for whoever reports on them.

    Raises:
        UsageError: the parts do not go together.
    """

    model: Model
    sampler: Sampler
    grid: Grid
    num_images: int
    clip: Clip = NO_CLIP
    labels: Sequence[int] | None = None
    guidance: Guidance | None = None
    second: ModelHandle | None = None
    seed: int = 0
    prompts: Sequence[str] | None = None
    negative_prompt: str | None = None
    own_scale: float | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse labels and prompts that do not go with the model and the guidance."""
        if not 1 <= self.num_images <= MOST_IMAGES:
            raise UsageError(f"a run makes at least 1 image and at most {MOST_IMAGES}, not {self.num_images}")
        self._check_prompts()
        self._check_scale()
        needed = needs_labels(self.model, self.guidance)
        if self.labels is None:
            if needed:
                raise UsageError(f"{self.model.name}: labels are needed, by the conditional network or by the guidance")
            return
        if len(self.labels) != self.num_images:
            raise UsageError(f"{len(self.labels)} labels for {self.num_images} images")
        if not needed:
            raise UsageError(f"{self.model.name} is unconditional: labels need a guidance (--guidance classifier)")
        if isinstance(self.labels, Labels):  # checked when they were parsed
            return
        K = self.model.classes
        for label in self.labels:
            if K is not None and not 0 <= label < K:
                raise UsageError(f"class label {label} is out of range: {self.model.name} has the classes 0 to {K - 1}")

    def _check_prompts(self) -> None:
        """Refuse to run a text-to-image model without prompts, or another model with prompts."""
        name = self.model.name
        if self.model.text is None and self.prompts is not None:
            takes = "class labels: --class-labels" if self.model.classes is not None else "neither prompts nor labels"
            raise UsageError(f"{name} takes no prompts; it takes {takes}")
        if self.model.text is not None and self.prompts is None:
            raise UsageError(f"{name} makes images of prompts: add --prompts TEXT|FILE, or prompts=[...] in Python")
        if self.model.text is not None and self.labels is not None:
            raise UsageError(f"{name} makes images of prompts, and takes no class labels: leave --class-labels out")
        if self.model.drawer is not None and self.guidance is not None:
            raise UsageError(
                f"{name} is a whole pipeline, which guides by itself: leave --guidance out, and give its own scale, as "
                "--guidance-scale 5"
            )
        if self.negative_prompt is not None and self.guidance is None and self.model.drawer is None:
            raise UsageError(
                "--negative-prompt is what guidance leads away from: add --guidance cfg --guidance-scale 7.5"
            )

    def _check_scale(self) -> None:
        """Refuse a guidance scale without a guidance."""
        if self.own_scale is not None and self.model.drawer is None:
            names = " or ".join(f"--guidance {name}" for name in registry.owners("guidance", SCALE))
            hosted = "" if self.model.text is None else "; or --hosted, for a whole pipeline that guides by itself"
            raise UsageError(
                f"{self.model.name}: --guidance-scale is an option of a guidance, and there is none: add "
                f'{names}, as guidance="cfg" in Python{hosted}'
            )

    def condition(self, indices: Sequence[int]) -> Condition:
        """Return the condition of these images for the network."""
        if self.prompts is not None:
            return self.model.condition(prompts=self.prompts_of(indices), negative_prompt=self.negative_prompt)
        return self.model.condition(None if self.labels is None else [self.labels[index] for index in indices])

    def prompts_of(self, indices: Sequence[int]) -> list[str]:
        """Return the prompt of each of these images."""
        return [self.prompts[index % len(self.prompts)] for index in indices] if self.prompts else []

    def with_weights(self, model: Model) -> Plan:
        """Replace the stub by a model with weights, and load the guidance's own model, if it has one."""
        if model.text is not None and self.prompts is not None:
            _warn_of_cut(model.text, self.prompts)
        second = model.second if self.second is None else self.second.load_like(model)
        return dataclasses.replace(self, model=_with_second(model, second, self.guidance))


def make_plan(
    recipe: Recipe,
    model: Model,
    num_images: int,
    *,
    sampler: Sampler | None = None,
    guidance: Guidance | None = None,
    labels: Sequence[int] | None = None,
    open_second: Callable[[str], ModelHandle] = open_model,
) -> Plan:
    """Make a plan. This is the only place where defaults that depend on the model are filled in.

    Args:
        sampler, guidance: objects to use instead of those that the recipe names.
        labels: one per image, instead of the recipe's `class_labels`.
        open_second: function that opens a guidance's own model by its name.

    Raises:
        UsageError: recipe and model do not go together.
    """
    expect("recipe", recipe, Recipe)
    expect("model", model, Model)
    expect("sampler", sampler, Sampler, optional=True)
    expect("guidance", guidance, Guidance, optional=True)
    num_images = whole("num_images", num_images)
    if sampler is not None:
        check_methods(type(sampler), "sampler")
    else:
        sampler = cast(Sampler, registry.make("sampler", recipe.sampler, recipe.sampler_options))
    check_values(sampler, "order", "takes_shift", "needs_mean")
    sampler = suited(sampler, model)
    if guidance is not None:
        check_methods(type(guidance), "guidance")
    elif recipe.guidance is not None:
        guidance = cast(Guidance, registry.make("guidance", recipe.guidance, recipe.guidance_options))
    if model.text is not None and (labels is not None or recipe.class_labels is not None):
        raise UsageError(f"{model.name} makes images of prompts, and takes no class labels: leave --class-labels out")
    if labels is not None:
        labels = [whole("a label", label) for label in listing("labels", labels)]  # an array or a tensor will do
    elif recipe.class_labels is not None or needs_labels(model, guidance):
        text = "balanced" if recipe.class_labels is None else recipe.class_labels
        labels = parse_class_labels(text, model, num_images, recipe.seed)
    warnings: tuple[str, ...] = ()
    if recipe.timesteps is not None:
        grid = model.schedule.grid_at(recipe.timesteps)
    else:
        grid = grid_of(sampler, model.schedule, recipe.steps, recipe.spacing)
        if recipe.spacing is None and model.schedule.own is not None:
            warnings = doubts_of_end(model.name, sampler, grid, other_spacing(model.schedule))
            for warning in warnings:
                warn_once(f"samplerzoo: {warning}")
    clip = model.clip if recipe.clip_x0 is None else Clip.parse(recipe.clip_x0)
    second = None
    if isinstance(guidance, TwoModelGuidance) and guidance.model is not None:
        second = open_second(guidance.model)
    model = _with_second(model, model.second if second is None else second.stub, guidance)
    return Plan(
        model, sampler, grid, num_images, clip, labels, guidance, second, recipe.seed, recipe.prompts,
        recipe.negative_prompt, None if guidance is not None else recipe.own_scale, warnings,
    )  # fmt: skip


def _with_second(model: Model, second: Model | None, guidance: Guidance | None) -> Model:
    """Give a model the second one that its guidance asks, which has to go with it."""
    if second is None or not isinstance(guidance, TwoModelGuidance):
        return model
    return dataclasses.replace(model, second=as_second(second, model))


def fill_defaults(recipe: Recipe, plan: Plan, fingerprint: str) -> Recipe:
    """Return a recipe with all defaults that its plan has determined.

    Args:
        fingerprint: SHA-256 of the model's weights and configs.
    """
    guidance_options: dict[str, Any] = {} if plan.own_scale is None else {SCALE: float(plan.own_scale)}
    if plan.guidance is not None:
        guidance_options = plan.guidance.model_dump(mode="json")
    if plan.second is not None:
        guidance_options["model"] = lasting(guidance_options["model"])
    filled: dict[str, Any] = {
        "model": lasting(recipe.model),
        "fingerprint": fingerprint,
        "second_fingerprint": None if plan.second is None else plan.second.fingerprint,
        "sampler_options": plan.sampler.model_dump(mode="json"),
        "guidance_options": guidance_options,
        "steps": len(plan.grid),
        "spacing": EXPLICIT if recipe.timesteps is not None else recipe.spacing or plan.model.schedule.spacing,
        "class_labels": "balanced" if recipe.class_labels is None and plan.labels else recipe.class_labels,
        "clip_x0": str(plan.clip),
        "plugins": _plugin_code(recipe),
        "scheduler": recipe.scheduler and lasting(recipe.scheduler),
        "hosted": recipe.hosted if plan.model.drawer is None else True,
    }
    return recipe.model_copy(update=filled)


def needs_labels(model: Model, guidance: Guidance | type[Guidance] | None) -> bool:
    """Tell whether images need class labels, for the network or for the guidance."""
    return model.num_classes is not None or (model.text is None and guidance is not None and guidance.needs_labels)


def doubts_of_end(name: str, sampler: Sampler, grid: Grid, way_out: str) -> tuple[str, ...]:
    """Return a warning if a method of order 2 or more ends in a far too long step on a default grid.

    Args:
        name: name of the model.
        way_out: advice on what to do.
    """
    if sampler.order < 2 or not 4 <= len(grid) < MANY_STEPS:
        return ()
    *_, before, last = (s.log_snr - t.log_snr for t, s in itertools.pairwise(grid.levels[:-1]))
    if last <= LONG_END * before:
        return ()
    return (
        f"{name}: the grid of its scheduler ends in a step that is far longer in log-SNR than the others. "
        f"{plugin_title(sampler)} strays there when steps are few: {way_out}",
    )


def other_spacing(schedule: Schedule) -> str:
    """Name the path's usual spacing, whose steps are similar in size, as a flag and a keyword."""
    return f'--spacing {schedule.usual} (in Python spacing="{schedule.usual}") has steps that are alike'


def _warn_of_cut(text: TextEncoder, prompts: Sequence[str]) -> None:
    """Warn of prompts that are longer than the text encoder reads."""
    cut = text.cut(prompts)
    if cut:
        prompt, count = next(iter(cut.items()))
        warn_once(
            f"samplerzoo: prompts longer than the {text.most} tokens that the text encoder reads are cut off, "
            f"{len(cut)} of {len(prompts)}: the first has {count}, and begins '{visible(prompt[:SHOWN_LETTERS])}'"
        )


def _plugin_code(recipe: Recipe) -> dict[str, str]:
    """Return the SHA-256 of the files that the plugins come from, and the versions of other libraries."""
    used = [registry.get("sampler", recipe.sampler)]
    if recipe.guidance is not None:
        used.append(registry.get("guidance", recipe.guidance))
    if recipe.timesteps is None and recipe.spacing is not None:
        used.append(registry.get("spacing", registry.split_spacing(recipe.spacing)[0]))
    files = sorted(plugin.file for plugin in used if plugin.file is not None)
    foreign = {plugin.source: plugin.version for plugin in used if plugin.foreign}
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files} | foreign
