"""Check of devices: a sampler's tensors are where its state is."""

from __future__ import annotations

from unittest import SkipTest

import torch

from samplerzoo.core.blame import blame
from samplerzoo.core.level import Level
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.walk import walk
from samplerzoo.testing.fixtures import ON_VP, Path

ELSEWHERE = torch.device("meta")
"""Device of torch that holds no numbers, and takes no tensor of another one but single numbers, as accelerators do."""

MIXED = ("is not on the expected device", "on the same device")
"""Words of torch's errors about two devices."""

ADVICE = "make a tensor on that of x, as x.new_tensor(...) does, or take Python floats"

SHAPE = (2, 3, 4, 4)


def check_device_is_that_of_the_state(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that every tensor of a run is on the device of x_T, by a run on torch's device without numbers.

    Factors that are a tensor on the CPU fail on every other device. A sampler that looks at numbers on its way cannot
    be run without them.
    """
    if not device_is_kept(sampler, path):
        raise SkipTest("it looks at numbers on its way, so that devices cannot be told")


@torch.no_grad()
def device_is_kept(sampler: Sampler, path: Path) -> bool:
    """Check it, and say whether it can be told at all."""

    def draw() -> torch.Tensor:
        return torch.empty(SHAPE, device=ELSEWHERE)

    def predict(x: torch.Tensor, level: Level) -> Prediction:
        assert x.device == ELSEWHERE, f"it asks the network about an x on the {x.device}, where x_T is not: {ADVICE}"
        return Prediction(x, level, draw(), draw(), draw(), draw() if sampler.takes_shift else None)

    try:
        for number, x in enumerate(walk(sampler, path.uneven, Denoiser(predict, path.schedule), draw)):
            assert x.device == ELSEWHERE, f"its state of step {number} is on the {x.device}, where x_T is not: {ADVICE}"
    except (RuntimeError, NotImplementedError) as error:
        if any(words in str(error) for words in MIXED):
            raise AssertionError(
                f"a tensor is on another device than x, which is no matter on the CPU alone: {blame(error, sampler)}; "
                f"{ADVICE}"
            ) from error
        return False
    return True
