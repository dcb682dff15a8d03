"""Measurement of how many predictions a step builds on, and the order they give, for methods of known order."""

from __future__ import annotations

import pytest
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.deis import DEIS
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP
from samplerzoo_plugins.heun import Heun
from samplerzoo_plugins.ipndm import IPNDM
from samplerzoo_plugins.unipc import UniPC

from samplerzoo.core.paths import VE
from samplerzoo.core.sampler import Sampler
from samplerzoo.testing.fixtures import LINEAR
from samplerzoo.testing.memory import memory

KNOWN: list[tuple[Sampler, str, int]] = [
    (DPMSolverPP(solver_order=2), "x0", 2),
    (DPMSolverPP(solver_order=3), "x0", 3),
    (DPMSolverPP(solver_order=3, eta=1.0), "x0", 3),  # no noise is in given predictions
    (DEIS(solver_order=2), "eps", 2),
    (DEIS(solver_order=3, variable="rho"), "eps", 3),
    (IPNDM(solver_order=4), "eps", 4),
    (UniPC(solver_order=1), "x0", 2),  # the corrector builds on one more
    (UniPC(solver_order=3), "x0", 4),
]


@pytest.mark.parametrize(("sampler", "given", "count"), KNOWN, ids=lambda value: repr(value))
def test_each_prediction_adds_an_order(sampler: Sampler, given: str, count: int) -> None:
    found = memory(sampler, VE())
    assert found is not None
    assert (found.given, found.count) == (given, count)
    assert found.order == pytest.approx(count, abs=0.12)


@pytest.mark.parametrize("sampler", [DDIM(), DDIM(eta=1.0), Heun(), DPMSolverPP(solver_order=1), IPNDM(solver_order=1)])
def test_methods_of_one_step_have_no_memory(sampler: Sampler) -> None:
    assert memory(sampler, VE()) is None
    assert memory(sampler, LINEAR) is None


def test_a_mean_over_time_is_right_for_four_where_time_is_sigma_alone() -> None:
    on_vp = memory(IPNDM(solver_order=4), LINEAR)
    assert on_vp is not None
    assert (on_vp.count, round(on_vp.order)) == (4, 2)
