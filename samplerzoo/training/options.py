"""Options of training. Each field is a flag, named as in diffusers' train_unconditional.py.

This module does not import torch, so that `--help` is quick.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from samplerzoo.data.options import DataOptions
from samplerzoo.errors import UsageError
from samplerzoo.models.options import ReadingOptions
from samplerzoo.options import Options
from samplerzoo.system.files import user_path

Precision = Literal["auto", "no", "fp16", "bf16"]
Objective = Literal["epsilon", "sample", "v_prediction", "flow", "edm"]
Levels = Literal["uniform", "logit-normal", "log-normal"]
LrSchedule = Literal["linear", "cosine", "constant", "constant_with_warmup"]
BetaSchedule = Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"]


FLOW_OBJECTIVE, EDM_OBJECTIVE = "flow", "edm"
"""Objectives on a path without betas."""


class LoopOptions(DataOptions):
    """Options of the training loop, common to all tasks."""

    output_dir: Annotated[str, AfterValidator(user_path)] = Field(
        description="model folder that training writes; it also holds the checkpoints"
    )
    overwrite: bool = Field(
        False,
        description="start anew in an output folder that is not empty; its checkpoints are deleted, and a classifier "
        "or a feature network beside a model of other data is set aside",
    )
    train_batch_size: PositiveInt = Field(64, description="images per process and forward pass")
    gradient_accumulation_steps: PositiveInt = Field(1, description="forward passes per optimizer step")
    num_epochs: PositiveInt = Field(100, description="passes over the data")
    max_train_steps: PositiveInt | None = Field(None, description="optimizer steps; replaces num_epochs")
    learning_rate: float = Field(1e-4, gt=0, description="peak learning rate")
    lr_scheduler: LrSchedule = Field("cosine", description="decay of the learning rate")
    lr_warmup_steps: int = Field(500, ge=0, description="optimizer steps of linear warm-up")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="AdamW beta1")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="AdamW beta2")
    adam_weight_decay: float = Field(1e-6, ge=0, description="AdamW weight decay")
    adam_epsilon: float = Field(1e-8, gt=0, description="AdamW epsilon")
    max_grad_norm: float = Field(1.0, gt=0, description="largest norm of the gradient, which is clipped to it")
    mixed_precision: Precision = Field(
        "auto", description="autocast type of the forward pass; auto is bf16 where the device computes it natively"
    )
    checkpointing_steps: PositiveInt = Field(500, description="optimizer steps between checkpoints")
    checkpoints_total_limit: PositiveInt = Field(2, description="checkpoints to keep")
    variant: str | None = Field(None, description="which weights of the model that is named, such as fp16")
    scheduler: str | None = Field(
        None, description="folder or file of the scheduler's config of the model that is named, if it lies by itself"
    )
    resume_from_checkpoint: str | None = Field(None, description="'latest' or the path of a checkpoint")
    save_dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="precision of the weights in the model folder; checkpoints keep full precision"
    )
    logging_steps: PositiveInt = Field(10, description="optimizer steps averaged into one line of metrics.jsonl")
    logger: Literal["none", "tensorboard", "wandb"] = Field("none", description="also log to this tracker")
    dataloader_num_workers: int = Field(0, ge=0, description="processes that load images")
    use_ema: bool = Field(True, description="save an exponential moving average of the weights")
    ema_inv_gamma: float = Field(1.0, gt=0, description="EMA warm-up: decay is 1 - (1 + step / inv_gamma) ** -power")
    ema_power: float = Field(0.75, gt=0, description="EMA warm-up power")
    ema_max_decay: float = Field(0.9999, gt=0, lt=1, description="largest EMA decay")
    seed: int = Field(0, ge=0, description="seed of the weights, the data order and all noise")

    def idle(self) -> list[tuple[str, bool, str]]:
        """Return groups of options, whether other options make them ineffective, and why."""
        unwarmed = self.lr_scheduler == "constant" and self.lr_warmup_steps > 0
        return [
            ("ema_inv_gamma ema_power ema_max_decay", not self.use_ema, "without --use-ema there is no average"),
            ("lr_warmup_steps", unwarmed, "--lr-scheduler constant has no warm-up, as constant_with_warmup has"),
            ("overwrite", self.overwrite and self.resume_from_checkpoint is not None, "a training that goes on with "
             "--resume-from-checkpoint keeps what is there"),
        ]  # fmt: skip

    @property
    def reading(self) -> ReadingOptions:
        """Facts that the user gave about the folder of the named model."""
        return ReadingOptions(variant=self.variant, scheduler=self.scheduler)


class ScheduleOptions(Options):
    """Options of the forward process, with the meaning of diffusers' scheduler configs."""

    ddpm_num_steps: PositiveInt = Field(1000, description="number of noise levels T")
    ddpm_beta_schedule: BetaSchedule = Field("linear", description="shape of beta over time")
    ddpm_beta_start: float = Field(1e-4, gt=0, lt=1, description="first beta")
    ddpm_beta_end: float = Field(0.02, gt=0, lt=1, description="last beta")
    rescale_betas_zero_snr: bool = Field(False, description="rescale so that the last level holds no signal")


def check_flags(options: LoopOptions) -> None:
    """Refuse flags that have no effect because of others. Otherwise the card would list them as used.

    Raises:
        UsageError: names the flag, and why.
    """
    for flags, idle, why in options.idle():
        given = [name for name in flags.split() if getattr(options, name) != type(options).model_fields[name].default]
        if idle and given:
            raise UsageError(f"--{given[0].replace('_', '-')} has no effect: {why}")


class TrainOptions(LoopOptions, ScheduleOptions):
    """Options for training a diffusion U-Net (diffusers' UNet2DModel)."""

    conditional: bool | None = Field(
        None, description="learn p(image | label); default: yes if the data have more than one class"
    )
    label_dropout: float = Field(
        0.1, ge=0, le=1, description="share of labels replaced by the null label, for classifier-free guidance"
    )
    objective: Objective = Field(
        "epsilon", description="what the network learns to say: the noise, the image, v, the velocity of a straight "
        "path (flow), or the image preconditioned on a VE path (edm)"
    )  # fmt: skip
    sigma_data: float = Field(0.5, gt=0, description="standard deviation of the data, for the objective edm")
    levels: Levels | None = Field(
        None, description="distribution of the noise levels; default: uniform, or log-normal for edm"
    )
    level_mean: float | None = Field(None, description="mean of a logit-normal (0) or log-normal (-1.2) distribution")
    level_std: float | None = Field(None, gt=0, description="its standard deviation (1, or 1.2)")
    snr_gamma: float | None = Field(
        None, gt=0, description="gamma of Min-SNR loss weights, usually 5; a lower one favours noisy levels more"
    )
    block_out_channels: tuple[PositiveInt, ...] = Field((32, 64, 128), description="channels per resolution")
    layers_per_block: PositiveInt = Field(2, description="residual blocks per resolution")
    attention_levels: int = Field(1, ge=0, description="number of lowest resolutions with attention")
    attention_head_dim: PositiveInt | None = Field(None, description="channels per head; default: a single head")
    norm_num_groups: PositiveInt = Field(8, description="groups of the group norm")
    init_from: str | None = Field(None, description="start from this model's U-Net (name, folder or hub id)")
    save_images_epochs: PositiveInt = Field(10, description="epochs between sample grids")
    eval_images: PositiveInt = Field(40, description="images in a sample grid")
    eval_steps: PositiveInt = Field(50, description="DDIM steps of a sample grid")

    @property
    def wants_labels(self) -> bool:
        return self.conditional is not False

    def idle(self) -> list[tuple[str, bool, str]]:
        return [
            *super().idle(),
            ("variant scheduler", self.init_from is None, "it says how to read the model of --init-from"),
            ("label_dropout", self.conditional is False, "with --no-conditional no label is learned"),
            ("sigma_data", self.objective != EDM_OBJECTIVE, "it is for --objective edm"),
        ]


class ClassifierOptions(LoopOptions, ScheduleOptions):
    """Options for training a classifier: of noisy images for guidance, or if `clean`, of clean images for metrics."""

    mixed_precision: Precision = Field("no", description="autocast type of the forward pass; auto is bf16 where native")
    clean: bool = Field(False, description="train on clean images, without the noise-level channel")
    model: str | None = Field(None, description="take the noise schedule from this model (name, folder or hub id)")
    test_split: str = Field("test", description="split on which the accuracy is measured")
    hidden_sizes: tuple[PositiveInt, ...] = Field((32, 64, 128), description="ResNet channels per stage")
    depths: tuple[PositiveInt, ...] = Field((1, 1, 1), description="ResNet blocks per stage")
    max_shift: int = Field(0, ge=0, description="augmentation: shift images by up to this many pixels")
    use_ema: bool = Field(False, description="save an exponential moving average of the weights")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate")
    num_epochs: PositiveInt = Field(5, description="passes over the data")
    lr_warmup_steps: int = Field(100, ge=0, description="optimizer steps of linear warm-up")

    def idle(self) -> list[tuple[str, bool, str]]:
        schedule = " ".join(ScheduleOptions.model_fields)
        return [
            *super().idle(),
            ("variant scheduler", self.model is None, "it says how to read the model of --model"),
            (f"model {schedule}", self.clean, "with --clean the images are without noise"),
        ]
