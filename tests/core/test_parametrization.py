"""Parametrizations on every kind of path: what is trained is what is read, and the formulas of the papers."""

from __future__ import annotations

import math

import pytest
import torch

from samplerzoo.core.exact import gaussian
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON, FLOW, PARAMETRIZATIONS, SCORE, V_PREDICTION, Parametrization, edm
from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.prediction import Prediction
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import ZooError

PATHS: dict[str, Schedule] = {"VP": VP.from_config({}), "VE": VE(), "flow": RectifiedFlow()}
KINDS = {**PARAMETRIZATIONS, "edm 1": edm(1.0), "edm of the other sign": edm(0.5, sign=-1.0)}


def draw(seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.999, 0.5, 0.03, 0.001])
def test_what_is_trained_is_what_is_read(path: str, name: str, share: float) -> None:
    t, kind, x0, eps = PATHS[path].at(share * PATHS[path].T), KINDS[name], draw(0), draw(1)
    x = t.alpha * x0 + t.sigma * eps
    output = kind.target(x0, eps, t)
    found_eps, found_x0 = kind.read(x, t, output)
    scale = max(1.0, t.sigma / t.alpha, t.alpha / t.sigma)  # by which rounding grows at the ends
    torch.testing.assert_close(found_x0, x0, rtol=0, atol=1e-13 * scale**2)
    torch.testing.assert_close(found_eps, eps, rtol=0, atol=1e-13 * scale**2)
    torch.testing.assert_close(kind.c_skip(t) * x + kind.c_out(t) * output, x0, rtol=0, atol=1e-13 * scale**2)


def test_outputs_are_those_of_the_papers() -> None:
    t, x0, eps = VP.from_config({}).at(400), draw(0), draw(1)
    x = t.alpha * x0 + t.sigma * eps
    expected = {
        "epsilon": eps,
        "sample": x0,
        "v_prediction": t.alpha * eps - t.sigma * x0,  # Salimans and Ho 2022, and not the other sign
        "flow": eps - x0,
        "score": -eps / t.sigma,
    }
    for name, output in expected.items():
        torch.testing.assert_close(PARAMETRIZATIONS[name].target(x0, eps, t), output)
    p = Prediction.of(EPSILON, x, t, eps)
    torch.testing.assert_close(p.v, expected["v_prediction"])
    torch.testing.assert_close(p.score, expected["score"])


@pytest.mark.parametrize("sigma", [0.002, 0.5, 3.0, 80.0])
@pytest.mark.parametrize("std", [0.5, 1.0])
def test_edm_is_table_1(sigma: float, std: float) -> None:
    """Karras et al. 2022, table 1, column "ours"."""
    t, kind, norm = VE().at(sigma), edm(std), math.sqrt(sigma**2 + std**2)
    assert kind.c_skip(t) == pytest.approx(std**2 / norm**2, rel=1e-12)
    assert kind.c_out(t) == pytest.approx(sigma * std / norm, rel=1e-12)
    assert kind.c_in(t) == pytest.approx(1 / norm, rel=1e-12)
    assert kind.c_noise(t) == pytest.approx(math.log(sigma) / 4, rel=1e-12)
    # a perfect network has outputs of variance 1 on data of this standard deviation
    of_x0, of_eps = kind.target_weights(t)
    assert of_x0**2 * std**2 + of_eps**2 == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("name", [*PARAMETRIZATIONS])
def test_coefficients_of_a_batch_are_those_of_a_run(name: str) -> None:
    path, kind = PATHS["VE"], PARAMETRIZATIONS[name]
    sigmas = [0.01, 0.7, 30.0]
    batch: Level = path.levels(torch.tensor(sigmas, dtype=torch.float64))
    for of in (kind.c_skip, kind.c_out, kind.c_noise, lambda t: kind.target_weights(t)[0]):
        found = torch.as_tensor(of(batch), dtype=torch.float64).expand(3)
        assert found.tolist() == pytest.approx([of(path.at(sigma)) for sigma in sigmas], rel=1e-12, abs=1e-12)


def test_float32_is_kept_where_little_signal_is_left() -> None:
    """Guide a velocity at the top of a straight path: by x0 = (x - sigma eps) / alpha it would lose four digits."""
    t, x = RectifiedFlow().at(1.0), draw(2)
    outputs = draw(3), draw(4)

    def guided(dtype: torch.dtype) -> torch.Tensor:
        u, c = (Prediction.of(FLOW, x.to(dtype), t, output.to(dtype)) for output in outputs)
        return c.away_from(u, 3.0).x0

    exact = guided(torch.float64)
    torch.testing.assert_close(guided(torch.float32).double(), exact, rtol=0, atol=5e-6)
    p = Prediction.of(FLOW, x.float(), t, outputs[0].float())
    moved = p.moved(1e-4 * draw(5).float())
    torch.testing.assert_close(t.alpha * moved.x0 + t.sigma * moved.eps, p.x, rtol=0, atol=1e-5)


def test_moved_and_away_from_keep_x() -> None:
    t = VP.from_config({}).at(300)
    u, c = (Prediction.of(V_PREDICTION, draw(0), t, draw(seed)) for seed in (1, 2))
    for p in (
        c.away_from(u, 2.5),
        c.moved(draw(3)),
        c.away_from(u, torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)),
    ):
        torch.testing.assert_close(t.alpha * p.x0 + t.sigma * p.eps, draw(0))
    torch.testing.assert_close(c.away_from(u, 2.5).v, u.v + 2.5 * (c.v - u.v))
    torch.testing.assert_close(c.moved(draw(3)).eps, c.eps + draw(3))


@pytest.mark.parametrize("kind", [EPSILON, SCORE])
def test_an_output_that_says_nothing_of_x0_is_refused(kind: Parametrization) -> None:
    for schedule in (RectifiedFlow(), VP.from_config({"rescale_betas_zero_snr": True})):
        with pytest.raises(ZooError, match=f"{kind.name} says nothing of x0 where no signal is left"):
            Model(lambda x, time, condition: x, schedule, kind, shape=(1,))
    Model(lambda x, time, condition: x, VE(), kind, shape=(1,))
    Model(lambda x, time, condition: x, VP.from_config({"beta_schedule": "squaredcos_cap_v2"}), kind, shape=(1,))


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for name, kind in KINDS.items() for path, schedule in PATHS.items() if not kind.blind(schedule)],
)
def test_exact_models_answer_in_every_parametrization(path: str, name: str) -> None:
    schedule, kind = PATHS[path], KINDS[name]
    model, t, x = gaussian(schedule, 0.3, 0.5, parametrization=kind), schedule.at(0.4 * schedule.T), draw(0)[:, :1]
    p = model.denoise(x, t)
    residual = (x - t.alpha * 0.3) / (t.alpha**2 * 0.25 + t.sigma**2)
    torch.testing.assert_close(p.x0, 0.3 + t.alpha * 0.25 * residual)
    torch.testing.assert_close(p.eps, t.sigma * residual)
