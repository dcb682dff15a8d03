"""Samplers as schedulers of diffusers, for any of its pipelines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import diffusers
import numpy as np
import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.utils import BaseOutput

from samplerzoo import registry
from samplerzoo.core.blame import plugin_title
from samplerzoo.core.level import Grid
from samplerzoo.core.model import Model
from samplerzoo.core.noise import Noise, check_seed
from samplerzoo.core.paths import VP
from samplerzoo.core.protocol import check_values
from samplerzoo.core.sampler import Sampler, grid_of, suited
from samplerzoo.errors import UsageError, expect, short
from samplerzoo.hosting.levels import grid_at_sigmas, grid_told, telling
from samplerzoo.hosting.noise import GeneratorNoise, Generators, make_noise
from samplerzoo.hosting.reading import read_model
from samplerzoo.hosting.run import Run
from samplerzoo.hosting.timetable import Timetable, is_far
from samplerzoo.models.load import warn
from samplerzoo.models.parts import HOSTED, unhosted
from samplerzoo.options import kebab
from samplerzoo.sampling.plan import doubts_of_end, other_spacing


@dataclass
class SamplerSchedulerOutput(BaseOutput):  # type: ignore[misc]  # diffusers has no types
    """Answer of `SamplerScheduler.step`.

    Attributes:
        prev_sample: state for the next call of the network.
        pred_original_sample: clean image that the network predicted.
    """

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor | None = None


class MissingAttribute(UsageError, AttributeError):
    """Error for an attribute of other schedulers. It is an AttributeError, so that `hasattr` returns False."""


class SamplerScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]  # diffusers has no types
    """Scheduler of diffusers that steps with a sampler of samplerzoo. `as_scheduler` makes one.

    Each call of the network that the sampler makes is one of `timesteps`. A pipeline calls `step` with the answer, and
    gets the state for the next call. The config is that of the replaced scheduler, with the sampler in addition, so
    that it is saved and loaded with a pipeline.

    Attributes:
        timesteps: time input of the network at each of its calls.
        sigmas: noise levels of the calls, sigma on flow paths and sigma / alpha on others, and a 0 at the end.
        order: number of entries of `timesteps` per step.
        timetable: calls of the network in the run that was planned last.
        images: numbers of the images in a batch, for the noise of a seed; None for 0, 1, 2 ...
    """

    __module__ = "samplerzoo"  # the library that model_index.json names

    _compatibles: ClassVar[list[str]] = []
    order = 1

    def __init__(
        self,
        sampler: str | Sampler = "ddim",
        sampler_options: Mapping[str, Any] | None = None,
        spacing: str | None = None,
        clip_x0: str | None = None,
        seed: int | None = None,
        replaces: str | None = None,
        **config: Any,
    ) -> None:
        """Make a scheduler.

        Args:
            replaces: class of the replaced scheduler.
            config: config of that scheduler.
        """
        if seed is not None:
            check_seed(seed)
        if spacing is not None:
            registry.spacing(spacing)  # refuses one that nobody has
        self._named = isinstance(sampler, str) or _name_of(sampler) is not None
        expect("replaces", replaces, str, optional=True)
        if isinstance(sampler, str):
            expect("sampler_options", sampler_options, Mapping, optional=True)
            self.sampler = cast(Sampler, registry.make("sampler", sampler, dict(sampler_options or {})))
        elif isinstance(sampler, Sampler):
            self.sampler = sampler
        else:
            raise UsageError(f"a sampler is a name or an object of a Sampler, not {short(sampler)}")
        check_values(self.sampler, "order", "takes_shift", "needs_mean")
        self.register_to_config(
            **{name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in config.items()},
            sampler=sampler if isinstance(sampler, str) else _name_of(sampler) or kebab(type(sampler).__name__),
            sampler_options=self.sampler.model_dump(mode="json", exclude_unset=True),
            spacing=spacing,
            clip_x0=clip_x0,
            seed=seed,
            replaces=replaces,
        )
        self.images: Sequence[int] | None = None
        self.num_inference_steps: int | None = None
        self._reading: tuple[dict[str, Any], Model] | None = None
        self._scaled: tuple[int, torch.Tensor] | None = None
        self._noise: Noise | GeneratorNoise | None = None
        self._begin_index: int | None = None
        self._run: Run | None = None
        self._noted: set[str] = set()
        model = self._read({})
        self._lay_out(Timetable(self._checked(model), model), "cpu")

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make a scheduler from its config, or from that of another scheduler, which it replaces.

        Args:
            kwargs: values that override those of the config.
        """
        original = unhosted(config)
        own = {name: config[name] for name in HOSTED if "replaces" in config and name in config}
        if "sampler" in kwargs:
            own.pop("sampler_options", None)
        said = {**original, **own, "replaces": original.get("_class_name"), **kwargs}
        made = cls(**{name: value for name, value in said.items() if not name.startswith("_")})
        return (made, {}) if return_unused_kwargs else made

    def save_config(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write the config.

        Raises:
            UsageError: the sampler could not be found again by its name.
        """
        if not self._named:
            raise UsageError(
                f"{type(self.sampler).__name__} is no installed plugin, and a folder that names it could not be "
                "loaded: put it into a file, and load that by samplerzoo.load_file or SAMPLERZOO_PLUGINS"
            )
        super().save_config(save_directory, push_to_hub, **kwargs)

    @property
    def compatibles(self) -> list[type]:
        """Classes of schedulers that could replace this one, if diffusers lists them."""
        replaced = getattr(diffusers, self.config.replaces or "", None)
        return [] if replaced is None else [*replaced._get_compatibles()]

    # --- what a pipeline sets and reads before a run

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        *,
        timesteps: Sequence[float] | torch.Tensor | None = None,
        sigmas: Sequence[float] | torch.Tensor | None = None,
        mu: float | None = None,
        **others: Any,
    ) -> None:
        """Plan a run, and end a run in progress.

        Args:
            num_inference_steps: steps of the sampler, spread by the spacing.
            timesteps: timesteps to visit, instead of a number of steps.
            sigmas: noise levels to visit, instead of a number of steps: sigma on flow paths, which is shifted as by the
                replaced scheduler, and sigma / alpha on others. A 0 at the end may be left out. If timesteps are given,
                too, they are the network's time input at these levels.
            mu: dynamic shift of a flow, which depends on the size of the image.
            others: values that override those of the config in this run.

        Raises:
            UsageError: such a run is not possible.
        """
        given = {name: value for name, value in others.items() if value is not None}
        unknown = sorted(set(given) - {*self.config})
        if unknown:
            raise UsageError(f"the pipeline gives {unknown[0]} to set_timesteps: only {self._replaced} knows it")
        if self.config.get("use_dynamic_shifting"):
            if mu is None:
                raise UsageError("the shift of this flow depends on the size of the image: set_timesteps needs mu")
            given |= {"base_shift": float(mu), "max_shift": float(mu)}
        try:
            device = None if device is None else torch.device(device)
        except (RuntimeError, TypeError, ValueError) as error:
            raise UsageError(f"device is one of torch, not {short(device)}") from error
        model = self._read(given)
        sampler = self._checked(model)
        grid = self._wanted(sampler, model, num_inference_steps, timesteps, sigmas)
        if timesteps is not None and sigmas is not None:
            model = telling(model, grid, [float(t) for t in timesteps])
        known = self.timetable.is_of(sampler, model, grid)
        self._lay_out(self.timetable if known else Timetable.of(sampler, model, grid), device)
        self.num_inference_steps, self._begin_index, self._run = len(grid), None, None

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Set the entry of `timesteps` at which the run starts."""
        self._begin_index, self._run = begin_index, None

    @property
    def begin_index(self) -> int | None:
        """Entry of `timesteps` at which the run starts, if a pipeline has set it."""
        return self._begin_index

    @property
    def step_index(self) -> int | None:
        """Entry of `timesteps` whose answer comes next; None before the first one."""
        return None if self._run is None else self._run.next

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the state at the first level."""
        return self.timetable.initial_std

    @property
    def alphas_cumprod(self) -> torch.Tensor:
        """Values of alpha^2 at all training timesteps."""
        schedule = self.timetable.model.schedule
        if not isinstance(schedule, VP):
            raise self._missing("alphas_cumprod")
        return torch.from_numpy(schedule.alphas[1:] ** 2).float()

    def __len__(self) -> int:
        return int(self.config.get("num_train_timesteps", 1000))

    def scale_model_input(self, sample: torch.Tensor, timestep: float | torch.Tensor | None = None) -> torch.Tensor:
        """Return the state as the network takes it: times c_in of its parametrization.

        Raises:
            UsageError: this is not the state, since the pipeline does the scheduler's work with its own numbers.
        """
        if sample.ndim < 2:
            raise UsageError(
                f"the pipeline scales a number, as {self._replaced} scales states: it computes with states of another "
                "kind by itself, and can take no sampler of samplerzoo"
            )
        if not self.timetable.scales:
            return sample
        index = self._position(timestep)
        scaled = sample * self.timetable.scale(index)
        self._scaled = (index, scaled)
        return scaled

    def add_noise(
        self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor | float
    ) -> torch.Tensor:
        """Return clean images with the noise of a state at these timesteps: one for all, or one per image."""
        levels = [self.timetable.state_at(t) for t in torch.as_tensor(timesteps).flatten().tolist()]
        shape = (-1, *[1] * (original_samples.ndim - 1))
        alpha, sigma = (
            torch.tensor(values, dtype=torch.float32, device=original_samples.device).reshape(shape)
            for values in ([t.alpha for t in levels], [t.sigma for t in levels])
        )
        return (alpha * original_samples + sigma * noise).to(original_samples.dtype)

    def scale_noise(self, sample: torch.Tensor, timestep: torch.Tensor | float, noise: torch.Tensor) -> torch.Tensor:
        """Return what `add_noise` returns; pipelines of flows use this name."""
        return self.add_noise(sample, noise, timestep)

    # --- a run

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        generator: Generators = None,
        return_dict: bool = True,
        **others: Any,
    ) -> SamplerSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """Take an answer of the network, and return the state for its next call, or the last state.

        Args:
            sample: state for which the network was called. The sampler continues from it, even if the pipeline or a
                callback has changed it since it was returned.
            generator: source of the noise, unless there is a seed.

        Raises:
            UsageError: the pipeline does something that a sampler cannot follow.
            ZooError: the sampler fails, or a value is not finite. The message names the step.
        """
        unknown = [name for name, value in others.items() if value is not None]
        if unknown:
            raise UsageError(f"the pipeline gives {unknown[0]} to step: only {self._replaced} knows it")
        try:
            index = self._position(timestep)
            if self._run is None or index != self._run.next or not self._run.is_here:
                self._run = self._begin(index, sample, generator)
            elif isinstance(self._noise, GeneratorNoise):
                self._noise.generator = generator
            self._check_scaled(index, sample)
            late = is_far(timestep) and timestep != self.timetable.times[index]
            state, x0 = self._run.advance(model_output, sample, late)
        except BaseException:
            self._run = None
            raise
        if self._run.next == len(self.timetable.entries):
            self._run = None
        return SamplerSchedulerOutput(state, x0) if return_dict else (state, x0)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out a run in progress: a copy of the scheduler starts anew."""
        return {**self.__dict__, "_run": None, "_noise": None}

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_internal_dict", ()):
            return super().__getattr__(name)
        raise self._missing(name)

    # --- within

    @property
    def _replaced(self) -> str:
        return self.__dict__.get("_internal_dict", {}).get("replaces") or "the scheduler in whose place it stands"

    def _missing(self, name: str) -> MissingAttribute:
        return MissingAttribute(
            f"SamplerScheduler has no {name!r}; a pipeline that needs it of its scheduler keeps to {self._replaced}, "
            "and can take no sampler of samplerzoo"
        )

    def _read(self, given: Mapping[str, Any]) -> Model:
        """Return the model that the config describes, with the overrides of a run; the cached one if it is the same."""
        config = {**unhosted(self.config), **given}
        if self._reading is None or self._reading[0] != config:
            self._reading = (config, read_model(config, self.config.clip_x0))
        return self._reading[1]

    def _checked(self, model: Model) -> Sampler:
        """Return the sampler with the defaults for a model. Refuse one that would silently give wrong images."""
        if model.averages and not self.sampler.needs_mean and not self.sampler.order:
            raise UsageError(
                f"{plugin_title(self.sampler)} is for consistency models, and {model.name} gives the mean of the clean "
                "image; for one that was distilled: LCMScheduler.from_config(pipe.scheduler.config) in its place"
            )
        return suited(self.sampler, model)

    def _wanted(
        self,
        sampler: Sampler,
        model: Model,
        steps: int | None,
        timesteps: Sequence[float] | torch.Tensor | None,
        sigmas: Sequence[float] | torch.Tensor | None,
    ) -> Grid:
        """Return the grid that a pipeline asks for."""
        if sigmas is not None:
            grid = grid_at_sigmas(model.schedule, sigmas)
        elif timesteps is not None:
            grid = grid_told(model, timesteps)
        elif steps is None:
            raise UsageError("set_timesteps needs a number of steps, timesteps or sigmas")
        else:
            grid = grid_of(sampler, model.schedule, steps, self.config.spacing)
            if self.config.spacing is None:
                self._note(doubts_of_end(model.name, sampler, grid, other_spacing(model.schedule)))
            return grid
        named = "the pipeline names its levels; where its call takes sigmas, others can be given, and ddim takes these"
        self._note(doubts_of_end(model.name, sampler, grid, named))
        return grid

    def _note(self, doubts: Sequence[str]) -> None:
        """Print each doubt once per scheduler. Other models may have the same config, and so the same text."""
        for doubt in doubts:
            if doubt not in self._noted:
                self._noted.add(doubt)
                warn(f"samplerzoo: {doubt}")

    def _lay_out(self, timetable: Timetable, device: str | torch.device | None) -> None:
        """Set the attributes that a pipeline reads."""
        self.timetable, self.order = timetable, timetable.order
        self.timesteps, self.sigmas = timetable.timesteps.to(device=device, copy=True), timetable.sigmas
        self._scaled = None

    def _begin(self, index: int, sample: torch.Tensor, generator: Generators) -> Run:
        self._noise = make_noise(self.config.seed, self.images, sample)
        if isinstance(self._noise, GeneratorNoise):
            self._noise.generator = generator
        return Run(self.timetable, index, self._noise, sample)

    def _position(self, timestep: float | torch.Tensor | None) -> int:
        """Return the entry of a pipeline's timestep: the next entry, unless the timestep is that of another one."""
        return self.timetable.position(timestep, self._begin_index if self._run is None else self._run.next)

    def _check_scaled(self, index: int, sample: torch.Tensor) -> None:
        """Refuse to go on if the network's input was not scaled, or if `sample` is the scaled input itself."""
        if not self.timetable.scales:
            return
        if self._scaled is None or self._scaled[0] != index:
            raise UsageError(
                f"the pipeline does not call scale_model_input, and the network behind a {self._replaced} needs its "
                "input scaled: without, the images would be noise"
            )
        if sample is self._scaled[1]:
            raise UsageError("the pipeline gives step what scale_model_input returned, and step needs the state itself")


def _name_of(sampler: Sampler) -> str | None:
    """Return the name under which a sampler's class is installed or was loaded from a file."""
    cls = type(sampler)
    for plugin in registry.plugins("sampler"):
        named = plugin.target is cls or getattr(plugin.target, "value", "") == f"{cls.__module__}:{cls.__qualname__}"
        if named:
            return plugin.name
    return None
