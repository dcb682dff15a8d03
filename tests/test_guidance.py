"""The guidance protocol itself."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from samplerzoo.driver import sample
from samplerzoo.guidance import Guidance
from samplerzoo.schedule import Schedule
from samplerzoo.testing import mixture


def test_the_scale_is_bounded() -> None:
    assert Guidance().scale == 1.0
    for wrong in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ValidationError):
            Guidance(scale=wrong)


def test_a_guidance_without_guide_says_so(linear: Schedule) -> None:
    class Empty(Guidance):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no guide"):
        sample(mixture(linear, torch.eye(2)), "ddim", guidance=Empty(), num_images=1)


def test_a_guidance_of_ones_own_sees_network_labels_and_model(linear: Schedule) -> None:
    """It comes between network and sampler, for any sampler; here it turns every label into the last one."""

    class Stubborn(Guidance):
        def guide(self, denoise, labels, model):
            assert labels.tolist() == [0, 1]
            last = torch.full_like(labels, model.num_classes - 1)
            return lambda x, t: denoise(x, t, last)

    model = mixture(linear, torch.eye(3))
    for sampler in ("ddim", "ddpm"):
        stubborn = sample(model, sampler, guidance=Stubborn(), labels=[0, 1], steps=4)
        assert torch.equal(stubborn.images, sample(model, sampler, labels=[2, 2], steps=4).images)
