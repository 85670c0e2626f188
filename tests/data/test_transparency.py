"""Transparent images become opaque on white."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgan.data.images import folder


def png(colour, depth, row, **chunks):
    """A PNG of one row by hand (PNG specification, section 5), with chunks such as tRNS."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    width = len(row) * 8 // depth // {0: 1, 2: 3, 3: 1}[colour]
    header = struct.pack(">2I5B", width, 1, depth, colour, 0, 0, 0)
    parts = {"IHDR": header, **chunks, "IDAT": zlib.compress(b"\0" + row), "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name.encode(), content) for name, content in parts.items())


def drawn(content, size=0, ending="png"):
    """What is read of one image file: [H, W, C]."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / f"x.{ending}").write_bytes(content)
        return folder(directory, size).train[0]


def stored(image, ending, **options):
    file = io.BytesIO()
    image.save(file, ending, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(("mode", "ending"), [("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tiff"), ("LA", "png"),
                                              ("PA", "tiff"), ("LA", "tiff")])  # fmt: skip
def test_alpha_is_composited_on_white(mode, ending, size):
    """An invisible pixel is white, an opaque one itself, one of alpha 51 (a fifth) a fifth of the way."""
    for alpha, expected in ((0, 255), (51, 255 - 51 + 10), (255, 50)):
        image = Image.new("RGBA", (1, 1), (50, 50, 50, alpha))
        if mode == "PA":
            image = Image.new("PA", (1, 1), (0, alpha))
            image.putpalette([50, 50, 50])
        options = {"lossless": True, "exact": True} if ending == "webp" else {}
        x = drawn(stored(image.convert(mode), ending, **options), size, ending)
        assert x.shape == (1, 1, 1 if mode == "LA" else 3)
        np.testing.assert_allclose(x.astype(int), expected, atol=1)
        if alpha in (0, 255):
            np.testing.assert_array_equal(x, expected)


def test_one_transparent_colour_of_a_png_becomes_white():
    """tRNS names a grey level or a colour, in as many bits as the pixels have; a palette has an alpha per entry."""
    for depth, row in ((1, b"\x40"), (2, b"\x1b"), (4, b"\x5f"), (8, b"\x5f\x11")):
        bits = "".join(f"{byte:08b}" for byte in row)
        levels = [int(bits[i : i + depth], 2) for i in range(0, len(bits), depth)]
        shown = [level * 255 // (2**depth - 1) for level in levels]
        for level in levels:
            expected = [255 if other == level else grey for other, grey in zip(levels, shown, strict=True)]
            assert drawn(png(0, depth, row, tRNS=struct.pack(">H", level)))[0, :, 0].tolist() == expected
    colour = drawn(png(2, 8, b"\1\2\3\4\5\6", tRNS=b"\0\1\0\2\0\3"))
    assert colour.tolist() == [[[255, 255, 255], [4, 5, 6]]]
    deep = png(
        2, 16, struct.pack(">6H", 0x1234, 0x2345, 0x3456, 0x1134, 0, 0), tRNS=struct.pack(">3H", 0x1234, 0x2345, 0x3456)
    )
    assert drawn(deep).tolist() == [[[255, 255, 255], [0x11, 0, 0]]]
    palette = drawn(png(3, 8, b"\0\1", PLTE=bytes([9, 8, 7, 6, 5, 4]), tRNS=b"\0"))
    assert palette.tolist() == [[[255, 255, 255], [6, 5, 4]]]
    half = drawn(png(3, 8, b"\0\1", PLTE=bytes([0, 0, 0, 6, 5, 4]), tRNS=b"\x33\xff"))
    assert half.tolist() == [[[204, 204, 204], [6, 5, 4]]]


def test_the_transparent_colour_of_a_gif_becomes_white():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    assert drawn(stored(image, "gif", transparency=0), ending="gif").tolist() == [[[255, 255, 255], [0, 0, 200]]]


def test_invisible_colours_do_not_bleed_into_what_is_resized():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 1] = 255  # invisible green
    np.testing.assert_array_equal(drawn(stored(Image.fromarray(pixels), "png"), 2), np.full((2, 2, 3), 255))


def test_opaque_alpha_changes_no_pixel():
    x = np.arange(768, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    for mode in ("RGBA", "LA"):
        plain = Image.fromarray(x).convert({"RGBA": "RGB", "LA": "L"}[mode])
        expected = np.asarray(plain).reshape(16, 16, -1)
        np.testing.assert_array_equal(drawn(stored(plain.convert(mode), "png")), expected)
