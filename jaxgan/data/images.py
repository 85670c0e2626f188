"""Images that need no download: scikit-learn's digits, a NumPy archive, a folder of image files.

Files are taken for hostile: no pickle is loaded, and what decoding would cost is known from headers before
anything is decoded.
"""

from __future__ import annotations

import importlib.util
import math
import os
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from jaxgan.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

# Bytes that decoded images may take: half of this machine's memory.
LIMIT = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
# What Pillow calls these formats, and their pixels of 8 bits. Not every format: EPS would run Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
GREY = ("1", "L", "LA", "La")
COLOUR = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998), grey levels 0..16 as 0..255.

    Returns:
      train [1500, 8, 8, 1] and test [297, 8, 8, 1] uint8; the test images are the last in the file.
    """
    # The file itself: importing sklearn.datasets to read it takes over a second.
    (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
    table = np.loadtxt(Path(package) / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    levels = table[:, :64]  # the last column is the label
    x = np.rint(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return x[:1500], x[1500:]


def npz(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Images from a file that `numpy.savez` or `numpy.savez_compressed` wrote.

    The training images are the array `train`, `images` or `x_train`, or the only one there is; the test
    images, if any, are `test` or `x_test`. Each is [n, H, W] or [n, H, W, C], of uint8, or of floats in
    [0, 1], which are rounded to 256 levels.

    Returns:
      train, and test or None: [n, H, W, C] uint8.

    Raises:
      UserError: no such file, a damaged file, other arrays than these, or more bytes than fit in memory.
    """
    path = Path(os.path.expanduser(path))
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            only = names[0] if len(names) == 1 else None
            train = next((name for name in ("train", "images", "x_train") if name in names), only)
            test = next((name for name in ("test", "x_test") if name in names and name != train), None)
            if train is None:
                raise UserError(
                    f"{path} holds the arrays {', '.join(names) or '(none)'}; name the training images "
                    f"'train', 'images' or 'x_train'."
                )
            wanted = [name for name in (train, test) if name]
            check_bytes(sum(archive.getinfo(f"{name}.npy").file_size for name in wanted), str(path))
            arrays = [_array(archive, name, path) for name in wanted]
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; data.name takes npz:PATH.") from None
    except Exception as error:  # a damaged file fails in as many ways as zipfile, zlib and NumPy know
        raise UserError(f"{path} cannot be read as a file of numpy.savez ({error}).") from error
    return _same_size(*arrays, f"{path} [{train}]", f"{path} [{test}]") if test else (arrays[0], None)


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array of an .npz file as [n, H, W, C] uint8."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as file:
        old = np.lib.format.read_magic(file) == (1, 0)
        read_header = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    what = f"{path} [{name}] has shape {shape} and dtype {dtype}"
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(f"{what}; images are [n, H, W] or [n, H, W, C], none of them 0.")
    if dtype != np.uint8 and dtype.kind != "f":
        raise UserError(f"{what}; images are uint8 in 0..255 or floats in [0, 1]: convert them.")
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{name} is shorter than its header says")
    with archive.open(member) as file:
        x = np.lib.format.read_array(file, allow_pickle=False)
    if dtype != np.uint8:
        low, high = x.min(), x.max()
        if not (low >= 0 and high <= 1):
            raise UserError(f"{what} with values from {low:g} to {high:g}; rescale floats to [0, 1].")
        x = np.rint(x * x.dtype.type(255)).astype(np.uint8)
    return np.ascontiguousarray(x).reshape(*shape[:3], -1)


def folder(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """All images of a folder and its sub-folders, in a fixed shuffled order.

    The shuffle, the same for every folder of n images, keeps the last ones (the validation set) from being
    all of one class. A folder with `train/` and perhaps `test/` in it is taken for these two splits. The
    result has 1 channel if every image is grey, else 3.

    Returns:
      train, and test or None: [n, H, W, C] uint8.

    Raises:
      UserError: no images, images of different sizes, an unreadable one, or more bytes than fit in memory.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; data.name takes folder:PATH.")
    try:
        inside = {entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."}
        if "train" not in inside:
            return _read_folder(root), None
        if inside - {"train", "test"}:
            raise UserError(
                f"{root} holds train/ beside {', '.join(sorted(inside - {'train', 'test'}))}: for splits "
                f"leave only train/ and test/ there, for classes rename train/."
            )
        train = _read_folder(root / "train")
        if "test" not in inside:
            return train, None
        return _same_size(train, _read_folder(root / "test"), f"{root / 'train'}", f"{root / 'test'}")
    except OSError as error:
        raise UserError(f"{root} cannot be read ({error}); mend its permissions.") from error


def _read_folder(root: Path) -> np.ndarray:
    def stop(error: OSError) -> None:  # rather than leave a class out
        raise error

    paths = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(root, onerror=stop, followlinks=True)
        for name in names
        if name.lower().endswith(SUFFIXES) and name[0] != "."
    )
    if not paths:
        raise UserError(f"{root} holds no images: no file ends in {', '.join(SUFFIXES)}.")
    # Files are read in the order in which they lie on the disk; each has its place in the shuffled array.
    return stack(zip(paths, paths, strict=True), np.random.default_rng(0).permutation(len(paths)))


def stack(files: Iterable[tuple[str, str | BinaryIO]], places: Sequence[int]) -> np.ndarray:
    """Decodes images of one size into one array.

    Args:
      files: of each image, its name for error messages and the path or open file.
      places: where each goes in the result, a permutation of range(n).

    Returns:
      [n, H, W, C] uint8; C is 1 if every image is grey, else 3.

    Raises:
      UserError: an unreadable image, a second size, or more bytes than fit in memory; the image is named.
    """
    from PIL import Image

    out, first = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # above Pillow's MAX_IMAGE_PIXELS
        for place, (name, file) in zip(places, files, strict=True):
            first = first or name
            try:
                with Image.open(file, formats=FORMATS) as image:  # reads the header
                    out = _room(out, len(places), image, name, first)
                    mode = "L" if out.shape[-1] == 1 else "RGB"
                    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
                    out[place] = pixels.reshape(out.shape[1:])
            except UserError:
                raise
            except Exception as error:  # a damaged file fails in as many ways as Pillow has decoders
                raise UserError(f"{name} cannot be read as an image ({error}); remove it.") from error
    return out


def _room(out: np.ndarray | None, n: int, image: Image, name: str, first: str) -> np.ndarray:
    """The array that `image` goes to: a new one for the first image, a wider one for the first in colour."""
    if image.mode not in GREY + COLOUR:
        raise UserError(f"{name} has pixels of more than 8 bits (Pillow's mode {image.mode}); convert it.")
    size, channels = (image.height, image.width), 1 if image.mode in GREY else 3
    if out is None or channels > out.shape[-1]:
        check_bytes(n * math.prod(size) * channels, f"{n} images like {name}")
    if out is None:
        out = np.empty((n, *size, channels), np.uint8)
    if size != out.shape[1:3]:
        raise UserError(f"{name} is {_times(size)} pixels but {first} is {_times(out.shape[1:3])}; make them one size.")
    return np.repeat(out, 3, axis=-1) if channels > out.shape[-1] else out


def _same_size(train: np.ndarray, test: np.ndarray, train_name: str, test_name: str) -> tuple[np.ndarray, np.ndarray]:
    if train.shape[1:] != test.shape[1:]:
        raise UserError(
            f"the images of {train_name} are {_times(train.shape[1:])}, those of {test_name} "
            f"{_times(test.shape[1:])}; make them one size and colour."
        )
    return train, test


def check_bytes(size: int, what: str) -> None:
    if size > LIMIT:
        raise UserError(
            f"{what}: decoded {size / 2**30:.3g} GiB, more than the {LIMIT / 2**30:.3g} GiB that are half of "
            f"this machine's memory; use fewer or smaller images."
        )


def _times(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
