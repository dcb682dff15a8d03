"""Pictures: conversion between tensors and 8 bits, sheets with captions, GIFs, and PNG files with metadata."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import string
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from samplerzoo.data.pictures import has_grey_palette
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.system.files import DIGITS, atomic_file
from samplerzoo.trust.limits import MOST_VALUES
from samplerzoo.trust.markup import visible
from samplerzoo.trust.records import parse_object

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
"""Array of shape (N, H, W, C), as `to_uint8` returns it, or (H, W, C) for one image."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

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
    """Convert images (N, C, H, W) in [-1, 1] to (N, H, W, C): round((clamp(x, -1, 1) + 1) * 127.5)."""
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
    """Make a Pillow image of one image (H, W, C)."""
    check_channels(pixels.shape[-1], "an image")
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def tile_size(pixels: Pixels) -> tuple[int, int]:
    """Return the width and height in pixels that each of the images (N, H, W, C) has on a sheet."""
    _, height, width, _ = pixels.shape
    factor = max(round(CELL / width), 1)
    return width * factor, height * factor


def sheet(
    size: tuple[int, int],
    tiles: Sequence[tuple[tuple[int, int], Pixels]],
    texts: Sequence[tuple[tuple[float, float], str, str]] = (),
    font_size: int = FONT_SIZE,
) -> Image.Image:
    """Draw images and texts on one sheet.

    Args:
        size: width and height of the sheet in pixels.
        tiles: for each image its left and top edge, and its pixels (H, W, C), which are enlarged to `tile_size`. There
            has to be at least one.
        texts: for each text its place, the text, and the point of the text at this place (an anchor of Pillow).
    """
    first = tiles[0][1]
    channels = first.shape[-1]
    check_channels(channels, "an image")
    drawn = Image.new(MODES[channels], size, (PAPER,) * channels)
    draw, font = ImageDraw.Draw(drawn), font_for([text for _, text, _ in texts], font_size)
    for place, tile in tiles:
        drawn.paste(picture(tile).resize(tile_size(tile[None]), Image.Resampling.NEAREST), place)
    for position, text, anchor in texts:
        draw.text(position, visible(text), (INK,) * channels, font, anchor=anchor)
    return drawn


def font_for(texts: Sequence[str], size: int = FONT_SIZE) -> Font:
    """Return a font that has all characters of these texts, or the one of Pillow if there is none."""
    return _font(frozenset("".join(texts)) - frozenset(string.printable), size) or ImageFont.load_default(size)


def is_drawable(texts: Sequence[str]) -> bool:
    """Return True if a font of this machine has all characters of these texts."""
    return _font(frozenset("".join(texts)) - frozenset(string.printable), FONT_SIZE) is not None


@functools.cache
def _font(characters: frozenset[str], size: int) -> Font | None:
    """Return the first font that has these characters: that of Pillow, or one of this machine."""
    default = ImageFont.load_default(size)
    if _has(default, characters):
        return default
    from matplotlib.font_manager import findSystemFonts  # slow, and only for other scripts

    for path in sorted(findSystemFonts()):
        try:
            font = ImageFont.truetype(path, size)
            if _has(font, characters):
                return font
        except OSError:  # a bitmap font, or a broken one
            continue
    return None


def _has(font: Font, characters: Collection[str]) -> bool:
    """Tell whether a font has these characters. Missing ones look like a character that does not exist."""
    lacking = bytes(font.getmask("\U0010ffff"))
    return all(bytes(font.getmask(character)) != lacking for character in characters)


@functools.cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr)


def grid(
    images: torch.Tensor | Pixels, labels: Sequence[int] | None = None, class_names: Sequence[str] | None = None
) -> Image.Image:
    """Draw all images on one sheet, with their classes above them.

    If the labels repeat in a fixed order, such as 0, 1, 2, 0, 1, 2, each class gets a column with its name on top.

    Args:
        images: (N, C, H, W) in [-1, 1], or pixels.
        class_names: names of the labels; their numbers if None.
    """
    pixels = images if isinstance(images, np.ndarray) else to_uint8(images)
    if labels is None:
        return _in_rows(pixels, math.ceil(math.sqrt(len(pixels))), [])
    captions = [class_names[label] if class_names else str(label) for label in labels]
    if not is_drawable(captions):
        plain = ImageFont.load_default(FONT_SIZE)
        lacking = next(it for it in "".join(captions) if it not in string.printable and not _has(plain, it))
        _say_once(f"class numbers are drawn: no font here has {lacking!r} and the like; install fonts-noto-cjk, say")
        captions = [str(label) for label in labels]
    period = _period(labels)
    if period is not None:
        return _in_rows(pixels, period, captions[:period])
    return _in_rows(pixels, math.ceil(math.sqrt(len(pixels))), captions)


def gif(frames: Sequence[Pixels], columns: int, *, seconds: float = 3.0, rest: float = 1.5) -> bytes:
    """Return the bytes of an endless GIF that shows images in rows, and rests on its last frame."""
    first, *others = [_in_rows(frame, columns, []) for frame in frames]
    milliseconds = [max(round(1000 * seconds / len(frames)), 20)] * len(others) + [round(1000 * rest)]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
    return file.getvalue()


def save_png(image: Image.Image, path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Save a PNG file atomically, with the metadata as JSON in a text chunk."""
    chunks = PngImagePlugin.PngInfo()
    if metadata is not None:
        chunks.add_text(METADATA_KEY, json.dumps(metadata))
    with atomic_file(path) as partial:
        image.save(partial, "PNG", pnginfo=chunks)


def read_png(path: Path) -> tuple[Pixels, dict[str, Any] | None]:
    """Read the pixels (H, W, C) of an image file, and the metadata that `save_png` put there."""
    with _opened(path) as image:
        if image.width * image.height > MOST_VALUES:
            raise ZooError(f"{path}: a picture of {image.width}x{image.height}; at most {MOST_VALUES} pixels are read")
        if image.mode == "P":
            image.load()
            return _pixels(image.convert("L" if has_grey_palette(image) else "RGB")), _metadata(image, path)
        return _pixels(image), _metadata(image, path)


def digest_pixels(pixels: Pixels) -> str:
    """Return the first 16 hex digits of a SHA-256 of pixels (H, W, C), to notice later whether they were changed."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:DIGITS]


def _pixels(image: Image.Image) -> Pixels:
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file.

    Raises:
        UsageError: there is no such file.
        ZooError: the image cannot be read. Errors inside the block are converted, too.
    """
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise UsageError(f"no file {path}") from error
    except ZooError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ZooError(f"{path}: not an image that can be read: {error}") from error


def _metadata(image: Image.Image, path: Path) -> dict[str, Any] | None:
    text = image.info.get(METADATA_KEY)
    return None if text is None else parse_object(text, f"{path}: its samplerzoo metadata")


def _period(labels: Sequence[int]) -> int | None:
    """Return the period of labels that repeat in a fixed order; None if they do not, or if it is too long for a row."""
    period = len(set(labels))
    turns = all(label == labels[i % period] for i, label in enumerate(labels))
    return period if turns and 3 <= period <= MOST_CLASS_COLUMNS else None


def _in_rows(pixels: Pixels, columns: int, captions: Sequence[str]) -> Image.Image:
    """Lay images out in rows, each below its caption. With fewer captions than images, only the first row has some."""
    width, height = tile_size(pixels)
    columns = min(columns, len(pixels))
    rows = math.ceil(len(pixels) / columns)
    captioned = math.ceil(len(captions) / columns)
    font, line = font_for(captions), FONT_SIZE + GAP
    tiles, texts = [], []
    for index, tile in enumerate(pixels):
        row, column = divmod(index, columns)
        left = MARGIN + column * (width + GAP)
        top = MARGIN + row * (height + GAP) + min(row + 1, captioned) * line
        tiles.append(((left, top), tile))
        if index < len(captions):
            texts.append(((left + width / 2, top - GAP), _fitting(captions[index], font, width), "ms"))
    size = (
        2 * MARGIN + columns * (width + GAP) - GAP,
        2 * MARGIN + rows * (height + GAP) - GAP + captioned * line,
    )
    return sheet(size, tiles, texts)


def _fitting(text: str, font: Font, width: int) -> str:
    """Shorten a text that is wider than its cell."""
    text = visible(text)
    if len(text) <= width and font.getlength(text) <= width:
        return text
    text = text[:width]  # hardly any letter is narrower than a pixel, and measuring long texts is slow
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
