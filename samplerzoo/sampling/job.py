"""From a recipe to a job that can be made: plugins and model found, grid laid, every default filled in."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from samplerzoo import registry
from samplerzoo.core.cost import Cost
from samplerzoo.images import Pixels, check_channels, to_uint8
from samplerzoo.models import load as models
from samplerzoo.models.folder import find_model, pretrained
from samplerzoo.models.load import Model
from samplerzoo.registry import GUIDANCE_PREFIX
from samplerzoo.sampling import tuning as pace
from samplerzoo.sampling.driver import stream
from samplerzoo.sampling.plan import Plan, resolve
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.tuning import FASTEST, PaceRequest
from samplerzoo.system.environment import choose_device, choose_dtype
from samplerzoo.system.processes import on_main, processes


@dataclass(frozen=True, eq=False)
class Job:
    """A recipe that is ready to be made: every default filled in, the model loaded, the grid laid.

    Attributes:
        cost: of one image, counted in a rehearsal.
        batch_size: images at once.
    """

    recipe: Recipe
    model: Model
    plan: Plan
    cost: Cost
    batch_size: int


def prepare(
    recipe: Recipe,
    num_images: int,
    *,
    asked: PaceRequest = FASTEST,
    device: str = "auto",
    compiled: bool = False,
    weights: bool = True,
) -> Job:
    """Find sampler, guidance and model, and refuse what does not go together before the weights are read.

    Args:
        asked: how the network is called; as fast as can be where nothing is asked for.
        weights: leave them out to see what would be done; such a job cannot be made.
    """
    outline = models.outline(recipe.model, revision=recipe.revision)
    assert outline.folder is not None
    fingerprint = models.fingerprint(outline.folder)
    recipe, plan = settle(recipe, outline, fingerprint, num_images)
    cost = rehearse(outline, plan)
    device = choose_device(device)
    recipe = recipe.model_copy(update={"dtype": choose_dtype(recipe.dtype, device)})
    if not weights:
        model = dataclasses.replace(outline, device=device, dtype=recipe.dtype)
        return Job(recipe, model, plan, cost, asked.unmeasured.batch_size)
    if compiled:
        chosen = asked.unmeasured
    else:
        evaluations = num_images * cost.nfe
        chosen = on_main(lambda: pace.choose(outline, fingerprint, device, recipe.dtype, evaluations, asked))
    model = models.load(
        recipe.model,
        device=device,
        dtype=recipe.dtype,
        compiled=compiled,
        layout=chosen.layout,
        revision=recipe.revision,
    )
    return Job(recipe, models.accompanied(model, plan.second_model), plan, cost, chosen.batch_size)


def settle(
    recipe: Recipe,
    model: Model,
    fingerprint: str,
    num_images: int,
    fingerprint_of: Callable[[Path], str] = models.fingerprint,
) -> tuple[Recipe, Plan]:
    """The recipe with every default filled in, and the plan that it makes.

    Args:
        fingerprint: of the model.
        fingerprint_of: asked for that of a guidance's own model, by its folder.
    """
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
    guided = {} if plan.guidance is None else plan.guidance.model_dump(mode="json")
    second = plan.second_model
    resolved = {
        "model": _lasting(recipe.model),
        "fingerprint": fingerprint,
        "second_fingerprint": None if second is None else fingerprint_of(find_model(second)),
        "sampler_options": plan.sampler.model_dump(mode="json"),
        "guidance_options": guided if second is None else {**guided, "model": _lasting(second)},
        "steps": len(plan.grid),
        "spacing": recipe.spacing if recipe.timesteps is None else "explicit",
        "class_labels": "balanced" if recipe.class_labels is None and plan.labels else recipe.class_labels,
        "clip_x0": str(model.clip if plan.clip is None else plan.clip),
        "plugins": _plugin_code(recipe),
    }
    return recipe.model_copy(update=resolved), plan


def _lasting(name: str) -> str:
    """The name of a model that holds wherever one stands: a folder's whole path, or the name as it is."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if name not in pretrained() and folder.is_dir() else name


def rehearse(outline: Model, plan: Plan) -> Cost:
    """Walk the whole grid with a stand-in for the network and one image of 2x2 pixels, and count.

    What guidance or sampler refuse, they refuse here.
    """
    assert outline.shape is not None
    both = models.accompanied(outline, plan.second_model, weights=False)
    tiny = dataclasses.replace(both, shape=(outline.shape[0], 2, 2))
    labels = None if plan.labels is None else plan.labels[:1]
    small = dataclasses.replace(plan, num_images=1, labels=labels)
    everywhere = [0] * processes()[1]  # every process gets a batch, and so counts for itself
    (batch,) = stream(tiny, small, batch_size=1, indices=everywhere)
    return batch.cost


def draw(job: Job, index: int) -> Pixels:
    """One image of the run, (H, W, C), by itself."""
    (batch,) = stream(job.model, job.plan, indices=[index])
    return to_uint8(batch.images)[0]


def _plugin_code(recipe: Recipe) -> dict[str, str]:
    """Where sampler and guidance come from, if from files, whether --plugin or the environment named these; of a
    scheduler of diffusers, its version."""
    used = [registry.get("sampler", recipe.sampler)]
    if recipe.guidance is not None:
        used.append(registry.get("guidance", recipe.guidance))
    files = sorted(plugin.file for plugin in used if plugin.file is not None)
    foreign = {plugin.source: plugin.version for plugin in used if plugin.foreign}
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files} | foreign
