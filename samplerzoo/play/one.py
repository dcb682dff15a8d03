"""Tab of one setting: its images as they emerge from the noise, and their trajectory to look back on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import torch
from PIL.Image import Image

from samplerzoo import images
from samplerzoo.images import Pixels
from samplerzoo.play.controls import Control, Setting, commands, marked, picture, subject
from samplerzoo.play.drawing import Drawn, Moment, draw
from samplerzoo.play.panel import Shown, panel
from samplerzoo.play.studio import Studio
from samplerzoo.sampling.plan import Plan


def tab(studio: Studio) -> None:
    """Lay out the tab."""
    gr.Markdown(
        "One setting. The images come out of the noise as you watch; afterwards the slider goes back over all steps, "
        "from pure noise at 0."
    )
    with panel("Draw", lambda: Setting("one", "ddim", 20), lambda: subject(studio, "one", 16)) as own:
        shown = picture("images")
        status = gr.Markdown()
        command = commands("the command that makes them again")
        drawn = gr.State()
        moment = gr.Slider(0, 1, 0, step=1, label="step", interactive=True, visible=False)
        place = gr.Markdown()
        with gr.Row():
            state, clean = picture("x_t, the state"), picture("x0, as predicted from it")

    def go(controls: Sequence[Control], given: dict[str, Any]) -> Shown:
        request = studio.ask(given)
        plan, steps = request.plan, len(request.plan.grid)
        yield {command: request.command, status: f"step 0 of {steps}", moment: gr.update(visible=False)}
        for found in draw(plan):
            if isinstance(found, Moment):
                pixels = images.to_uint8(plan.model.decode(found.x0))
                yield {shown: sheet(plan, pixels), status: f"step {found.number} of {steps}"}
            else:
                yield {
                    shown: sheet(plan, found.pixels),
                    status: said(found),
                    drawn: found,
                    moment: gr.update(maximum=steps, value=steps, visible=True),
                    **dict(zip((place, state, clean), look_back(found, steps), strict=True)),
                }

    own.starts(go, [shown, status, command, drawn, moment, place, state, clean])
    moment.change(
        look_back, [drawn, moment], [place, state, clean],
        show_progress="hidden", trigger_mode="always_last", api_visibility="private",
    )  # fmt: skip


def sheet(plan: Plan, pixels: Pixels) -> Image:
    """Draw the first images of a plan on one sheet, with their classes."""
    labels = None if plan.labels is None else [plan.labels[index] for index in range(len(pixels))]
    return marked(images.grid(pixels, labels, plan.model.class_names))


def said(drawn: Drawn) -> str:
    """Describe the cost of images in one line."""
    cost = drawn.cost
    gradients = f" and {cost.gradients_per_image:g} classifier gradients" if cost.gradients else ""
    second = f" and {cost.second_nfe:g} of the second network" if cost.second else ""
    return (
        f"{len(drawn.pixels)} images in {len(drawn.plan.grid)} steps: {cost.nfe:g} network evaluations{gradients}"
        f"{second} an image, {drawn.seconds:.3g} s"
    )


def look_back(drawn: Drawn | None, number: int) -> tuple[str, Image | None, Image | None]:
    """Return a step of the trajectory: its description, the states, and the clean images predicted from them."""
    if drawn is None:
        return "", None, None
    plan, way, last = drawn.plan, drawn.way, len(drawn.plan.grid)
    number = min(number, last)
    level, states = plan.grid.levels[number], way.states[number]
    predicted = states if number == last else way.predictions[number]
    pictures = (images.to_uint8(plan.model.decode(x.to(plan.model.device))) for x in (states, predicted))
    name = f"timestep {plan.model.schedule.timestep(level.tau):.4g}, log-SNR {level.log_snr:.3g}"
    place = f"after step {number} of {last}: {'clean' if level.clean else name}"
    if torch.isnan(predicted).any():
        place += "; the sampler asks for no prediction there"
        return place, sheet(plan, next(pictures)), None
    return place, sheet(plan, next(pictures)), sheet(plan, next(pictures))
