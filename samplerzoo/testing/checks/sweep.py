"""Checks of every option over the values that its bounds allow: each does something, and none makes a method wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch

from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.errors import UsageError
from samplerzoo.testing.checks.answers import (
    check_kinds_of_network_agree,
    check_lands_on_the_point,
    check_moments,
    check_order,
)
from samplerzoo.testing.checks.refusals import refusal
from samplerzoo.testing.checks.steps import check_every_step, check_steps
from samplerzoo.testing.checks.walk import (
    check_float32_is_enough,
    check_irregular_grids,
    check_noise_is_as_predicted,
)
from samplerzoo.testing.fixtures import ON_VP, Path, bimodal, given_noise, states
from samplerzoo.testing.steps import fine_grids

EXACT_CHECKS = (
    check_every_step,
    check_noise_is_as_predicted,
    check_float32_is_enough,
    check_lands_on_the_point,
    check_irregular_grids,
    check_kinds_of_network_agree,
    check_moments,
)

STEPS = 10

MOST = 60
"""Settings that a thorough sweep tries, evenly spread over all combinations."""


def check_options_act(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that every option changes a state somewhere, the others being as they are or varied."""
    around = [sampler, *neighbours(sampler)]
    for name in type(sampler).model_fields:
        ways: dict[str, list[torch.Tensor] | None] = {}
        acts = any(
            not _same(_way(base, path, ways), _way(other, path, ways))
            for base in around
            for other in neighbours(base, name)
        )
        assert acts, f"the option {name} changes no state, whatever it and the other options are set to"


def check_settings_hold(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check the steps of the sampler with each option at other values that its bounds allow, one at a time."""
    for other in neighbours(sampler):
        if refusal(other, path) is not None:
            continue
        try:
            for name, schedule in path.schedules.items():
                grids = fine_grids(schedule)
                chosen = [*grids][:: 2 if schedule is path.schedule else len(grids) - 1]
                check_steps(other, schedule, {what: grids[what] for what in chosen}, name)
            check_noise_is_as_predicted(other, path)
        except AssertionError as error:
            raise AssertionError(f"as {other!r}: {error}") from error


def check_all_settings(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check all exact answers with all options at other values that their bounds allow, in all combinations."""
    for other in settings(sampler):
        if refusal(other, path) is not None:
            continue
        try:
            for check in EXACT_CHECKS:
                check(other, path)
            if other.order:
                check_order(other, path)
        except AssertionError as error:
            raise AssertionError(f"as {other!r}: {error}") from error


def neighbours(sampler: Sampler, *names: str) -> Iterator[Sampler]:
    """Yield the sampler with one option at another value: one of these, or any."""
    for name in names or type(sampler).model_fields:
        for value in _values(sampler, name):
            other = _with(sampler, {name: value})
            if other is not None and other != sampler:
                yield other


def settings(sampler: Sampler) -> list[Sampler]:
    """List settings of all options, in all combinations, evenly thinned to MOST."""
    names = [*type(sampler).model_fields]
    each = [[*dict.fromkeys([getattr(sampler, name), *_values(sampler, name)])] for name in names]
    every = [_with(sampler, dict(zip(names, row, strict=True))) for row in itertools.product(*each)]
    found = [other for other in every if other is not None]
    return found[:: max(1, -(-len(found) // MOST))]


def _with(sampler: Sampler, values: dict[str, Any]) -> Sampler | None:
    """Return the sampler with other options, or None where they do not fit each other."""
    try:
        return type(sampler).model_validate({**sampler.model_dump(), **values})
    except ValueError:
        return None


def _values(sampler: Sampler, name: str) -> list[Any]:
    """List values of an option, at its bounds and between them."""
    schema = type(sampler).model_json_schema()["properties"]
    field = type(sampler).model_fields[name]
    part = schema[field.alias or name]
    return [value for each in part.get("anyOf", [part]) for value in _of_type(each)]


def _of_type(part: dict[str, Any]) -> list[Any]:
    match part:
        case {"enum": values}:
            return [*values]
        case {"const": value}:
            return [value]
        case {"type": "boolean"}:
            return [False, True]
        case {"type": "null"}:
            return [None]
        case {"type": "integer"}:
            low = part.get("minimum", part.get("exclusiveMinimum", -1) + 1)
            high = part.get("maximum", part.get("exclusiveMaximum", low + 100) - 1)
            return [*range(low, min(high, low + 3) + 1)]
        case {"type": "number"}:
            low = part.get("minimum", part.get("exclusiveMinimum", 0.0))
            high = part.get("maximum", part.get("exclusiveMaximum"))
            inner = [low + 1.0, low + 10.0] if high is None else [low + 0.3 * (high - low)]
            return [*(part[end] for end in ("minimum", "maximum") if end in part), *inner]
    return []


def _way(sampler: Sampler, path: Path, ways: dict[str, list[torch.Tensor] | None]) -> list[torch.Tensor] | None:
    """Return the states of a run, or None if the sampler refuses it."""
    key = sampler.model_dump_json()
    if key not in ways:
        model = bimodal(schedule=path.schedule)
        try:
            grid = grid_of(sampler, path.schedule, STEPS, path.spacings[1])
            ways[key] = list(states(sampler, model, grid, given_noise(2, (2,))))
        except UsageError:
            ways[key] = None
    return ways[key]


def _same(a: list[torch.Tensor] | None, b: list[torch.Tensor] | None) -> bool:
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
