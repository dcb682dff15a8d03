"""Checks of an architecture: one that is right passes, and mutants fail at the check that is for them."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from diffusers import DiTTransformer2DModel
from samplerzoo_plugins.architectures.dit import DiT
from samplerzoo_plugins.architectures.unet2d import UNet2D

from samplerzoo import NetworkFacts
from samplerzoo.core.condition import Condition
from samplerzoo.testing import Outcome, check_architecture
from samplerzoo.testing.checks import ARCHITECTURE_CHECKS
from samplerzoo.testing.checks.architectures import stirred


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


class Wrong(UNet2D):
    """Drives the network in a way that something is wrong with."""

    def call(self, module):
        inner = super().call(module)
        return lambda x, time, condition: self.answer(inner, module, x, time, condition)

    def answer(self, inner, module, x, time, condition):
        return inner(x, time, condition)


class LosesTheLabelOfOne(Wrong):
    """Tells the network one label, if there is one image."""

    def answer(self, inner, module, x, time, condition):
        told = condition if len(x) > 1 else Condition({"class_labels": condition.inputs["class_labels"] * 0})
        return inner(x, time, told)


class LosesTheLastLabel(Wrong):
    def answer(self, inner, module, x, time, condition):
        return inner(x, time, Condition({"class_labels": condition.inputs["class_labels"].clamp(max=2)}))


class BatchesOfThirteen(Wrong):
    def answer(self, inner, module, x, time, condition):
        return inner(x, time, condition) * (0.9 if len(x) == 13 else 1)


class TimeOfTheFirst(Wrong):
    """Tells the network the time of the first image."""

    def answer(self, inner, module, x, time, condition):
        return inner(x, time[:1].repeat(len(x)), condition)


class WholeTimes(Wrong):
    """Cuts the time down to a whole number."""

    def answer(self, inner, module, x, time, condition):
        return inner(x, time.long(), condition)


class OtherwiseAt(Wrong):
    """Answers v in the place of eps at one time."""

    time: ClassVar[float] = 500

    def answer(self, inner, module, x, time, condition):
        eps = inner(x, time, condition)
        return torch.where((time == self.time)[:, None, None, None], 0.7 * eps - 0.7 * x, eps)


class OtherwiseAtTheTop(OtherwiseAt):
    time: ClassVar[float] = 999


class OtherwiseInTheMiddle(OtherwiseAt):
    """Answers so at a time as networks of flows have it."""

    time: ClassVar[float] = 0.5


class TwoExperts(Wrong):
    """Answers as one network above a time and as another below it, and is right."""

    def answer(self, inner, module, x, time, condition):
        late = (time >= 417)[:, None, None, None]
        return torch.where(late, inner(x, time, condition), 0.7 * inner(x, time + 3000, condition))


class MovesTheTimes(Wrong):
    """Changes the times in place."""

    def answer(self, inner, module, x, time, condition):
        return inner(x, time.add_(1), condition)


class DtypeOfTheWeights(Wrong):
    """Answers in the dtype of the weights."""

    def answer(self, inner, module, x, time, condition):
        return module(x.to(module.dtype), time, **condition.inputs).sample


class TimeInHalf(Wrong):
    """Hands on the time in the dtype of the weights."""

    def answer(self, inner, module, x, time, condition):
        return inner(x, time.to(module.dtype), condition)


class RoundsToEights(Wrong):
    """Rounds what half precision answers."""

    def answer(self, inner, module, x, time, condition):
        answer = inner(x, time, condition)
        return answer if module.dtype == torch.float32 else (answer * 2).round() / 2


class Float32Alone(Wrong):
    """Hands on float32, whatever the weights are."""

    def answer(self, inner, module, x, time, condition):
        return module(x, time, **condition.inputs).sample


class KeepsTheCondition(Wrong):
    """Keeps the condition of the first call with a batch of a size."""

    def call(self, module):
        inner, kept = UNet2D.call(self, module), {}
        return lambda x, time, condition: inner(x, time, kept.setdefault(len(x), condition))


class KeepsTheAnswer(Wrong):
    """Keeps answers by time and first pixel."""

    def call(self, module):
        inner, kept = UNet2D.call(self, module), {}

        def network(x, time, condition):
            key = (len(x), float(time[0]), float(x.flatten()[0]), str(condition.inputs))
            if key not in kept:
                kept[key] = inner(x, time, condition)
            return kept[key]

        return network


class LabelsOfLargeBatches(Wrong):
    """Takes the labels of the first 64 images for those of more."""

    def answer(self, inner, module, x, time, condition):
        return inner(x, time, condition[torch.arange(len(x)) % 64])


class ReadsInBfloat16(Wrong):
    """Rounds the state."""

    def answer(self, inner, module, x, time, condition):
        return inner(x.bfloat16().to(x.dtype), time, condition)


class OnTheCPU(Wrong):
    """Makes a tensor on the CPU."""

    def answer(self, inner, module, x, time, condition):
        return inner(x, time, condition) * torch.ones(1, 1, 1, 1).expand(len(x), -1, -1, -1)


class Typo(UNet2D):
    def facts(self, config):
        return typo  # noqa: F821


@pytest.fixture(scope="module")
def network(tiny_unet):
    return tiny_unet(num_class_embeds=4)


def test_the_originals_pass(network, tiny_unet) -> None:
    assert not _warnings(check_architecture(UNet2D(), network))
    CHECKS["check_no_time_is_read_otherwise"](TwoExperts(), stirred(network))
    assert not _warnings(check_architecture(UNet2D(), tiny_unet(time_embedding_type="fourier", sample_size=None)))
    table = tiny_unet(time_embedding_type="learned", num_train_timesteps=100, in_channels=3, out_channels=6)
    assert not _warnings(check_architecture(UNet2D(), table))


def test_zeros_in_the_last_layer_hide_nothing() -> None:
    """Check a network that begins with zeros, as a DiT does."""
    options = {"num_layers": 1, "num_attention_heads": 1, "attention_head_dim": 8, "num_embeds_ada_norm": 3}
    network = DiTTransformer2DModel(sample_size=4, in_channels=4, out_channels=4, **options)
    assert not _warnings(check_architecture(DiT(), network))
    for name in ("check_every_label_is_handed_on", "check_time_is_handed_on"):
        with pytest.raises(AssertionError, match="the same answer"):
            CHECKS[name](_Deaf(), stirred(network))


class _Deaf(DiT):
    """Tells the network nothing."""

    def call(self, module):
        inner = super().call(module)
        told = lambda condition: Condition({"class_labels": condition.inputs["class_labels"] * 0})  # noqa: E731
        return lambda x, time, condition: inner(x, time * 0, told(condition))


def _warnings(found: list[Outcome]) -> list[str]:
    return [str(outcome) for outcome in found if outcome.status == "warning"]


CHECKS = {check.__name__: check for check in ARCHITECTURE_CHECKS}
MUTANTS = [
    (ClaimsEverything(), "check_claims_its_own_config"),
    (ClaimsNothing(), "check_claims_its_own_config"),
    (LosesTheTime(), "check_time_is_handed_on"),
    (WholeTimes(), "check_time_is_handed_on"),
    (OtherwiseAt(), "check_no_time_is_read_otherwise"),
    (OtherwiseAtTheTop(), "check_no_time_is_read_otherwise"),
    (OtherwiseInTheMiddle(), "check_no_time_is_read_otherwise"),
    (LosesTheLabels(), "check_every_label_is_handed_on"),
    (LosesTheLabelOfOne(), "check_every_label_is_handed_on"),
    (LosesTheLastLabel(), "check_every_label_is_handed_on"),
    (MoreChannels(), "check_facts_are_those_of_the_network"),
    (MovesTheTimes(), "check_facts_are_those_of_the_network"),
    (InTraining(), "check_images_are_answered_alone"),
    (BatchesOfThirteen(), "check_images_are_answered_alone"),
    (TimeOfTheFirst(), "check_images_are_answered_alone"),
    (LabelsOfLargeBatches(), "check_images_are_answered_alone"),
    (KeepsTheCondition(), "check_calls_are_answered_alone"),
    (KeepsTheAnswer(), "check_calls_are_answered_alone"),
    (ReadsInBfloat16(), "check_float32_has_its_digits"),
    (DtypeOfTheWeights(), "check_half_precision_is_answered_in_float32"),
    (TimeInHalf(), "check_half_precision_is_answered_in_float32"),
    (RoundsToEights(), "check_half_precision_is_answered_in_float32"),
    (Float32Alone(), "check_takes_half_precision"),
    (OnTheCPU(), "check_device_is_that_of_the_network"),
    (OtherWeights(), "check_what_is_saved_is_read"),
]


@pytest.mark.parametrize(("mutant", "check"), MUTANTS, ids=[type(mutant).__name__ for mutant, _ in MUTANTS])
def test_a_mutant_is_caught_by_the_check_that_is_for_it(network, mutant: UNet2D, check: str) -> None:
    with pytest.raises(AssertionError):
        CHECKS[check](mutant, stirred(network))


def test_every_check_catches_a_mutant() -> None:
    assert {check for _, check in MUTANTS} == {*CHECKS}


def test_an_error_has_its_file_and_line(network) -> None:
    with pytest.raises(AssertionError, match=r"test_architecture_checks\.py, line"):
        check_architecture(Typo(), network)
