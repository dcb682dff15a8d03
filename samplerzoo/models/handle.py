"""Handle of a model: facts that are known before its weights are read, and methods to read them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo.core.condition import Condition
from samplerzoo.core.level import Level
from samplerzoo.core.model import LAYOUTS, Layout, Model, Offload
from samplerzoo.core.text import TextEncoder
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.system.environment import choose_dtype

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.model import Classifier, Network


class ModelHandle(ABC):
    """Model that was found by its name: a folder with weights, or a model that is computed from data.

    Attributes:
        stub: the model with functions in place of its networks, for dry runs. They return their input and not zeros, so
            that a sampler may divide by an answer.
        guesses: sentences on assumptions where the files say nothing.
    """

    compiles: ClassVar[bool] = True
    """True if there is a network that can be compiled."""
    usual_batch: ClassVar[int | None] = None
    """Default batch size of a model that is not tuned by a measurement; None for others."""

    stub: Model
    guesses: tuple[str, ...]

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of everything that the model's answers depend on."""

    @property
    @abstractmethod
    def family(self) -> str:
        """Kind of model, in words."""

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Memory layouts that the network may have."""
        return LAYOUTS

    def choose_dtype(self, dtype: str, device: str) -> str:
        """Return the dtype to compute in; see `samplerzoo.system.environment.choose_dtype`."""
        return choose_dtype(dtype, device)

    def check_compiled(self) -> None:
        """Refuse to compile if there is no network.

        Raises:
            UsageError: there is nothing to compile.
        """
        if not self.compiles:
            raise UsageError(f"{self.stub.name} has no network that could be compiled: leave --compile out")

    def offloaded(self, offload: Offload | None, device: str) -> ModelHandle:
        """Return the model with weights that stay in main memory until the device needs them.

        Args:
            offload: how much comes to the device at once; None to keep all weights there.

        Raises:
            UsageError: samplerzoo calls the network itself, or the device is not an accelerator.
        """
        if offload is None:
            return self
        raise UsageError(
            f"{self.stub.name}: --offload is for whole pipelines: leave it out, or add --hosted to run one"
        )

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse a shape (C, H, W) of pictures that the model does not make, before memory is allocated.

        Raises:
            ZooError: the model makes pictures of another shape.
        """
        if self.stub.image_shape != shape:
            raise unlike(self.stub.name, self.stub.image_shape, shape)

    @abstractmethod
    def load(
        self, *, device: str = "auto", dtype: str = "auto", compiled: bool = False, layout: Layout = "contiguous"
    ) -> Model:
        """Read the weights; the arguments are those of `samplerzoo.load`."""

    def load_like(self, model: Model) -> Model:
        """Read the weights to the device of another model, in its dtype and layout, compiled if it is."""
        return self.load(device=model.device, dtype=model.dtype, compiled=model.compiled, layout=model.layout)

    @abstractmethod
    def network_in(self, device: str, dtype: str) -> Callable[[Layout], Network]:
        """Read the weights once. Return a function that changes the memory layout in place, and returns the network."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Return further facts about the model, as JSON."""


def unlike(name: str, made: tuple[int, ...], wanted: tuple[int, ...]) -> ZooError:
    """Return the error for a model that makes pictures of another shape (C, H, W)."""

    def said(shape: tuple[int, ...]) -> str:
        return "x".join(map(str, [*shape[:0:-1], shape[0]]))

    return ZooError(
        f"not the same image: {name} makes pictures of {said(made)} (width, height, channels), and this one has "
        f"{said(wanted)}; --model names the model that made it"
    )


def echo(channels: int = 1) -> Network:
    """Return a stub of a network, which repeats its input along the channels."""

    def net(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        return x.repeat(1, channels, *[1] * (x.ndim - 2))

    return net


def blank_text(shapes: Mapping[str, tuple[int, ...]], identity: Callable[[], str]) -> TextEncoder:
    """Return a stub of a text encoder, whose answers are zeros of the right shapes.

    Args:
        shapes: shape of each input that a prompt becomes.
        identity: SHA-256 of the files of the text encoder.
    """
    import torch

    return TextEncoder(
        encode=lambda prompt: {name: torch.zeros(shape) for name, shape in shapes.items()},
        count=lambda prompt: 0,
        most=0,
        identity=identity,
    )


def slope(classes: int) -> Classifier:
    """Return a stub of a classifier, whose logits and gradients differ between classes."""

    def classifier(x: torch.Tensor, level: Level) -> torch.Tensor:
        return x.flatten(1).mean(1, keepdim=True) * x.new_tensor(range(classes))

    return classifier


def refusing(error: ZooError) -> Classifier:
    """Return a function in the place of a classifier that does not go with its model: it raises this error."""

    def classifier(x: torch.Tensor, level: Level) -> torch.Tensor:
        raise error

    return classifier
