"""Empirical distribution of given images as a model: the answers of a perfect network that was trained on them.

With a bandwidth h each image x_i is widened to N(x_i, h^2 I). The noisy state is then a mixture of N(alpha x_i, v I)
with v = alpha^2 h^2 + sigma^2. So w_i = softmax_i(-|x - alpha x_i|^2 / 2v) are the probabilities of the images given
the state, mu = sum_i w_i x_i is their mean, and E[x_0 | x] = mu + alpha h^2 / v (x - alpha mu).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.exact import told
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.schedule import Schedule

BLOCK = 2**22
"""Values of images, or of their weights, that are in memory at once."""

CANCELS = 1e-4
"""Ratio of v to the number of pixels below which distances are computed in float64.

|x - alpha x_i|^2 is expanded, so that all distances are one matrix product. Its terms are about as large as the number
of pixels. Their relative rounding error in float32, 2^-24, is divided by v: above this ratio a log weight has an error
of at most 1e-3.
"""


class Images:
    """Images that a state may come from, sorted by class.

    Args:
        images: (M, *shape); uint8 stands for [-1, 1].
        counts: number of images of each class, all above 0; empty if the images have no classes.
        bandwidth: standard deviation of the Gaussian around each image.
    """

    def __init__(self, images: Tensor, counts: Sequence[int] = (), bandwidth: float = 0.0) -> None:
        self._images, self._bandwidth = images.flatten(1), bandwidth
        self._edges = [0, *accumulate(counts)]
        blocks = self._blocks(0, len(images), 1)
        self._half_squares = torch.cat([_double(block).square().sum(1) / 2 for block, _ in blocks])

    @property
    def classes(self) -> int:
        """Number of classes. As a label it asks for an image of any class."""
        return len(self._edges) - 1

    def denoise(self, x: Tensor, t: Level, labels: Tensor | None = None) -> Tensor:
        """Return E[x_0 | x] of states (N, *shape), given the class of each one if there are labels."""
        mean = torch.empty_like(x)
        for label in [self.classes] if labels is None else labels.unique().tolist():
            rows = slice(None) if labels is None else labels == label
            mean[rows] = self.posterior(x[rows], t, label)[1]
        return torch.lerp(mean, x / t.alpha, (t.alpha * self._bandwidth) ** 2 / self._variance(t))

    def log_evidence(self, x: Tensor, t: Level) -> Tensor:
        """Return log p(x, k) of every class k, up to a constant for each state: (N, K), differentiable in x."""
        found: Tensor = _LogEvidence.apply(x, self, t)
        return found

    def posterior(self, x: Tensor, t: Level, label: int) -> tuple[Tensor, Tensor]:
        """Return log p(x, k), up to a constant for each state, and the posterior mean mu of the images of a class.

        The sums over images are accumulated block by block, relative to the largest weight so far.
        """
        first, last = (0, len(self._images)) if label == self.classes else self._edges[label : label + 2]
        states = x.flatten(1)
        mean, total = torch.zeros_like(states), states.new_zeros(len(x), 1)
        top: Tensor | None = None
        for block, rows in self._blocks(first, last, len(x)):
            images = block.to(x.dtype)
            logits = self._logits(states, t, images, rows)
            highest = logits.amax(1, keepdim=True)
            if top is not None:
                highest = torch.maximum(top, highest)
                kept = (top - highest).to(x).exp()
                mean, total = kept * mean, kept * total
            weights = (logits - highest).to(x).exp()
            mean, total, top = mean + weights @ images, total + weights.sum(1, keepdim=True), highest
        assert top is not None
        return (top + total.to(top).log())[:, 0], (mean / total).reshape(x.shape)

    def _logits(self, x: Tensor, t: Level, images: Tensor, rows: slice) -> Tensor:
        """Return (alpha x . x_i - alpha^2 |x_i|^2 / 2) / v, the logits of the weights: (N, rows)."""
        v, half_squares = self._variance(t), self._half_squares[rows]
        if v < CANCELS * x.shape[1]:
            return (t.alpha * _double(x) @ _double(images).T - t.alpha**2 * half_squares) / v
        return (t.alpha * x @ images.T - t.alpha**2 * half_squares.to(x)) / v

    def _variance(self, t: Level) -> float:
        return (t.alpha * self._bandwidth) ** 2 + t.sigma**2

    def _blocks(self, first: int, last: int, states: int) -> Iterator[tuple[Tensor, slice]]:
        """Yield the images from first to last in [-1, 1], block by block, each with the slice of its rows."""
        size = max(1, BLOCK // max(self._images.shape[1], states))
        for start in range(first, last, size):
            rows = slice(start, min(start + size, last))
            images = self._images[rows]
            yield images.float() / 127.5 - 1 if images.dtype == torch.uint8 else images, rows


class _LogEvidence(torch.autograd.Function):
    """Log evidence of every class. Its gradient in x is alpha mu_k / v, so no block has to be kept for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, images: Images, t: Level) -> Tensor:
        found = [images.posterior(x, t, label) for label in range(images.classes)]
        ctx.scale = t.alpha / images._variance(t)
        ctx.save_for_backward(torch.stack([mean for _, mean in found]))
        logs = torch.stack([log for log, _ in found], dim=1)
        return (logs - logs.amax(1, keepdim=True)).to(x)  # subtract before float32, where it would drown differences

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (means,) = ctx.saved_tensors
        return ctx.scale * torch.einsum("nk,kn...->n...", gradients[0], means), None, None


def empirical(
    schedule: Schedule, images: Tensor, counts: Sequence[int] = (), bandwidth: float = 0.0, **facts: Any
) -> Model:
    """Make a model of given images; with classes it has a null label and an exact classifier.

    Args:
        images, counts, bandwidth: as of `Images`.
        facts: other attributes of the Model.
    """
    known, K = Images(images, counts, bandwidth), len(counts) or None

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        return known.denoise(x, told(schedule, tau), condition.inputs.get("class_labels"))

    return Model(
        net, schedule, SAMPLE, shape=tuple(images.shape[1:]), num_classes=K, null_label=K,
        classifier=known.log_evidence if K else None, classifier_classes=K, **facts,
    )  # fmt: skip


def _double(x: Tensor) -> Tensor:
    """Return a tensor in float64. MPS lacks float64, so its tensors are moved to the CPU."""
    return (x.cpu() if x.device.type == "mps" else x).double()
