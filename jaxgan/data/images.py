"""Images that need no download: scikit-learn's digits, a NumPy archive, a folder of image files.

Files are taken for hostile: no pickle is loaded, and what decoding would cost is known from headers before
anything is decoded.
"""

from __future__ import annotations

import errno
import heapq
import importlib.util
import math
import os
import re
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from jaxgan.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

MAX_CLASSES = 2**16  # so that a column of something else is not taken for labels
MAX_CHANNELS = 4  # so that a side is not taken for channels
PART = 2**20  # pixels of an array that are read at once

# Bytes that decoded images may take: half of this machine's memory.
LIMIT = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

# Pillow's names of the formats that are read, all of which begin with a signature, and the endings of their files. Not
# every format: EPS would run Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
            ".pbm", ".pnm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs")  # fmt: skip
# Pillow's modes with 8 bits per channel.
GREY = ("1", "L", "LA", "La")
COLOUR = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
BACKGROUND = "white"  # behind transparent pixels, as on the page of a browser

# What the sub-folders of a folder are called, in any case, if they are splits.
SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation",
}  # fmt: skip


class Source(NamedTuple):
    """What a reader found, before it is split. Class numbers are 0 .. classes - 1."""

    train: np.ndarray  # [n, H, W, C] uint8
    test: np.ndarray | None = None  # [n, H, W, C] uint8
    train_labels: np.ndarray | None = None  # [n] int32, or None without labels
    test_labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()  # one per class, or () if classes have no names
    classes: int = 0  # number of classes; 0 without labels
    left_out: tuple[tuple[str, int], ...] = ()  # endings of files that were not read, and how many


def places(n: int) -> np.ndarray:
    """Where each of n examples goes when they are shuffled: [n] int64, the same for every set of n."""
    return np.random.default_rng(0).permutation(n)


def shuffle(x: np.ndarray) -> None:
    """Moves example i of `x` [n, ...] to place `places(n)[i]`, within the array and a sixteenth of it more."""
    order = np.argsort(places(len(x)))
    for columns in np.array_split(x.reshape(len(x), -1), 16, axis=1):
        columns[:] = columns[order]


def digits() -> Source:
    """scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998), grey levels 0..16 as 0..255.

    Returns:
      train [1500, 8, 8, 1] and test [297, 8, 8, 1]; the test images are the last in the file. Ten classes.
    """
    # The file itself: importing sklearn.datasets to read it takes over a second.
    (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
    table = np.loadtxt(Path(package) / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    levels, labels = table[:, :64], table[:, 64].astype(np.int32)
    x = np.rint(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Source(x[:1500], x[1500:], labels[:1500], labels[1500:], tuple("0123456789"), 10)


def npz(path: str | os.PathLike[str]) -> Source:
    """Images from a file that `numpy.savez` or `numpy.savez_compressed` wrote, in the file's order.

    The training images are the array `train`, `images` or `x_train`, or the only one there is beside labels;
    the test images, if any, are `test` or `x_test`. Each is [n, H, W] or [n, H, W, C] with up to 4 channels, of
    uint8, or of floats in [0, 1], which are rounded to 256 levels. Their labels, if any, are `train_labels`,
    `y_train` or `labels`, and `test_labels` or `y_test`: [n] or [n, 1] integers from 0. `class_names`, if there, is
    an array of one string per class; without it there are as many classes as the largest label says.

    Raises:
      UserError: no such file, a damaged file, other arrays than these, labels without their images or test labels
        without training labels, or more bytes than fit in memory.
    """
    path = Path(os.path.expanduser(path))
    if path.exists() and not (path.is_file() or path.is_dir()):  # of a pipe, opening it would wait for a writer
        raise UserError(f"{path} cannot be read: it is no regular file; data.name takes npz:PATH.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]

            def first(*candidates: str) -> str | None:
                return next((name for name in candidates if name in names), None)

            labels = first("train_labels", "y_train", "labels"), first("test_labels", "y_test")
            others = [name for name in names if name not in (*labels, "class_names")]
            train = first("train", "images", "x_train", *(others if len(others) == 1 else ()))
            test = first("test", "x_test")
            test = None if test == train else test
            if train is None:
                raise UserError(
                    f"{path} holds the arrays {', '.join(names) or '(none)'}; name the training images "
                    f"'train', 'images' or 'x_train'."
                )
            for needed, what, add in ((test, "images", "test"), (labels[0], "training labels", "train_labels")):
                if labels[1] and not needed:
                    raise UserError(f"{path} holds {labels[1]} but no {what} to go with it; add {add!r}, or remove it.")
            others = [name for name in (*labels, first("class_names")) if name]
            cost = sum(_cost(archive, name) for name in (train, test) if name)
            check_bytes(cost + sum(2 * archive.getinfo(f"{name}.npy").file_size for name in others), str(path))
            x = _images(archive, train, path)
            x_test = _images(archive, test, path) if test else None
            y = _labels(archive, labels[0], path, len(x)) if labels[0] else None
            y_test = _labels(archive, labels[1], path, len(x_test)) if labels[1] else None
            class_names = _class_names(archive, path, y, y_test) if "class_names" in names else ()
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; data.name takes npz:PATH.") from None
    except Exception as error:  # a damaged file fails in as many ways as zipfile, zlib and NumPy know
        raise UserError(f"{path} cannot be read as a file of numpy.savez ({error}).") from error
    if x_test is not None:
        _check_same_size(x, x_test, f"{path} [{train}]", f"{path} [{test}]")
    classes = len(class_names) or max((int(found.max()) + 1 for found in (y, y_test) if found is not None), default=0)
    return Source(x, x_test, y, y_test, class_names, classes)


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and dtype that an array of an .npz file claims, and has the bytes for."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as file:
        shape, fortran, dtype = _read_header(file)
    if math.prod(shape) * dtype.itemsize > member.file_size and not dtype.hasobject:
        raise ValueError(f"{name} is shorter than its header says")
    return shape, fortran, dtype


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    old = np.lib.format.read_magic(file) == (1, 0)
    return (np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0)(file)


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _cost(archive: zipfile.ZipFile, name: str) -> int:
    """Bytes that `_images` takes at once: a byte per pixel, and in Fortran order as much for the copy in C's."""
    shape, fortran, _ = _header(archive, name)
    return math.prod(shape) * (2 if fortran else 1)


def _images(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array of an .npz file as [n, H, W, C] uint8, read in parts: a float array is never in memory as a whole."""
    shape, fortran, dtype = _header(archive, name)
    what = f"{path} [{name}] has shape {shape} and dtype {dtype}"
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(f"{what}; images are [n, H, W] or [n, H, W, C], none of them 0.")
    if len(shape) == 4 and (shape[3] > MAX_CHANNELS or (shape[1] in (1, 3) and shape[3] not in (1, 3))):
        raise UserError(
            f"{what}; images are [n, H, W, C] with at most {MAX_CHANNELS} channels: save images [n, C, H, W] as "
            f"x.transpose(0, 2, 3, 1)."
        )
    if dtype != np.uint8 and dtype.kind != "f":
        raise UserError(f"{what}; images are uint8 in 0..255 or floats in [0, 1]: convert them.")
    levels = np.empty(math.prod(shape), np.uint8)
    low, high = np.inf, -np.inf
    with archive.open(f"{name}.npy") as file:
        _read_header(file)
        for part in np.split(levels, range(PART, len(levels), PART)):
            x = np.frombuffer(file.read(len(part) * dtype.itemsize), dtype, len(part))
            if dtype == np.uint8:
                part[:] = x
                continue
            low, high = np.minimum(low, x.min()), np.maximum(high, x.max())  # NaN if there is one
            if low >= 0 and high <= 1:
                part[:] = np.rint(x * x.dtype.type(255))
    if dtype != np.uint8 and not (low >= 0 and high <= 1):
        raise UserError(f"{what} with values from {low:g} to {high:g}; rescale floats to [0, 1].")
    x = levels.reshape(shape[::-1]).T if fortran else levels.reshape(shape)
    return np.ascontiguousarray(x).reshape(*shape[:3], -1)


def _labels(archive: zipfile.ZipFile, name: str, path: Path, n: int) -> np.ndarray:
    """One array of an .npz file as the labels [n] int32 of n images."""
    shape, _, dtype = _header(archive, name)
    what = f"{path} [{name}] has shape {shape} and dtype {dtype}"
    if dtype.kind not in "iu" or shape not in ((n,), (n, 1)):
        raise UserError(
            f"{what}; the labels of {n} images are {n} integers: convert them or give the array another name."
        )
    y = _read(archive, name).reshape(n)
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= MAX_CLASSES:
        raise UserError(
            f"{path} [{name}] has labels from {low} to {high}; number the classes from 0 to {MAX_CLASSES - 1} or less."
        )
    return y.astype(np.int32)


def _class_names(archive: zipfile.ZipFile, path: Path, *labels: np.ndarray | None) -> tuple[str, ...]:
    """`class_names` of an .npz file; () if it has no labels."""
    largest = max((int(y.max()) for y in labels if y is not None), default=-1)
    if largest < 0:
        return ()
    shape, _, dtype = _header(archive, "class_names")
    if dtype.kind != "U" or len(shape) != 1 or not largest < shape[0] <= MAX_CLASSES:
        raise UserError(
            f"{path} [class_names] has shape {shape} and dtype {dtype}; give one string per class, and the largest "
            f"label is {largest}."
        )
    return tuple(map(str, _read(archive, "class_names")))


def folder(path: str | os.PathLike[str], size: int) -> Source:
    """All images of a folder and its sub-folders, in a fixed shuffled order (`places`).

    The shuffle keeps the last ones (the validation set) from being all of one class. If every image lies in
    a sub-folder, and there are at least two, the sub-folders' names, sorted as people count (`counted`), are the
    classes; else there are no labels. A folder with `train/` and perhaps `test/` in it, in any case, is taken for
    these two splits. The result has 1 channel if every image is grey, else 3. What has a name that starts with a dot is
    hidden, and read as little as what `find` leaves out.

    Args:
      path: of the folder.
      size: 0 = images as they are, all of one size; else the side in pixels to which `fit` brings each.

    Raises:
      UserError: no images, folders that may be splits or classes, an image in both splits, images of different sizes
        if `size` is 0, an unreadable one, or more bytes than fit in memory.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; data.name takes folder:PATH.")
    try:
        splits = find_splits(root)
        found = [find(split) for split in splits]
        entries = [] if splits == [root] else [entry for entry in os.scandir(root) if not _hidden(entry.name)]
        beside = Counter(_ending(entry.name) for entry in entries if not _is_folder(entry))
    except OSError as error:
        raise UserError(f"{root} cannot be read ({error}); fix its permissions.") from error
    _check_disjoint(*(files for files, _ in found))
    parts, classes = [], []
    for split, (files, _) in zip(splits, found, strict=True):
        x, its_classes = _read_folder(split, sorted(files.values()), size)
        parts.append(x)
        classes.append(its_classes)
    names = _names(*classes)
    numbers = [_numbers(its_classes, names) for its_classes in classes]
    test, test_labels = (parts[1], numbers[1]) if len(parts) == 2 else (None, None)
    if test is not None:
        _check_same_size(parts[0], test, *map(str, splits))
    left_out = sum((counts for _, counts in found), beside)
    ordered = tuple(sorted(left_out.items(), key=lambda item: (-item[1], item[0])))
    return Source(parts[0], test, numbers[0], test_labels, names, len(names), ordered)


def find_splits(root: Path) -> list[Path]:
    """The folder of the training images and, if there is one, that of the test images; `root` itself without splits.

    Raises:
      UserError: splits beside something else, two of a kind, or without one for training.
      OSError: it cannot be read.
    """
    inside = sorted(entry.name for entry in os.scandir(root) if not _hidden(entry.name) and _is_folder(entry))
    roles = {name: SPLITS.get(name.casefold(), "") for name in inside}
    train, test = ([name for name in inside if roles[name] == role] for role in ("train", "test"))
    held_out = [name for name in inside if roles[name] and name.casefold() != "valid"]  # whose other class is "invalid"
    if not train:
        if held_out:
            raise UserError(
                f"{root} holds {held_out[0]}/ but no train/: for splits add train/, for images to train on or classes "
                f"rename {held_out[0]}/."
            )
        return [root]
    others = [name for name in inside if name not in train[:1] + test[:1]]
    if others:
        raise UserError(
            f"{root} holds {train[0]}/ beside {', '.join(others)}: for splits leave only train/ and test/ there, for "
            f"classes rename {train[0]}/."
        )
    return [root / name for name in train + test]


def find(root: Path) -> tuple[dict[str, str], Counter[str]]:
    """The image files of a folder and its sub-folders, each once, however many links lead to it.

    What lies in the folder itself keeps its path; of several links to what lies elsewhere the first by name counts.
    Links to a folder that contains them are not followed.

    Returns:
      Paths by the real paths that they lead to; of the files that are left out, how many by ending. Pipes, sockets and
      devices are "special files", and links to an image that has another path "links to images".

    Raises:
      UserError: folders of splits below `root`, whose test images would be trained on.
      OSError: a folder cannot be read.
    """
    files: dict[str, str] = {}
    links: dict[str, list[str]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    folders, seen = [str(root)], set()
    linked: list[str] = []
    while folders or linked:
        folder = folders.pop() if folders else heapq.heappop(linked)
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        roles = set()
        for entry in os.scandir(folder):
            if _hidden(entry.name):
                continue
            ending = _ending(entry.name)
            if _is_folder(entry):
                roles.add(SPLITS.get(entry.name.casefold()))
                if not entry.is_symlink():
                    folders.append(entry.path)
                elif not Path(real).is_relative_to(os.path.realpath(entry.path)):
                    heapq.heappush(linked, entry.path)
            elif ending not in SUFFIXES:
                left_out[ending] += 1
            elif not os.path.isfile(entry.path) and os.path.exists(entry.path):  # a link that leads nowhere is refused
                left_out["special files"] += 1
            elif entry.is_symlink():
                links[os.path.realpath(entry.path)].append(entry.path)
            else:
                files[os.path.join(real, entry.name)] = entry.path
        if {"train", "test"} <= roles or {"train", "validation"} <= roles:
            raise UserError(f"{folder} holds splits; give that folder itself as folder:PATH, or rename what is in it.")
    for real, paths in links.items():
        left_out["links to images"] += len(paths) - (real not in files)
        files.setdefault(real, min(paths))
    return files, +left_out


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # what macOS adds to archives


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower() or "without an ending"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # links that lead to each other
            return False
        raise


def _check_disjoint(train: dict[str, str], test: dict[str, str] | None = None) -> None:
    both = sorted(train.keys() & (test or {}).keys())
    if both:
        raise UserError(
            f"{train[both[0]]} and {test[both[0]]} are one file; remove it from the training or test images."
        )


def counted(name: str) -> list[str | int]:
    """The key by which people sort names: numbers in them by what they are, 2 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name))]


def _names(*splits: list[str]) -> tuple[str, ...]:
    """The classes of images of which each comes with its own ('' = none), or () where these are no labels."""
    names = sorted(sorted({name for split in splits for name in split}), key=counted)
    return tuple(names) if len(names) > 1 and "" not in names else ()


def _numbers(classes: list[str], names: tuple[str, ...]) -> np.ndarray | None:
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[name] for name in classes], np.int32) if names else None


def _read_folder(root: Path, paths: list[str], size: int) -> tuple[np.ndarray, list[str]]:
    """The images of a folder, shuffled, and of each the sub-folder of `root` that it lies in, or ''."""
    if not paths:
        raise UserError(f"{root} holds no images: no file ends in {', '.join(SUFFIXES)}.")
    # Files are read in the order in which they lie on the disk; each has its place in the shuffled array.
    order = places(len(paths))
    classes = [""] * len(paths)
    for place, path in zip(order, paths, strict=True):
        first, *below = Path(path).relative_to(root).parts
        classes[place] = first if below else ""
    return stack(zip(paths, paths, strict=True), order, size), classes


def stack(files: Iterable[tuple[str, str | BinaryIO]], places: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    """Decodes images into one array.

    Args:
      files: of each image, its name for error messages and the path or open file.
      places: where each goes in the result, a permutation of range(n).
      size: 0 = images as they are, all of one size; else the side in pixels to which `fit` brings each.

    Returns:
      [n, H, W, C] uint8; C is 1 if every image is grey, else 3.

    Raises:
      UserError: an unreadable image, a second size, or more bytes than fit in memory; the image is named.
    """
    from PIL import Image

    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # Pillow before 11.3 has no AVIF
    out, first = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # above Pillow's MAX_IMAGE_PIXELS
        warnings.filterwarnings("ignore", "Corrupt EXIF data")  # see `upright`
        for place, (name, file) in zip(places, files, strict=True):
            first = first or name
            try:
                with Image.open(file, formats=formats) as image:  # reads the header
                    channels = max(_channels(image, name), 1 if out is None else out.shape[-1])
                    shape = (size, size) if size else (image.height, image.width)
                    _check_room(out, (len(places), *shape, channels), name, size)
                    pixels = np.asarray(fit(opaque(upright(image), "L" if channels == 1 else "RGB"), size))
                    pixels = pixels.reshape(*pixels.shape[:2], channels)
                    out = _room(out, len(places), pixels.shape, name, first)
                    out[place] = pixels
            except UserError:
                raise
            except Exception as error:  # a damaged file fails in as many ways as Pillow has decoders
                raise UserError(f"{name} cannot be read as an image ({error}); remove it.") from error
    return out


def upright(image: ImageFile) -> Image:
    """Decodes an image and turns it as its EXIF orientation says.

    EXIF data that cannot be read say nothing.
    """
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
        image.info["transparency"] = _scaled(image.info["transparency"], image.tile[0][3])
    image.load()  # first: PNG may have the orientation after the pixels, and Pillow turns TIFF itself
    try:
        turn = turns.get(image.getexif().get(0x0112, 1))
    except Exception:  # Pillow's reader of EXIF fails in many ways
        turn = None
    return image if turn is None else image.transpose(turn)


def _scaled(transparent: int | tuple[int, ...], rawmode: str) -> int | tuple[int, ...]:
    """The transparent colour of a PNG at the 8 bits of its pixels: Pillow scales these and leaves the colour."""
    if rawmode in ("L;2", "L;4"):
        return transparent * (85 if rawmode == "L;2" else 17)
    return tuple(level >> 8 for level in transparent) if rawmode == "RGB;16B" else transparent


def opaque(image: Image, mode: str) -> Image:
    """Composites an image on `BACKGROUND`, if anything in it may be transparent.

    Args:
      image: in a mode of `GREY` or `COLOUR`.
      mode: of the result, "L" or "RGB".
    """
    from PIL import Image

    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


def fit(image: Image, size: int) -> Image:
    """Resizes the largest square in the middle of an image to size x size pixels (Lanczos, antialiased).

    Args:
      image: in mode "L" or "RGB".
      size: side in pixels; 0 = the image as it is.
    """
    from PIL import Image

    if not size:
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)


def _channels(image: Image, name: str) -> int:
    """1 for a grey image, 3 for one in colour, from its header."""
    if image.mode not in GREY + COLOUR:
        raise UserError(f"{name} has pixels of more than 8 bits (Pillow's mode {image.mode}); convert it.")
    return 1 if image.mode in GREY else 3


def _check_room(out: np.ndarray | None, shape: tuple[int, ...], name: str, size: int) -> None:
    """Checks, before anything is decoded, that the images fit in memory: [n, H, W, C] of them, beside `out`."""
    if out is None or shape[-1] > out.shape[-1]:
        what = f"{shape[0]} images of {_times(shape[1:3])} pixels" if size else f"{shape[0]} images like {name}"
        check_bytes(math.prod(shape) + (0 if out is None else out.nbytes), what)


def _room(out: np.ndarray | None, n: int, shape: tuple[int, ...], name: str, first: str) -> np.ndarray:
    """The array for n images [H, W, C]: a new one for the first image, a wider one for the first in colour."""
    if out is None:
        return np.empty((n, *shape), np.uint8)
    if shape[:2] != out.shape[1:3]:
        raise UserError(
            f"{name} is {_times(shape[:2])} pixels but {first} is {_times(out.shape[1:3])}; images of several sizes "
            f"are read from folder:PATH with --config.data.size=N, which crops each to a square and resizes it to NxN."
        )
    return np.repeat(out, 3, axis=-1) if shape[-1] > out.shape[-1] else out


def _check_same_size(train: np.ndarray, test: np.ndarray, train_name: str, test_name: str) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise UserError(
            f"the images of {train_name} are {_times(train.shape[1:])}, those of {test_name} "
            f"{_times(test.shape[1:])}; make them one size and colour."
        )


def check_bytes(size: int, what: str) -> None:
    if size > LIMIT:
        raise UserError(
            f"{what}: decoded {size / 2**30:.3g} GiB, more than the {LIMIT / 2**30:.3g} GiB that are half of "
            f"this machine's memory; use fewer or smaller images."
        )


def _times(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
