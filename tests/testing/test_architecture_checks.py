"""Checks of an architecture: one that is right passes, and mutants fail at the check that is for them."""

from __future__ import annotations

import pytest
import torch
from samplerzoo_plugins.architectures.unet2d import UNet2D

from samplerzoo import NetworkFacts
from samplerzoo.core.condition import Condition
from samplerzoo.testing import check_architecture


class ClaimsEverything(UNet2D):
    """Takes any config for its own."""

    def claims(self, config):
        return True


class ClaimsNothing(UNet2D):
    """Names another class."""

    reads = ("UNet1DModel",)


class LosesTheTime(UNet2D):
    """Tells the network one time."""

    def call(self, module):
        inner = super().call(module)
        return lambda x, time, condition: inner(x, torch.zeros_like(time), condition)


class LosesTheLabels(UNet2D):
    """Tells the network one label."""

    def call(self, module):
        inner = super().call(module)
        return lambda x, time, condition: inner(
            x, time, Condition({"class_labels": torch.zeros_like(condition.inputs["class_labels"])})
        )


class MoreChannels(UNet2D):
    """Says that the variance is learned, and it is not."""

    def facts(self, config):
        return NetworkFacts((1, 8, 8), 1, labels=4, learns_variance=True)


class InTraining(UNet2D):
    """Standardises over the batch."""

    def call(self, module):
        inner = super().call(module)

        def network(x, time, condition):
            answer = inner(x, time, condition)
            return answer - answer.mean(0)

        return network


class OtherWeights(UNet2D):
    """Reads the config alone."""

    def module(self, config):
        class Config:
            @staticmethod
            def from_pretrained(folder, **options):
                return super(OtherWeights, self).module(config).from_config(folder)

        return Config


class Typo(UNet2D):
    def facts(self, config):
        return typo  # noqa: F821


@pytest.fixture(scope="module")
def network(tiny_unet):
    return tiny_unet(num_class_embeds=4)


def test_the_original_passes(network) -> None:
    check_architecture(UNet2D(), network)


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (ClaimsEverything(), "check_claims_its_own_config"),
        (ClaimsNothing(), "check_claims_its_own_config"),
        (LosesTheTime(), "check_time_is_handed_on"),
        (LosesTheLabels(), "check_facts_are_those_of_the_network"),
        (MoreChannels(), "check_facts_are_those_of_the_network"),
        (InTraining(), "check_images_are_answered_alone"),
        (OtherWeights(), "check_what_is_saved_is_read"),
        (Typo(), "test_architecture_checks.py, line"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_a_mutant_is_caught_by_the_check_that_is_for_it(network, mutant: UNet2D, check: str) -> None:
    with pytest.raises(AssertionError, match=check):
        check_architecture(mutant, network)
