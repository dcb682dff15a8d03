"""Page for one model, with a tab for each way to look at samplers."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from samplerzoo.play import one, path, sweep, versus
from samplerzoo.play.studio import Studio
from samplerzoo.trust.markup import visible

TABS = {"One": one.tab, "A/B": versus.tab, "Grid": sweep.tab, "Path": path.tab}

LOCAL: dict[str, Any] = {
    "share": False,
    "ssr_mode": False,
    "enable_monitoring": False,
    "quiet": True,
    "footer_links": [],
    "css": ".picture { padding-top: 2.5rem !important } .picture .icon-button-wrapper { top: -2.4rem !important } "
    "body:not(.dark) { --block-info-text-color: #57606a }",  # as gradio has it, it is hard to read on white
}
"""Keywords of `launch` that keep everything on this machine."""


def page(studio: Studio) -> gr.Blocks:
    """Make the page of a model."""
    title = f"samplerzoo: {escape(visible(studio.name))}"
    with gr.Blocks(title=title, analytics_enabled=False) as blocks:
        gr.Markdown(f"# {title}")
        for name, tab in TABS.items():
            with gr.Tab(name):
                tab(studio)
    return blocks
