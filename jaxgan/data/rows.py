"""Examples that stay in a file and are read when they are needed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan.data.source import check_memory, shuffle, shuffled_positions
from jaxgan.errors import UserError


class Rows:
    """Images [n, H, W, C] uint8 in a file of fixed-size records, in the place of an array.

    A slice is a part that is not read either; an array of integers, of any shape, reads these images, and
    `numpy.asarray` all of them.

    Args:
      path: the file.
      offset: bytes before the first image.
      shape: (n, H, W, C).

    Raises:
      UserError: when an image is read: the file has changed since, or ends before the image.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...]) -> None:
        self._path, self._offset, self._stored = path, offset, shape[1:]
        self._file = os.open(path, os.O_RDONLY)
        self._stamp = self._now()
        self._positions: np.ndarray | range = range(shape[0])  # in the file
        self._pad = 0

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._file)
        return status.st_size, status.st_mtime_ns

    def _copy(self, positions: np.ndarray | range, pad: int) -> Rows:
        copy = object.__new__(Rows)
        vars(copy).update(vars(self) | {"_positions": positions, "_pad": pad, "_whole": self})
        return copy

    def __del__(self) -> None:
        if "_whole" not in vars(self) and "_file" in vars(self):  # parts keep the whole, which owns the file
            os.close(self._file)

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def shape(self) -> tuple[int, ...]:
        h, w, channels = self._stored
        return len(self), h + 2 * self._pad, w + 2 * self._pad, channels

    @property
    def ndim(self) -> int:
        return 4

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)

    def shuffled(self) -> Rows:
        """The images as `source.shuffle` orders an array."""
        order = np.argsort(shuffled_positions(len(self))).astype(np.uint32 if len(self) < 2**32 else np.int64)
        return self._copy(order if isinstance(self._positions, range) else self._positions[order], self._pad)

    def in_order(self) -> Rows:
        """The images in the order of the file, in which all of them are read faster."""
        places = self._positions if isinstance(self._positions, range) else np.sort(self._positions)
        return self._copy(places, self._pad)

    def padded(self, pad: int) -> Rows:
        """The images with `pad` black pixels on each side."""
        return self._copy(self._positions, self._pad + pad)

    def __getitem__(self, index: slice | np.ndarray) -> Any:
        if isinstance(index, slice):
            return self._copy(self._positions[index], self._pad)
        index = np.asarray(index)
        positions = self._positions
        flat = index.reshape(-1)
        places = flat.astype(np.int64) + positions.start if isinstance(positions, range) else positions[flat]
        return self._read(places).reshape(*index.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        check_memory(self.nbytes, f"{len(self):,} images of {self._path}")
        x = self._read(np.asarray(self._positions, np.int64))
        return x if dtype is None else x.astype(dtype)

    def _read(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places of the file: [m, H, W, C], padded."""
        if self._now() != self._stamp:
            raise UserError(
                f"{self._path} changed while the run read it; restore it, and repeat the command to resume."
            )
        places = np.asarray(places, np.int64)
        close = len(places) and np.ptp(places) < 2 * len(places)
        try:
            x = self._read_span(places) if close else self._read_each(places)
        except OSError as error:
            raise UserError(f"{self._path} cannot be read any more ({error}); repeat the command to resume.") from error
        if x is None:
            raise UserError(f"{self._path} ends before its last image; restore it, and repeat the command to resume.")
        pad = self._pad
        x = x.reshape(-1, *self._stored)
        return np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))) if pad else x

    def _read_each(self, places: np.ndarray) -> np.ndarray | None:
        """The images at these places, one after the other; None if the file ends before."""
        file, offset, size = self._file, self._offset, math.prod(self._stored)
        x, read = np.empty((len(places), size), np.uint8), 0
        for image, place in zip(x, places.tolist(), strict=True):
            read += os.preadv(file, [memoryview(image)], offset + place * size)
        return x if read == x.size else None

    def _read_span(self, places: np.ndarray) -> np.ndarray | None:
        """The images at these places, with all that is between them; None if the file ends before."""
        first, size = int(places.min()), math.prod(self._stored)
        span = np.empty((int(np.ptp(places)) + 1, size), np.uint8)
        buffer, read = memoryview(span.reshape(-1)), 0  # type: ignore[arg-type]
        while read < span.size:
            count = os.preadv(self._file, [buffer[read : read + 2**30]], self._offset + first * size + read)
            if not count:
                return None
            read += count
        return span[places - first]


def shuffled(x: np.ndarray | Rows | None) -> np.ndarray | Rows | None:
    """`x` after `shuffle`, or a copy of what is in a file."""
    if isinstance(x, np.ndarray):
        shuffle(x)
        return x
    return x.shuffled() if x is not None else None


def cut(x: np.ndarray | Rows, *places: int) -> list[Any]:
    """The parts of x before, between and after these places, as views."""
    return [x[start:end] for start, end in zip((0, *places), (*places, len(x)), strict=True)]
