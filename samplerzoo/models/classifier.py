"""The noise-aware classifier p(y | x_t) for guidance: a transformers image classifier that is told the noise level.

The level enters as one more input channel, constant over the image: log-SNR / 10, which usual schedules keep in about
[-1, 1]. A classifier is therefore tied to noise levels, not to a number of training timesteps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import ResNetForImageClassification

from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import ZooError, reason

LOG_SNR_SCALE = 10.0
MAX_LOG_SNR = 10.0
"""Cleaner levels look alike to the classifier; a clean image has an infinite log-SNR."""


class NoisyClassifier(nn.Module):
    """Logits of a noisy image.

    Args:
        net: image classifier with one input channel more than the images have.
        schedule: the path that tau refers to.
    """

    def __init__(self, net: nn.Module, schedule: Schedule) -> None:
        super().__init__()
        self.net = net
        # -log abar is linear between the timesteps; log-SNR is infinite at tau = 0 and cannot be interpolated there
        depth = torch.from_numpy(-2 * np.log(schedule.alphas)).float()
        self.register_buffer("depth", depth, persistent=False)
        self.depth: Tensor

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        """x: (N, C, H, W); tau: (N,) in [0, T]. Returns logits (N, num_classes)."""
        channel = (self.log_snr(tau) / LOG_SNR_SCALE).to(x.dtype)[:, None, None, None]
        logits: Tensor = self.net(torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], dim=1)).logits
        return logits

    def log_snr(self, tau: Tensor) -> Tensor:
        """log(alpha^2 / sigma^2) at any tau, cut off at the clean end. Shape (N,)."""
        below = tau.floor().long().clamp(0, len(self.depth) - 2)
        depth = torch.lerp(self.depth[below], self.depth[below + 1], (tau - below).to(self.depth.dtype))
        return -torch.log(torch.expm1(depth)).clamp(min=-MAX_LOG_SNR)


def load_classifier(folder: str | Path, schedule: Schedule, device: str = "cpu") -> NoisyClassifier:
    """The noise-aware classifier that `samplerzoo train-classifier` saved in a folder.

    Args:
        schedule: of the model that it is to guide, whatever schedule it was trained on.
    """
    folder = Path(folder)
    try:
        net, report = ResNetForImageClassification.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ZooError(f"{folder}: not a noise-aware classifier: {reason(error)}") from error
    if report["missing_keys"]:  # transformers would make them up
        raise ZooError(f"{folder}: weights are missing: {min(report['missing_keys'])}, ...")
    # weights may be stored in half precision; what the gradient is taken of is not computed in it
    return NoisyClassifier(net, schedule).eval().float().to(device)
