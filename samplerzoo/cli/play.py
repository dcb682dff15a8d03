"""`samplerzoo play`: open a page on this machine to try samplers on a model."""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from pathlib import Path
from typing import Any

import click

from samplerzoo import registry
from samplerzoo.cli.flags import flags, given, validated
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.shared_flags import debug_flag, device_flag
from samplerzoo.cli.terminal import show
from samplerzoo.errors import UsageError
from samplerzoo.models.options import ReadingOptions
from samplerzoo.sampling.recipe import Recipe

HOST = "127.0.0.1"

flags_of_play: list[click.Parameter] = [
    *(flag for flag in flags(Recipe) if flag.name in ("model", "dtype", *ReadingOptions.model_fields)),
    plugin_flag,
    device_flag,
    click.Option(
        ["--port"], type=click.IntRange(1, 65535), metavar="INTEGER", help="port of the page  [default: a free one]"
    ),
    click.Option(["--no-browser"], is_flag=True, help="print the address, and open no browser"),
    click.Option(
        ["--export-space"],
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="write a folder that runs the page as a Space of Hugging Face instead",
    ),
    debug_flag,
]


@click.command("play", cls=TellsRepeated, params=flags_of_play)
def command(
    plugin: tuple[str, ...],
    device: str,
    port: int | None,
    no_browser: bool,
    export_space: Path | None,
    debug: bool,
    **wanted: Any,
) -> None:
    """Open a page on this machine to try samplers on a model: images as they come out of the noise, two settings with
    a slider between them, grids of options, and points of a plane on their way to the data.

    It opens in seconds, and answers on 127.0.0.1 alone. Ctrl-C ends it. It needs gradio: pip install 'samplerzoo[play]'
    """
    if importlib.util.find_spec("gradio") is None:
        raise UsageError("gradio, which draws the page, is not installed: pip install 'samplerzoo[play]'")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it when it is imported
    for file in plugin:
        registry.load_file(file)
    chosen = {"model": "mnist", "dtype": "auto", **given(wanted)}
    model, dtype = chosen.pop("model"), chosen.pop("dtype")
    reading = validated(ReadingOptions, chosen)
    if export_space is not None:
        from samplerzoo.play.space import export_space as export

        export(export_space, model, reading, plugin)
        show(export_space)
        return
    port = free_port(port)
    from samplerzoo.play.page import LOCAL, page
    from samplerzoo.play.studio import Studio

    studio = Studio.open(model, device=device, dtype=dtype, reading=reading, plugins=plugin)
    blocks = page(studio)
    blocks.launch(server_name=HOST, server_port=port, inbrowser=not no_browser, prevent_thread_lock=True, **LOCAL)
    show(f"http://{HOST}:{port}")
    try:
        wait()
    except KeyboardInterrupt:
        blocks.close()


def wait() -> None:
    """Wait until Ctrl-C."""
    while True:
        time.sleep(1)


def free_port(asked: int | None) -> int:
    """Return the port that the user asked for, or by default a free one.

    Raises:
        UsageError: another program uses the port; names a free one.
    """
    with socket.socket() as mine:
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            mine.bind((HOST, asked or 0))
        except OSError as error:
            raise UsageError(f"--port {asked}: {error.strerror}; --port {free_port(None)} is free") from error
        return int(mine.getsockname()[1])
