"""Images that need no download: scikit-learn's digits, a NumPy archive, a folder of image files."""

from __future__ import annotations

import importlib.util
import math
import os
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxgan.errors import UserError

# Bytes that a data set may take once decoded: half of this machine's memory.
LIMIT = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

# Pillow's names for the formats it may try. Others (EPS runs Ghostscript) stay out.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
GREY_MODES = ("1", "L", "LA", "La")
COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998), grey levels 0..16 as 0..255.

    Returns:
      train [1500, 8, 8, 1] and test [297, 8, 8, 1], uint8; the test images are the file's last.
    """
    # The file itself, because importing sklearn.datasets to read it takes over a second.
    (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
    table = np.loadtxt(Path(package) / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    pixels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)  # last: the label
    return pixels[:1500], pixels[1500:]


def npz(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Images from a file that `numpy.savez` or `numpy.savez_compressed` wrote.

    Training images are the array `train`, `images` or `x_train`, or the only array there is; test
    images are `test` or `x_test`. Each is [n, H, W] or [n, H, W, C], uint8, or floats in [0, 1], which
    are rounded to 256 levels.

    Returns:
      train, and test or None: [n, H, W, C] uint8.

    Raises:
      UserError: not such a file, other arrays, or more bytes than this machine can hold.
    """
    path = Path(path).expanduser()
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            key = next((k for k in ("train", "images", "x_train") if k in keys), None)
            if key is None and len(keys) != 1:
                raise UserError(
                    f"{path} holds the arrays {', '.join(keys) or '(none)'}; name the training images "
                    f"'train', 'images' or 'x_train'."
                )
            train = _array(archive, key or keys[0], path)
            test_key = next((k for k in ("test", "x_test") if k in keys and k != (key or keys[0])), None)
            test = None if test_key is None else _array(archive, test_key, path)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; data.name takes npz:PATH.") from None
    except Exception as error:  # a damaged archive fails in as many ways as zipfile, zlib and NumPy know
        raise UserError(f"{path} cannot be read as an .npz file of numpy.savez ({error}).") from error
    if test is not None and test.shape[1:] != train.shape[1:]:
        raise UserError(
            f"{path} holds training images of {_size(train.shape[1:])} but test images of "
            f"{_size(test.shape[1:])}; make them equal."
        )
    return train, test


def _array(archive: zipfile.ZipFile, key: str, path: Path) -> np.ndarray:
    """One array of an .npz file as uint8 [n, H, W, C]; its header is judged before its data are read."""
    member = key + ".npy" if key + ".npy" in archive.namelist() else key
    _check_bytes(archive.getinfo(member).file_size, f"{path} [{key}]")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    what = f"{path} [{key}] is {dtype} of shape {shape}"
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(f"{what}; images are [n, H, W] or [n, H, W, C] with at least one pixel.")
    if dtype != np.uint8 and dtype.kind != "f":
        raise UserError(f"{what}; images are uint8 (0..255) or floats in [0, 1]: convert them.")
    _check_bytes(math.prod(shape) * dtype.itemsize, f"{path} [{key}]")
    with archive.open(member) as file:
        x = np.lib.format.read_array(file, allow_pickle=False)
    if dtype != np.uint8:
        low, high = x.min(), x.max()
        if not (low >= 0 and high <= 1):
            raise UserError(
                f"{what} with values from {low:g} to {high:g}; floats must be in [0, 1]: rescale them."
            )
        x = np.rint(x * x.dtype.type(255)).astype(np.uint8)
    return np.ascontiguousarray(x.reshape(x.shape if x.ndim == 4 else (*x.shape, 1)))


def folder(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """All images of a folder and its sub-folders, in a fixed shuffled order.

    The shuffle depends only on how many there are; it keeps the last ones, which become the validation
    set, from being all of one class. If the folder holds `train/`, that is the training set and
    `test/`, if there, the test set. If every image is grey the result has 1 channel, else 3.

    Returns:
      train, and test or None: [n, H, W, C] uint8.

    Raises:
      UserError: no images, different sizes, an unreadable image, or more bytes than fit.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; data.name takes folder:PATH.")
    inside = {p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")}
    if "train" not in inside:
        return _read_folder(root), None
    if inside - {"train", "test"}:
        others = ", ".join(sorted(inside - {"train"}))
        raise UserError(
            f"{root} holds train/ beside {others}: if they are splits, leave train/ and test/ alone there; "
            f"if they are classes, rename train/."
        )
    train = _read_folder(root / "train")
    test = _read_folder(root / "test") if "test" in inside else None
    if test is not None and test.shape[1:] != train.shape[1:]:
        raise UserError(
            f"the images of {root / 'train'} are {_size(train.shape[1:])}, those of {root / 'test'} "
            f"{_size(test.shape[1:])}; make them equal."
        )
    return train, test


def _read_folder(root: Path) -> np.ndarray:
    paths = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(root, followlinks=True)  # classes are often links to a larger set
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )
    if not paths:
        raise UserError(f"{root} holds no images (files ending in {', '.join(SUFFIXES)}).")
    # Files are read in the order they lie on the disk; each goes to its place in the shuffled array.
    return stack([(p, p) for p in paths], np.random.default_rng(0).permutation(len(paths)))


def stack(files: Iterable[tuple[str, str | BinaryIO]], places: Sequence[int]) -> np.ndarray:
    """Decodes images of one size into one array; nothing is decoded before its header is judged.

    Args:
      files: (how to call it in an error, path or open file) of each image.
      places: where in the result each goes: a permutation of range(n).

    Returns:
      [n, H, W, C] uint8; C = 1 if every image is grey, else 3.

    Raises:
      UserError: an unreadable image, two sizes, or more bytes than fit; the image is named.
    """
    from PIL import Image

    out, first = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # Pillow's MAX_IMAGE_PIXELS
        for place, (name, file) in zip(places, files, strict=True):
            try:
                with Image.open(file, formats=FORMATS) as image:
                    colour = image.mode not in GREY_MODES
                    if colour and image.mode not in COLOUR_MODES:
                        raise UserError(f"{name} has pixels of Pillow's mode {image.mode}; save it as 8 bits.")
                    if out is None:
                        first, shape = name, (len(places), image.height, image.width, 3 if colour else 1)
                        _check_bytes(math.prod(shape), f"{len(places)} images like {name}")
                        out = np.empty(shape, np.uint8)
                    elif (image.height, image.width) != out.shape[1:3]:
                        raise UserError(
                            f"{name} is {_size((image.height, image.width))} but {first} is "
                            f"{_size(out.shape[1:3])}; resize them to one size."
                        )
                    elif colour and out.shape[-1] == 1:
                        _check_bytes(3 * out.size, f"{len(places)} images like {name}")
                        out = np.repeat(out, 3, axis=-1)
                    mode = "L" if out.shape[-1] == 1 else "RGB"
                    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
                    out[place] = pixels.reshape(out.shape[1:])
            except UserError:
                raise
            except Exception as error:  # a damaged file fails in as many ways as Pillow has decoders
                raise UserError(f"{name} cannot be read as an image ({error}); mend or remove it.") from error
    return out


def _check_bytes(size: int, what: str) -> None:
    if size > LIMIT:
        raise UserError(
            f"{what} would take {size / 2**30:.1f} GiB, more than half of this machine's memory; use fewer "
            f"or smaller images."
        )


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
