"""Cell: one sampler with its options on one grid, named by the hash of everything that its image i depends on.

The name does not depend on the number of images, on how they are batched, on the device, on versions, or on how the
images are measured. So the images of a cell can be used for any number of images and any metric.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tqdm.auto import tqdm

from samplerzoo import registry
from samplerzoo.bench.results import Protocol
from samplerzoo.bench.shards import CELLS
from samplerzoo.bench.suite import Suite, say
from samplerzoo.core.cost import Cost
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.kinds import Kind
from samplerzoo.core.model import Model
from samplerzoo.errors import ZooError
from samplerzoo.images import check_channels
from samplerzoo.models.handle import ModelHandle
from samplerzoo.models.load import open_model, title
from samplerzoo.sampling.idle import warn_of_options_idle_in_all
from samplerzoo.sampling.labels import IN_PROPORTION, parse_class_labels
from samplerzoo.sampling.pace import CostCounter
from samplerzoo.sampling.plan import Plan, fill_defaults, make_plan, needs_labels
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.system.files import atomic_file, digest_text

RECIPE_FILE = "recipe.json"
ERROR_DTYPE = "float32"
"""Dtype that "auto" stands for where errors are measured: rounding to bfloat16 is as large as good samplers' errors."""

SILENCE = 1.0
"""Seconds after which a progress bar appears on a terminal."""


@dataclass(frozen=True, eq=False)
class Cell:
    """Recipe with every default filled in, and its plan.

    Attributes:
        name: hash of all that image i depends on.
        plan: plan for as many images as the suite wants, with a stub of the model.
        cost: cost of one image.
        converges: True for a converged solution: errors are distances to it, and it has no row of its own.
    """

    name: str
    recipe: Recipe
    plan: Plan
    cost: Cost
    converges: bool = False

    @property
    def images(self) -> int:
        return self.plan.num_images

    def with_images(self, count: int) -> Cell:
        """Return the cell with another number of images. The images that both cells have are the same."""
        labels, asked = self.plan.labels, self.recipe.class_labels
        if labels is not None and asked is not None:
            labels = parse_class_labels(asked, self.plan.model, count, self.recipe.seed)
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, num_images=count, labels=labels))

    def folder(self, bench: Path) -> Path:
        return bench / CELLS / self.name

    def protocol(self, **measured: Any) -> Protocol:
        """Return the protocol of the cell's images.

        Args:
            measured: fields that say how the images are measured.
        """
        recipe = self.recipe
        return Protocol(
            model=title(recipe.model),
            fingerprint=recipe.fingerprint or "",
            images=self.images,
            labels=kept_labels(recipe),
            prompts=kept_prompts(recipe),
            **measured,
        )

    def describe(self, folder: Path) -> None:
        """Write the recipe to a file, for a person who looks into the folder. No program reads it."""
        with atomic_file(folder / RECIPE_FILE) as partial:
            partial.write_text(json.dumps(self.recipe.model_dump(mode="json"), indent=2) + "\n")


def make_cells(suite: Suite, found: ModelHandle, device: str, class_counts: Sequence[int] = ()) -> list[Cell]:
    """Make the cells of a suite, each once, and refuse options that do not go together. No weights are read.

    Cheap cells come first: a suite that is interrupted then has short rows of every sampler.

    Args:
        found: the suite's model.
        device: device that draws the images; a dtype of "auto" depends on it.
        class_counts: class counts of the reference, which "natural" labels follow; by default the model's own.

    Raises:
        UsageError: a recipe does not go with the model.
    """
    model = found.stub
    check_channels(model.image_shape[0], f"an image of {model.name}")
    if class_counts:
        model = dataclasses.replace(model, class_counts=_counts(class_counts, model))
    open_second = functools.cache(open_model)  # there are many cells, and a fingerprint reads all weights
    cells: dict[tuple[str, int], Cell] = {}
    costs = CostCounter()
    left_out: list[ZooError] = []
    asked_for: list[tuple[Plan, Recipe]] = []
    for recipe, images in tqdm(suite.points, desc="cells", unit="cell", delay=SILENCE, disable=None, leave=False):
        try:
            dtype = ERROR_DTYPE if recipe.dtype == "auto" and "error" in suite.measures else recipe.dtype
            asked = {"dtype": found.choose_dtype(dtype, device), "class_labels": _labels(recipe, model)}
            given = recipe.model_copy(update=asked)
            plan = make_plan(given, model, images, open_second=open_second)
            recipe = fill_defaults(given, plan, found.fingerprint)
            name = cell_name(recipe, plan)
            if (name, images) not in cells:
                asked_for.append((plan, given))
                cost = costs.count(plan, recipe.second_fingerprint)
                if not cost.calls:
                    raise ZooError(f"sampler {recipe.sampler} never asks the network: there is no cost to compare")
                cells[name, images] = Cell(name, recipe, plan, cost)
        except ZooError as error:
            if not suite.every:
                raise
            left_out.append(error)
            say(f"{recipe.sampler} is left out: {error}")
    if not cells:
        raise left_out[0]
    warn_of_options_idle_in_all(asked_for)
    return sorted(cells.values(), key=lambda cell: cell.images * cell.cost.nfe)


def cell_name(recipe: Recipe, plan: Plan) -> str:
    """Hash all that image i depends on."""
    return digest_text(json.dumps(identity(recipe, plan), sort_keys=True))


def identity(recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """Collect all that image i depends on, as JSON.

    The paths of models are left out, and so are options that are not set.
    """
    model, guided, second = plan.model, recipe.guidance_options, {}
    if recipe.second_fingerprint is not None:
        guided = {name: value for name, value in guided.items() if name != "model"}
        second = {"second_weights": recipe.second_fingerprint}
    prompted = {} if recipe.prompts is None else {"prompts": recipe.prompts, "negative_prompt": recipe.negative_prompt}
    return {
        "weights": recipe.fingerprint,
        "classes": model.classes,
        "null_label": model.null_label,
        "sampler": _origin("sampler", recipe.sampler),
        "sampler_options": recipe.sampler_options,
        "guidance": None if recipe.guidance is None else _origin("guidance", recipe.guidance),
        "guidance_options": guided,
        "plugins": sorted(recipe.plugins.values()),
        "grid": [level.tau for level in plan.grid.levels],
        "labels": kept_labels(recipe),
        "class_counts": model.class_counts if recipe.class_labels == "natural" else None,
        "clip_x0": recipe.clip_x0,
        "dtype": recipe.dtype,
        "seed": recipe.seed,
        **second,
        **prompted,
    }


def kept_labels(recipe: Recipe) -> str | None:
    """Return the class labels of a recipe as cells and protocols record them.

    Earlier versions drew "natural" labels at random. Those in proportion have another name, so that the two never mix.
    """
    return IN_PROPORTION if recipe.class_labels == "natural" else recipe.class_labels


def kept_prompts(recipe: Recipe) -> str | None:
    """Return the prompts of a recipe as protocols know them: how many, and the SHA-256 of all."""
    if recipe.prompts is None:
        return None
    many = f"{len(recipe.prompts)} prompt{'s' * (len(recipe.prompts) > 1)}"
    return f"{many} {digest_text(json.dumps([recipe.prompts, recipe.negative_prompt]))}"


def _origin(kind: Kind, name: str) -> str:
    """Return "distribution:name" of a plugin, or the name alone for a file, whose SHA-256 is known."""
    plugin = registry.get(kind, name)
    return plugin.name if plugin.file is not None else f"{plugin.source}:{plugin.name}"


def _counts(of_reference: Sequence[int], model: Model) -> tuple[int, ...] | None:
    """Return the class counts of the reference, or of the training data if the reference has other classes."""
    K = model.classes
    if K is None or len(of_reference) > K:
        return model.class_counts
    return (*of_reference, *[0] * (K - len(of_reference)))


def _labels(recipe: Recipe, model: Model) -> str | None:
    """Return the class labels of a recipe, by default as frequent as in the data.

    An even mix of classes has another distribution than the data, and so a distance above 0.
    """
    if recipe.class_labels is not None or not model.class_counts:
        return recipe.class_labels
    guidance = None if recipe.guidance is None else registry.get("guidance", recipe.guidance).load()
    return "natural" if needs_labels(model, cast("type[Guidance] | None", guidance)) else None


def cell_title(recipe: Recipe) -> str:
    """Return the name of a cell in messages, such as `ddim eta=0.5, cfg scale=2.0, 20 steps`."""
    words = [_with_options(recipe.sampler, recipe.sampler_options)]
    if recipe.guidance is not None or recipe.own_scale is not None:
        words.append(_with_options(recipe.guidance or "guidance", recipe.guidance_options))
    if recipe.timesteps is not None:
        words.append(f"{len(recipe.timesteps)} timesteps")
    else:
        words.append(f"{recipe.steps} steps" + ("" if recipe.spacing in (None, "trailing") else f" {recipe.spacing}"))
    return ", ".join([*words, f"seed {recipe.seed}"] if recipe.seed else words)


def _with_options(name: str, options: dict[str, Any]) -> str:
    return " ".join([name, *(f"{option}={value}" for option, value in options.items() if value is not None)])
