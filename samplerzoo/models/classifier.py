"""Noise-aware classifier p(y | x_t) for guidance: an image classifier of transformers that also sees the noise level.

The level enters as an extra input channel with the constant value log-SNR / 10, which lies in about [-1, 1] for usual
schedules. So a classifier depends on noise levels and not on the number of training timesteps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import ResNetForImageClassification

from samplerzoo.core.level import Level
from samplerzoo.errors import ZooError, reason
from samplerzoo.models.transformers_folder import check_transformers

if TYPE_CHECKING:
    from samplerzoo.core.model import Classifier

LOG_SNR_SCALE = 10.0
"""Divisor of the log-SNR in the extra channel."""
MAX_LOG_SNR = 10.0
"""Largest log-SNR that the classifier sees, because that of a clean image is infinite."""


class NoisyClassifier(nn.Module):
    """Classifier of noisy images on any kind of path. Its input is scaled to alpha^2 + sigma^2 = 1.

    Args:
        net: image classifier with one input channel more than the images have.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return logits (N, num_classes) for states (N, C, H, W) at levels with this alpha and sigma, each (N,)."""
        log_snr = 2 * (alpha.log() - sigma.log())
        channel = (log_snr.clamp(max=MAX_LOG_SNR) / LOG_SNR_SCALE).to(x.dtype)[:, None, None, None]
        scaled = x / torch.hypot(alpha, sigma).to(x.dtype)[:, None, None, None]
        logits: Tensor = self.net(torch.cat([scaled, channel.expand(-1, 1, *x.shape[2:])], dim=1)).logits
        return logits

    def at(self, x: Tensor, level: Level) -> Tensor:
        """Return logits for states that are all at one level."""
        return self(x, *(x.new_full((len(x),), value) for value in (level.alpha, level.sigma)))


def load_classifier(folder: str | Path, device: str = "cpu") -> Classifier:
    """Load a noise-aware classifier that `samplerzoo train-classifier` saved, as a function of states and their level.

    Raises:
        ZooError: the folder holds no such classifier, or its weights are incomplete.
    """
    folder = Path(folder)
    try:
        check_transformers(folder)
        net, report = ResNetForImageClassification.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # the kind of error depends on what is broken
        raise ZooError(f"{folder}: not a noise-aware classifier: {reason(error)}") from error
    if report["missing_keys"]:  # transformers would initialise them at random
        raise ZooError(f"{folder}: weights are missing: {min(report['missing_keys'])}, ...")
    # stored weights may have half precision; the gradient needs float32
    return NoisyClassifier(net).eval().float().to(device).at
