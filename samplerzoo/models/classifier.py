"""Noise-aware classifier p(y | x_t) for guidance: an image classifier of transformers that also sees the noise level.

The level enters as an extra input channel with the constant value log-SNR / 10, which lies in about [-1, 1] for usual
schedules. So a classifier depends on noise levels and not on the number of training timesteps.
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
"""Divisor of the log-SNR in the extra channel."""
MAX_LOG_SNR = 10.0
"""Largest log-SNR that the classifier sees, because that of a clean image is infinite."""


class NoisyClassifier(nn.Module):
    """Classifier of noisy images.

    Args:
        net: image classifier with one input channel more than the images have.
        schedule: schedule that tau refers to.
    """

    def __init__(self, net: nn.Module, schedule: Schedule) -> None:
        super().__init__()
        self.net = net
        # -log abar is linear between the timesteps; log-SNR is infinite at tau = 0 and cannot be interpolated there
        depth = torch.from_numpy(-2 * np.log(schedule.alphas)).float()
        self.register_buffer("depth", depth, persistent=False)
        self.depth: Tensor

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        """Return logits (N, num_classes) for x of shape (N, C, H, W) and tau of shape (N,) in [0, T]."""
        channel = (self.log_snr(tau) / LOG_SNR_SCALE).to(x.dtype)[:, None, None, None]
        logits: Tensor = self.net(torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], dim=1)).logits
        return logits

    def log_snr(self, tau: Tensor) -> Tensor:
        """Return log(alpha^2 / sigma^2), at most MAX_LOG_SNR, for tau of shape (N,)."""
        below = tau.floor().long().clamp(0, len(self.depth) - 2)
        depth = torch.lerp(self.depth[below], self.depth[below + 1], (tau - below).to(self.depth.dtype))
        return -torch.log(torch.expm1(depth)).clamp(min=-MAX_LOG_SNR)


def load_classifier(folder: str | Path, schedule: Schedule, device: str = "cpu") -> NoisyClassifier:
    """Load a noise-aware classifier that `samplerzoo train-classifier` saved.

    Args:
        schedule: schedule of the model to guide. The classifier may have been trained on another one.

    Raises:
        ZooError: the folder holds no such classifier, or its weights are incomplete.
    """
    folder = Path(folder)
    try:
        net, report = ResNetForImageClassification.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ZooError(f"{folder}: not a noise-aware classifier: {reason(error)}") from error
    if report["missing_keys"]:  # transformers would initialise them at random
        raise ZooError(f"{folder}: weights are missing: {min(report['missing_keys'])}, ...")
    # stored weights may have half precision; the gradient needs float32
    return NoisyClassifier(net, schedule).eval().float().to(device)
