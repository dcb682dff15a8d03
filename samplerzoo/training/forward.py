"""Forward process in training: the scheduler, random noise levels, noisy images, and loss weights."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from samplerzoo.core.parametrization import PARAMETRIZATIONS, PredictionType
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.models.folder import find_model
from samplerzoo.training.options import ScheduleOptions

FIELDS = {
    "ddpm_num_steps": "num_train_timesteps",
    "ddpm_beta_schedule": "beta_schedule",
    "ddpm_beta_start": "beta_start",
    "ddpm_beta_end": "beta_end",
    "rescale_betas_zero_snr": "rescale_betas_zero_snr",
}
"""Names of our options, and the names of diffusers for them."""


class Forward:
    """Forward process x_t = alpha x_0 + sigma eps for a batch in which each image has its own level."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._alphas = torch.from_numpy(schedule.alphas).float()
        self._sigmas = torch.from_numpy(schedule.sigmas).float()

    def coefficients(self, tau: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha and sigma at integer tau (N,), each of shape (N, 1, 1, 1), on the device of tau."""
        alpha, sigma = self._alphas.to(tau.device)[tau], self._sigmas.to(tau.device)[tau]
        return alpha.reshape(-1, 1, 1, 1), sigma.reshape(-1, 1, 1, 1)

    def noised(self, images: Tensor, tau: Tensor, noise: Tensor) -> Tensor:
        """Return the images (N, C, H, W) at integer tau (N,) with this noise."""
        alpha, sigma = self.coefficients(tau)
        return alpha * images + sigma * noise

    def loss_weight(self, tau: Tensor, prediction: PredictionType, gamma: float | None) -> Tensor:
        """Return Min-SNR weights of the squared error at integer tau (N,) (Hang et al. 2023, eq. 7).

        The weight of the squared error of x0 is min(SNR, gamma). The squared error of eps is SNR times that of x0, and
        that of v is SNR + 1 times, so their weights are divided by these factors. Without gamma all weights are 1.
        """
        if gamma is None:
            return torch.ones(len(tau), device=tau.device)
        alpha, sigma = (value.flatten() for value in self.coefficients(tau))
        snr = (alpha / sigma) ** 2
        return snr.clamp(max=gamma) / PARAMETRIZATIONS[prediction].error_factor(snr)

    def draw_levels(self, count: int, rng: torch.Generator) -> Tensor:
        """Draw `count` levels tau in 1 ... T, each uniform and all spread evenly (Kingma et al. 2021, appendix I.1).

        A batch that covers all noise levels has a gradient of lower variance than independent draws.
        """
        T = self.schedule.T
        spread = torch.arange(count, dtype=torch.float64) / count
        offset = torch.rand((), generator=rng, dtype=torch.float64)
        return ((offset + spread) % 1.0 * T).long().clamp_(max=T - 1) + 1


def build_scheduler(options: ScheduleOptions, like: str | None, prediction_type: str = "epsilon") -> DDPMScheduler:
    """Build the diffusers scheduler whose config is saved with the model.

    Args:
        like: name of a model whose schedule and prediction type to take; None to take them from the options.
        prediction_type: used if `like` is None.

    Raises:
        UsageError: an option was set that contradicts the schedule of `like`.
        ZooError: the scheduler of `like` cannot be read.
    """
    if like is None:
        chosen = {theirs: getattr(options, ours) for ours, theirs in FIELDS.items()}
        return DDPMScheduler(**chosen, prediction_type=prediction_type)
    root = find_model(like)
    try:
        scheduler = DDPMScheduler.from_config(DDPMScheduler.load_config(root / "scheduler", local_files_only=True))
    except (OSError, ValueError) as error:
        raise ZooError(f"{root}: its scheduler cannot be read: {reason(error)}") from error
    for ours, theirs in {**FIELDS, "prediction_type": "prediction_type"}.items():
        if ours in options.model_fields_set and getattr(options, ours) != scheduler.config[theirs]:
            flag = f"--{ours.replace('_', '-')}"
            raise UsageError(f"{like} was trained with {theirs} {scheduler.config[theirs]}: leave out {flag}")
    return scheduler
