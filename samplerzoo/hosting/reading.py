"""Reading of a pipeline's noise path and parametrization from its scheduler's config, by the architectures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samplerzoo.core.architecture import NetworkFacts, PathArchitecture, PathFacts
from samplerzoo.core.blame import bad_answer
from samplerzoo.core.model import NO_CLIP, Model
from samplerzoo.core.prediction import Clip
from samplerzoo.errors import ZooError, reason
from samplerzoo.models.handle import echo
from samplerzoo.models.parts import Part, architecture_of

STUB = (4, 2, 2)
"""Shape of the states when a walk is planned."""
LEARNED = ("learned", "learned_range")
"""Values of `variance_type` with which pipelines pass on the learned variance of a network."""


def read_model(config: Mapping[str, Any], clip_x0: str | None) -> Model:
    """Return path, parametrization and clip as a model, with a stub instead of the network.

    Args:
        clip_x0: clip instead of the config's own.

    Raises:
        ZooError: no architecture reads the config, or it does not describe a valid model.
    """
    part = Part("scheduler", Path("scheduler"), dict(config))
    reader = architecture_of(part)
    if not isinstance(reader, PathArchitecture):
        raise ZooError(f"no architecture reads {part.kind}, so that the path of the network is not known")
    network = NetworkFacts(shape=None, channels=STUB[0], learns_variance=config.get("variance_type") in LEARNED)
    try:
        facts = reader.path(config, network)
    except ZooError as error:
        raise ZooError(f"{part.kind}: {error}") from error
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise ZooError(f"{part.kind}: its config makes no model: {reason(error)}") from error
    if not isinstance(facts, PathFacts):
        raise bad_answer(reader, "path", facts, "PathFacts")
    return Model(
        echo(2 if network.learns_variance else 1),
        facts.schedule,
        facts.parametrization,
        shape=STUB,
        averages=facts.averages,
        variance=facts.variance,
        clip=(facts.clip or NO_CLIP) if clip_x0 is None else Clip.parse(clip_x0),
        name=f"the network behind a {part.kind}",
    )
