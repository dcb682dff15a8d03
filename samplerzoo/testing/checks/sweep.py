"""Checks of every option over the values that its bounds allow: each does something, and none makes a method wrong."""

from __future__ import annotations

import dataclasses
import itertools

import torch

from samplerzoo.core.sampler import Sampler, grid_of, suited
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
from samplerzoo.testing.fixtures import ON_VP, Path, bimodal, given_noise, normal, states
from samplerzoo.testing.settings import combinations, neighbours, scale_of
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
        for a, b in itertools.combinations(scale_of(sampler, name), 2):
            pairs = [(at_a, at_b) for base in around for at_a in _at(base, name, a) for at_b in _at(base, name, b)]
            assert not pairs or any(not _same(_way(x, path, ways), _way(y, path, ways)) for x, y in pairs), (
                f"the option {name} gives the same states at {a:g} as at {b:g}: is it taken for a "
                "switch, or for a whole number?"
            )


def _at(sampler: Sampler, name: str, value: float) -> list[Sampler]:
    """Return the sampler with an option at a value; nothing where that is refused."""
    return [other for other in (sampler, *neighbours(sampler, name)) if getattr(other, name) == value]


def check_what_is_set_stays(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that `suited` fills in defaults alone: an option that the user has set is not changed for a model."""
    for variance in (None, "small", "large", "learned"):
        model = dataclasses.replace(normal(schedule=path.schedule), variance=variance)
        for other in neighbours(sampler):
            found = suited(other, model)
            assert found == other, (
                f"as {other!r} its suited() returns {found!r}, though all options were set: change only what is not "
                "in self.model_fields_set"
            )


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
            if other.order and other.order != sampler.order:
                check_order(other, path)
        except AssertionError as error:
            raise AssertionError(f"as {other!r}: {error}") from error


def check_all_settings(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check all exact answers with all options at other values that their bounds allow, in all combinations."""
    for other in combinations(sampler, MOST):
        if refusal(other, path) is not None:
            continue
        try:
            for check in EXACT_CHECKS:
                check(other, path)
            if other.order:
                check_order(other, path)
        except AssertionError as error:
            raise AssertionError(f"as {other!r}: {error}") from error


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
