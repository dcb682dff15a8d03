"""Training of image classifiers: for noisy images, used in classifier guidance, or for clean images, used in metrics.

The noise-aware loss is cross-entropy at a random level of the diffusion model's schedule (Dhariwal and Nichol 2021,
section 4.1). The pooled features of a clean classifier serve as a feature network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

from samplerzoo.core.codec import PIXELS
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.paths import VP
from samplerzoo.data.image_sets import ImageData
from samplerzoo.data.order import keyed_generator
from samplerzoo.errors import UsageError
from samplerzoo.images import from_uint8
from samplerzoo.models.classifier import NoisyClassifier
from samplerzoo.models.classifier_facts import noted_levels
from samplerzoo.models.load import ModelFolder
from samplerzoo.system.files import atomic_folder
from samplerzoo.training import card, pictures
from samplerzoo.training.forward import LevelDistribution, noised
from samplerzoo.training.options import ClassifierOptions
from samplerzoo.training.schedulers import FIELDS, check_pixels, new_scheduler
from samplerzoo.training.task import Report, Task

EVALUATION_BATCH = 500
"""Images per batch when the accuracy is measured."""
EVALUATED_LEVELS = 5
"""Noise levels at which the accuracy is measured."""


class ClassifierTask(Task):
    """ResNet that predicts the class of an image: clean if `clean` is set, else at any noise level.

    Raises:
        UsageError: the data have fewer than two classes.
    """

    def __init__(self, options: ClassifierOptions, data: ImageData, test: ImageData | None) -> None:
        if data.num_classes < 2:
            raise UsageError(f"{options.dataset} has {data.num_classes} classes: there is nothing to classify")
        self.options = options
        self.data = data
        self.test = test
        self.illustrate_epochs = 1
        model = _guided_model(options, data)
        self.schedule = VP.from_config(new_scheduler(options).config) if model is None else model.schedule
        self.codec = PIXELS if model is None else model.codec
        self.distribution = LevelDistribution.of(self.schedule)
        resnet = build_resnet(options, data)
        self.net: nn.Module = resnet if options.clean else NoisyClassifier(resnet)

    def loss(self, net: nn.Module, images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        images = shift(images, self.options.max_shift, rng)
        if self.options.clean:
            return nn.functional.cross_entropy(net(images).logits.float(), labels)
        level = self.distribution.draw(len(images), rng)
        noise = torch.randn(images.shape, generator=rng).to(images.device)
        return nn.functional.cross_entropy(self._logits(net, images, level, noise).float(), labels)

    def _logits(self, net: nn.Module, images: Tensor, level: Level, noise: Tensor) -> Tensor:
        """Return the network's logits for images with this noise, each at its own level."""
        alpha, sigma = (torch.as_tensor(value).float().to(images.device) for value in (level.alpha, level.sigma))
        logits: Tensor = net(noised(self.codec.encode(images), level, noise), alpha, sigma)
        return logits

    def save(self, folder: Path, net: nn.Module, report: Report) -> None:
        with atomic_folder(folder) as beside:
            (beside / "README.md").write_text(self._card(net, report))
            resnet: Any = net.net if isinstance(net, NoisyClassifier) else net
            if not self.options.clean:
                resnet.config.log_snr = list(noted_levels(self.schedule))
            resnet.to(getattr(torch, self.options.save_dtype)).save_pretrained(beside)

    def illustrate(self, folder: Path, net: nn.Module, report: Report, main: bool) -> None:
        if main:
            pictures.save_loss(folder / "metrics.jsonl", folder / "loss.png")

    def _card(self, net: nn.Module, report: Report) -> str:
        kind = "Clean-image classifier" if self.options.clean else "Noise-aware classifier"
        size = sum(value.numel() for value in net.parameters()) / 1e6
        figures = {"network": f"ResNetForImageClassification, {size:.2f} M parameters", **self.accuracies(net)}
        name = Path(self.options.dataset).stem or self.options.dataset
        return card.render_card(f"{kind} of {name}", "train-classifier", self.options, self.data, report, figures)

    def accuracies(self, net: nn.Module) -> dict[str, str]:
        """Return the test accuracy, at several noise levels unless `clean`. Return nothing without a test split."""
        if self.test is None:
            return {}
        if self.options.clean:
            return {"test accuracy": f"{self._accuracy(net, self.test, None):.2%}"}
        taus = [self.schedule.low, *(level.tau for level in self.schedule.grid(EVALUATED_LEVELS - 1).levels[-2::-1])]
        return {
            f"test accuracy, t = {self.schedule.timestep(tau):g}": f"{self._accuracy(net, self.test, tau):.2%}"
            for tau in taus
        }

    @torch.no_grad()
    def _accuracy(self, net: nn.Module, test: ImageData, tau: float | None) -> float:
        """Return the share of correctly classified test images, at noise level `tau` or clean if it is None."""
        right, rng = 0, torch.Generator().manual_seed(0)
        for start in range(0, len(test), EVALUATION_BATCH):
            images, labels = test.__getitems__(range(start, min(start + EVALUATION_BATCH, len(test))))
            images = from_uint8(images)
            if tau is None:
                logits = net(images).logits
            else:
                level = self.schedule.levels(torch.full((len(images),), tau, dtype=torch.float64))
                logits = self._logits(net, images, level, torch.randn(images.shape, generator=rng))
            right += int((logits.argmax(1) == labels).sum())
        return right / len(test)


def _guided_model(options: ClassifierOptions, data: ImageData) -> Model | None:
    """Return the model that the classifier shall guide, without weights; None if the options name no model.

    Raises:
        UsageError: an option contradicts the model, or the classifier could not guide it.
    """
    if options.model is None:
        return None
    folder = ModelFolder.open(options.model, options.reading)
    model, config = folder.stub, folder.parts.scheduler[0].config
    check_pixels(model, "--model")
    for ours, theirs in FIELDS.items():
        if ours in options.model_fields_set and getattr(options, ours) != config.get(theirs):
            raise UsageError(f"--{ours.replace('_', '-')}: {model.name} has a noise path of its own; leave it out")
    if not options.clean:
        _check_guidable(model, data)
    return model


def _check_guidable(model: Model, data: ImageData) -> None:
    """Refuse a model that a classifier of these data cannot guide."""
    size = (data.channels, data.image_size, data.image_size)
    if model.shape != size:
        raise UsageError(f"--model {model.name} makes images {model.shape}, and the data has {size}")
    if model.num_classes not in (None, data.num_classes):
        raise UsageError(f"--model {model.name} has {model.num_classes} classes, and the data {data.num_classes}")
    if model.num_classes is not None and model.null_label is None:
        raise UsageError(
            f"--model {model.name} is conditional and has no null label, and classifier guidance shifts the "
            "unconditional prediction; say the null label in its samplerzoo.json, if it was trained with one"
        )


def shift(images: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Move each image by up to `most` pixels in each direction. The border pixels fill the gap."""
    if not most:
        return images
    n, c, h, w = images.shape
    padded = nn.functional.pad(images, (most,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * most + 1, (2, n), generator=rng).to(images.device)
    rows = (down[:, None] + torch.arange(h, device=images.device))[:, None, :, None]
    columns = (right[:, None] + torch.arange(w, device=images.device))[:, None, None, :]
    image, channel = torch.arange(n)[:, None, None, None], torch.arange(c)[None, :, None, None]
    return padded[image, channel, rows, columns]


def build_resnet(options: ClassifierOptions, data: ImageData) -> ResNetForImageClassification:
    """Build a small ResNet (He et al. 2016) whose initial weights depend on the seed only.

    Raises:
        UsageError: `hidden_sizes` and `depths` differ in length.
    """
    if len(options.hidden_sizes) != len(options.depths):
        raise UsageError(f"--hidden-sizes has {len(options.hidden_sizes)} stages and --depths {len(options.depths)}")
    config = ResNetConfig(
        num_channels=data.channels + (not options.clean),
        image_size=data.image_size,
        embedding_size=options.hidden_sizes[0],
        hidden_sizes=list(options.hidden_sizes),
        depths=list(options.depths),
        layer_type="basic",
        id2label=dict(enumerate(data.class_names)),
        label2id={name: index for index, name in enumerate(data.class_names)},
    )
    with torch.random.fork_rng():
        torch.manual_seed(keyed_generator(options.seed).initial_seed())
        return ResNetForImageClassification(config)
