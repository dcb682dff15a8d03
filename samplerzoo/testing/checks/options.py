"""Checks of a plugin's description of itself, its options and its source, for samplers and guidances alike."""

from __future__ import annotations

import pickle
import re

from pydantic_core import PydanticUndefined

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.kinds import bases, check_plugin
from samplerzoo.core.protocol import check_values
from samplerzoo.core.sampler import Sampler
from samplerzoo.options import Options

CITATION = re.compile(r"\b[A-Z][\w'’-]+(?:(?:,| and| &)? [A-Z][\w'’-]+)*(?: et al\.?)?,? \(?(?:19|20)\d\d[a-z]?\b")
"""Names that begin with a capital, followed by a year."""

BOUNDED = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "enum", "const", "pattern", "maxLength"}


def check_keeps_the_protocol(plugin: Options) -> None:
    """Check that it can be registered: its members fit their use, and no field has the name of a flag of `run`."""
    check_plugin(type(plugin), next(kind for kind, base in bases().items() if isinstance(plugin, base)))
    if isinstance(plugin, Sampler):
        check_values(plugin, "order", "takes_shift")
    if isinstance(plugin, Guidance):
        check_values(plugin, "keeps_scale_1")


def check_cites_its_source(plugin: Options) -> None:
    """Check that the docstring names author and year, so that readers know which method is meant."""
    text = type(plugin).__dict__.get("__doc__") or ""
    assert text.strip(), f"{type(plugin).__name__} has no docstring: name the method, its authors and the year"
    assert CITATION.search(" ".join(text.split())), (
        f"the docstring of {type(plugin).__name__} cites no source: name author and year, as in (Song et al. 2021, "
        "eq. 13), or (Doe 2026, unpublished) for your own"
    )


def check_options_are_documented(plugin: Options) -> None:
    """Check that every option has help, a default, and bounds or choices, since a flag may be given any value.

    Text with the default None needs no choices: it names a thing that only the user knows.
    """
    properties = type(plugin).model_json_schema()["properties"]
    for name, field in type(plugin).model_fields.items():
        option = f"the option {name} of {type(plugin).__name__}"
        assert field.description, f"{option} has no help: Field(..., description=...)"
        assert field.default is not PydanticUndefined or field.default_factory is not None, f"{option} has no default"
        free = {"boolean", "null"} | ({"string"} if field.default is None else set())
        for part in _parts(properties[field.alias or name]):
            assert part.get("type") in free or BOUNDED & set(part) or "$ref" in part, (
                f"{option} has neither bounds nor choices: Field(..., ge=..., le=...) or Literal[...]"
            )


def check_options_survive(plugin: Options) -> None:
    """Check that options survive JSON, as in the record of a run, and pickle, as when sent to another process."""
    cls = type(plugin)
    text = plugin.model_dump_json()
    assert cls.model_validate_json(text) == plugin, f"{plugin!r} comes back from JSON {text} as something else"
    try:
        copy = pickle.loads(pickle.dumps(plugin))
    except Exception as error:  # pickle raises half a dozen kinds
        raise AssertionError(f"{plugin!r} cannot be pickled ({error}): define it at the top of a module") from error
    assert copy == plugin, f"{plugin!r} comes back from pickle as {copy!r}"


def _parts(schema: dict) -> list[dict]:
    """List the alternatives of a type; for a list, the type of its elements."""
    parts = schema.get("anyOf", [schema])
    return [part.get("items", part) if part.get("type") == "array" else part for part in parts]
