"""Checks against exact answers: images of data with a known denoiser, and how fast they converge."""

from __future__ import annotations

import itertools
import math
from unittest import SkipTest

import torch

from samplerzoo.core.level import Grid
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON, FLOW, SAMPLE, SCORE, V_PREDICTION, edm
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import LEAST_ALPHA
from samplerzoo.testing.checks.local_order import HIGHEST, check_order_of_every_step
from samplerzoo.testing.convergence import LOG_SNR, ROUNDING, STEPS, TOLERANCE_OF_STEPS, convergence
from samplerzoo.testing.fixtures import ON_VP, Path, farthest, given_noise, last, made_for, normal, states
from samplerzoo.testing.moments import moments

POINTS = torch.tensor([0.3, -1.0, 0.123456, 7.0], dtype=torch.float64)
"""Single points to reach. 7 is beyond [-1, 1], where a sampler must not clip."""

MEAN, STD = 0.5, 0.5

MEANS = torch.tensor([0.5, -1.0, 0.5], dtype=torch.float64)
STDS = torch.tensor([0.5, 0.2, 1.5], dtype=torch.float64)
"""Standard deviations of data on which moments must converge. On one Gaussian alone an error may cross zero."""

USUAL_STEPS = (13, 25, 50, 100)
"""Numbers of steps between which the error has to fall with at least the declared order minus 1."""

ELSEWHERE = ((-8.5, -4.0), (2.0, 7.0))
"""Log-SNR of pairs of levels above and below the range in which most of an image is made."""

FEWER_STEPS = (32, 64, 128)
"""Numbers of steps between these levels."""

SHORT = (8, 12)
"""Steps of short runs, since a method may do something else in these."""

SPANS = ((-1.8, -0.2), (-1.4, -0.6), (-1.2, -0.8))
"""Log-SNR between which short runs are made, so that steps become shorter, but not more."""

BOUNDS = {100: 0.13, 200: 0.06}
"""Allowed relative error of mean and deviation, by number of steps. A slow method of first order meets it."""

BOUND_OF_ORDER_0 = 0.3
"""The same at any number of steps if order 0 is declared: such a method may converge to something else nearby."""


SAME = 1e-9
"""Relative distance up to which images are considered equal."""


def check_lands_on_the_point(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that on data that is a single point every run ends there: no fresh noise is left, and nothing of x_T.

    It must hold in float64 at any number of steps, also if the first level is pure noise. Only rounding is allowed, and
    on a straight path an error of the size of the least alpha at its top.
    """
    for (name, schedule), spacing, steps in itertools.product(path.schedules.items(), path.spacings, (1, 2, 3, 7, 50)):
        model = normal(POINTS, 0.0, shape=(4,), schedule=schedule)
        grid = grid_of(sampler, schedule, steps, spacing)
        off = off_the_point(sampler, model, grid)
        if not off < (2 * LEAST_ALPHA if path.kind == "flow" else 1e-9):
            raise AssertionError(
                f"data that is a single point is missed by {off:.2g} times the largest state at {steps} steps, "
                f"{spacing}, on the {name} schedule\n" + _what_is_missed(sampler, model, grid)
            )


def _what_is_missed(sampler: Sampler, model: Model, grid: Grid) -> str:
    """Describe the point that is missed most, two images of it, and the cause if it is certain."""
    images = last(sampler, model, grid, given_noise(2, (len(POINTS),)))
    worst = int((images - POINTS).abs().amax(0).argmax())
    found = images[:, worst]
    told = f"two images of the point {float(POINTS[worst]):g} become {float(found[0]):.6g} and {float(found[1]):.6g}"
    farther = normal(2 * POINTS, 0.0, shape=(len(POINTS),), schedule=model.schedule)
    again = last(sampler, farther, grid, given_noise(2, (len(POINTS),)))[:, worst]
    cut = float(found[0])
    within = POINTS.abs() < abs(cut)
    same = farthest(found, again) < SAME and farthest(found[:1], found[1:]) < SAME
    if same and within.any() and farthest(images[:, within], POINTS[within].expand(2, -1)) < SAME:
        return f"{told}, and so do those of {2 * float(POINTS[worst]):g}\ncause: values are cut at {cut:.6g}"
    if farthest(found[:1], found[1:]) > SAME * float(found.abs().max()):
        return f"{told}: something of x_T, or of fresh noise, is left in them"
    return told


def check_moments(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that mean and standard deviation on Gaussian data converge to those of the data, without Monte Carlo.

    The output is affine in the draws, so that impulses give its moments. On centred data the mean is 0 at any number of
    steps. The grids are even in log-SNR, where the missing variance of the step to the clean level does not cancel
    other errors.
    """
    schedule = path.schedule
    centred = float(moments(made_for(sampler, 0.0, STD, schedule), sampler, grid_of(sampler, schedule, 7)).mean.abs())
    assert centred < 1e-12, f"of data with mean 0 the mean is {centred:.2g} at 7 steps: something is added to the state"
    model = made_for(sampler, MEANS, STDS, schedule)
    for steps, bound in BOUNDS.items():
        out = moments(model, sampler, grid_of(sampler, schedule, steps, "logsnr"))
        off = torch.maximum((out.mean - MEANS).abs() / STDS.clamp(min=STD), (out.std / STDS - 1).abs())
        allowed, worst = bound if sampler.order else BOUND_OF_ORDER_0, int(off.argmax())
        assert off.max() < allowed, (
            f"of data N({float(MEANS[worst]):g}, {float(STDS[worst]):g}^2) mean and standard deviation are "
            f"{float(out.mean[worst]):.4f} and {float(out.std[worst]):.4f} at {steps} steps: a relative error of "
            f"{float(off.max()):.3g}, where {allowed:g} is allowed"
        )


def check_kinds_of_network_agree(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that networks of any parametrization give the same images, since a Prediction converts between them."""
    schedule = path.schedule
    kinds = [kind for kind in (EPSILON, SAMPLE, V_PREDICTION, FLOW, SCORE, edm()) if not kind.blind(schedule)]
    for spacing, steps in zip(path.spacings, (7, 12), strict=True):
        grid = grid_of(sampler, schedule, steps, spacing)
        first, *others = (moments(normal(parametrization=it, schedule=schedule), sampler, grid) for it in kinds)
        for kind, other in zip(kinds[1:], others, strict=True):
            off = max(float((other.mean - first.mean).abs().max()), float((other.std - first.std).abs().max()))
            assert off < 1e-8, (
                f"a network of {kind.name} gives mean or standard deviation off by {off:.2g} from one of "
                f"{kinds[0].name}"
            )


def check_order(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the error falls with the step size as fast as the declared `order` says.

    The order is the slope of log error over log step size, between two fixed levels, on alternately long and short
    steps, after the first few steps of a method with memory. A sampler that draws noise is compared by mean and
    variance. A better order than the declared one passes.

    Further checks catch errors that a slope misses. Without noise, errors of single steps must fall as fast as
    required, since those of long and short steps may cancel in a run with wrong weights. At usual numbers of steps, the
    error must fall from each number to the next, since a method may do something else at some of them. Every step must
    have its order, anywhere on a path. For an order above 1, runs must have it at higher and lower noise levels, too,
    and single steps of short runs must have at least order 2.
    """
    check_order_of(sampler, path)
    found = convergence(sampler, USUAL_STEPS, path=path.kind)
    runs = zip(itertools.pairwise(found.steps), itertools.pairwise(found.errors), strict=True)
    for (few, many), (before, after) in runs:
        fall = math.inf if after <= ROUNDING else math.log(before / after) / math.log(many / few)
        assert fall > sampler.order - 1, (
            f"it declares order {sampler.order}, and between {few} and {many} steps {fall:.2f} was measured: its error "
            f"goes from {before:.2e} to {after:.2e}"
        )
    check_order_of_every_step(sampler, path)
    if sampler.order > 1:
        for between in ELSEWHERE:
            _check_order_between(sampler, path, between)
        if found.step_errors:
            _check_short_runs(sampler, path, corrects=found.corrects)


def _check_order_between(sampler: Sampler, path: Path, between: tuple[float, float]) -> None:
    """Check the order of runs near the ends of a path, to within a half, since the error may cross zero there."""
    found = convergence(sampler, FEWER_STEPS, path=path.kind, uneven=True, between=between)
    errors = ", ".join(f"{error:.2e} at {steps}" for steps, error in zip(found.steps, found.errors, strict=True))
    assert found.order > sampler.order - 0.5, (
        f"it declares order {sampler.order}, and {found.order:.2f} was measured\n"
        f"between log-SNR {between[0]:g} and {between[1]:g}, in steps that are long and short in turn, its errors are "
        f"{errors} steps"
    )


def _check_short_runs(sampler: Sampler, path: Path, *, corrects: bool) -> None:
    """Check the order of single steps in runs of few steps, by runs of the same number of shorter steps.

    The larger one of two slopes counts, since an error may cross zero. Steps of methods that correct the state before
    have one power less.
    """
    for steps in SHORT:
        runs = [convergence(sampler, (steps,), path=path.kind, uneven=True, between=span) for span in SPANS]
        errors = [run.step_errors[0] for run in runs]
        slopes = [math.log2(one / other) for one, other in itertools.pairwise(errors) if other > ROUNDING]
        order = max(slopes, default=math.inf) - (not corrects)
        assert order > min(sampler.order, HIGHEST) - TOLERANCE_OF_STEPS, (
            f"it declares order {sampler.order}, and in runs of {steps} steps single steps have order {order:.2f}\n"
            + "; ".join(
                f"from log-SNR {low:g} to {high:g} the largest error of a step is {error:.2e}"
                for (low, high), error in zip(SPANS, errors, strict=True)
            )
        )


def check_order_of(sampler: Sampler, path: Path, steps: tuple[int, ...] = STEPS) -> None:
    """Check the order as `check_order` does, at other numbers of steps."""
    if sampler.order == 0:
        raise SkipTest("it declares order 0, so that its error need not vanish with the step")
    found = convergence(sampler, steps, path=path.kind, uneven=True)
    errors = ", ".join(f"{error:.2e} at {steps}" for steps, error in zip(found.steps, found.errors, strict=True))
    low, high = LOG_SNR
    assert found.reaches(sampler.order), (
        f"it declares order {sampler.order}, and {found.order:.2f} was measured\n"
        f"between log-SNR {low:g} and {high:g}, in steps that are long and short in turn, its errors are {errors} steps"
    )
    errors = ", ".join(f"{error:.2e} at {n}" for n, error in zip(found.steps, found.step_errors, strict=False))
    assert found.steps_reach(sampler.order), (
        f"it declares order {sampler.order}, and single steps have order {found.order_of_steps:.2f}: their errors "
        "cancel in a run, or a step begins at an earlier state\n"
        f"between log-SNR {low:g} and {high:g}, in steps that are long and short in turn, the largest error of a step "
        f"is {errors} steps"
    )


def has_order(sampler: Sampler, path: Path, steps: tuple[int, ...]) -> bool:
    """Tell whether `check_order_of` passes."""
    found = convergence(sampler, steps, path=path.kind, uneven=True)
    return found.reaches(sampler.order) and found.steps_reach(sampler.order)


def distance(sampler: Sampler, grid: Grid, path: Path = ON_VP) -> float:
    """Return the root of the Fréchet distance of a sampler's output from N(0.5, 0.5^2)."""
    out = moments(made_for(sampler, MEAN, STD, path.schedule), sampler, grid)
    return float(torch.hypot(out.mean - MEAN, out.std - STD).max())


def off_the_point(sampler: Sampler, model: Model, grid: Grid) -> float:
    """Return the distance of images from POINTS, relative to the largest state of the run, which sets the rounding."""
    way = list(states(sampler, model, grid, given_noise(2, (len(POINTS),))))
    largest = max(1.0, *(float(x.abs().max()) for x in way))
    return float((way[-1] - POINTS).abs().max()) / largest
