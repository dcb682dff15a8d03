"""Cost of sampling in network evaluations. The driver counts them where it calls the network."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass
class Cost:
    """Counts of network evaluations, summed over all images. The properties are per image."""

    images: int = 0
    calls: int = 0
    """Network calls, counted once for each image in the batch."""
    evaluations: int = 0
    """Rows of network input. Classifier-free guidance takes two per image and call."""
    gradients: int = 0
    """Rows of classifier input. Each costs a forward and a backward pass."""
    second: int = 0
    """Rows of input to the second network of a guidance."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def nfe(self) -> float:
        """Network function evaluations per image."""
        return self.evaluations / self.images

    @property
    def calls_per_image(self) -> float:
        return self.calls / self.images

    @property
    def gradients_per_image(self) -> float:
        return self.gradients / self.images

    @property
    def second_nfe(self) -> float:
        """Evaluations of the second network of a guidance, per image."""
        return self.second / self.images

    @property
    def work(self) -> float:
        """Evaluations per image, including those of a second network and gradients of a classifier."""
        return self.nfe + self.gradients_per_image + self.second_nfe

    def per_image(self) -> dict[str, float]:
        """Return the counts per image by their names in records and reports."""
        return {
            "nfe": self.nfe,
            "network_calls": self.calls_per_image,
            "classifier_gradients": self.gradients_per_image,
            "second_nfe": self.second_nfe,
        }
