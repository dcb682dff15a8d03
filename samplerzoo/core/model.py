"""Model: a network with its noise path, its classes or prompts, and all that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from samplerzoo.core.codec import PIXELS, Codec
from samplerzoo.core.condition import Condition
from samplerzoo.core.level import Level
from samplerzoo.core.parametrization import EPSILON, Parametrization
from samplerzoo.core.prediction import Clip, Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.text import TextEncoder
from samplerzoo.errors import UsageError, ZooError, expect, short, whole
from samplerzoo.trust.limits import MOST_VALUES

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.cost import Cost

    Drawer = Callable[[Any], tuple[torch.Tensor, Cost]]
    Network = Callable[[torch.Tensor, torch.Tensor, Condition], torch.Tensor]
    Classifier = Callable[[torch.Tensor, Level], torch.Tensor]

NO_CLIP = Clip("off")

Layout = Literal["contiguous", "channels_last"]
LAYOUTS: tuple[Layout, ...] = ("contiguous", "channels_last")
Offload = Literal["model", "sequential", "group"]
OFFLOADS: tuple[Offload, ...] = ("model", "sequential", "group")


@dataclass(frozen=True, eq=False)
class Model:
    """Network, and all that a sampler, a guidance and a record need to know about it.

    Attributes:
        net: any callable (x, time, condition) -> output. x is float32 (N, *shape), the state times the
            parametrization's c_in; time is float32 (N,), its c_noise, which is tau by default. An output of another
            dtype is converted to that of x. An output with twice the channels of x has a learned variance in its second
            half (Nichol and Dhariwal 2021).
        schedule: the noise path that it was trained on.
        parametrization: meaning of the output.
        shape: shape of one state, usually (C, H, W). Required.
        num_classes: number of labels that the network takes; None for an unconditional one.
        null_label: label that it was trained to read as "no label", if any.
        text: text encoder, if the network takes prompts.
        class_names, class_counts: one entry per class; the counts are those of the training data.
        averages: False if x0 is one possible image, as a consistency model's, in place of the mean E[x_0 | x].
        codec: conversion between states and pictures.
        variance: variance of the ancestral step that it was trained for: "small", "large" or "learned", if known.
        classifier: noise-aware classifier (x, level) -> logits (N, classifier_classes).
        drawer: pipeline that calls the network instead of the driver, and guides by itself, too: a function from a
            Request to the last states (N, *shape) in float32 and their Cost.
        second: another model of the same images and the same schedule, for a guidance that takes one.
        clip: bound on x0 unless a run says otherwise.
        device, dtype, compiled, layout, offload: device and precision of the network, whether torch.compile is used,
            memory layout of the weights, and how they are kept in main memory until they are needed.
        name: name in messages and records: the one under which it was loaded.

    Raises:
        UsageError: the shape is missing.
        ZooError: the parametrization does not determine x0 at the top of this schedule.
    """

    net: Network
    schedule: Schedule
    parametrization: Parametrization = EPSILON
    shape: tuple[int, ...] = ()
    num_classes: int | None = None
    null_label: int | None = None
    text: TextEncoder | None = None
    class_names: tuple[str, ...] | None = None
    class_counts: tuple[int, ...] | None = None
    averages: bool = True
    codec: Codec = PIXELS
    variance: str | None = None
    classifier: Classifier | None = None
    classifier_classes: int | None = None
    drawer: Drawer | None = None
    second: Model | None = None
    clip: Clip = NO_CLIP
    device: str = "cpu"
    dtype: str = "float32"
    compiled: bool = False
    layout: Layout = "contiguous"
    offload: Offload | None = None
    name: str = "a model in memory"

    def __post_init__(self) -> None:
        if not callable(self.net):
            raise UsageError(
                f"the network of {self.name} is {short(self.net)}, and has to be a function of three things"
            )
        expect(f"the schedule of {self.name}", self.schedule, Schedule, ", such as VP.from_config({})")
        sides = self.shape if isinstance(self.shape, (tuple, list)) else ()
        if not sides or not all(isinstance(side, Integral) and side > 0 for side in sides):
            raise UsageError(f"{self.name} has no image shape: give Model(..., shape=(C, H, W))")
        if math.prod(sides) > MOST_VALUES:
            raise UsageError(f"{self.name}: states of {tuple(sides)} have more than {MOST_VALUES} values")
        named = f", such as PARAMETRIZATIONS[{self.parametrization!r}]" if isinstance(self.parametrization, str) else ""
        expect(f"the parametrization of {self.name}", self.parametrization, Parametrization, named)
        self._check_classes()
        self._check_rest()
        if self.parametrization.blind(self.schedule):
            raise ZooError(
                f"{self.name}: {self.parametrization.name} says nothing of x0 where no signal is left, as at the top "
                f"of this {self.schedule.kind} schedule; it needs v_prediction, sample or flow"
            )

    def _check_classes(self) -> None:
        """Refuse numbers, names and counts of classes that are of a wrong type, and an impossible null label."""
        for name in ("num_classes", "classifier_classes"):
            if getattr(self, name) is not None:
                whole(f"{name} of {self.name}", getattr(self, name), least=1)
        if self.null_label is not None:
            null = whole(f"null_label of {self.name}", self.null_label, least=0)
            if self.num_classes is None or null > self.num_classes:
                there = "no classes" if self.num_classes is None else f"the classes 0 to {self.num_classes - 1}"
                raise UsageError(f"null_label {null}: {self.name} has {there}; a null label stands right behind them")
        for name, kind in (("class_names", str), ("class_counts", Integral)):
            listed = getattr(self, name)
            if listed is not None and (
                not isinstance(listed, (tuple, list)) or not all(isinstance(each, kind) for each in listed)
            ):
                entries = "texts" if kind is str else "whole numbers"
                raise UsageError(f"{name} of {self.name} is a tuple of {entries}, one a class, not {short(listed)}")

    def _check_rest(self) -> None:
        """Refuse wrong values of other fields, which would fail only in the middle of a run."""
        for name, kind, optional in (
            ("text", TextEncoder, True), ("averages", bool, False), ("codec", Codec, False), ("second", Model, True),
            ("clip", Clip, False), ("device", str, False), ("dtype", str, False), ("compiled", bool, False),
            ("name", str, False),
        ):  # fmt: skip
            expect(f"{name} of a model", getattr(self, name), kind, optional=optional)
        for name in ("classifier", "drawer"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise UsageError(f"{name} of {self.name} is {short(getattr(self, name))}, and has to be a function")
        for name, choices in (
            ("variance", (None, "small", "large", "learned")), ("layout", LAYOUTS), ("offload", (None, *OFFLOADS))
        ):  # fmt: skip
            value = getattr(self, name)
            if not (value is None or isinstance(value, str)) or value not in choices:
                raise UsageError(f"{name} of {self.name} is {short(value)}, and has to be one of {choices}")

    @property
    def classes(self) -> int | None:
        """Number of classes that an image can be asked for: the network's, else the classifier's."""
        return self.num_classes if self.num_classes is not None else self.classifier_classes

    @property
    def has_null(self) -> bool:
        """True if it can predict unconditionally, with its null label or an empty prompt."""
        return self.null_label is not None or self.text is not None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of a picture."""
        return self.codec.image_shape(self.shape)

    def decode(self, states: torch.Tensor) -> torch.Tensor:
        """Return the pictures (N, C, H, W) in about [-1, 1] of states (N, *shape), in the dtype of the states.

        Raises:
            ZooError: the codec returns something else, or a value that is NaN or infinite.
        """
        import torch

        pictures = self.codec.decode(states)
        real = isinstance(pictures, torch.Tensor) and pictures.is_floating_point()
        if not real or not pictures.ndim or len(pictures) != len(states):
            raise ZooError(f"the codec of {self.name} has to decode states to pictures of real numbers, one for each")
        if not _finite(pictures) and _finite(states):
            raise ZooError(
                f"the decoder of {self.name} ({self.codec.name}) returned NaN or infinity; its weights or its config "
                "may be broken"
            )
        return pictures.to(states.dtype)

    def condition(
        self,
        labels: Sequence[int] | torch.Tensor | None = None,
        prompts: Sequence[str] | None = None,
        negative_prompt: str | None = None,
    ) -> Condition:
        """Turn the class labels or the prompts of a batch into the network's inputs.

        An unconditional network does not get the labels.

        Args:
            negative_prompt: prompt that guidance leads away from; by default that of no prompt in particular.

        Raises:
            UsageError: there are prompts, but the network takes none.
        """
        import torch

        if prompts is not None:
            if self.text is None:
                raise UsageError(f"{self.name} takes no prompts")
            inputs, null = (
                {name: value.to(self.device) for name, value in self.text.inputs(texts).items()}
                for texts in (prompts, [negative_prompt])
            )
            repeated = {name: value.expand(len(prompts), *value.shape[1:]) for name, value in null.items()}
            return Condition(inputs, null=repeated)
        if labels is None:
            return Condition()
        given = torch.as_tensor(labels, device=self.device)
        return Condition({} if self.num_classes is None else {"class_labels": given}, given)

    def unconditional(self, condition: Condition) -> Condition:
        """Return the unconditional condition for as many images.

        Raises:
            UsageError: the network is conditional, and was trained without a null label.
        """
        if condition.null:
            return Condition(condition.null, condition.labels, condition.null)
        if not condition.inputs:
            return condition
        if self.null_label is None:
            raise UsageError(f"{self.name} is conditional, and has no null label: it has no unconditional prediction")
        import torch

        labels = torch.full_like(condition.inputs["class_labels"], self.null_label)
        return Condition({"class_labels": labels}, condition.labels)

    def denoise(self, x: torch.Tensor, level: Level, condition: Condition | None = None) -> Prediction:
        """Call the network once.

        Raises:
            ZooError: the answer is not a real tensor of the shape of x, or the network has written over x.
        """
        p = self.parametrization
        scale = p.c_in(level)
        time = x.new_full((len(x),), p.c_noise(level))
        version = None if x.is_inference() else x._version  # torch counts the writes to a tensor
        output = self.net(x if scale == 1.0 else scale * x, time, condition or Condition())
        if version is not None and x._version != version:
            raise ZooError(f"the network of {self.name} writes over its input, which is the state: give it a copy")
        return self.read(x, level, output)

    def read(self, x: torch.Tensor, level: Level, output: Any) -> Prediction:
        """Make a prediction of the network's output for the state x, converted to the dtype of x.

        Raises:
            ZooError: the output is not a real tensor of the shape of x.
        """
        import torch

        if not isinstance(output, torch.Tensor):
            raise ZooError(f"the network of {self.name} returned {type(output).__name__}, and has to return a tensor")
        if not output.is_floating_point():
            raise ZooError(
                f"the network of {self.name} returned {output.dtype}, and has to return real numbers: floats"
            )
        output, variance = output.to(x.dtype), None
        if output.shape == (len(x), 2 * x.shape[1], *x.shape[2:]):
            output, raw = output.chunk(2, dim=1)
            variance = (raw + 1) / 2
        if output.shape != x.shape:
            raise ZooError(f"the network of {self.name} returned shape {tuple(output.shape)} for {tuple(x.shape)}")
        return Prediction.of(self.parametrization, x, level, output, variance)


def _finite(x: torch.Tensor) -> bool:
    """Tell whether all values are numbers, by the least and the largest: both are NaN if any value is."""
    return all(math.isfinite(end.item()) for end in x.aminmax()) if x.numel() else True
