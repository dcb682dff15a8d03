"""Images per second compared with other libraries, with the same network, steps, batch size and device."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from azula.denoise import Denoiser, DiracPosterior
from azula.noise import Schedule
from azula.sample import DDIMSampler, DDPMSampler
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from samplerzoo_plugins.architectures.unet2d import UNet2D

from measure.child import Child
from measure.figure import Figure, Work, paired, seconds
from measure.networks import of_peers, saved
from samplerzoo.core.model import Layout, Model
from samplerzoo.images import to_uint8
from samplerzoo.models.load import ModelFolder, load
from samplerzoo.sampling import tuning
from samplerzoo.sampling.sample import sample
from samplerzoo.sampling.tuning import TuningRequest

STEPS = 5
ROUNDS = 31
"""Rounds of about a second. On a shared machine many short pairs tell more than a few long ones."""

OUTSIDE_ROUNDS = 9


def measure() -> list[Figure]:
    """Measure the time of each peer divided by ours, in float32, from a loaded network to images in memory.

    In one process both call the same network object, so only the code around it differs. The facts give the share of
    that code. In processes of their own each runs with its default settings, as users run it.
    """
    figures = []
    for title, config, batch in of_peers():
        folder = saved(title.split()[0], config)
        setting = f"{title}, {STEPS} steps, batch {batch}"
        model = load(folder, dtype="float32")
        unet = ModelFolder.open(folder).load_network("cpu", "float32")
        model = dataclasses.replace(model, net=UNet2D().call(unet))
        for peer, (sampler, _) in PEERS.items():
            works = _theirs(peer, unet, model, STEPS, batch), _ours(sampler, model, STEPS, batch)
            figure = _figure(f"{peer} against {sampler}, one process: {setting}", paired(*works, ROUNDS), batch)
            of_theirs, of_ours = (_outside(unet, work) for work in works)
            facts = {**figure.facts, "of it outside the network": of_ours, "of the other's": of_theirs}
            figures.append(dataclasses.replace(figure, facts=facts))
        for peer, compiled in (*((peer, False) for peer in PEERS), ("DDIMPipeline", True)):
            figures.append(_as_it_comes(peer, compiled, folder, setting, STEPS, batch))
    return figures


def _outside(unet: UNet2DModel, work: Work) -> float:
    """Return the share of the time of a work that is spent outside the network."""
    clock = [0.0]

    def enter(*_: object) -> None:
        clock[0] -= time.perf_counter()

    def leave(*_: object) -> None:
        clock[0] += time.perf_counter()

    hooks = unet.register_forward_pre_hook(enter), unet.register_forward_hook(leave)
    shares = []
    for _ in range(OUTSIDE_ROUNDS):
        clock[0] = 0.0
        took = seconds(work)
        shares.append(1 - clock[0] / took)
    for hook in hooks:
        hook.remove()
    return statistics.median(shares)


def _as_it_comes(peer: str, compiled: bool, folder: Path, setting: str, steps: int, batch: int) -> Figure:
    sampler, _ = PEERS[peer]
    given = {"folder": str(folder), "steps": steps, "batch": batch}
    how = {"compiled": compiled, "layout": layout_of(folder, batch)}
    with (
        Child("measure.peers:theirs", keep=False, peer=peer, **given) as theirs,
        Child("measure.peers:ours", keep=True, sampler=sampler, **how, **given) as ours,
    ):
        pairs = paired(theirs, ours, ROUNDS)
    named = f"{sampler} --compile" if compiled else sampler
    return _figure(f"{peer} against {named}, each as it comes: {setting}", pairs, batch)


def _figure(what: str, pairs: Sequence[tuple[float, float]], images: int) -> Figure:
    speed = images / statistics.median(own for _, own in pairs)
    return Figure(what, [other / own for other, own in pairs], ">= 1", facts={"images/s": speed})


def theirs(peer: str, folder: str, steps: int, batch: int) -> Work:
    """Return the work of a peer. A process of its own runs it."""
    opened = ModelFolder.open(folder)
    go = _theirs(peer, opened.load_network("cpu", "float32"), opened.stub, steps, batch)
    return lambda: _forget(go())


def ours(sampler: str, folder: str, steps: int, batch: int, compiled: bool, layout: Layout) -> Work:
    """Return our work. A process of its own runs it."""
    go = _ours(sampler, load(folder, dtype="float32", compiled=compiled, layout=layout), steps, batch)
    return lambda: _forget(go())


def layout_of(folder: Path, batch: int) -> Layout:
    """Return the layout that a long run would choose."""
    candidates = TuningRequest(batch_size=batch).candidates("cpu")
    return tuning.measure_tunings(ModelFolder.open(folder), "cpu", "float32", candidates).layout


def _forget(images: object) -> None:
    """Leave the images on their device."""


def _theirs(peer: str, unet: UNet2DModel, model: Model, steps: int, batch: int) -> Work:
    return PEERS[peer][1](unet, model, steps, batch)


def _ours(sampler: str, model: Model, steps: int, batch: int) -> Work:
    return lambda: to_uint8(sample(model, sampler, steps=steps, num_images=batch, batch_size=batch).images)


def _diffusers(pipeline: Any, scheduler: Any) -> Callable[[UNet2DModel, Model, int, int], Work]:
    def prepare(unet: UNet2DModel, model: Model, steps: int, batch: int) -> Work:
        pipe = pipeline(unet, scheduler(timestep_spacing="trailing"))
        pipe.set_progress_bar_config(disable=True)
        return lambda: pipe(batch_size=batch, num_inference_steps=steps, output_type="np").images

    return prepare


class _Path(Schedule):  # type: ignore[misc]
    """Noise schedule of the network for azula, whose time is continuous in (0, 1]."""

    def __init__(self, model: Model) -> None:
        levels = [model.schedule.at(tau) for tau in range(int(model.schedule.T) + 1)]
        self._alpha = torch.tensor([level.alpha for level in levels], device=model.device)
        self._sigma = torch.tensor([level.sigma for level in levels], device=model.device)

    def __call__(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        index = (t * (len(self._alpha) - 1)).round().long()
        return self._alpha[index], self._sigma[index]


class _Epsilon(Denoiser):  # type: ignore[misc]
    """Adapter of a noise-predicting network of diffusers for azula."""

    def __init__(self, unet: UNet2DModel, schedule: _Path, T: float) -> None:
        super().__init__()
        self.unet, self.schedule, self.T = unet, schedule, T

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **kwargs: Any) -> DiracPosterior:
        alpha, sigma = self.schedule(t)
        eps = self.unet(x_t, (t * self.T - 1).expand(len(x_t))).sample
        return DiracPosterior((x_t - sigma * eps) / alpha)


def _azula(kind: Any) -> Callable[[UNet2DModel, Model, int, int], Work]:
    def prepare(unet: UNet2DModel, model: Model, steps: int, batch: int) -> Work:
        drawn = kind(_Epsilon(unet, _Path(model), model.schedule.T), steps=steps, silent=True)
        shape = (batch, *(model.shape or ()))
        return lambda: to_uint8(drawn(drawn.init(shape, device=model.device)))

    return prepare


PEERS = {
    "DDIMPipeline": ("ddim", _diffusers(DDIMPipeline, DDIMScheduler)),
    "DDPMPipeline": ("ddpm", _diffusers(DDPMPipeline, DDPMScheduler)),
    "azula DDIMSampler": ("ddim", _azula(DDIMSampler)),
    "azula DDPMSampler": ("ddpm", _azula(DDPMSampler)),
}
"""Our sampler that solves the same problem, and the function that makes the work, by name of the peer."""
