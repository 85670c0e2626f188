"""Reads the tensors of a file written by torch.save, without torch and without executing its pickle.

A pickle is a program: loading one can run arbitrary code. Here its opcodes are read as data (pickletools), those that
occur in a state dict are interpreted on plain Python values, and anything else is rejected. The cost of reading is
bounded before anything is built, since a small file can describe values of any size by many references to the same
tuple, storage or member of the archive.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jaxgan.errors import UserError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py: the first pickle of a file before torch 1.6
LEGACY_PROTOCOL = 1001
MARK = object()

# Bounds, far above real state dicts: a tensor takes about 30 opcodes, and Inception-v3 has about 500 tensors.
MAX_OPCODES = 400_000  # including the items they copy
MAX_ARGUMENT_BYTES = 1_000  # of an opcode's argument: keys and integers
MAX_DIRECTORY_BYTES = 2**21  # of the zip archive's list of members
MAX_DIMENSIONS = 8
MAX_REPEATS = 4  # total bytes of tensors per byte of the file: tensors may share a storage

STORAGES = {
    "torch DoubleStorage": "f8",
    "torch FloatStorage": "f4",
    "torch HalfStorage": "f2",
    "torch LongStorage": "i8",
    "torch IntStorage": "i4",
    "torch ShortStorage": "i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}


class Refused(Exception):
    """Describes what is wrong with the file, in a sentence without its subject, the file name."""


class Global(NamedTuple):
    """Stands for a function or class named in the pickle; never imported."""

    name: str


class Storage(NamedTuple):
    key: str
    dtype: str  # NumPy's, without byte order


class Tensor(NamedTuple):
    """A view of a storage; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Bounded(io.BytesIO):
    """A file in memory that limits each read to `limit` bytes."""

    def __init__(self, data: bytes, limit: int) -> None:
        super().__init__(data)
        self.limit = limit

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(self.limit + 1 if size is None or size < 0 else min(size, self.limit + 1))
        if len(content) > self.limit:
            raise ValueError("a part is too large for a state dict")
        return content

    def readline(self, size: int | None = -1, /) -> bytes:
        return super().readline(self.limit)


def _ordered_dict(items: list = ()) -> dict:
    return _set_items({}, [part for key, value in items for part in (key, value)])


def _rebuild_tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or not len(shape) == len(strides) <= MAX_DIMENSIONS:
        raise ValueError("a tensor has no storage, shape or strides")
    if not all(type(n) is int and 0 <= n < 2**63 for n in (offset, *shape, *strides)):
        raise ValueError("a tensor's offset, shape or strides are not numbers")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


CALLS: dict[str, Callable] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
}


def read(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict.

    Args:
      data: the content of the file, in torch's zip format (since 1.6) or its earlier sequence of pickles.
      name: of the file, for errors.

    Returns:
      Arrays by key, in the stored dtype.

    Raises:
      UserError: the file is damaged, is not a flat dictionary of tensors, has other content in its pickle, or exceeds
        the bounds above.
    """
    try:
        tensors, load = _open_zip(data) if data[:2] == b"PK" else _open_legacy(data)
        size = sum(math.prod(tensor.shape) * np.dtype(tensor.storage.dtype).itemsize for tensor in tensors.values())
        if size > MAX_REPEATS * len(data):
            raise ValueError(f"{len(data)} bytes cannot hold tensors of {size}")
        load = lru_cache(maxsize=1)(load)  # reads each storage once, in the order of `keys`
        keys = sorted(tensors, key=lambda key: tensors[key].storage)
        arrays = {key: _view(tensors[key], load(tensors[key].storage)) for key in keys}
        return {key: arrays[key] for key in tensors}
    except Refused as error:
        raise UserError(f"{name} {error}") from None
    except Exception as error:  # of any kind: the content is untrusted
        raise UserError(f"{name} is damaged ({type(error).__name__}: {str(error)[:80]}); download it again.") from error


def _open_zip(data: bytes) -> tuple[dict[str, Tensor], Callable[[Storage], np.ndarray]]:
    file = Bounded(data, MAX_DIRECTORY_BYTES)
    archive = zipfile.ZipFile(file)
    file.limit = len(data)
    if sum(info.file_size for info in archive.infolist()) > len(data):
        raise ValueError("its members overlap")
    names = set(archive.namelist())
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1 or any(name.startswith(f"{roots[0]}code/") for name in names):
        raise Refused("is a zip archive but not a torch state dict (TorchScript?); use the .pth file.")
    (root,) = roots

    def member(name: str) -> bytes:
        info = archive.getinfo(root + name)
        if info.compress_type != zipfile.ZIP_STORED:  # torch does not compress; this rules out decompression bombs
            raise ValueError(f"{name} is compressed")
        return archive.read(info)

    order = ">" if f"{root}byteorder" in names and member("byteorder") == b"big" else "<"
    tensors = _state_dict(Bounded(member("data.pkl"), MAX_ARGUMENT_BYTES))
    return tensors, lambda storage: np.frombuffer(member(f"data/{storage.key}"), order + storage.dtype)


def _open_legacy(data: bytes) -> tuple[dict[str, Tensor], Callable[[Storage], np.ndarray]]:
    stream = Bounded(data, MAX_ARGUMENT_BYTES)
    if _interpret(stream) != LEGACY_MAGIC or _interpret(stream) != LEGACY_PROTOCOL:
        raise Refused("is a pickle but not a torch state dict; use the .pth file.")
    order = "<" if _interpret(stream)["little_endian"] else ">"
    tensors = _state_dict(stream)
    dtypes = {tensor.storage.key: order + tensor.storage.dtype for tensor in tensors.values()}
    arrays = {}
    for key in _interpret(stream):  # followed by each storage: its number of elements (int64), then the elements
        if not isinstance(key, str):
            raise ValueError("a storage's key is not a string")
        (count,) = np.frombuffer(stream.read(8), order + "i8")
        start, dtype = stream.tell(), np.dtype(dtypes[key])
        arrays[key] = np.frombuffer(data, dtype, count, start)
        stream.seek(start + arrays[key].nbytes)
    return tensors, lambda storage: arrays[storage.key]


def _state_dict(stream: Bounded) -> dict[str, Tensor]:
    tensors = _interpret(stream)
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise Refused("is not a state dict (a dictionary of tensors by name); save model.state_dict().")
    return tensors


def _view(tensor: Tensor, storage: np.ndarray) -> np.ndarray:
    """The tensor's elements in C order; rejects a view that exceeds its storage or repeats its elements."""
    size = math.prod(tensor.shape)
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if size > storage.size or (size and last >= storage.size):
        raise ValueError("a tensor is larger than its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    if size == 0:
        return np.empty(tensor.shape, storage.dtype)
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()


def _interpret(stream: Bounded) -> Any:
    """Interprets the next pickle in the stream: numbers, strings, containers and `Tensor`s."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    cost = 0
    for opcode, argument, _ in pickletools.genops(stream):
        cost += 1
        if opcode.name in ("REDUCE", "BINPERSID"):  # these copy values that can be referenced any number of times
            cost += len(stack[-1]) + sum(len(part) for part in stack[-1] if isinstance(part, list))
        if cost > MAX_OPCODES:
            raise ValueError("its pickle is too long for a state dict")
        match opcode.name:
            case "STOP":
                return stack.pop()
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                stack.append(MARK)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                stack.append({"EMPTY_TUPLE": (), "EMPTY_LIST": [], "EMPTY_DICT": {}}[opcode.name])
            case "TUPLE":
                stack.append(tuple(_pop_to_mark(stack)))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack[-int(opcode.name[-1]) :] = [tuple(stack[-int(opcode.name[-1]) :])]
            case "APPEND" | "APPENDS":
                items = _pop_to_mark(stack) if opcode.name == "APPENDS" else [stack.pop()]
                stack[-1].extend(items)
            case "SETITEM" | "SETITEMS":
                items = _pop_to_mark(stack) if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _set_items(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_named(argument))
            case "STACK_GLOBAL":
                stack[-2:] = [_named(" ".join(stack[-2:]))]
            case "REDUCE":
                arguments = stack.pop()
                stack.append(CALLS[stack.pop().name](*arguments))
            case "BINPERSID":
                stack.append(_storage(*stack.pop()))
            case "BUILD":  # sets the state dict's attribute _metadata, the layers' versions
                stack.pop()
            case _:
                raise Refused(f"has a pickle with {opcode.name}, which no state dict needs; do not trust it.")
    raise ValueError("the pickle has no end")


def _named(name: str) -> Global:
    if name not in CALLS and name not in STORAGES:
        raise Refused(
            f"refers to {name.replace(' ', '.')[:80]!r}, which no state dict needs, and was not executed; "
            f"use the released .pth file, or save model.state_dict()."
        )
    return Global(name)


def _storage(kind: str, dtype: Global, key: str, _location: str, _count: int, view: None = None) -> Storage:
    if kind != "storage" or view is not None or not isinstance(key, str):
        raise ValueError("a storage of an unknown kind")
    return Storage(key, STORAGES[dtype.name])


def _pop_to_mark(stack: list) -> list:
    mark = len(stack) - 1
    while stack[mark] is not MARK:
        mark -= 1
    items = stack[mark + 1 :]
    del stack[mark:]
    return items


def _set_items(target: dict, items: list) -> dict:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):  # bounds the time of hashing
            raise ValueError("a dictionary's key is not a string")
        target[key] = value
    return target
