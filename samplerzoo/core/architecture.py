"""Architectures: readers of the parts of a model folder. They are plugins, and each knows the configs of a few classes.

A folder has a network, a scheduler, whose config says which noise path the network was trained on, and perhaps an
autoencoder. Each part is read by the one architecture that claims its config. A part that no architecture claims is
refused by name, so that nothing is mistaken for something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo.core.codec import PIXELS, Codec, Latents
from samplerzoo.core.parametrization import Parametrization
from samplerzoo.core.prediction import Clip
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.text import TextEncoder
from samplerzoo.errors import ZooError
from samplerzoo.options import Options

if TYPE_CHECKING:
    from samplerzoo.core.model import Network

Config = Mapping[str, Any]
"""Content of a config.json or scheduler_config.json."""


@dataclass(frozen=True)
class NetworkFacts:
    """Facts from the config of a network.

    Attributes:
        shape: shape (C, H, W) of a state; None if the config leaves the size open, and `channels` alone is known.
        channels: channels of a state.
        labels: number of rows in its table of labels; 0 for an unconditional network.
        null_label: label that it was trained to read as "no label", if the config says so.
        prompt: shapes of the inputs that a prompt becomes, by name; empty for a network that takes no prompts.
        learns_variance: True if its output has a learned variance in its second half.
        time: kind of the input for time, in messages: "positional", "fourier" or "learned".
        times: number of rows in its table of times, if it has one: it knows the timesteps 0 to times - 1.
        tokens: side of one token in pixels, from which flow schedulers compute the sequence length of an image.
        guesses: what was assumed where the config is silent, in sentences.
    """

    shape: tuple[int, ...] | None
    channels: int
    labels: int = 0
    null_label: int | None = None
    prompt: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    learns_variance: bool = False
    time: str = "positional"
    times: int | None = None
    tokens: int = 1
    guesses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least_of = {"shape": 1, "channels": 1, "labels": 0, "null_label": 0, "times": 1, "tokens": 1}
        for name, least in least_of.items():
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if value is not None and not all(isinstance(number, int) and number >= least for number in numbers):
                raise ZooError(f"{name} {value!r} of the network: whole numbers from {least} on are known")


@dataclass(frozen=True, eq=False)
class PathFacts:
    """Facts from the config of a scheduler: the noise path, and how the network's output is read.

    Attributes:
        averages: False if x0 is one possible image, in place of the mean.
        clip: bound on x0; None if the config does not mention one.
        variance: variance of the ancestral step that the network was trained for, if the config says so: "small",
            "large" or "learned".
        codec: range of the data, for a network on pixels.
        guesses: what was assumed where the config is silent, in sentences.
    """

    schedule: Schedule
    parametrization: Parametrization
    averages: bool = True
    clip: Clip | None = None
    variance: str | None = None
    codec: Codec = PIXELS
    guesses: tuple[str, ...] = ()


class Architecture(Options):
    """Reader of one kind of part of a model folder. Subclass one of the three below."""

    reads: ClassVar[tuple[str, ...]] = ()
    """Names of the classes whose configs it reads, as `_class_name` says them."""

    def claims(self, config: Config) -> bool:
        """Tell whether this architecture reads this config."""
        return config.get("_class_name") in self.reads


class NetworkArchitecture(Architecture):
    """Reader of networks. Write `facts`, `module` and `call`; and `text`, for one that takes prompts."""

    texts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parts that turn a prompt into inputs of the network: the name of each part, and the classes of transformers that
    it may have, such as {"text_encoder": ("CLIPTextModel",), "tokenizer": ("CLIPTokenizer",)}."""

    settings: ClassVar[Mapping[str, Any]] = {}
    """Values of model_index.json that `text` needs, with their defaults."""

    unused: ClassVar[tuple[str, ...]] = ()
    """Names of parts that a folder may have and that are not run, such as safety_checker."""

    def facts(self, config: Config) -> NetworkFacts:
        """Return what the config says. Raise ZooError for a network that cannot be driven, with the reason."""
        raise NotImplementedError(f"{type(self).__name__} has no facts")

    def module(self, config: Config) -> Any:
        """Return the class of the network, which has `from_pretrained` as those of diffusers."""
        raise NotImplementedError(f"{type(self).__name__} has no module")

    def parametrization(self, config: Config, path: PathFacts) -> Parametrization:
        """Return the meaning of the output, for a network that defines it itself, and not by its scheduler."""
        return path.parametrization

    def call(self, module: Any) -> Network:
        """Return the network as a function (x, time, condition) -> output, float32 in and out."""
        raise NotImplementedError(f"{type(self).__name__} has no call")

    def text(self, modules: Mapping[str, Any]) -> TextEncoder:
        """Return the text encoder.

        Its inputs are on the device of the parts. The network gets them in `condition.inputs`, with a batch axis in
        front, and has to convert them to its own dtype.

        Args:
            modules: the loaded parts that `texts` names, the values that `settings` names, and as `image_shape` the
                shape (C, H, W) of a picture.
        """
        raise NotImplementedError(f"{type(self).__name__} has no text")


class PathArchitecture(Architecture):
    """Reader of schedulers' configs. Write `path`."""

    def path(self, config: Config, network: NetworkFacts) -> PathFacts:
        """Return the noise path. Raise ZooError for one that cannot be sampled, or does not suit the network."""
        raise NotImplementedError(f"{type(self).__name__} has no path")


class CodecArchitecture(Architecture):
    """Reader of autoencoders. Write `codec` and `module`."""

    def codec(self, config: Config) -> Latents:
        """Return the codec that the config describes, without weights."""
        raise NotImplementedError(f"{type(self).__name__} has no codec")

    def module(self, config: Config) -> Any:
        """Return the class of the autoencoder, which has `from_pretrained` as those of diffusers."""
        raise NotImplementedError(f"{type(self).__name__} has no module")
