"""A model: a network with the noise path that it was trained on, its labels, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samplerzoo.core.parametrization import PARAMETRIZATIONS, PredictionType
from samplerzoo.core.prediction import Clip, Prediction
from samplerzoo.core.schedule import Level, Schedule
from samplerzoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    import torch

    Network = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
    Classifier = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

NO_CLIP = Clip("off")

Layout = Literal["contiguous", "channels_last"]
LAYOUTS: tuple[Layout, ...] = ("contiguous", "channels_last")


@dataclass(frozen=True, eq=False)
class Model:
    """Network, and all that a sampler, a guidance and a record need to know about it.

    Attributes:
        net: any callable (x, tau, labels) -> output. x is float32 (N, *shape); tau is float32 (N,) in (0, T], one more
            than diffusers' timestep; labels is int64 (N,) or None. An output with twice the channels of x holds a
            learned variance in its second half (Nichol and Dhariwal 2021).
        schedule: the noise path that it was trained on.
        prediction: meaning of the output: "epsilon", "sample" or "v_prediction".
        shape: shape of one image, usually (C, H, W). Required.
        num_classes: number of labels that the network takes; None for an unconditional one.
        null_label: label that it was trained to read as "no label", if any.
        class_names, class_counts: one entry per class; the counts are those of the training data.
        classifier: noise-aware classifier (x, tau) -> logits (N, classifier_classes).
        second: another model of the same images and the same schedule, for a guidance that takes one.
        clip: bound on x0 unless a run says otherwise.
        device, dtype, compiled, layout: where the network computes, in what precision, whether by torch.compile, and
            how its weights lie in memory.
        name: name in messages and records: the one that it was loaded by.

    Raises:
        UsageError: the shape is missing.
        ZooError: the prediction type is unknown, or says nothing of x0 on this schedule.
    """

    net: Network
    schedule: Schedule
    prediction: PredictionType = "epsilon"
    shape: tuple[int, ...] = ()
    num_classes: int | None = None
    null_label: int | None = None
    class_names: tuple[str, ...] | None = None
    class_counts: tuple[int, ...] | None = None
    classifier: Classifier | None = None
    classifier_classes: int | None = None
    second: Model | None = None
    clip: Clip = NO_CLIP
    device: str = "cpu"
    dtype: str = "float32"
    compiled: bool = False
    layout: Layout = "contiguous"
    name: str = "a model in memory"

    def __post_init__(self) -> None:
        if not self.shape:
            raise UsageError(f"{self.name} has no image shape: give Model(..., shape=(C, H, W))")
        if self.prediction not in PARAMETRIZATIONS:
            known = ", ".join(PARAMETRIZATIONS)
            raise ZooError(f"{self.name}: unknown prediction type {self.prediction!r}; known: {known}")
        if self.prediction == "epsilon" and self.schedule.zero_terminal_snr:
            raise ZooError(
                f"{self.name}: an epsilon network cannot tell x0 at zero terminal SNR; "
                "that schedule needs prediction type v_prediction or sample"
            )

    @property
    def classes(self) -> int | None:
        """Number of classes an image can be asked for: the network's, else the classifier's."""
        return self.num_classes if self.num_classes is not None else self.classifier_classes

    def denoise(self, x: torch.Tensor, level: Level, labels: torch.Tensor | None = None) -> Prediction:
        """Call the network once; an unconditional network is not told the labels.

        Raises:
            ZooError: the answer is no tensor of the shape of x.
        """
        known = labels if self.num_classes is not None else None
        output = self.net(x, x.new_full((len(x),), level.tau), known)
        if not hasattr(output, "shape"):
            raise ZooError(f"the network of {self.name} returned {type(output).__name__}, and has to return a tensor")
        variance = None
        if output.shape[1] == 2 * x.shape[1]:
            output, raw = output.chunk(2, dim=1)
            variance = (raw + 1) / 2
        if output.shape != x.shape:
            raise ZooError(f"the network of {self.name} returned shape {tuple(output.shape)} for {tuple(x.shape)}")
        return Prediction.of(self.prediction, x, level, output, variance)
