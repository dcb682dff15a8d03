"""Samplers as a pipeline of diffusers, for code that is written for diffusers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import diffusers
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, ModelMixin, SchedulerMixin

from samplerzoo.core.level import Level
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.images import picture, to_uint8
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.folder import CLASSIFIER, INFO_FILE, find_model
from samplerzoo.models.load import ModelFolder, model_of_modules, read_info
from samplerzoo.models.options import ReadingOptions
from samplerzoo.models.parts import INDEX_FILE
from samplerzoo.sampling.labels import parse_class_labels
from samplerzoo.sampling.sample import sample
from samplerzoo.system.files import atomic_file

NETWORKS, AUTOENCODERS = ("unet", "transformer"), ("vqvae", "vae")
"""Possible names of the parts of a pipeline other than its scheduler."""

PIPELINES = {
    ("unet",): "DDPMPipeline",
    ("unet", "vqvae"): "LDMPipeline",
    ("transformer", "vae"): "DiTPipeline",
}
"""Pipelines of diffusers as which a model with these parts is saved."""
BY_SCHEDULER = {
    "CMStochasticIterativeScheduler": "ConsistencyModelPipeline",
    "ScoreSdeVeScheduler": "ScoreSdeVePipeline",
}
"""Pipelines of diffusers for pixel networks with these schedulers."""

OnStepEnd = Callable[["SamplerPipeline", int, float, dict[str, torch.Tensor]], Any]
"""Type of diffusers' callback_on_step_end: (pipeline, number of the step from 0, timestep, {"latents": states})."""


class SamplerPipeline(DiffusionPipeline):  # type: ignore[misc]  # diffusers has no types
    """Pipeline that draws with any sampler, from a folder that samplerzoo trained or that an architecture reads.

        pipeline = SamplerPipeline.from_pretrained("mnist").to("cuda")
        pipeline(sampler="ddim", eta=0.0, class_labels=[7], generator=torch.manual_seed(0)).images[0]

    It reads noise path, meaning of the output and clipping from its scheduler; the steps are the sampler's.
    """

    model_cpu_offload_seq = "unet->transformer->vqvae->vae"
    _optional_components = [*NETWORKS, *AUTOENCODERS, "scheduler"]  # noqa: RUF012  # as diffusers reads it

    def __init__(
        self,
        unet: ModelMixin | None = None,
        scheduler: SchedulerMixin | None = None,
        null_label: int | None = None,
        *,
        transformer: ModelMixin | None = None,
        vqvae: ModelMixin | None = None,
        vae: ModelMixin | None = None,
    ) -> None:
        """Make a pipeline of a network, a scheduler, and for latents an autoencoder.

        Args:
            null_label: label that the network was trained to read as "no label", which cfg needs.
        """
        super().__init__()
        self.register_modules(unet=unet, transformer=transformer, vqvae=vqvae, vae=vae, scheduler=scheduler)
        self.register_to_config(null_label=null_label)
        self._info = ModelInfo(null_label=null_label)
        self._folder: Path | None = None
        self._name = "the pipeline's model"

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> Self:
        """Load an embedded model ("mnist"), a folder or a hub id, from safetensors alone.

        Args:
            options: keywords of diffusers' `from_pretrained`.
        """
        folder = find_model(pretrained_model_name_or_path, revision=options.pop("revision", None))
        info, name = read_info(folder), os.fspath(pretrained_model_name_or_path)
        if options.get("null_label") is not None:
            info = info.model_copy(update={"null_label": options["null_label"]})
        if not _named_as_here(folder):
            pipeline = cls(**_modules_of(folder, options), null_label=info.null_label)
            pipeline._info, pipeline._folder, pipeline._name = info, folder, name
            return pipeline
        absent = {name: None for name in (*NETWORKS, *AUTOENCODERS) if not (folder / name).is_dir()}
        pipeline = super().from_pretrained(
            folder,
            **{"use_safetensors": True, "trust_remote_code": False, "null_label": info.null_label, **absent, **options},
        )
        pipeline._info, pipeline._folder, pipeline._name = info, folder, name
        return pipeline

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Save a folder that diffusers loads too, as DDPMPipeline, LDMPipeline or DiTPipeline.

        samplerzoo.json and the classifier lie beside its parts.
        """
        parts = self._modules_by_name()
        kind = type(self.scheduler).__name__
        name = BY_SCHEDULER.get(kind) or PIPELINES.get(tuple(sorted(set(parts) - {"scheduler"})))
        model = model_of_modules(parts, self._info)
        scaled = model.averages and model.parametrization.c_in(model.schedule.at(model.schedule.T)) != 1.0
        if name is None or (scaled and name == "DDPMPipeline"):  # no pipeline of diffusers would draw it correctly
            for part, module in parts.items():
                module.save_pretrained(Path(save_directory) / part)
        else:
            getattr(diffusers, name)(**parts).save_pretrained(save_directory, **options)
        folder = Path(save_directory)
        with atomic_file(folder / INFO_FILE) as partial:
            partial.write_text(self._info.model_dump_json(indent=2) + "\n")
        if self._folder is None or self._folder.resolve() == folder.resolve():
            return
        if (self._folder / CLASSIFIER).is_dir():
            shutil.copytree(self._folder / CLASSIFIER, folder / CLASSIFIER, dirs_exist_ok=True)

    def __call__(
        self,
        batch_size: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_inference_steps: int = 50,
        output_type: Literal["pil", "np", "pt"] = "pil",
        return_dict: bool = True,
        *,
        class_labels: int | str | Sequence[int] | torch.Tensor | None = None,
        callback_on_step_end: OnStepEnd | None = None,
        **options: Any,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draw images.

        Args:
            batch_size: number of images; by default as many as there are class labels in a list, else 1.
            generator: source of the seed. An unused generator gives its own seed, so that the images are those of
                `samplerzoo.sample(seed=...)` and of `samplerzoo run --seed`; later calls draw a seed from it. In a
                list, each generator makes one image. By default torch's default generator.
            num_inference_steps: steps of the sampler.
            output_type: "pil"; "np", (N, H, W, C) in [0, 1]; or "pt", (N, C, H, W) in [0, 1].
            class_labels: one for all images, one per image, or text as `--class-labels` takes it.
            callback_on_step_end: called after every step; it can look at the states, and not change them.
            options: `sampler`, `guidance`, `spacing`, `timesteps`, `clip_x0` and the options of sampler and guidance,
                as `eta=0.0` and `guidance_scale=2.0`: all as `samplerzoo.sample` takes them.

        Raises:
            UsageError: the request cannot be met.
        """
        if output_type not in ("pil", "np", "pt"):
            raise UsageError(f"output_type is pil, np or pt, not {output_type!r}")
        model = model_of_modules(self._modules_by_name(), self._info, self._folder, self._name)
        labels = _listed(class_labels)
        generators = generator if isinstance(generator, list) else [generator]
        count = _count(batch_size, labels, len(generators) if isinstance(generator, list) else None)
        if len(generators) > 1 and labels is None and model.num_classes is not None:
            labels = "balanced"
        if len(generators) > 1 and isinstance(labels, str):  # as they are spread over all images
            labels = list(parse_class_labels(labels, model, count, seed=0))
        if isinstance(labels, list) and len(labels) == 1:
            labels = labels * count
        per_generator = count // len(generators)
        made = []
        steps = len(options["timesteps"]) if options.get("timesteps") is not None else num_inference_steps
        with self.progress_bar(total=len(generators) * steps) as bar:
            for i, source in enumerate(generators):
                own = labels[i * per_generator :][:per_generator] if isinstance(labels, list) else labels
                result = sample(
                    model, labels=own, num_images=per_generator, steps=num_inference_steps, seed=seed_of(source),
                    batch_size=per_generator, on_step=self._listener(model.schedule, bar, callback_on_step_end),
                    **options,
                )  # fmt: skip
                made.append(result.images)
        self.maybe_free_model_hooks()
        images = _as(output_type, torch.cat(made).to(self.device))
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _modules_by_name(self) -> dict[str, Any]:
        """Return the parts that there are, by name."""
        found = {name: getattr(self, name) for name in (*NETWORKS, *AUTOENCODERS, "scheduler")}
        return {name: module for name, module in found.items() if module is not None}

    def _listener(
        self, schedule: Schedule, bar: Any, callback: OnStepEnd | None
    ) -> Callable[[int, Level, torch.Tensor], None]:
        start = 0.0  # timestep of the step that is being made

        def on_step(number: int, level: Level, x: torch.Tensor) -> None:
            nonlocal start
            if number:
                bar.update()
                if callback is not None:
                    answer = callback(self, number - 1, start, {"latents": x})
                    if isinstance(answer, dict) and answer.get("latents", x) is not x:
                        raise UsageError("callback_on_step_end returns other latents: here it can look, and not change")
            start = schedule.timestep(level.tau)

        return on_step


def _named_as_here(folder: Path) -> bool:
    """Tell whether a folder's index uses the part names of this pipeline."""
    if not (folder / INDEX_FILE).is_file():
        return False
    return {part.name for part in ModelFolder.open(folder).parts} <= {*NETWORKS, *AUTOENCODERS, "scheduler"}


def _modules_of(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Load the parts of a folder that no pipeline of diffusers reads, by their names in this pipeline."""
    dtype = str(options.pop("torch_dtype", None) or torch.float32).removeprefix("torch.")
    opened = ModelFolder.open(folder, ReadingOptions(variant=options.pop("variant", None)))
    if opened.parts.texts:
        raise UsageError(f"{folder} makes images of prompts, which this pipeline is not told: samplerzoo.load reads it")
    left = sorted(set(options) - {"null_label", "use_safetensors"})
    if left:
        raise UsageError(f"{folder} is no pipeline of diffusers, and takes no {left[0]}: torch_dtype and variant alone")
    network, (scheduler, _) = opened.load_network("cpu", dtype), opened.parts.scheduler
    named = NETWORKS["Transformer" in type(network).__name__]
    modules = {named: network, "scheduler": getattr(diffusers, scheduler.kind).from_config(scheduler.config)}
    if opened.parts.codec is not None:
        codec = opened.load_codec("cpu")
        modules[AUTOENCODERS["KL" in type(codec).__name__]] = codec.to(getattr(torch, dtype))
    return modules


def seed_of(generator: torch.Generator | None) -> int:
    """Return a seed, and move the generator on.

    Two calls with one generator make two different batches, as in diffusers.
    """
    if generator is None:
        generator = torch.default_generator
    fresh = torch.Generator(generator.device).manual_seed(generator.initial_seed())
    untouched = torch.equal(fresh.get_state(), generator.get_state())
    drawn = torch.randint(2**63 - 1, (), generator=generator, device=generator.device).item()
    return generator.initial_seed() if untouched else int(drawn)


def _listed(labels: int | str | Sequence[int] | torch.Tensor | None) -> list[int] | str | None:
    if labels is None or isinstance(labels, str):
        return labels
    return [labels] if isinstance(labels, int) else [int(label) for label in labels]


def _count(batch_size: int | None, labels: list[int] | str | None, generators: int | None) -> int:
    """Return the number of images.

    Raises:
        UsageError: batch size, labels and generators disagree.
    """
    said = {} if batch_size is None else {"batch_size": batch_size}
    if isinstance(labels, list) and (len(labels) > 1 or not said):
        said["class_labels"] = len(labels)
    if generators is not None:
        said["generators"] = generators
    counts = {*said.values()} or {1}
    if len(counts) > 1:
        raise UsageError(f"how many images? {', '.join(f'{name}: {count}' for name, count in said.items())}")
    return counts.pop()


def _as(output_type: str, images: torch.Tensor) -> Any:
    if output_type == "pil":
        return [picture(pixels) for pixels in to_uint8(images)]
    images = (images / 2 + 0.5).clamp(0, 1)
    return images if output_type == "pt" else images.permute(0, 2, 3, 1).cpu().numpy()
