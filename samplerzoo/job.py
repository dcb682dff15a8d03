"""From a recipe to a job that can be made: plugins and model found, grid laid, every default filled in."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from pathlib import Path

from samplerzoo import models, registry
from samplerzoo.driver import Cost, Plan, resolve, stream
from samplerzoo.folder import pretrained
from samplerzoo.images import check_channels
from samplerzoo.models import Model
from samplerzoo.recipe import Recipe
from samplerzoo.registry import GUIDANCE_PREFIX


@dataclass(frozen=True, eq=False)
class Job:
    """A recipe that is ready to be made: every default filled in, the model loaded, the grid laid."""

    recipe: Recipe
    model: Model
    plan: Plan


def prepare(recipe: Recipe, num_images: int, *, device: str = "auto", weights: bool = True) -> Job:
    """Find plugins and model, and check that all goes together.

    Args:
        weights: leave them out to see what would be done; such a job cannot be made.
    """
    for file in recipe.plugins:
        registry.load_file(file)
    # what can be refused is refused before the weights are read
    job = _resolved(recipe, models.outline(recipe.model, revision=recipe.revision), num_images)
    if weights:
        model = models.load(recipe.model, device=device, dtype=recipe.dtype, revision=recipe.revision)
    else:
        device = models.choose_device(device)
        model = dataclasses.replace(job.model, device=device, dtype=models.choose_dtype(recipe.dtype, device))
    return Job(job.recipe.model_copy(update={"dtype": model.dtype}), model, job.plan)


def counted(job: Job) -> Cost:
    """The cost of one image, counted by walking the grid with a network that answers zeros."""
    assert job.model.shape is not None
    blank = models.outline(job.recipe.model, revision=job.recipe.revision)
    tiny = dataclasses.replace(blank, shape=(job.model.shape[0], 2, 2))
    labels = None if job.plan.labels is None else job.plan.labels[:1]
    (batch,) = stream(tiny, dataclasses.replace(job.plan, num_images=1, labels=labels))
    return batch.cost


def _resolved(recipe: Recipe, model: Model, num_images: int) -> Job:
    assert model.folder is not None
    assert model.shape is not None
    check_channels(model.shape[0], f"an image of {model.name}")
    guidance_options = {GUIDANCE_PREFIX + name: value for name, value in recipe.guidance_options.items()}
    plan = resolve(
        model,
        recipe.sampler,
        {**recipe.sampler_options, **guidance_options},
        recipe.guidance,
        steps=recipe.steps,
        spacing=recipe.spacing,
        timesteps=recipe.timesteps,
        labels=recipe.class_labels,
        num_images=num_images,
        clip_x0=recipe.clip_x0,
        seed=recipe.seed,
    )
    local = recipe.model not in pretrained() and Path(recipe.model).expanduser().is_dir()
    return Job(
        recipe.model_copy(
            update={
                "model": str(model.folder.resolve()) if local else recipe.model,
                "fingerprint": models.fingerprint(model.folder),
                "sampler_options": plan.sampler.model_dump(mode="json"),
                "guidance_options": {} if plan.guidance is None else plan.guidance.model_dump(mode="json"),
                "steps": len(plan.grid),
                "spacing": recipe.spacing if recipe.timesteps is None else "explicit",
                "class_labels": "balanced" if recipe.class_labels is None and plan.labels else recipe.class_labels,
                "clip_x0": str(model.clip if plan.clip is None else plan.clip),
                "plugins": _plugin_files(recipe),
            }
        ),
        model,
        plan,
    )


def _plugin_files(recipe: Recipe) -> tuple[str, ...]:
    """Where sampler and guidance come from, if from files, whether --plugin or the environment named these."""
    used = [registry.get("sampler", recipe.sampler)]
    if recipe.guidance is not None:
        used.append(registry.get("guidance", recipe.guidance))
    return tuple(sorted({inspect.getfile(plugin.target) for plugin in used if isinstance(plugin.target, type)}))
