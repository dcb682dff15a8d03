"""Training of a diffusion U-Net: squared error on the target of its parametrization, and label dropout."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from samplerzoo.core.architecture import NetworkArchitecture
from samplerzoo.core.condition import Condition
from samplerzoo.core.model import NO_CLIP, Model
from samplerzoo.data.image_sets import ImageData
from samplerzoo.data.order import keyed_generator
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.images import from_uint8
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import ModelFolder, model_of_modules, save_model
from samplerzoo.models.parts import Part, architecture_of
from samplerzoo.sampling.sample import sample
from samplerzoo.training import card, pictures
from samplerzoo.training.beside import set_aside_strangers, standing
from samplerzoo.training.forward import LEVELS, LevelDistribution, as_factor, loss_weight, noised, target
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.schedulers import check_trainable, new_scheduler, next_scheduler
from samplerzoo.training.task import Report, Task

NETWORK_FLAGS = (
    "block_out_channels", "layers_per_block", "attention_levels", "attention_head_dim", "norm_num_groups",
)  # fmt: skip
"""Options of a new network."""
FORWARD_ROWS = 3
"""Images in the picture of the forward process."""


class UNetTask(Task):
    """U-Net that learns an objective on noisy images, given their labels or the null label.

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
        if "label_dropout" in options.model_fields_set and options.label_dropout and not self.conditional:
            raise UsageError("--label-dropout has no effect: the data have one class or none, and no label is learned")
        if options.rescale_betas_zero_snr and options.objective == "epsilon" and options.init_from is None:
            raise UsageError("--rescale-betas-zero-snr leaves no x0 in the last level's eps: --objective v_prediction")
        self.old = None if options.init_from is None else ModelFolder.open(options.init_from, options.reading)
        if self.old is None:
            self.scheduler = new_scheduler(options, options.objective, options.sigma_data)
        else:
            check_trainable(self.old.stub, "--init-from")
            self.scheduler = next_scheduler(self.old, options)
        self.net = build_unet(options, data, self.conditional, self.old)
        part = Part("unet", Path("unet"), {**self.net.config, "_class_name": type(self.net).__name__})
        self.architecture = architecture_of(part)
        self.model = self._model(self.net)
        self.distribution = _distribution(options, self.model)

    @property
    def null_label(self) -> int | None:
        """Label K for "no label", where K is the number of classes; None if there is no label dropout."""
        return self.data.num_classes if self.conditional and self.options.label_dropout > 0 else None

    def loss(self, net: nn.Module, images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        level, p = self.distribution.draw(len(images), rng), self.model.parametrization
        noise = torch.randn(images.shape, generator=rng)
        dropped = torch.rand(len(images), generator=rng) < self.options.label_dropout
        noise, dropped = noise.to(images.device), dropped.to(images.device)
        x = as_factor(p.c_in(level), images) * noised(images, level, noise)
        time = as_factor(p.c_noise(level), images).flatten()
        given = torch.where(dropped, torch.full_like(labels, self.data.num_classes), labels)
        condition = Condition({"class_labels": given} if self.conditional else {}, given)
        answer = self.network(net)(x, time, condition)
        errors = (answer.float() - target(p, images, noise, level)).square().flatten(1).mean(1)
        return (loss_weight(p, level, self.options.snr_gamma).to(errors.device) * errors).mean()

    def save(self, folder: Path, net: nn.Module, report: Report) -> None:
        options = self.options
        info = self._info(
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
                "network": f"UNet2DModel, {size:.2f} M parameters, predicts {self.model.parametrization.name}",
                "conditional on": f"class labels; null label {self.null_label}" if self.conditional else "nothing",
                "path": self._path(),
            },
        )
        net = net.type(getattr(torch, options.save_dtype))  # not `to`, for which diffusers logs a warning
        schedule = self.model.schedule
        scaled = self.model.parametrization.c_in(schedule.at(schedule.T)) != 1.0
        before = standing(folder)
        save_model(folder, net, self.scheduler, info, text, scaled=scaled)
        for line in set_aside_strangers(folder, before):
            print(line)

    def network(self, net: nn.Module) -> Callable[[Tensor, Tensor, Condition], Tensor]:
        """Return a network, which Accelerate may have wrapped, as a function."""
        assert isinstance(self.architecture, NetworkArchitecture)
        return self.architecture.call(net)

    def _info(self, **record: Any) -> ModelInfo:
        return ModelInfo(
            num_classes=self.data.num_classes if self.conditional else None,
            null_label=self.null_label,
            class_names=list(self.data.class_names) or None,
            class_counts=self.data.class_counts or None,
            **record,
        )

    def _model(self, net: nn.Module) -> Model:
        """Make the model that loading the saved folder would give."""
        return model_of_modules({"unet": net, "scheduler": self.scheduler}, self._info(), name="the trained network")

    def _path(self) -> str:
        schedule, config = self.model.schedule, self.scheduler.config
        if schedule.whole is not None:
            return f"{config.beta_schedule}, T = {schedule.whole}"
        return f"{schedule.kind}, levels {self.distribution.kind}"

    def illustrate(self, folder: Path, net: nn.Module, report: Report, main: bool) -> None:
        real, labels = self._examples()
        generated = self._generate(net, labels)
        if not main:
            return
        pictures.save_loss(folder / "metrics.jsonl", folder / "loss.png")
        pictures.save_forward(real[:FORWARD_ROWS], self.model.schedule, folder / "forward.png")
        if generated is None:
            return
        (folder / "samples").mkdir(exist_ok=True)
        names = self.data.class_names
        pictures.save_sheet(generated, labels, names, folder / "samples" / f"step_{report.step:07d}.png")
        pictures.save_beside(real, generated, labels, names, folder / "real_vs_generated.png")

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
        model = dataclasses.replace(self._model(net), clip=NO_CLIP)
        count, most = min(self.options.eval_images, len(self.data)), model.schedule.whole
        steps = self.options.eval_steps if most is None else min(self.options.eval_steps, most)
        try:
            return sample(model, "ddim", steps=steps, labels=labels, num_images=count).images
        except ZooError as error:  # a failed picture must not end the training
            print(f"no sample grid: {error}", file=sys.stderr)
            return None


def _check_same(options: TrainOptions, config: Mapping[str, Any], name: str) -> None:
    """Refuse network flags that contradict the network that training starts from.

    Raises:
        UsageError: names the flag.
    """
    levels = sum(kind.startswith("Attn") for kind in config["down_block_types"])
    for flag in NETWORK_FLAGS:
        asked, was = getattr(options, flag), levels if flag == "attention_levels" else config[flag]
        was = tuple(was) if isinstance(was, list) else was
        if flag in options.model_fields_set and asked != was:
            raise UsageError(f"--{flag.replace('_', '-')} {asked}: --init-from takes the network of {name}, with {was}")


def _distribution(options: TrainOptions, model: Model) -> LevelDistribution:
    """Return the distribution of levels that the options ask for.

    Raises:
        UsageError: the path does not have this distribution.
    """
    known = LEVELS.get(model.schedule.kind, ("uniform",))
    if options.levels is not None and options.levels not in known:
        raise UsageError(f"--levels {options.levels}: on a {model.schedule.kind} path there are {' and '.join(known)}")
    if (options.levels or known[0]) == "uniform":
        for name in ("level_mean", "level_std"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')}: a uniform distribution of levels has none")
    return LevelDistribution.of(model.schedule, options.levels, options.level_mean, options.level_std)


def build_unet(
    options: TrainOptions, data: ImageData, conditional: bool, old: ModelFolder | None = None
) -> UNet2DModel:
    """Build the U-Net that the options describe. Its weights depend on the seed only, or are those of an old model.

    Raises:
        UsageError: the shape does not fit the images.
    """
    embeds = data.num_classes + 1 if conditional else None
    with torch.random.fork_rng():
        torch.manual_seed(keyed_generator(options.seed).initial_seed())
        if old is not None:
            return _pretrained_unet(old, options, data, embeds)
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


def _pretrained_unet(folder: ModelFolder, options: TrainOptions, data: ImageData, embeds: int | None) -> UNet2DModel:
    """Load the U-Net of a model for these images. The embeddings of classes that it does not name start at random.

    A model without class names keeps its embeddings if the data have as many classes.
    """
    old, name = folder.load_network("cpu", "float32"), folder.stub.name
    if not isinstance(old, UNet2DModel):
        raise UsageError(f"--init-from {name}: its network is a {type(old).__name__}, and a UNet2DModel is trained")
    config = {key: value for key, value in old.config.items() if key != "_name_or_path"}  # a path of this machine
    _check_same(options, config, name)
    if (config["in_channels"], config["out_channels"]) != (data.channels, data.channels):
        raise UsageError(f"{name} has {config['in_channels']} channels and the data {data.channels}: add --channels")
    _check_size(data.image_size, tuple(config["block_out_channels"]), "")
    net = UNet2DModel.from_config({**config, "sample_size": data.image_size, "num_class_embeds": embeds})
    weights, names = old.state_dict(), folder.stub.class_names
    if config["num_class_embeds"] != embeds or (names is not None and names != data.class_names):
        weights = {key: value for key, value in weights.items() if not key.startswith("class_embedding.")}
        weights |= _class_embedding(old, net, folder.stub, data)
    net.load_state_dict(weights)
    return net


def _class_embedding(old: UNet2DModel, net: UNet2DModel, model: Model, data: ImageData) -> dict[str, Tensor]:
    """Return the class embedding of a new network: the rows of an old one for the classes that both name, and new ones.

    The null label keeps its row if both have one.
    """
    found = {key: value.clone() for key, value in net.state_dict().items() if key.startswith("class_embedding.")}
    before = {key: value for key, value in old.state_dict().items() if key in found}
    rows = {name: row for row, name in enumerate(model.class_names or ())}
    same = [(rows[name], row) for row, name in enumerate(data.class_names) if name in rows]
    if same and model.null_label is not None:
        same.append((model.null_label, data.num_classes))
    for key, value in before.items():
        for then, now in same:
            found[key][now] = value[then]
    return found


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
