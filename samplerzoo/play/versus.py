"""Tab of two settings from the same noise: a slider between their images, their difference, and both costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from samplerzoo.play.controls import Setting, commands, laid_out, picture, stoppable, subject, told, values
from samplerzoo.play.drawing import Drawn, draw
from samplerzoo.play.one import said, sheet
from samplerzoo.play.studio import Studio

FIRST = {"A": ("ddim", 10), "B": ("ddpm", 10)}
"""Sampler and steps of each setting when the page opens, which show that one of them needs fewer steps."""


def tab(studio: Studio) -> None:
    """Lay out the tab."""
    gr.Markdown(
        "Two settings from the same noise. As it opens: in as many steps, DDIM is nearly where it ends with many, and "
        "DDPM is not. Take 10 and 50 steps of one sampler to see how far it still is from its end."
    )
    settings: dict[str, Setting] = {}
    with gr.Row():
        for name, (sampler, steps) in FIRST.items():
            with gr.Column():
                gr.Markdown(f"### {name}")
                settings[name] = Setting(f"versus {name}", sampler, steps)
    options = gr.Row()
    with gr.Row():
        asked = subject(studio, "versus", 9)
    with gr.Row():
        start, stop = gr.Button("Compare", variant="primary"), gr.Button("Stop")
    status = gr.Markdown()
    with gr.Row():
        slider = gr.ImageSlider(
            label="A at the left, B at the right", format="png", interactive=False, elem_classes=["picture"]
        )
        difference = picture("|A − B|, white where they agree")
    lines = commands("the commands that make them again")

    def go(wanted: dict[str, dict[str, Any]]) -> Iterator[dict[Any, Any]]:
        requests = {name: studio.ask(given) for name, given in wanted.items()}
        yield {lines: "\n".join(request.command for request in requests.values())}
        found: list[Drawn] = []
        for name, request in requests.items():
            for drawn in draw(request.plan):
                if isinstance(drawn, Drawn):
                    found.append(drawn)
                else:
                    yield {status: f"{name}: step {drawn.number} of {len(request.plan.grid)}"}
        a, b = (drawn.pixels.astype(float) for drawn in found)
        yield {
            slider: tuple(sheet(drawn.plan, drawn.pixels) for drawn in found),
            difference: sheet(found[0].plan, np.uint8(255) - np.abs(a - b).astype(np.uint8)),
            status: "\n\n".join(
                [*(f"**{name}**: {said(drawn)}" for name, drawn in zip(requests, found, strict=True)), differ(a, b)]
            ),
        }

    def lay_out(*chosen: str) -> None:
        own, half = {}, len(chosen) // 2
        for name, part in zip(settings, (chosen[:half], chosen[half:]), strict=True):
            with gr.Column():
                gr.Markdown(f"**{name}**")
                own[name] = settings[name].controls(*part)
        both = [control for controls in own.values() for control in controls] + asked

        def run(*given: Any) -> Iterator[dict[Any, Any]]:
            edge, end = len(own["A"]), len(both) - len(asked)
            shared = values(asked, given[end:])
            with told():
                yield from go(
                    {"A": values(own["A"], given[:edge]) | shared, "B": values(own["B"], given[edge:end]) | shared}
                )

        stoppable(start, stop, run, both, [slider, difference, status, lines])

    laid_out(options, [component for setting in settings.values() for component in setting.inputs], lay_out)


def differ(a: NDArray[np.float64], b: NDArray[np.float64]) -> str:
    """Describe the difference between pixels."""
    distance = float(np.sqrt(np.square((a - b) / 127.5).mean()))
    return f"They differ by {distance:.3g} (root mean square, of pixels in [−1, 1])."
