"""Checks of an architecture of networks: it claims only its own configs, and a saved network works as before."""

from __future__ import annotations

import copy
import json
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
"""Time inputs of a network with the usual thousand timesteps. Some networks take log(sigma) or 1 - t instead."""
SIDES = ((16, 16), (8, 8), (16, 32), (24, 8), (9, 9), (7, 5), (32, 32))
"""Heights and widths of states for a config that leaves them open."""
STIR = 0.02
"""Standard deviation of the noise that is added to the weights."""
STRANGERS: tuple[Mapping[str, Any], ...] = (
    {},
    {"_class_name": "NobodysNetwork"},
    {"_class_name": None},
    {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000},
    {"_class_name": "AutoencoderKL", "latent_channels": 4},
    {"architectures": ["ResNetForImageClassification"]},
)
"""Configs that do not belong to any known network."""


def check_claims_its_own_config(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that it claims the config of its network, and no config of another class."""
    config = config_of(module)
    assert architecture.claims(config), f"it does not claim the config of {config['_class_name']}: name it in reads"
    for other in STRANGERS:
        assert not architecture.claims(other), f"it claims {dict(other)}, which is another's"


def check_facts_are_those_of_the_network(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that the network takes states and labels, and returns outputs, as its facts say."""
    facts = facts_of(architecture, module)
    for shape in _shapes(facts):
        x, condition = given(facts, IMAGES, shape)
        try:
            answer = answer_of(architecture, module, x, times_of(facts)[0], condition)
        except RuntimeError:
            if shape == _shapes(facts)[0]:
                raise
            continue  # if the config leaves the size open, a network may still require even sides
        channels = facts.channels * (1 + facts.learns_variance)
        wanted = (len(x), channels, *shape[1:])
        assert answer.shape == wanted, (
            f"the network answers a tensor of shape {tuple(answer.shape)} to {tuple(x.shape)}, and by its facts it has "
            f"to answer {wanted}"
        )
        assert answer.dtype == x.dtype, f"the network answers {answer.dtype} to {x.dtype}"
        assert torch.isfinite(answer).all(), f"the answer to {tuple(x.shape)} is NaN or infinite"


def check_what_is_saved_is_read(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that the network gives the same output after it was saved and read again with the class from `module`."""
    facts = facts_of(architecture, module)
    x, condition = given(facts, IMAGES)
    again = read_again(architecture, module)
    for time in times_of(facts):
        off = farthest(*(answer_of(architecture, net, x, time, condition) for net in (module, again)))
        assert off == 0, f"the answer differs by {off:.2g} after saving and reading: are weights or options lost?"
    for name, value in module.config.items():
        found = again.config.get(name)
        assert name.startswith("_") or _as_json(found) == _as_json(value), (
            f"the option {name} of its config is {value!r} before saving and {found!r} after reading"
        )


def read_again(architecture: NetworkArchitecture, module: Any, dtype: torch.dtype = torch.float32) -> Any:
    """Save a network, and read it again in a dtype with the class that the architecture names."""
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        cls = architecture.module(config_of(module))
        assert hasattr(cls, "from_pretrained"), f"module gives {cls!r}, which has no from_pretrained"
        return cls.from_pretrained(folder, torch_dtype=dtype, use_safetensors=True)


def stirred(module: Any) -> Any:
    """Return a copy of a network with slightly changed weights, so that every weight has an effect.

    Many networks are initialised with zeros in their last layer, and would give the same output for any input.
    """
    found, generator = copy.deepcopy(module), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in found.parameters():
            if weights.is_floating_point():
                noise = torch.randn(weights.shape, generator=generator, dtype=torch.float32)
                weights += (STIR * noise).to(weights)
    return found


def config_of(module: Any) -> dict[str, Any]:
    """Return the config of a network as its folder holds it."""
    return {**module.config, "_class_name": type(module).__name__}


def facts_of(architecture: NetworkArchitecture, module: Any) -> NetworkFacts:
    facts: Any = architecture.facts(config_of(module))
    assert isinstance(facts, NetworkFacts), f"facts gives a {type(facts).__name__}, and has to give a NetworkFacts"
    return facts


def times_of(facts: NetworkFacts) -> tuple[float, ...]:
    """Return times that the network knows."""
    return TIMES if facts.times is None else tuple(min(time, facts.times - 1) for time in TIMES)


def given(facts: NetworkFacts, images: int, shape: tuple[int, ...] | None = None) -> tuple[Tensor, Condition]:
    """Return different states with a condition for each. The conditions are not sorted."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, *(shape or _shapes(facts)[0]), generator=generator)
    return x, condition_of(facts, torch.randperm(images, generator=generator))


def condition_of(facts: NetworkFacts, numbers: Tensor) -> Condition:
    """Return a condition for each number: the label with that number, or a different prompt."""
    labels = numbers % max(facts.labels, 1)
    told = {"class_labels": labels} if facts.labels else {}
    for name, shape in facts.prompt.items():
        generators = (torch.Generator().manual_seed(int(number)) for number in numbers)
        told[name] = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return Condition(told, labels)


@torch.no_grad()
def answer_of(
    architecture: NetworkArchitecture, module: Any, x: Tensor, time: float | Tensor, condition: Condition
) -> Tensor:
    """Call a network, and check that it does not change its inputs.

    Args:
        time: one for all images, or one for each.
    """
    times = time if isinstance(time, Tensor) else x.new_full((len(x),), time)
    handed = {"states": x, "times": times, **condition.inputs}
    kept = {name: value.clone() for name, value in handed.items()}
    found: Any = architecture.call(module.eval())(x, times, condition)
    assert isinstance(found, Tensor), f"call's function gives a {type(found).__name__}, and has to give a tensor"
    for name, value in handed.items():
        assert x.is_meta or torch.equal(value, kept[name]), f"the {name} are changed in place"
    return found


def _shapes(facts: NetworkFacts) -> list[tuple[int, ...]]:
    """List shapes of states: the one of the facts, or several with its channels if the size is open."""
    return [facts.shape] if facts.shape else [(facts.channels, *sides) for sides in SIDES]


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)
