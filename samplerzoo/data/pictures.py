"""Picture files: one way to find them in a folder, and one way to read them, for training and for metrics.

A picture is read as viewers show it: upright, in 8 bits, grey or RGB, only its first frame, with white in place of
transparency.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from samplerzoo.errors import ZooError
from samplerzoo.trust.limits import MOST_VALUES
from samplerzoo.trust.markup import is_text
from samplerzoo.trust.pointers import NOT_FETCHED, POINTER

SUFFIXES = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .avif .avifs .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .tga .jp2 "
    ".j2k .jpx .qoi .pcx .sgi .dds .ico".split()
)
"""Suffixes of picture files, in lower case."""
SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN"})
"""Folders in which programs keep their own previews and copies. They are skipped, like hidden folders."""
BACKGROUND = "white"
"""Colour in place of transparency."""
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
"""PIL modes without colour."""
DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""PIL modes that may hold 16 bits. In mode I, only the formats below are sure to hold 16 bits."""
DEEP_FORMATS = ("PNG", "PPM")
SHALLOW = {"L;2": 85, "L;4": 17}
"""Pillow's names for the content of a grey PNG file of 2 and 4 bits, and the factors by which it scales values."""
DEEP_COLOUR = "RGB;16B"
"""Pillow's name for the content of a PNG file in colour with 16 bits, of which it keeps 8."""
DEEP_WITH_ALPHA = "LA;16B"
"""Pillow's name for the content of a PNG file that is grey, with an alpha channel and 16 bits."""


class PictureError(ZooError):
    """Error raised for a picture that cannot be read. Its message gives the reason, but not the picture."""


def walk(folder: Path, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the wanted files of a folder and its subfolders, without hidden and system folders.

    Links to folders are followed, once each; see `repeated`.

    Raises:
        OSError: a folder cannot be read.
        ZooError: the name of a wanted file is not valid text.
    """
    for root, files, again in _folders(folder):
        for path in () if again else (Path(root, name) for name in files if not name.startswith(".")):
            if wanted(path):
                if not is_text(str(path)):
                    raise ZooError(f"{path}: its name is not in UTF-8: rename it, or the folder whose name is not")
                yield path


def repeated(folder: Path) -> list[Path]:
    """Return the links to folders that `walk` skips, since it reaches their files by another path.

    Links to a parent folder are not among them, since they add no files.
    """
    return [Path(root) for root, _, again in _folders(folder) if again and not _contains(root, os.path.dirname(root))]


def _folders(folder: Path) -> Iterator[tuple[str, list[str], bool]]:
    """Yield a folder and its subfolders: path, names of files, and whether it was visited by another path before."""

    def stop(error: OSError) -> None:
        raise error

    seen: set[str] = set()
    for root, folders, files in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(root)
        yield root, files, real in seen
        shown = [] if real in seen else [it for it in folders if not it.startswith(".") and it not in SYSTEM_FOLDERS]
        folders[:] = sorted(shown, key=lambda name: (os.path.islink(os.path.join(root, name)), name))
        seen.add(real)


def _contains(folder: str, other: str) -> bool:
    """Tell whether a folder is the other one, or contains it."""
    whole, part = os.path.realpath(folder), os.path.realpath(other)
    return os.path.commonpath([whole, part]) == whole


def is_picture(path: Path) -> bool:
    """Return True if a file has the suffix of a picture."""
    return path.suffix.lower() in SUFFIXES


def open_picture(content: bytes) -> Image.Image:
    """Read a picture in mode L or RGB.

    Raises:
        PictureError: it cannot be read, or no convention says which value is white.
    """
    if content.startswith(POINTER):
        raise PictureError(NOT_FETCHED)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MOST_VALUES:
                raise PictureError(f"it has {image.width}x{image.height} pixels, and at most {MOST_VALUES} are read")
            deep_with_alpha = any(tile.args == DEEP_WITH_ALPHA for tile in image.tile)  # Pillow opens it in mode RGBA
            raw = [tile.args for tile in image.tile]
            image.load()
            _scale_clear(image, raw)
            top, zero_is_white = _white(image)
            shown = ImageOps.exif_transpose(image.convert("LA") if deep_with_alpha else image)
            return _on_background(_in_8_bits(shown, image.format, top, zero_is_white))
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("its content is no picture that Pillow knows") from error
    except Exception as error:  # Pillow may raise any error for a broken file
        raise PictureError((str(error).strip().splitlines() or [type(error).__name__])[0]) from error


def _scale_clear(image: Image.Image, raw: Sequence[object]) -> None:
    """Scale the value of a PNG file that stands for transparency as Pillow scales the pixels, which it does not.

    Args:
        raw: Pillow's names for the content of the file.
    """
    clear = image.info.get("transparency")
    if isinstance(clear, int) and raw and raw[0] in SHALLOW:
        image.info["transparency"] = clear * SHALLOW[raw[0]]
    elif isinstance(clear, tuple) and DEEP_COLOUR in raw:
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _white(image: Image.Image) -> tuple[int, bool]:
    """Return the largest value of a deep picture, and whether 0 is white. A TIFF has both, in tags 258 and 262."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(258, (16,))
    return 2 ** (bits if isinstance(bits, int) else bits[0]) - 1, tags.get(262) == 0


def _in_8_bits(image: Image.Image, kind: str | None, top: int, zero_is_white: bool) -> Image.Image:
    """Scale deep values to 8 bits: `top` becomes 255, or 0 if 0 is white."""
    if image.mode == "F" or (image.mode == "I" and kind not in DEEP_FORMATS):
        raise PictureError(f"its mode {image.mode} has no agreed white: save it in 8 or 16 bits")
    if image.mode not in DEEP_MODES:
        return image
    values = np.asarray(image).astype(np.float64)
    shown = np.round(values * 255 / top).clip(0, 255).astype(np.uint8)
    grey = Image.fromarray(255 - shown if zero_is_white else shown)
    clear = image.info.get("transparency")
    if clear is not None:
        grey.paste(255, mask=Image.fromarray(values == clear))
    return grey


def _on_background(image: Image.Image) -> Image.Image:
    """Lay a picture on the background, and return it in mode L or RGB."""
    mode = "L" if image.mode in GREY_MODES or has_grey_palette(image) else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert(mode)


def has_grey_palette(image: Image.Image) -> bool:
    """Tell whether a picture with a palette, as every GIF has, is grey."""
    if image.mode != "P":
        return False
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    return bool((red == green).all() and (green == blue).all())
