"""Pictures: the one conversion to 8 bits, sheets of many images with captions, GIFs, PNG files with metadata."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from samplerzoo.errors import UsageError, ZooError
from samplerzoo.system.files import atomic_file

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
"""(N, H, W, C), as `to_uint8` gives them."""

METADATA_KEY = "samplerzoo"
MODES = {1: "L", 3: "RGB"}

CELL = 84
"""About how many screen pixels wide a cell is; small images are enlarged by a whole number, each pixel a square."""
GAP, MARGIN = 4, 8
FONT_SIZE = 13
PAPER, INK = 255, 96
MOST_CLASS_COLUMNS = 20


def to_uint8(x: torch.Tensor) -> Pixels:
    """Images (N, C, H, W) in [-1, 1] to (N, H, W, C): round((clamp(x, -1, 1) + 1) * 127.5), for files and metrics."""
    scaled = (x.detach().float().clamp(-1, 1) + 1) * 127.5
    pixels: Pixels = scaled.round().byte().permute(0, 2, 3, 1).cpu().contiguous().numpy()
    return pixels


def from_uint8(x: torch.Tensor) -> torch.Tensor:
    """Return images of integers 0 to 255, of any shape, as float32 in [-1, 1]: x / 127.5 - 1."""
    return x.float() / 127.5 - 1


def check_channels(channels: int, what: str) -> None:
    """Refuse what is not a picture, such as the latents of another network."""
    if channels not in MODES:
        raise UsageError(
            f"{what} has {channels} channels, and a picture has 1 or 3; samplerzoo.sample gives the tensor"
        )


def picture(pixels: Pixels) -> Image.Image:
    """One image (H, W, C)."""
    check_channels(pixels.shape[-1], "an image")
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def grid(
    images: torch.Tensor | Pixels, labels: Sequence[int] | None = None, class_names: Sequence[str] | None = None
) -> Image.Image:
    """All images on one sheet, with their classes above them.

    Where the labels go round in turn, every class gets a column and its name stands once, at the head.

    Args:
        images: (N, C, H, W) in [-1, 1], or pixels.
        class_names: what to call the labels; their numbers if None.
    """
    pixels = images if isinstance(images, np.ndarray) else to_uint8(images)
    if labels is None:
        return _sheet(pixels, math.ceil(math.sqrt(len(pixels))), [])
    captions = [class_names[label] if class_names else str(label) for label in labels]
    period = _period(labels)
    if period is not None:
        return _sheet(pixels, period, captions[:period])
    return _sheet(pixels, math.ceil(math.sqrt(len(pixels))), captions)


def strip(frames: Sequence[Pixels], captions: Sequence[str]) -> Image.Image:
    """Trajectories: a row an image, a column a moment, each column under its caption."""
    rows = np.stack(frames, axis=1)  # (images, moments, H, W, C)
    return _sheet(rows.reshape(-1, *rows.shape[2:]), len(frames), captions)


def gif(frames: Sequence[Pixels], *, seconds: float = 3.0, rest: float = 1.5) -> bytes:
    """The file of an endless film of a few images side by side, which rests on its last frame."""
    columns = min(len(frames[0]), 4)
    first, *others = [_sheet(frame, columns, []) for frame in frames]
    milliseconds = [max(round(1000 * seconds / len(frames)), 20)] * len(others) + [round(1000 * rest)]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
    return file.getvalue()


def save_png(image: Image.Image, path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """A PNG file, whole or not there, with the metadata as JSON in a text chunk."""
    chunks = PngImagePlugin.PngInfo()
    if metadata is not None:
        chunks.add_text(METADATA_KEY, json.dumps(metadata))
    with atomic_file(path) as partial:
        image.save(partial, "PNG", pnginfo=chunks)


def read_png(path: Path) -> tuple[Pixels, dict[str, Any] | None]:
    """The pixels (H, W, C) of an image file, and the metadata that `save_png` put there."""
    try:
        with Image.open(path) as image:
            text = image.info.get(METADATA_KEY)
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise UsageError(f"no file {path}") from error
        raise ZooError(f"{path}: not an image that can be read: {error}") from error
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    try:
        metadata = None if text is None else json.loads(text)
    except ValueError as error:
        raise ZooError(f"{path}: its samplerzoo metadata is not JSON") from error
    if metadata is not None and not isinstance(metadata, dict):
        raise ZooError(f"{path}: its samplerzoo metadata is not a JSON object")
    return pixels, metadata


def _period(labels: Sequence[int]) -> int | None:
    """How many labels go round in turn, if they do and a row of them is not too wide."""
    period = len(set(labels))
    turns = all(label == labels[i % period] for i, label in enumerate(labels))
    return period if turns and 3 <= period <= MOST_CLASS_COLUMNS else None


def _sheet(pixels: Pixels, columns: int, captions: Sequence[str]) -> Image.Image:
    """Cells in rows; a caption above its cell. With fewer captions than cells, the first row alone has any."""
    count, height, width, channels = pixels.shape
    check_channels(channels, "an image")
    factor = max(round(CELL / width), 1)
    width, height = width * factor, height * factor
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    captioned = math.ceil(len(captions) / columns)
    font = ImageFont.load_default(FONT_SIZE)
    line = FONT_SIZE + GAP
    size = (
        2 * MARGIN + columns * (width + GAP) - GAP,
        2 * MARGIN + rows * (height + GAP) - GAP + captioned * line,
    )
    mode = MODES[channels]
    sheet = Image.new(mode, size, (PAPER,) * channels)
    draw = ImageDraw.Draw(sheet)
    for index in range(count):
        row, column = divmod(index, columns)
        left = MARGIN + column * (width + GAP)
        top = MARGIN + row * (height + GAP) + min(row + 1, captioned) * line
        sheet.paste(picture(pixels[index]).resize((width, height), Image.Resampling.NEAREST), (left, top))
        if index < len(captions):
            text = _fitting(captions[index], font, width)
            draw.text((left + width / 2, top - GAP), text, (INK,) * channels, font, anchor="ms")
    return sheet


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, cut where it is wider than its cell."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
