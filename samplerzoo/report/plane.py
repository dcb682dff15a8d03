"""Animation of points that a sampler moves in a plane, for data of eight modes, whose denoiser is exact.

The probability flow, which the sampler should follow, is drawn beside it from the same noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.cost import Cost
from samplerzoo.core.exact import is_stochastic, learned, mixture
from samplerzoo.core.level import Grid
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import SAMPLE
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.core.schedule import Schedule
from samplerzoo.sampling.converged import with_steps
from samplerzoo.sampling.driver import draw_batch
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.way import Recorder, Way
from samplerzoo.trust.markup import visible

MODES, RADIUS, STD = 8, 1.3, 0.12
"""Modes on a circle, and the standard deviation of each."""
SHAPE = (2, 1, 1)
"""Shape of a point: an image of two channels and one pixel."""
NEAR = 3.0
"""Largest distance from a mode that counts as near, in its standard deviations.

A share 1 - exp(-NEAR^2 / 2) of the data is near a mode.
"""

POINTS, FLOW_STEPS = 400, 128
"""Number of points to move, and steps of the probability flow that is drawn beside them."""

OWN = "own"
"""Word for the path of the model itself, beside the words of NAMED_PATHS."""

MOVING, MOMENTS = 24, 120
"""Number of points whose trajectories are shown, and maximum number of moments of them."""
SIZE, WIDEST, SECONDS = 400, 3.2, 6
"""Width of the picture, largest coordinate in it, and duration of the film, whose last fifth stands still."""
MARGIN = 24
HEIGHT = SIZE + 5 * MARGIN // 2
"""Height of a film, with the axis below the plane."""


@dataclass(frozen=True, eq=False)
class Moved:
    """Points that a sampler moved: the plan, their trajectories, and the cost."""

    plan: Plan
    way: Way
    cost: Cost


def plane(schedule: Schedule) -> Model:
    """Make the model of the data on a path, with a learned variance for the samplers that need one."""
    exact = mixture(schedule, modes().reshape(MODES, *SHAPE), STD, parametrization=SAMPLE)

    def net(x: Tensor, tau: Tensor, condition: Condition) -> Tensor:
        return exact.net(x, tau, exact.condition(torch.full((len(x),), MODES)))

    return learned(Model(net, schedule, exact.parametrization, shape=SHAPE, name="eight modes in a plane"))


def path_of(word: str, model: Model) -> Schedule:
    """Return the path that a word names: the model's own, or one of NAMED_PATHS."""
    return model.schedule if word == OWN else NAMED_PATHS[word]()


def plan_of(recipe: Recipe, schedule: Schedule) -> Plan:
    """Plan the points of a recipe on a path.

    Raises:
        UsageError: the recipe asks for something that points do not have, such as labels.
    """
    return make_plan(recipe, plane(schedule), POINTS)


def flow_of(plan: Plan) -> Plan:
    """Plan to move the same points along the probability flow."""
    return with_steps(plan, FLOW_STEPS)


def move(plan: Plan) -> Moved:
    """Move the points of a plan."""
    recorder = Recorder(plan.grid)
    batch = draw_batch(plan, range(plan.num_images), recorder.reached, recorder.predicted)
    return Moved(plan, Way(recorder.states(), recorder.predictions()), batch.cost)


def modes() -> Tensor:
    """Return the centres of the modes, (MODES, 2)."""
    angles = 2 * math.pi * torch.arange(MODES) / MODES
    return RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def ends_of(moved: Moved) -> Tensor:
    """Return where the points end, (N, 2)."""
    return moved.way.states[-1].flatten(1)


def share_near(points: Tensor) -> float:
    """Return the share of points (N, 2) that are near a mode."""
    return float((torch.cdist(points, modes()).amin(1) < NEAR * STD).float().mean())


def verdict(moved: Moved, flow: Moved) -> str:
    """Say how many points end near a mode, and how far they end from where the flow takes them."""
    ends, plan = ends_of(moved), moved.plan
    near, best = share_near(ends), 1 - math.exp(-(NEAR**2) / 2)
    said = (
        f"{len(plan.grid)} steps, {moved.cost.nfe:g} evaluations a point. {near:.1%} of {len(ends)} points end at a "
        f"mode, within {NEAR:g} of its standard deviations; {best:.1%} of the data do. "
    )
    if is_stochastic(plan.sampler, plan.grid, plan.model.schedule):
        return said + "The sampler draws noise on the way, and so does not end where the flow ends."
    distance = float((ends - ends_of(flow)).norm(dim=1).mean())
    return said + f"They end {distance:.2g} away, on average, from where the flow takes the same noise."


def film(moved: Moved, flow: Moved) -> str:
    """Draw the points on their way, as an animated SVG; see `_drawing`."""
    return _svg(SIZE, HEIGHT, _drawing(moved, flow), "width:100%;max-width:720px")


def films(found: Mapping[tuple[int, int], tuple[Moved, Moved]], titles: Mapping[tuple[int, int], str]) -> str:
    """Draw several films on one sheet, each with its title above it.

    Args:
        found: points as moved by a sampler and by the flow, by (row, column).
        titles: titles by (row, column).
    """
    drawings = ""
    for (row, column), pair in found.items():
        title = escape(visible(titles[row, column]))
        name = f"<text x='{SIZE / 2}' y='{MARGIN - 6}' text-anchor='middle' font-size='13'>{title}</text>"
        place = f"translate({column * (SIZE + MARGIN)} {row * (HEIGHT + MARGIN)})"
        drawings += f"<g transform='{place}'>{name}<g transform='translate(0 {MARGIN})'>{_drawing(*pair)}</g></g>"
    columns, rows = (1 + max(place[axis] for place in found) for axis in (1, 0))
    width, height = columns * (SIZE + MARGIN) - MARGIN, rows * (HEIGHT + MARGIN)
    paper = "<rect width='100%' height='100%' fill='#fcfcfa'/>"
    return _svg(width, height, paper + drawings, f"width:{width}px;font-family:sans-serif")


def _svg(width: int, height: int, content: str, style: str) -> str:
    """Make a whole SVG picture. On a page, its colour is that of the text around it."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' fill='currentColor' "
        f"style='color:var(--body-text-color,#24292f);{style}' aria-label='points on their way to the data'>"
        f"{content}</svg>"
    )


def _drawing(moved: Moved, flow: Moved) -> str:
    """Draw the points on their way.

    The grey lines are the probability flow from the same noise. Below is the grid on the axis of log-SNR.

    Args:
        flow: the same points, moved by the flow in many steps.
    """
    grid = moved.plan.grid
    shown = _evenly(len(grid.levels))
    states = _scaled(moved)[shown]
    predictions = torch.cat([moved.way.predictions, moved.way.states[-1:]]).flatten(2)[shown]
    curves = _scaled(flow)[_evenly(len(flow.plan.grid.levels))]
    ends = "".join(_circle(*_place(x), 1.5, "opacity='.35'") for x in ends_of(moved).tolist())
    rings = "".join(_circle(*_place(x), NEAR * STD * _UNIT, "fill-opacity='.1'") for x in modes().tolist())
    lines = ""
    for point in range(min(MOVING, states.shape[1])):
        colour = f"hsl({360 * point / MOVING:.0f} 75% 50%)"
        way, x0 = _places(states[:, point]), _places(predictions[:, point])
        lines += _line(_places(curves[:, point]), "currentColor", ".35")
        lines += _line(way, colour, ".8") + _moving(way, "linear", f"r='4' fill='{colour}'")
        lines += _moving(x0, "discrete", f"r='3' fill='none' stroke='{colour}'")
    return f"{rings}{ends}{lines}{_axis(grid, shown)}"


_UNIT = SIZE / (2 * WIDEST)


def _scaled(moved: Moved) -> Tensor:
    """Return the states divided by sqrt(alpha^2 + sigma^2), so that noise is as wide as data on every kind of path."""
    scales = [math.hypot(level.alpha, level.sigma) for level in moved.plan.grid.levels]
    return moved.way.states.flatten(2) / torch.tensor(scales)[:, None, None]


def _evenly(count: int) -> list[int]:
    """Return evenly spaced numbers below `count`, with the first and the last: MOMENTS of them, or all if fewer."""
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, MOMENTS))})


def _place(x: Sequence[float]) -> tuple[float, float]:
    return SIZE / 2 + x[0] * _UNIT, SIZE / 2 - x[1] * _UNIT


def _places(points: Tensor) -> list[tuple[float, float]]:
    """Return where points are in the picture. A point that is not finite is put where the one before it was."""
    found: list[tuple[float, float]] = []
    for x in points.tolist():
        found.append(_place(x) if math.isfinite(x[0]) else found[-1] if found else _place((0.0, 0.0)))
    return found


def _circle(x: float, y: float, r: float, style: str) -> str:
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{r:.1f}' {style}/>"


def _line(places: Sequence[tuple[float, float]], colour: str, opacity: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f"<polyline points='{points}' fill='none' stroke='{colour}' opacity='{opacity}'/>"


def _moving(places: Sequence[tuple[float, float]], mode: str, style: str) -> str:
    """Draw a circle that moves from place to place at equal intervals, and rests at the last one."""
    times = ";".join(f"{0.8 * number / (len(places) - 1):.4f}" for number in range(len(places))) + ";1"
    moves = ""
    for name, values in zip(("cx", "cy"), zip(*places, strict=True), strict=True):
        listed = ";".join(f"{value:.1f}" for value in (*values, values[-1]))
        moves += (
            f"<animate attributeName='{name}' values='{listed}' keyTimes='{times}' calcMode='{mode}' dur='{SECONDS}s' "
            "repeatCount='indefinite'/>"
        )
    (x, y) = places[-1]
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' {style}>{moves}</circle>"


def _axis(grid: Grid, shown: Sequence[int]) -> str:
    """Draw the levels of a grid on an axis of log-SNR, and a circle at the level that has been reached.

    The clean level, whose log-SNR is infinite, is at the right end.
    """
    noisy = [level.log_snr for level in grid.levels[:-1]]
    low, high = math.floor(noisy[0]), max(math.ceil(noisy[-1]), math.floor(noisy[0]) + 1)
    left, right, y = MARGIN, SIZE - 3 * MARGIN, SIZE + MARGIN
    places = [(left + (value - low) / (high - low) * (right - left), float(y)) for value in noisy]
    places.append((SIZE - MARGIN, float(y)))
    ticks = "".join(f"<path d='M{x:.1f} {y - 6}v12' stroke='currentColor'/>" for x, _ in places)
    texts = [(left, low), (right, high), (SIZE - MARGIN, "clean"), ((left + right) / 2, "log-SNR of the levels")]
    style = f"y='{y + 22}' text-anchor='middle' font-size='11'"
    words = "".join(f"<text x='{x:.0f}' {style}>{text}</text>" for x, text in texts)
    line = f"<path d='M{left} {y}H{SIZE - MARGIN}' stroke='currentColor' opacity='.4'/>"
    return line + ticks + words + _moving([places[number] for number in shown], "linear", "r='5'")
