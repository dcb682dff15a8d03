"""Tab of paths: points of a plane that a sampler moves, beside the flow that it should follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.play.controls import FIELDS, INTERACTIVE, Control, Setting, commands, field
from samplerzoo.play.drawing import Drawn, draw
from samplerzoo.play.panel import Shown, panel
from samplerzoo.play.studio import Studio
from samplerzoo.report import plane


def tab(studio: Studio) -> None:
    """Lay out the tab."""
    gr.Markdown(
        "Data in a plane, in eight modes, for which the best possible network is known: what goes wrong here is the "
        "sampler's. **Grey**: the probability flow, exactly. **Coloured**: the sampler's states from the same noise; "
        "the hollow circle is the clean point that is predicted from each. A step goes straight along one prediction, "
        "and the flow bends: few steps miss."
    )
    with panel("Move", lambda: Setting("path", "ddim", 5, guided=False), _others) as own:
        status = gr.Markdown()
        picture = gr.HTML()
        command = commands("the command that makes it again")

    def go(controls: Sequence[Control], given: dict[str, Any]) -> Shown:
        word = given.pop("path", plane.OWN)
        recipe = studio.recipe({**given, "dtype": "float32"})
        plan = plane.plan_of(recipe, plane.path_of(word, studio.model))
        yield {command: studio.command(recipe, "show", "--plane", word, "-o", "show.svg")}
        moved: list[plane.Moved] = []
        for each in (plan, plane.flow_of(plan)):
            for drawn in draw(each):
                if isinstance(drawn, Drawn):
                    moved.append(plane.Moved(each, drawn.way, drawn.cost))
                elif each is plan:
                    yield {status: f"step {drawn.number} of {len(plan.grid)}"}
        yield {picture: plane.film(*moved), status: plane.verdict(*moved)}

    own.starts(go, [picture, status, command])


def _others() -> list[Control]:
    """Make the controls of the path and of the seed."""
    words = [("the model's own", plane.OWN), *((name, name) for name in NAMED_PATHS)]
    path = gr.Dropdown(words, value=plane.OWN, label="path from noise to data", **INTERACTIVE)
    return [Control("path", path), field("seed", FIELDS["seed"], key="path")]
