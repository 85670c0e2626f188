"""Decodes image files with Pillow: orientation, transparency, cropping and resizing.

Files are untrusted: the memory needed is computed from headers before decoding.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from jaxgan.data.source import check_memory, format_size
from jaxgan.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

# The formats that are read, by Pillow's names, and their suffixes: only formats recognized by a signature, and not EPS,
# for which Pillow would run Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
            ".pbm", ".pnm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs")  # fmt: skip
# Pillow's modes with 8 bits per channel.
GREY = ("1", "L", "LA", "La")
COLOUR = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
BACKGROUND = "white"  # behind transparent pixels, as in browsers


def decode_all(
    files: Iterable[tuple[str, str | BinaryIO]], positions: Sequence[int] | np.ndarray, size: int
) -> np.ndarray:
    """Decodes images into one array.

    Args:
      files: per image, its name in error messages, and the path or open file.
      positions: the index of each image in the result, a permutation of range(n).
      size: 0 = images as they are, all of one size; otherwise each is cropped and resized to this side in pixels.

    Returns:
      [n, H, W, C] uint8; C is 1 if every image is gray, otherwise 3.

    Raises:
      UserError: an unreadable image, different sizes if `size` is 0, or more bytes than fit in memory.
    """
    from PIL import Image

    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # Pillow before 11.3 has no AVIF
    out, first = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # above Pillow's MAX_IMAGE_PIXELS
        warnings.filterwarnings("ignore", "Corrupt EXIF data")  # see `decode_upright`
        for i, (name, file) in zip(positions, files, strict=True):
            first = first or name
            try:
                with Image.open(file, formats=formats) as image:  # reads the header
                    channels = max(_channels(image, name), 1 if out is None else out.shape[-1])
                    shape = (size, size) if size else (image.height, image.width)
                    _check_fits(out, (len(positions), *shape, channels), name, size)
                    mode = "L" if channels == 1 else "RGB"
                    pixels = np.asarray(crop_and_resize(flatten(decode_upright(image), mode), size))
                    pixels = pixels.reshape(*pixels.shape[:2], channels)
                    out = _allocate(out, len(positions), pixels.shape, name, first)
                    out[i] = pixels
            except UserError:
                raise
            except Exception as error:  # Pillow's decoders raise many kinds
                raise UserError(f"{name} cannot be read as an image ({error}); remove it.") from error
    assert out is not None  # there is a file
    return out


def decode_upright(image: ImageFile) -> Image:
    """Decodes an image and applies its EXIF orientation, if it can be read."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if isinstance(image.info.get("transparency"), int | tuple) and image.tile:
        image.info["transparency"] = _transparency_in_8_bits(image.info["transparency"], image.tile[0][3])
    image.load()  # before getexif: PNG may store EXIF after the pixels, and Pillow rotates TIFF itself
    try:
        turn = turns.get(image.getexif().get(0x0112, 1))
    except Exception:  # Pillow's EXIF parser raises many kinds
        turn = None
    return image if turn is None else image.transpose(turn)


def _transparency_in_8_bits(transparent: int | tuple[int, ...], rawmode: str) -> int | tuple[int, ...]:
    """A PNG's transparent colour at 8 bits per channel: Pillow converts the pixels to 8 bits, but not this colour."""
    if rawmode in ("L;2", "L;4"):
        return transparent * (85 if rawmode == "L;2" else 17)
    return tuple(level >> 8 for level in transparent) if rawmode == "RGB;16B" else transparent


def flatten(image: Image, mode: str) -> Image:
    """Composites an image with transparency onto `BACKGROUND`.

    Args:
      image: in a mode of `GREY` or `COLOUR`.
      mode: mode of the result, "L" or "RGB".
    """
    from PIL import Image

    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


def crop_and_resize(image: Image, size: int) -> Image:
    """Crops an image to its central square and resizes that to size x size pixels (Lanczos, antialiased).

    Args:
      image: in mode "L" or "RGB".
      size: side in pixels; 0 = return the image unchanged.
    """
    from PIL import Image

    if not size:
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)


def _channels(image: Image, name: str) -> int:
    """The number of channels by an image's header: 1 for gray, 3 for colour."""
    if image.mode not in GREY + COLOUR:
        raise UserError(f"{name} has pixels of more than 8 bits (Pillow's mode {image.mode}); convert it.")
    return 1 if image.mode in GREY else 3


def _check_fits(out: np.ndarray | None, shape: tuple[int, ...], name: str, size: int) -> None:
    """Checks before decoding that images of shape [n, H, W, C] fit in memory in addition to `out`."""
    if out is None or shape[-1] > out.shape[-1]:
        what = f"{shape[0]} images of {format_size(shape[1:3])} pixels" if size else f"{shape[0]} images like {name}"
        check_memory(math.prod(shape) + (0 if out is None else out.nbytes), what)


def _allocate(out: np.ndarray | None, n: int, shape: tuple[int, ...], name: str, first: str) -> np.ndarray:
    """The output array for n images [H, W, C]: allocated at the first image, widened at the first in colour."""
    if out is None:
        return np.empty((n, *shape), np.uint8)
    if shape[:2] != out.shape[1:3]:
        raise UserError(
            f"{name} is {format_size(shape[:2])} pixels but {first} is {format_size(out.shape[1:3])}; to read "
            f"several sizes from folder:PATH, set --config.data.size=N: each is cropped to a square and resized to NxN."
        )
    return np.repeat(out, 3, axis=-1) if shape[-1] > out.shape[-1] else out
