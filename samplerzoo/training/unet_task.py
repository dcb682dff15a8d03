"""Training of a diffusion U-Net with the loss of DDPM (Ho, Jain, Abbeel 2020, eq. 14) and label dropout."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import PARAMETRIZATIONS, PredictionType
from samplerzoo.core.schedule import Schedule
from samplerzoo.data.image_sets import ImageData
from samplerzoo.data.order import keyed_generator
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.images import from_uint8
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.folder import find_model
from samplerzoo.models.load import save_model
from samplerzoo.models.unet2d import load_unet, unet_network
from samplerzoo.sampling.driver import sample
from samplerzoo.training import card, pictures
from samplerzoo.training.forward import Forward, build_scheduler
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.task import Report, Task

FORWARD_ROWS = 3
"""Images in the picture of the forward process."""


class UNetTask(Task):
    """U-Net that predicts eps, x0 or v of a noisy image, given its label or the null label.

    Raises:
        UsageError: the options do not fit the data or each other.
    """

    net: UNet2DModel

    def __init__(self, options: TrainOptions, data: ImageData) -> None:
        self.options = options
        self.data = data
        self.illustrate_epochs = options.save_images_epochs
        self.conditional = data.num_classes > 1 if options.conditional is None else options.conditional
        if self.conditional and not data.num_classes:
            raise UsageError(f"{options.dataset} has no labels to be conditional on: leave out --conditional")
        self.scheduler = build_scheduler(options, options.init_from, options.prediction_type)
        self.schedule = Schedule.from_config(self.scheduler.config)
        if self.schedule.zero_terminal_snr and self.prediction_type == "epsilon":
            raise UsageError(
                "--rescale-betas-zero-snr leaves no x0 in the last level's eps: --prediction-type v_prediction"
            )
        self.forward = Forward(self.schedule)
        self.net = build_unet(options, data, self.conditional)

    @property
    def prediction_type(self) -> PredictionType:
        """Quantity that the network predicts."""
        return self.scheduler.config.prediction_type

    @property
    def null_label(self) -> int | None:
        """Label K for "no label", where K is the number of classes; None if it is not trained."""
        return self.data.num_classes if self.conditional and self.options.label_dropout > 0 else None

    def loss(self, net: nn.Module, images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        tau = self.forward.draw_levels(len(images), rng)
        noise = torch.randn(images.shape, generator=rng)
        dropped = torch.rand(len(images), generator=rng) < self.options.label_dropout
        tau, noise, dropped = (value.to(images.device) for value in (tau, noise, dropped))
        noisy = self.forward.noised(images, tau, noise)
        given = torch.where(dropped, torch.full_like(labels, self.data.num_classes), labels)
        answer = unet_network(net)(noisy, tau, given if self.conditional else None)
        target = PARAMETRIZATIONS[self.prediction_type].target(images, noise, *self.forward.coefficients(tau))
        errors = (answer.float() - target).square().flatten(1).mean(1)
        return (self.forward.loss_weight(tau, self.prediction_type, self.options.snr_gamma) * errors).mean()

    def save(self, folder: Path, net: nn.Module, report: Report) -> None:
        options = self.options
        info = ModelInfo(
            num_classes=self.data.num_classes if self.conditional else None,
            null_label=self.null_label,
            class_names=list(self.data.class_names) or None,
            class_counts=self.data.class_counts or None,
            data={"dataset": options.dataset, "split": options.split, "images": len(self.data)},
            recipe={"command": card.command_line("train", options), "steps": report.step, "images": report.images},
        )
        size = sum(value.numel() for value in net.parameters()) / 1e6
        text = card.render_card(
            f"Diffusion model of {Path(options.dataset).stem or options.dataset}",
            "train",
            options,
            self.data,
            report,
            {
                "network": f"UNet2DModel, {size:.2f} M parameters, predicts {self.prediction_type}",
                "conditional on": f"class labels; null label {self.null_label}" if self.conditional else "nothing",
                "schedule": f"{self.scheduler.config.beta_schedule}, T = {self.schedule.T}",
            },
        )
        net = net.type(getattr(torch, options.save_dtype))  # not `to`, for which diffusers logs a warning
        save_model(folder, net, self.scheduler, info, text)

    def illustrate(self, folder: Path, net: nn.Module, report: Report, main: bool) -> None:
        real, labels = self._examples()
        generated = self._generate(net, labels)
        if not main:
            return
        pictures.save_loss(folder / "metrics.jsonl", folder / "loss.png")
        pictures.save_forward(real[:FORWARD_ROWS], self.schedule, folder / "forward.png")
        if generated is None:
            return
        (folder / "samples").mkdir(exist_ok=True)
        pictures.save_sheet(generated, labels, folder / "samples" / f"step_{report.step:07d}.png")
        pictures.save_beside(real, generated, labels, folder / "real_vs_generated.png")

    def _examples(self) -> tuple[Tensor, list[int] | None]:
        """Return real images in [-1, 1] and their labels. If the model is conditional, the classes take turns."""
        count = min(self.options.eval_images, len(self.data))
        rows = list(range(count))
        if self.conditional:
            by_class = [(self.data.labels == k).nonzero().squeeze(1).tolist() for k in range(self.data.num_classes)]
            turns = [members[turn] for turn in range(count) for members in by_class if turn < len(members)]
            rows = turns[:count]
        images, labels = self.data.__getitems__(rows)
        return from_uint8(images), labels.tolist() if self.conditional else None

    def _generate(self, net: nn.Module, labels: list[int] | None) -> Tensor | None:
        """Sample images with the same noise and labels every time. Return None and print a note if that fails."""
        model = Model(
            unet_network(net),
            self.schedule,
            self.prediction_type,
            shape=(self.data.channels, self.data.image_size, self.data.image_size),
            num_classes=self.data.num_classes if self.conditional else None,
            null_label=self.null_label,
            device=str(next(net.parameters()).device),
        )
        count = min(self.options.eval_images, len(self.data))
        try:
            return sample(
                model, "ddim", steps=min(self.options.eval_steps, self.schedule.T), labels=labels, num_images=count
            ).images
        except ZooError as error:  # a failed picture must not end the training
            print(f"no sample grid: {error}", file=sys.stderr)
            return None


def build_unet(options: TrainOptions, data: ImageData, conditional: bool) -> UNet2DModel:
    """Build the U-Net that the options describe. Its weights depend on the seed only, or come from `init_from`.

    Raises:
        UsageError: the shape does not fit the images.
    """
    embeds = data.num_classes + 1 if conditional else None
    with torch.random.fork_rng():
        torch.manual_seed(keyed_generator(options.seed).initial_seed())
        if options.init_from is not None:
            return _pretrained_unet(options.init_from, data, embeds)
        channels = options.block_out_channels
        _check_shape(options, data.image_size)
        plain = len(channels) - options.attention_levels
        attention = [level >= plain for level in range(len(channels))]
        return UNet2DModel(
            sample_size=data.image_size,
            in_channels=data.channels,
            out_channels=data.channels,
            block_out_channels=channels,
            layers_per_block=options.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if has else "DownBlock2D" for has in attention),
            up_block_types=tuple("AttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)),
            attention_head_dim=options.attention_head_dim,
            norm_num_groups=options.norm_num_groups,
            num_class_embeds=embeds,
        )


def _pretrained_unet(name: str, data: ImageData, embeds: int | None) -> UNet2DModel:
    """Load the U-Net of a model for these images. Class embeddings of another number start at random."""
    old = load_unet(find_model(name))
    config = {key: value for key, value in old.config.items() if key != "_name_or_path"}  # a path of this machine
    if (config["in_channels"], config["out_channels"]) != (data.channels, data.channels):
        raise UsageError(f"{name} has {config['in_channels']} channels and the data {data.channels}: add --channels")
    _check_size(data.image_size, tuple(config["block_out_channels"]), "")
    net = UNet2DModel.from_config({**config, "sample_size": data.image_size, "num_class_embeds": embeds})
    weights = old.state_dict()
    if config["num_class_embeds"] != embeds:
        weights = {key: value for key, value in weights.items() if not key.startswith("class_embedding.")}
        weights |= {key: value for key, value in net.state_dict().items() if key.startswith("class_embedding.")}
    net.load_state_dict(weights)
    return net


def _check_shape(options: TrainOptions, size: int) -> None:
    channels = options.block_out_channels
    levels = next(n for n in range(len(channels), 0, -1) if size % 2 ** (n - 1) == 0)
    _check_size(size, channels, f", or a U-Net of {levels} levels: --block-out-channels {_join(channels[:levels])}")
    if options.attention_levels > len(channels):
        raise UsageError(f"--attention-levels {options.attention_levels}: the U-Net has {len(channels)} levels")
    for width in channels:
        if width % options.norm_num_groups:
            raise UsageError(f"--norm-num-groups {options.norm_num_groups} does not divide {width} channels")
    for width in channels[-max(options.attention_levels, 1) :]:  # the middle block always has attention
        if width % (options.attention_head_dim or 1):
            raise UsageError(f"--attention-head-dim {options.attention_head_dim} does not divide {width} channels")


def _check_size(size: int, channels: tuple[int, ...], otherwise: str) -> None:
    factor = 2 ** (len(channels) - 1)
    if size % factor:
        below, above = size // factor * factor, -(-size // factor) * factor
        fits = f"{below} or {above}" if below else str(above)
        raise UsageError(
            f"images of {size} pixels cannot be halved {len(channels) - 1} times: take --image-size {fits}{otherwise}"
        )


def _join(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))
