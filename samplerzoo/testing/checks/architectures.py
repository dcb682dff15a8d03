"""Checks of an architecture of networks: it claims its own configs alone, and drives what was saved as it was."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from samplerzoo.core.architecture import NetworkArchitecture, NetworkFacts
from samplerzoo.core.condition import Condition
from samplerzoo.testing.fixtures import farthest

IMAGES = 3
TIMES = (7.0, 400.0)
"""Times that a network is told, as fractions of the usual thousand timesteps; some are told log(sigma) or 1 - t."""
STRANGERS: tuple[Mapping[str, Any], ...] = (
    {},
    {"_class_name": "NobodysNetwork"},
    {"_class_name": None},
    {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000},
    {"_class_name": "AutoencoderKL", "latent_channels": 4},
    {"architectures": ["ResNetForImageClassification"]},
)
"""Configs that are not those of a network, or of nobody's."""


def check_claims_its_own_config(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that it claims the config of its network, and none of another class."""
    config = config_of(module)
    assert architecture.claims(config), f"it does not claim the config of {config['_class_name']}: name it in reads"
    for other in STRANGERS:
        assert not architecture.claims(other), f"it claims {dict(other)}, which is another's"


def check_facts_are_those_of_the_network(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that states of the shape, and labels as many as the facts say, are what the network takes and answers."""
    facts = facts_of(architecture, module)
    x, condition = _input(facts)
    answer = _answer(architecture, module, x, TIMES[0], condition)
    channels = facts.channels * (1 + facts.learns_variance)
    wanted = (len(x), channels, *x.shape[2:])
    assert answer.shape == wanted, (
        f"the network answers a tensor of shape {tuple(answer.shape)} to {tuple(x.shape)}, and by its facts it has to "
        f"answer {wanted}"
    )
    assert answer.dtype == x.dtype, f"the network answers {answer.dtype} to {x.dtype}"
    assert torch.isfinite(answer).all(), "the answer is NaN or infinite"
    if facts.labels > 1 or facts.prompt:
        other = _answer(architecture, module, x, TIMES[0], _labelled(facts, shift=1))
        assert farthest(other, answer) > 0, "another label or prompt has the same answer: is the condition handed on?"


def check_time_is_handed_on(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that another time has another answer, fractions included, and each image its own."""
    facts = facts_of(architecture, module)
    x, condition = _input(facts)
    early, late = (_answer(architecture, module, x, time, condition) for time in TIMES)
    assert farthest(early, late) > 0, f"times {TIMES[0]:g} and {TIMES[1]:g} have the same answer: is time handed on?"


def check_images_are_answered_alone(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that the answer to an image does not depend on the others of a batch, and that no state is changed."""
    facts = facts_of(architecture, module)
    x, condition = _input(facts)
    kept = x.clone()
    whole = _answer(architecture, module, x, TIMES[0], condition)
    assert torch.equal(x, kept), "the states are changed in place"
    part = _answer(architecture, module, x[[2, 0]], TIMES[0], condition[[2, 0]])
    off = farthest(part, whole[[2, 0]])
    assert off <= 1e-4 * max(1, float(whole.abs().max())), (
        f"the answers to two images differ by {off:.2g} without the third: is the network in training mode, or is a "
        "row of the condition lost?"
    )


def check_what_is_saved_is_read(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that the network answers the same after it was saved and read again by the class that `module` names."""
    facts = facts_of(architecture, module)
    x, condition = _input(facts)
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        cls = architecture.module(config_of(module))
        assert hasattr(cls, "from_pretrained"), f"module gives {cls!r}, which has no from_pretrained"
        again = cls.from_pretrained(folder, use_safetensors=True)
    off = farthest(*(_answer(architecture, net, x, TIMES[0], condition) for net in (module, again)))
    assert off == 0, f"the answer differs by {off:.2g} after saving and reading: are weights or options lost?"


def config_of(module: Any) -> dict[str, Any]:
    """Return the config of a network as its folder holds it."""
    return {**module.config, "_class_name": type(module).__name__}


def facts_of(architecture: NetworkArchitecture, module: Any) -> NetworkFacts:
    facts: Any = architecture.facts(config_of(module))
    assert isinstance(facts, NetworkFacts), f"facts gives a {type(facts).__name__}, and has to give a NetworkFacts"
    return facts


def _input(facts: NetworkFacts) -> tuple[Tensor, Condition]:
    shape = facts.shape or (facts.channels, 16, 16)
    return torch.randn(IMAGES, *shape, generator=torch.Generator().manual_seed(0)), _labelled(facts)


def _labelled(facts: NetworkFacts, shift: int = 0) -> Condition:
    labels = (torch.arange(IMAGES) + shift) % max(facts.labels, 1)
    told = {"class_labels": labels} if facts.labels else {}
    generator = torch.Generator().manual_seed(shift)
    told |= {name: torch.randn(IMAGES, *shape, generator=generator) for name, shape in facts.prompt.items()}
    return Condition(told, labels)


@torch.no_grad()
def _answer(architecture: NetworkArchitecture, module: Any, x: Tensor, time: float, condition: Condition) -> Tensor:
    found: Any = architecture.call(module.eval())(x, x.new_full((len(x),), time), condition)
    assert isinstance(found, Tensor), f"call's function gives a {type(found).__name__}, and has to give a tensor"
    return found
