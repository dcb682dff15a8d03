"""Pictures as cameras and tools write them, and as every viewer shows them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from samplerzoo.data.image_sets import load_images
from samplerzoo.data.options import DataOptions
from samplerzoo.data.pictures import PictureError, is_picture, open_picture, walk
from samplerzoo.data.sources import image_batches

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.stack([GREY, GREY[::-1], GREY.T], axis=-1)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(content: bytes) -> np.ndarray:
    return np.asarray(open_picture(content))


def palette(clear: object) -> bytes:
    image = Image.fromarray(GREY // 128, "P")
    image.putpalette([255, 0, 255, 0, 128, 0])
    return encoded(image, transparency=clear)


GREEN_ON_WHITE = np.where((GREY >= 128)[..., None], [0, 128, 0], [255, 255, 255])


@pytest.mark.parametrize(
    ("kind", "pixels"),
    [(kind, GREY) for kind in ("PNG", "BMP", "TIFF", "GIF", "PPM", "TGA", "WEBP")]
    + [(kind, COLOUR) for kind in ("PNG", "BMP", "TIFF", "PPM", "TGA", "WEBP")],  # a GIF has 256 colours
)
def test_formats_without_loss(kind: str, pixels: np.ndarray) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    grey_in_colour = kind == "WEBP" and pixels is GREY  # the format knows no grey
    expected = np.repeat(pixels[..., None], 3, axis=-1) if grey_in_colour else pixels
    np.testing.assert_array_equal(shown(encoded(Image.fromarray(pixels), kind, **options)), expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(encoded(Image.fromarray(GREY.astype(np.uint16) * 257)), GREY, id="16 bits, PNG"),
        pytest.param(encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"), GREY, id="16 bits, TIFF"),
        pytest.param(b"P5 2 1 65535\n\xff\xff\x80\x80", np.array([[255, 128]]), id="16 bits, PGM"),
        pytest.param(encoded(Image.fromarray(GREY > 99)), np.where(GREY > 99, 255, 0), id="1 bit"),
        pytest.param(
            encoded(Image.new("CMYK", (4, 4), (0, 255, 0, 0)), "TIFF"), np.tile([255, 0, 255], (4, 4, 1)), id="CMYK"
        ),
        pytest.param(
            encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray((GREY >= 128) * np.uint8(255))])),
            np.where(GREY < 128, 255, GREY), id="grey with alpha",
        ),
        pytest.param(
            encoded(Image.fromarray(np.dstack([COLOUR, np.where(GREY < 128, 0, 255)]).astype(np.uint8))),
            np.where((GREY < 128)[..., None], 255, COLOUR), id="colour with alpha",
        ),
        pytest.param(palette(0), GREEN_ON_WHITE, id="palette with a transparent colour"),
        pytest.param(palette(b"\x00\xff"), GREEN_ON_WHITE, id="palette with alpha"),
        pytest.param(encoded(Image.fromarray(GREY), transparency=7), np.where(GREY == 7, 255, GREY), id="a clear grey"),
        pytest.param(
            encoded(Image.fromarray(GREY.astype(np.uint16) * 257), transparency=7 * 257),
            np.where(GREY == 7, 255, GREY), id="a clear grey of 16 bits",
        ),
    ],
)  # fmt: skip
def test_pixels_are_those_of_every_viewer(content: bytes, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(shown(content), expected)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_a_film_counts(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    found = shown(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    np.testing.assert_array_equal(found, np.tile([255, 0, 0], (8, 8, 1)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [COLOUR, GREY.astype(np.uint16) * 257], ids=["8 bits", "16 bits"])
def test_a_photo_is_upright_as_in_datasets(orientation: int, pixels: np.ndarray) -> None:
    import datasets

    tag = Image.Exif()
    tag[ExifTags.Base.Orientation] = orientation
    content = encoded(Image.fromarray(pixels[:8]), "TIFF" if pixels is not COLOUR else "PNG", exif=tag)
    theirs = np.asarray(datasets.Image().decode_example({"bytes": content, "path": None}))
    np.testing.assert_array_equal(shown(content), theirs // 257 if theirs.dtype == np.uint16 else theirs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no picture that Pillow knows"),
        (b"hello", "no picture that Pillow knows"),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:700], "truncated"),
        (encoded(Image.effect_noise((64, 64), 50))[:900], "truncated"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (encoded(Image.fromarray(GREY.astype(np.int32) * 257), "TIFF"), "mode I has no agreed white"),
        (encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "mode F has no agreed white"),
        (encoded(Image.fromarray(GREY)).replace(b"IDAT", b"JDAT"), "."),
        (b"\x89PNG\r\n\x1a\n" + zlib.compress(b"x"), "."),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, message: str) -> None:
    with pytest.raises(PictureError, match=message) as error:
        open_picture(content)
    assert "\n" not in str(error.value)


def test_hidden_files_and_those_of_the_system_are_passed_over(tmp_path: Path) -> None:
    picture = encoded(Image.fromarray(GREY))
    kept = ["a.PNG", "cat/b.png", "cat/c.Jpeg", "linked/d.webp"]
    hidden = [
        ".partial-7-a.png", "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/a.png", "notes.txt",
        "__MACOSX/a.png", "cat/@eaDir/b.png", "cat/.cache/x.png",
    ]  # fmt: skip
    for name in [*(name for name in kept if "linked" not in name), *hidden]:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(picture)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d.webp").write_bytes(picture)
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "set")
    found = sorted(str(path.relative_to(tmp_path / "set")) for path in walk(tmp_path / "set", is_picture))
    assert found == kept
    trained = load_images(DataOptions(dataset=str(tmp_path / "set")))
    measured = image_batches(str(tmp_path / "set"), "test")
    assert len(trained) == len(measured) == len(kept)


def test_training_and_metrics_see_the_same_pixels(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[ExifTags.Base.Orientation] = 6
    (tmp_path / "0.png").write_bytes(palette(0))
    Image.fromarray(np.dstack([COLOUR, GREY])).save(tmp_path / "1.webp", lossless=True, exact=True)
    Image.fromarray(COLOUR).save(tmp_path / "2.JPG", exif=tag)
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "3.tif")
    (batch,) = image_batches(str(tmp_path), "test")
    trained = load_images(DataOptions(dataset=str(tmp_path))).source
    order = np.argsort(batch.names)
    np.testing.assert_array_equal(batch.images[order], np.asarray(trained))


@pytest.mark.parametrize(("bits", "zero_is_white", "expected"), [(16, 0, 255), (16, 1, 0), (12, 0, 255)])
def test_the_white_of_a_deep_tiff_is_as_its_tags_say(bits: int, zero_is_white: int, expected: int) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), 65535, np.uint16)).save(file, "TIFF")
    depth, photometric = (bytes([tag, 1, 3, 0, 1, 0, 0, 0]) for tag in (2, 6))
    content = file.getvalue().replace(depth + bytes([16, 0]), depth + bytes([bits, 0]))
    content = content.replace(photometric + bytes([1, 0]), photometric + bytes([1 - zero_is_white, 0]))
    assert set(np.asarray(open_picture(content)).ravel()) == {expected}


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_a_palette_of_greys_is_grey(kind: str) -> None:
    file, values = io.BytesIO(), np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(values).convert("P").save(file, kind)
    found = open_picture(file.getvalue())
    assert found.mode == "L"
    assert np.array_equal(np.asarray(found), values)


def raw_png(width: int, bits: int, colour: int, line: bytes, clear: bytes | None = None) -> bytes:
    """Write a PNG file of one line, since Pillow cannot write all kinds.

    Args:
        colour: 0 for grey, 2 for RGB, 4 for grey with alpha.
        clear: value that stands for transparency, in 16 bits a channel.
    """

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0))
    key = b"" if clear is None else chunk(b"tRNS", clear)
    return b"\x89PNG\r\n\x1a\n" + header + key + chunk(b"IDAT", zlib.compress(b"\0" + line)) + chunk(b"IEND", b"")


def test_grey_with_alpha_of_16_bits_is_grey() -> None:
    """Pillow opens it in mode RGBA, and cannot write it."""
    content = raw_png(2, 16, 4, struct.pack(">HHHH", 0x4242, 0xFFFF, 0x4242, 0))
    np.testing.assert_array_equal(shown(content), [[0x42, 255]])


@pytest.mark.parametrize(
    ("bits", "line", "clear", "expected"),
    [
        (1, b"\xb0", 0, [255, 255, 255, 255]),
        (1, b"\xb0", 1, [255, 0, 255, 255]),
        (2, b"\x1b", 1, [0, 255, 170, 255]),
        (4, b"\x01\x8f", 8, [0, 17, 255, 255]),
        (8, b"\x01\x02\x03\x04", 3, [1, 2, 255, 4]),
        (16, b"\x01\x01\x02\x02\x03\x03\x04\x04", 0x0303, [1, 2, 255, 4]),
    ],
)
def test_a_clear_grey_of_few_bits_or_many(bits: int, line: bytes, clear: int, expected: list[int]) -> None:
    np.testing.assert_array_equal(shown(raw_png(4, bits, 0, line, struct.pack(">H", clear))), [expected])


@pytest.mark.parametrize(("bits", "unit"), [(8, 1), (16, 257)])
def test_a_clear_colour(bits: int, unit: int) -> None:
    clear, other = ([value * unit for value in colour] for colour in ((1, 2, 3), (3, 2, 1)))
    line = struct.pack(">6B" if bits == 8 else ">6H", *clear, *other)
    found = shown(raw_png(2, bits, 2, line, struct.pack(">HHH", *clear)))
    np.testing.assert_array_equal(found, [[[255, 255, 255], [3, 2, 1]]])
