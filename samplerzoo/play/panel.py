"""Panel: the controls of one setting at the left, and at the right the buttons and what the setting makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr

from samplerzoo.play.controls import Control, Setting, laid_out, stoppable, told, values

Shown = Iterator[dict[Any, Any]]
"""What the page shows by and by: components and their new values."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Controls and buttons of a tab.

    Attributes:
        options: place of the options of the plugins that are chosen.
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
        """Let the button start `go` on all controls and their values.

        Args:
            outputs: components that `go` shows something in.
            more: lays out further controls below the options, which it is given.
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
    """Lay out a panel; what is laid out inside stands below its buttons.

    Args:
        verb: word on the button that starts.
        setting, others: make the controls at their places.
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
