"""Panel: the controls of one setting at the left, and at the right the buttons and what the setting makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr

from samplerzoo.play.controls import Control, Setting, laid_out, stoppable, told, values

Shown = Iterator[dict[Any, Any]]
"""Successive updates of the page: components and their new values."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Controls and buttons of a tab.

    Attributes:
        options: place for the options of the chosen plugins.
        others: controls that do not depend on the choice.
    """

    setting: Setting
    options: gr.Column
    others: Sequence[Control]
    start: gr.Button
    stop: gr.Button

    def starts(
        self,
        go: Callable[[Sequence[Control], dict[str, Any]], Shown],
        outputs: Sequence[Any],
        more: Callable[[Sequence[Control]], Sequence[Control]] = lambda controls: (),
    ) -> None:
        """Let the button call `go` with all controls and their values.

        Args:
            outputs: components that `go` updates.
            more: function that lays out further controls below the options; it gets the controls so far.
        """

        def lay_out(*chosen: str) -> None:
            controls = [*self.setting.controls(*chosen), *self.others]
            every = [*controls, *more(controls)]

            def run(*given: Any) -> Shown:
                with told():
                    yield from go(controls, values(every, given))

            stoppable(self.start, self.stop, run, every, outputs)

        laid_out(self.options, self.setting.inputs, lay_out)


@contextmanager
def panel(verb: str, setting: Callable[[], Setting], others: Callable[[], Sequence[Control]]) -> Iterator[Panel]:
    """Lay out a panel. Components that are made inside the block are below its buttons.

    Args:
        verb: text of the start button.
        setting, others: functions that make the controls, called at the controls' places.
    """
    with gr.Row():
        with gr.Column(scale=2):
            chosen = setting()
            options = gr.Column()
            below = others()
        with gr.Column(scale=3):
            with gr.Row():
                start, stop = gr.Button(verb, variant="primary"), gr.Button("Stop")
            yield Panel(chosen, options, below, start, stop)
