"""Schedulers that are saved with a trained model: from training options, or from the model that it starts from."""

from __future__ import annotations

from typing import Any

from samplerzoo.core.codec import Latents
from samplerzoo.core.model import Model
from samplerzoo.errors import UsageError
from samplerzoo.models.load import ModelFolder
from samplerzoo.training.options import EDM_OBJECTIVE, FLOW_OBJECTIVE, ScheduleOptions, TrainOptions

FIELDS = {
    "ddpm_num_steps": "num_train_timesteps",
    "ddpm_beta_schedule": "beta_schedule",
    "ddpm_beta_start": "beta_start",
    "ddpm_beta_end": "beta_end",
    "rescale_betas_zero_snr": "rescale_betas_zero_snr",
}
"""Names of our options, and their names in diffusers."""


def new_scheduler(options: ScheduleOptions, objective: str = "epsilon", sigma_data: float = 0.5) -> Any:
    """Build the diffusers scheduler of an objective, whose config says what the network's output means.

    Raises:
        UsageError: an option was set that the objective does not have.
    """
    from diffusers import DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

    if objective not in (FLOW_OBJECTIVE, EDM_OBJECTIVE):
        chosen = {theirs: getattr(options, ours) for ours, theirs in FIELDS.items()}
        return DDPMScheduler(**chosen, prediction_type=objective)
    for ours in FIELDS:
        given = ours in options.model_fields_set and getattr(options, ours) is not False
        if given and not (objective == FLOW_OBJECTIVE and ours == "ddpm_num_steps"):
            raise UsageError(f"--{ours.replace('_', '-')}: the path of --objective {objective} has no betas")
    if objective == FLOW_OBJECTIVE:
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=options.ddpm_num_steps)
    return EDMEulerScheduler(sigma_data=sigma_data)


def next_scheduler(folder: ModelFolder, options: TrainOptions) -> Any:
    """Build the scheduler of a model whose training starts from another model's weights.

    By default the objective is that of the old model. A different objective on a path of betas keeps the betas. For
    flow and edm the path changes, too, and the old weights are only a good initialisation.

    Raises:
        UsageError: an option was set that contradicts the path.
    """
    asked, trained = options.objective, folder.stub.parametrization.name
    if "objective" not in options.model_fields_set or asked == trained:
        return _old_scheduler(folder, options)
    if asked in (FLOW_OBJECTIVE, EDM_OBJECTIVE) or folder.stub.schedule.whole is None:
        return new_scheduler(options, asked, options.sigma_data)
    scheduler = _old_scheduler(folder, options)
    return type(scheduler).from_config(scheduler.config, prediction_type=asked)


def _old_scheduler(folder: ModelFolder, options: TrainOptions) -> Any:
    import diffusers

    part, name = folder.parts.scheduler[0], folder.stub.name
    own = getattr(diffusers, part.kind if "_class_name" in part.config else "DDPMScheduler", None)
    if own is None:
        raise UsageError(f"{name}: diffusers has no {part.kind}, and training saves a scheduler of diffusers")
    scheduler = own.from_config(part.config)  # with the defaults of its own class
    if folder.stub.schedule.whole is not None and scheduler.config.get("beta_schedule") != "exp":  # which DDPM lacks
        scheduler = diffusers.DDPMScheduler.from_config(scheduler.config)
    for ours, theirs in [*FIELDS.items(), ("sigma_data", "sigma_data")]:
        if ours in options.model_fields_set and getattr(options, ours) != scheduler.config.get(theirs):
            flag, was = f"--{ours.replace('_', '-')}", scheduler.config.get(theirs)
            trained = f"with {theirs} {was}" if was is not None else f"on a path without {theirs}"
            raise UsageError(f"{name} was trained {trained}: leave out {flag}")
    return scheduler


def check_pixels(model: Model, what: str) -> None:
    """Refuse a model of latents, since training works on pixels.

    Raises:
        UsageError: this is a model of latents.
    """
    if isinstance(model.codec, Latents):
        raise UsageError(
            f"{what} {model.name}: it is a model of latents ({model.codec.name}), and training is on pixels"
        )


def check_trainable(model: Model, what: str) -> None:
    """Refuse a kind of model that cannot be trained further here.

    Raises:
        UsageError: says why.
    """
    check_pixels(model, what)
    name = model.name
    if model.variance == "learned":
        raise UsageError(f"{what} {name}: its network has a learned variance, whose loss is not known here")
    if not model.averages:
        raise UsageError(f"{what} {name}: it is a consistency model, which is distilled and not trained by denoising")
    if model.parametrization.name == "score":
        raise UsageError(f"{what} {name}: it is a score model, whose loss is not known here; train --objective edm")
