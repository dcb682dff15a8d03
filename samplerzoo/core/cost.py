"""What sampling costs: the driver counts it at the network."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass
class Cost:
    """What sampling cost, summed over images; the properties are per image."""

    images: int = 0
    calls: int = 0
    """Network calls that an image went through, in whatever company."""
    evaluations: int = 0
    """Rows of network input: classifier-free guidance has two an image and call."""
    gradients: int = 0
    """Rows of classifier input; each is a forward and a backward pass."""
    second: int = 0
    """Rows of input of a guidance's own network."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def nfe(self) -> float:
        """Network function evaluations an image."""
        return self.evaluations / self.images

    @property
    def calls_per_image(self) -> float:
        return self.calls / self.images

    @property
    def gradients_per_image(self) -> float:
        return self.gradients / self.images

    @property
    def second_nfe(self) -> float:
        """Evaluations an image of a guidance's own network."""
        return self.second / self.images

    def per_image(self) -> dict[str, float]:
        """For records and reports."""
        return {
            "nfe": self.nfe,
            "network_calls": self.calls_per_image,
            "classifier_gradients": self.gradients_per_image,
            "second_nfe": self.second_nfe,
        }
