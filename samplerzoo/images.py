"""Pictures: conversion between tensors and 8 bits, sheets with captions, GIFs, and PNG files with metadata."""

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
"""Array of shape (N, H, W, C), as `to_uint8` returns it, or (H, W, C) for one image."""

METADATA_KEY = "samplerzoo"
"""Name of the PNG text chunk that holds the metadata."""
MODES = {1: "L", 3: "RGB"}
"""PIL mode by number of channels."""

CELL = 84
"""Approximate width of a cell in screen pixels. Small images are enlarged by a whole number."""
GAP, MARGIN = 4, 8
"""Distance between cells, and width of the border, in pixels."""
FONT_SIZE = 13
"""Height of captions in pixels."""
PAPER, INK = 255, 96
"""Grey values of the background and of the text."""
MOST_CLASS_COLUMNS = 20
"""Largest number of classes that get a column each."""


def to_uint8(x: torch.Tensor) -> Pixels:
    """Convert images (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C): round((clamp(x, -1, 1) + 1) * 127.5)."""
    scaled = (x.detach().float().clamp(-1, 1) + 1) * 127.5
    pixels: Pixels = scaled.round().byte().permute(0, 2, 3, 1).cpu().contiguous().numpy()
    return pixels


def from_uint8(x: torch.Tensor) -> torch.Tensor:
    """Convert 8-bit images of any shape to float32 in [-1, 1]: x / 127.5 - 1."""
    return x.float() / 127.5 - 1


def check_channels(channels: int, what: str) -> None:
    """Raise UsageError unless there are 1 or 3 channels. Latents, for example, are no picture."""
    if channels not in MODES:
        raise UsageError(
            f"{what} has {channels} channels, and a picture has 1 or 3; samplerzoo.sample returns the tensor"
        )


def picture(pixels: Pixels) -> Image.Image:
    """Convert the pixels of one image (H, W, C) to a PIL image."""
    check_channels(pixels.shape[-1], "an image")
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def grid(
    images: torch.Tensor | Pixels, labels: Sequence[int] | None = None, class_names: Sequence[str] | None = None
) -> Image.Image:
    """Draw all images on one sheet, with their classes above them.

    If the labels repeat in a fixed order, such as 0, 1, 2, 0, 1, 2, each class gets a column with its name on top.

    Args:
        images: tensor (N, C, H, W) in [-1, 1], or pixels (N, H, W, C).
        labels: one class per image; no captions if None.
        class_names: names of the classes; their numbers if None.
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
    """Draw trajectories: one row per image and one column per frame, with a caption above each column.

    Args:
        frames: pixels (N, H, W, C) of the same N images at successive times.
    """
    rows = np.stack(frames, axis=1)  # (images, moments, H, W, C)
    return _sheet(rows.reshape(-1, *rows.shape[2:]), len(frames), captions)


def gif(frames: Sequence[Pixels], *, seconds: float = 3.0, rest: float = 1.5) -> bytes:
    """Return the bytes of a GIF that shows up to four images in a row, loops forever and pauses on its last frame.

    Args:
        frames: pixels (N, H, W, C) of the same N images at successive times.
        seconds: duration of a loop without the pause.
        rest: duration of the pause in seconds.
    """
    columns = min(len(frames[0]), 4)
    first, *others = [_sheet(frame, columns, []) for frame in frames]
    milliseconds = [max(round(1000 * seconds / len(frames)), 20)] * len(others) + [round(1000 * rest)]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
    return file.getvalue()


def save_png(image: Image.Image, path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a PNG file atomically, with the metadata as JSON in a text chunk."""
    chunks = PngImagePlugin.PngInfo()
    if metadata is not None:
        chunks.add_text(METADATA_KEY, json.dumps(metadata))
    with atomic_file(path) as partial:
        image.save(partial, "PNG", pnginfo=chunks)


def read_png(path: Path) -> tuple[Pixels, dict[str, Any] | None]:
    """Return the pixels (H, W, C) of an image file, and the metadata from `save_png` or None.

    Raises:
        UsageError: there is no such file.
        ZooError: the image or its metadata cannot be read.
    """
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
    """Return the number of classes if the labels repeat in a fixed order and fit in a row, else None."""
    period = len(set(labels))
    turns = all(label == labels[i % period] for i, label in enumerate(labels))
    return period if turns and 3 <= period <= MOST_CLASS_COLUMNS else None


def _sheet(pixels: Pixels, columns: int, captions: Sequence[str]) -> Image.Image:
    """Draw cells in rows, with captions above the first cells; there may be fewer captions than cells."""
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
    """Cut a text that is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
