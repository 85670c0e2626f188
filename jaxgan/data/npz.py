"""Images or vectors of a NumPy archive (.npz).

Archives are untrusted: pickles are never loaded, and the memory needed is computed from headers before decoding.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from jaxgan.data import source
from jaxgan.data.rows import Rows
from jaxgan.data.source import MAX_CLASSES, Source, check_memory, check_same_size
from jaxgan.errors import UserError

MAX_CHANNELS = 4  # so that a height or width is not mistaken for channels
CHUNK = 2**20  # pixels of an array that are read at once


def read_npz(path: str | os.PathLike[str], resident: str = "true") -> Source:
    """Reads images or vectors from a file of `numpy.savez` or `numpy.savez_compressed`, in the file's order.

    Training images and their conditions stay in the file (`_in_place`) if `resident`, data.resident, says so.

    The training images are the array `train`, `images` or `x_train`, or the only array that is not labels; the test
    images, if any, are `test` or `x_test`. Each is [n, H, W] or [n, H, W, C] with up to 4 channels, either uint8 or
    floats in [0, 1], which are rounded to 256 levels. Their labels, if any, are `train_labels`, `y_train` or `labels`,
    and `test_labels` or `y_test`: [n] or [n, 1] integers from 0. `class_names`, if present, is an array of one string
    per class; without it the number of classes is the largest label + 1.

    Instead of images, arrays [n, d] of numbers are vectors. `train_condition`, with `test_condition` if there are test
    examples, holds what is stored with each example as its condition: images, or vectors.

    Raises:
      UserError: the file is missing or damaged, holds other arrays, has labels without images or test labels without
        training labels, or does not fit in memory.
    """
    path = Path(os.path.expanduser(path))
    if path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe would block until a writer comes
        raise UserError(f"{path} cannot be read: it is not a regular file; data.name takes npz:PATH.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]

            def first(*candidates: str) -> str | None:
                return next((name for name in candidates if name in names), None)

            labels = first("train_labels", "y_train", "labels"), first("test_labels", "y_test")
            pairs = tuple(first(f"{split}_condition") for split in ("train", "test"))
            others = [name for name in names if name not in (*labels, *pairs, "class_names")]
            train = first("train", "images", "x_train", *(others if len(others) == 1 else ()))
            test = first("test", "x_test")
            test = None if test == train else test
            if train is None:
                raise UserError(
                    f"{path} holds the arrays {', '.join(names) or '(none)'}; name the training images "
                    f"'train', 'images' or 'x_train'."
                )
            for needed, part, add in ((test, "images", "test"), (labels[0], "training labels", "train_labels")):
                if labels[1] and not needed:
                    raise UserError(f"{path} holds {labels[1]} but no {part} to go with it; add {add!r}, or remove it.")
            examples = (train, test, *pairs)
            in_place = _in_place(archive, path, examples, (*labels, first("class_names")), resident)
            read = [name and (_rows if name in in_place else _examples)(archive, name, path) for name in examples]
            x, x_test, c, c_test = read
            y = _labels(archive, labels[0], path, len(x)) if labels[0] else None
            y_test = _labels(archive, labels[1], path, len(x_test)) if labels[1] else None
            class_names = _class_names(archive, path, y, y_test) if "class_names" in names else ()
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; data.name takes npz:PATH.") from None
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds
        raise UserError(f"{path} cannot be read as a file of numpy.savez ({error}).") from error
    if x_test is not None:
        check_same_size(x, x_test, f"{path} [{train}]", f"{path} [{test}]")
    _check_pairs(path, (x, x_test), (c, c_test))
    classes = len(class_names) or max((int(found.max()) + 1 for found in (y, y_test) if found is not None), default=0)
    return Source(x, x_test, y, y_test, class_names, classes, train_condition=c, test_condition=c_test)


def _in_place(
    archive: zipfile.ZipFile, path: Path, names: Sequence[str | None], others: Sequence[str | None], resident: str
) -> list[str]:
    """Which arrays stay in the file, as `Rows`; checks that the rest fits in memory.

    Training images, and images that are their conditions, stay there if `resident` is "false", or if it is "auto" and
    all arrays would take more than half of the memory. They have to be uint8 in C order, not compressed.

    Args:
      names: of the training and test examples and their conditions; None for what there is not.
      others: of labels and the like; None likewise.
      resident: data.resident.
    """
    costs = {name: _decoded_bytes(archive, name) for name in names if name}
    cost = sum(costs.values()) + sum(2 * archive.getinfo(f"{name}.npy").file_size for name in others if name)
    train, condition = names[0], names[2]
    large = resident == "auto" and cost > source.MEMORY_LIMIT
    if not large and resident != "false":
        check_memory(cost, str(path))
        return []
    stored = [name for name in (train, condition) if name and _offset(archive, name, path) is not None]
    if large and train not in stored:
        raise UserError(
            f"{path} needs {cost / 2**30:.3g} GiB when decoded, more than half of this machine's memory, and only "
            f"uint8 images in C order that are not compressed are read from the file during training: store [{train}] "
            f"by numpy.savez as such (unzip and zip -0 undo the compression alone), or use fewer images."
        )
    check_memory(cost - sum(costs[name] for name in stored), str(path))
    return stored


def _offset(archive: zipfile.ZipFile, name: str, path: Path) -> int | None:
    """Where the first image of an array begins in the file; None if it cannot be read in place."""
    shape, fortran, dtype = _header(archive, name)
    member = archive.getinfo(f"{name}.npy")
    if len(shape) not in (3, 4) or dtype != np.uint8 or fortran or member.compress_type or member.flag_bits & 1:
        return None
    with path.open("rb") as file:
        # The local header may have other extra fields than the central directory, which zipfile reads.
        file.seek(member.header_offset)
        header = file.read(30)
        file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), os.SEEK_CUR)
        _read_header(file)
        return file.tell()


def _rows(archive: zipfile.ZipFile, name: str, path: Path) -> Rows:
    """One array of an .npz file as images that stay there."""
    shape, _, dtype = _header(archive, name)
    _check_images(f"{path} [{name}] has shape {shape} and dtype {dtype}", shape, dtype)
    offset = _offset(archive, name, path)
    assert offset is not None
    return Rows(path, offset, (*shape[:3], *(shape[3:] or (1,))))


def _check_pairs(
    path: Path, examples: Sequence[np.ndarray | Rows | None], conditions: Sequence[np.ndarray | Rows | None]
) -> None:
    """Raises a `UserError` unless both or neither of the training and test examples have conditions, one each."""
    names = [f"{path} [{split}_condition]" for split in ("train", "test")]
    for x, condition, name in zip(examples, conditions, names, strict=True):
        if (condition is None) != (x is None or conditions[0] is None):
            raise UserError(
                f"{path} holds conditions for only one of the training and test examples; add train_condition and "
                f"test_condition, or remove the other."
            )
        if condition is not None and x is not None and len(condition) != len(x):
            raise UserError(f"{name} holds {len(condition)} conditions for {len(x)} examples; give one each.")
    if conditions[0] is not None and conditions[1] is not None:
        check_same_size(conditions[0], conditions[1], *names)


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and dtype by the header of an array of an .npz file, checked against its size."""
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


def _decoded_bytes(archive: zipfile.ZipFile, name: str) -> int:
    """Peak memory of `_examples` in bytes: one per pixel, two for an array in Fortran order, which is copied."""
    shape, fortran, dtype = _header(archive, name)
    if len(shape) == 2:
        return math.prod(shape) * (dtype.itemsize + 8)
    return math.prod(shape) * (2 if fortran else 1)


def _examples(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array of an .npz file as images [n, H, W, C] uint8 or vectors [n, d] float32."""
    shape, _, dtype = _header(archive, name)
    if len(shape) != 2:
        return _images(archive, name, path)
    description = f"{path} [{name}] has shape {shape} and dtype {dtype}"
    if 0 in shape or dtype.kind not in "fiu":
        raise UserError(f"{description}; vectors are [n, d] numbers, and no size is 0.")
    x = _read(archive, name).astype(np.float32)
    if not np.isfinite(x).all():
        raise UserError(
            f"{description}, and {np.sum(~np.isfinite(x))} of its numbers are not finite in float32; remove them."
        )
    return x


def _check_images(description: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raises a `UserError`, which begins with `description`, unless an array of this shape and dtype holds images."""
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(f"{description}; images are [n, H, W] or [n, H, W, C], vectors [n, d], and no size is 0.")
    if len(shape) == 4 and (shape[3] > MAX_CHANNELS or (shape[1] in (1, 3) and shape[3] not in (1, 3))):
        raise UserError(
            f"{description}; images are [n, H, W, C] with at most {MAX_CHANNELS} channels: save images [n, C, H, W] as "
            f"x.transpose(0, 2, 3, 1)."
        )
    if dtype != np.uint8 and dtype.kind != "f":
        raise UserError(f"{description}; images are uint8 in 0..255 or floats in [0, 1]: convert them.")


def _images(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array of an .npz file as [n, H, W, C] uint8, read in chunks, so that floats are never all in memory."""
    shape, fortran, dtype = _header(archive, name)
    description = f"{path} [{name}] has shape {shape} and dtype {dtype}"
    _check_images(description, shape, dtype)
    levels = np.empty(math.prod(shape), np.uint8)
    low, high = np.inf, -np.inf
    with archive.open(f"{name}.npy") as file:
        _read_header(file)
        for part in np.split(levels, range(CHUNK, len(levels), CHUNK)):
            x = np.frombuffer(file.read(len(part) * dtype.itemsize), dtype, len(part))
            if dtype == np.uint8:
                part[:] = x
                continue
            low, high = np.minimum(low, x.min()), np.maximum(high, x.max())  # propagates NaN
            if low >= 0 and high <= 1:
                part[:] = np.rint(x * x.dtype.type(255))
    if dtype != np.uint8 and not (low >= 0 and high <= 1):
        raise UserError(f"{description} with values from {low:g} to {high:g}; rescale floats to [0, 1].")
    x = levels.reshape(shape[::-1]).T if fortran else levels.reshape(shape)
    return np.ascontiguousarray(x).reshape(*shape[:3], -1)


def _labels(archive: zipfile.ZipFile, name: str, path: Path, n: int) -> np.ndarray:
    """One array of an .npz file as labels, [n] int32, of n images."""
    shape, _, dtype = _header(archive, name)
    description = f"{path} [{name}] has shape {shape} and dtype {dtype}"
    if dtype.kind not in "iu" or shape not in ((n,), (n, 1)):
        raise UserError(
            f"{description}; the labels of {n} images are {n} integers: convert them or give the array another name."
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
