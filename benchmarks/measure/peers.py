"""Images a second against what people use, with the same network, steps, batch and device."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from azula.denoise import Denoiser, DiracPosterior
from azula.noise import Schedule
from azula.sample import DDIMSampler, DDPMSampler
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

from measure.figure import Figure, paired
from measure.networks import CIFAR, saved, unconditional_mnist
from samplerzoo import models
from samplerzoo.driver import sample
from samplerzoo.images import to_uint8
from samplerzoo.models import Model


def measure() -> list[Figure]:
    """Two samplers of three peers on two networks, in float32: seconds of the peer for one of ours.

    Every work starts from nothing but a loaded network and ends with the images in memory.
    """
    figures = []
    for title, config, steps, batch, rounds in (
        ("embedded network, unconditional", unconditional_mnist(), 20, 64, 7),
        ("35.7 M parameters, 3x32x32", CIFAR, 5, 16, 3),
    ):
        folder = saved(title.split()[0], config)
        model = models.load(folder, dtype="float32")
        unet = models.load_unet(folder).to(model.device).eval()
        for name, options, theirs in (
            ("DDIMPipeline", {"sampler": "ddim"}, _diffusers(DDIMPipeline, DDIMScheduler, unet, steps, batch)),
            ("DDPMPipeline", {"sampler": "ddpm"}, _diffusers(DDPMPipeline, DDPMScheduler, unet, steps, batch)),
            ("azula DDIMSampler", {"sampler": "ddim"}, _azula(DDIMSampler, unet, model, steps, batch)),
            ("azula DDPMSampler", {"sampler": "ddpm"}, _azula(DDPMSampler, unet, model, steps, batch)),
        ):
            what = f"{name} against {options['sampler']}: {title}, {steps} steps, batch {batch}, float32"
            figures.append(_against(what, theirs, _ours(model, steps, batch, **options), rounds, batch, ">= 1"))
    return [*figures, _compiled()]


def _compiled() -> Figure:
    """With --compile, against the pipeline as it comes."""
    folder, steps, batch = saved("embedded", unconditional_mnist()), 20, 64
    model = models.load(folder, dtype="float32", compiled=True)
    theirs = _diffusers(DDIMPipeline, DDIMScheduler, models.load_unet(folder).eval(), steps, batch)
    what = f"DDIMPipeline against ddim --compile: embedded network, unconditional, {steps} steps, batch {batch}"
    return _against(what, theirs, _ours(model, steps, batch), 7, batch, ">= 1")


def _against(
    what: str, theirs: Callable[[], object], ours: Callable[[], object], rounds: int, images: int, bar: str
) -> Figure:
    pairs = paired(theirs, ours, rounds)
    speed = images / statistics.median(own for _, own in pairs)
    return Figure(what, [other / own for other, own in pairs], bar, facts={"images/s": speed})


def _ours(model: Model, steps: int, batch: int, sampler: str = "ddim") -> Callable[[], Any]:
    return lambda: to_uint8(sample(model, sampler, steps=steps, num_images=batch, batch_size=batch).images)


def _diffusers(pipeline: Any, scheduler: Any, unet: UNet2DModel, steps: int, batch: int) -> Callable[[], Any]:
    pipe = pipeline(unet, scheduler(timestep_spacing="trailing"))
    pipe.set_progress_bar_config(disable=True)
    return lambda: pipe(batch_size=batch, num_inference_steps=steps, output_type="np").images


class _Path(Schedule):  # type: ignore[misc]
    """The noise path of the network for azula, which has a continuous time in (0, 1]."""

    def __init__(self, model: Model) -> None:
        levels = [model.schedule.at(tau) for tau in range(model.schedule.T + 1)]
        self._alpha = torch.tensor([level.alpha for level in levels], device=model.device)
        self._sigma = torch.tensor([level.sigma for level in levels], device=model.device)

    def __call__(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        index = (t * (len(self._alpha) - 1)).round().long()
        return self._alpha[index], self._sigma[index]


class _Epsilon(Denoiser):  # type: ignore[misc]
    """A diffusers network that predicts the noise, for azula."""

    def __init__(self, unet: UNet2DModel, schedule: _Path, T: int) -> None:
        super().__init__()
        self.unet, self.schedule, self.T = unet, schedule, T

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **kwargs: Any) -> DiracPosterior:
        alpha, sigma = self.schedule(t)
        eps = self.unet(x_t, (t * self.T - 1).expand(len(x_t))).sample
        return DiracPosterior((x_t - sigma * eps) / alpha)


def _azula(sampler: Any, unet: UNet2DModel, model: Model, steps: int, batch: int) -> Callable[[], Any]:
    drawn = sampler(_Epsilon(unet, _Path(model), model.schedule.T), steps=steps, silent=True)
    shape = (batch, *(model.shape or ()))
    return lambda: to_uint8(drawn(drawn.init(shape, device=model.device)))
