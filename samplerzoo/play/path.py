"""Tab of the way itself: points of a plane that any sampler moves, beside the flow that it should follow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gradio as gr

from samplerzoo.core.exact import is_stochastic
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.core.schedule import Schedule
from samplerzoo.play.controls import FIELDS, INTERACTIVE, Control, Setting, field, laid_out, stoppable, told, values
from samplerzoo.play.drawing import Drawn, draw
from samplerzoo.play.studio import Studio
from samplerzoo.report import plane
from samplerzoo.sampling.converged import with_steps
from samplerzoo.sampling.plan import Plan, make_plan

POINTS, FLOW_STEPS = 400, 128
OWN = "the model's own"


def tab(studio: Studio) -> None:
    """Lay out the tab."""
    gr.Markdown(
        "Data in a plane, in eight modes, for which the best possible network is known: what goes wrong here is the "
        "sampler's. **Grey**: the probability flow, exactly. **Coloured**: the sampler's states from the same noise; "
        "the hollow circle is the clean point that is predicted from each. A step goes straight along one prediction, "
        "and the flow bends: few steps miss."
    )
    with gr.Row():
        with gr.Column(scale=2):
            setting = Setting("path", "ddim", 5, guided=False)
            options = gr.Column()
            paths = Control(
                "path", gr.Dropdown([OWN, *NAMED_PATHS], value=OWN, label="path from noise to data", **INTERACTIVE)
            )
            seed = field("seed", FIELDS["seed"], key="path")
        with gr.Column(scale=3):
            with gr.Row():
                start, stop = gr.Button("Move", variant="primary"), gr.Button("Stop")
            status = gr.Markdown()
            picture = gr.HTML()

    def go(given: dict[str, Any]) -> Iterator[dict[Any, Any]]:
        path = given.pop("path")
        schedule = studio.model.schedule if path == OWN else NAMED_PATHS[path]()
        plan = plan_of(studio, given, schedule)
        found: list[Drawn] = []
        for each in (plan, with_steps(plan, FLOW_STEPS)):
            for drawn in draw(each):
                if isinstance(drawn, Drawn):
                    found.append(drawn)
                elif each is plan:
                    yield {status: f"step {drawn.number} of {len(plan.grid)}"}
        moved = [plane.Moved(drawn.plan, drawn.way) for drawn in found]
        yield {picture: plane.film(*moved), status: verdict(*found)}

    def lay_out(*chosen: str) -> None:
        controls = [*setting.controls(*chosen), paths, seed]

        def run(*given: Any) -> Iterator[dict[Any, Any]]:
            with told():
                yield from go(values(controls, given))

        stoppable(start, stop, run, controls, [picture, status])

    laid_out(options, setting.inputs, lay_out)


def plan_of(studio: Studio, given: dict[str, Any], schedule: Schedule) -> Plan:
    """Plan the points of a setting on a path."""
    return make_plan(studio.recipe({**given, "dtype": "float32"}), plane.plane(schedule), POINTS)


def verdict(drawn: Drawn, flow: Drawn) -> str:
    """Say how well the points came out, and how far they are from the ends of the flow."""
    ends, plan = drawn.way.states[-1].flatten(1), drawn.plan
    near, best = plane.share_near(ends), 1 - math.exp(-(plane.NEAR**2) / 2)
    said = (
        f"{len(plan.grid)} steps, {drawn.cost.nfe:g} evaluations a point. {near:.1%} of {len(ends)} points end at a "
        f"mode, within {plane.NEAR:g} of its standard deviations; {best:.1%} of the data do. "
    )
    if is_stochastic(plan.sampler, plan.grid, plan.model.schedule):
        return said + "The sampler draws noise on the way, and so does not end where the flow ends."
    distance = float((ends - flow.way.states[-1].flatten(1)).norm(dim=1).mean())
    return said + f"They end {distance:.2g} away, on average, from where the flow takes the same noise."
