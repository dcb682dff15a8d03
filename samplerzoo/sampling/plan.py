"""A run, resolved: names and options become sampler, grid, guidance and labels, or one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from samplerzoo.core.guidance import Guidance, TwoModelGuidance
from samplerzoo.core.prediction import Clip
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Grid
from samplerzoo.errors import UsageError
from samplerzoo.models.load import Model
from samplerzoo.registry import GUIDANCE_PREFIX, make
from samplerzoo.sampling.labels import class_labels


@dataclass(frozen=True, eq=False)
class Plan:
    """A run, resolved: everything but the model that its images depend on.

    Attributes:
        labels: one an image, or None.
        clip: None leaves it to the model.
    """

    sampler: Sampler
    grid: Grid
    num_images: int
    labels: Sequence[int] | None = None
    guidance: Guidance | None = None
    clip: Clip | None = None
    seed: int = 0

    @property
    def second_model(self) -> str | None:
        """Name or folder of the guidance's own model, if it has one."""
        return self.guidance.model if isinstance(self.guidance, TwoModelGuidance) else None

    def check(self, model: Model) -> None:
        """Raises UsageError where plan and model do not go together."""
        needed = needs_labels(model, self.guidance)
        if self.labels is None:
            if needed:
                raise UsageError(f"{model.name}: labels are needed, by the conditional network or by the guidance")
            return
        if len(self.labels) != self.num_images:
            raise UsageError(f"{len(self.labels)} labels for {self.num_images} images")
        if not needed:
            raise UsageError(f"{model.name} is unconditional: labels need a guidance (--guidance classifier)")
        K = model.classes
        for label in self.labels:
            if K is not None and not 0 <= label < K:
                raise UsageError(f"class label {label} is out of range: {model.name} has the classes 0 to {K - 1}")


def needs_labels(model: Model, guidance: Guidance | type[Guidance] | None) -> bool:
    """Whether the images of a run belong to classes: the network's, or those that the guidance speaks of."""
    return model.num_classes is not None or (guidance is not None and guidance.needs_labels)


def resolve(
    model: Model,
    sampler: str | Sampler,
    options: dict[str, Any],
    guidance: str | Guidance | None,
    *,
    steps: int,
    spacing: str,
    timesteps: Sequence[float] | None,
    labels: Sequence[int] | str | None,
    num_images: int,
    clip_x0: str | None,
    seed: int,
) -> Plan:
    """A plan from names and options; the one place where defaults that depend on the model are filled in."""
    if num_images < 1:
        raise UsageError(f"a run makes at least 1 image, not {num_images}")
    for_guidance = {
        name.removeprefix(GUIDANCE_PREFIX): value for name, value in options.items() if name.startswith(GUIDANCE_PREFIX)
    }
    for_sampler = {name: value for name, value in options.items() if not name.startswith(GUIDANCE_PREFIX)}
    if isinstance(sampler, str):
        sampler = cast(Sampler, make("sampler", sampler, for_sampler))
    elif for_sampler:
        raise UsageError(f"options {', '.join(for_sampler)} go into the sampler object itself")
    if isinstance(guidance, str):
        guidance = cast(Guidance, make("guidance", guidance, for_guidance))
    elif for_guidance:
        raise UsageError(f"options {', '.join(for_guidance)} of a guidance, which is not given by name")
    if labels is None and needs_labels(model, guidance):
        labels = "balanced"
    if isinstance(labels, str):
        labels = class_labels(labels, model, num_images, seed)
    elif labels is not None:
        labels = [int(label) for label in labels]  # an array or a tensor will do
    if timesteps is not None:
        grid = model.schedule.grid_at(timesteps)
    else:
        grid = sampler.grid(model.schedule, steps, spacing)
    clip = None if clip_x0 is None else Clip.parse(clip_x0)
    plan = Plan(sampler, grid, num_images, labels, guidance, clip, seed)
    plan.check(model)
    return plan
