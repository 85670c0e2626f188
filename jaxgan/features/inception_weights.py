"""Reads the released weights of the FID Inception-v3 as the arrays of `inception.InceptionV3`.

weights-inception-2015-12-05-6726825d.pth, pt_inception-2015-12-05-6726825d.pth   torch (torch-fidelity, pytorch-fid)
inception-2015-12-05.tgz, classify_image_graph_def.pb                            TensorFlow, the original
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import re
import tarfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan.errors import UserError
from jaxgan.features import torch_file
from jaxgan.files import open_atomically

GRAPH = "classify_image_graph_def.pb"
MAX_BYTES = 2**28  # of a released file; the real ones have up to 96 MB
MAX_GRAPH_BYTES = 2**27  # of the decompressed graph, which has as many
MAX_MEMBERS = 100  # of the archive; the real one has five
MAX_FIELDS = 300_000  # of the graph, which has about a thousand nodes
FORMAT = 1  # of the .npz

# The last two parts of an array's name here, and its names within the layer in torch and TensorFlow.
LEAVES = {
    "conv/kernel": ("conv.weight", "conv2d_params"),
    "bn/scale": ("bn.weight", "batchnorm/gamma"),
    "bn/bias": ("bn.bias", "batchnorm/beta"),
    "bn/mean": ("bn.running_mean", "batchnorm/moving_mean"),
    "bn/var": ("bn.running_var", "batchnorm/moving_variance"),
    "fc/kernel": ("fc.weight", "softmax/weights"),
    "fc/bias": ("fc.bias", "softmax/biases"),
}


def read(path: Path, shapes: Mapping[str, tuple[int, ...]], scopes: Mapping[str, str]) -> tuple[dict, str]:
    """Reads the weights of a released file.

    Args:
      path: a torch state dict or a TensorFlow GraphDef, distinguished by content.
      shapes: of the network's arrays, by name, such as "params/Mixed_5b/branch1x1/conv/kernel".
      scopes: TensorFlow's name of each layer, such as {"Mixed_5b/branch1x1": "mixed/conv"}.

    Returns:
      Arrays of these names and shapes, float32, and the file's SHA-256.

    Raises:
      UserError: the file does not exist, is damaged, is of another network, or has another hash than its name says.
    """
    data, sha256 = read_checked(path)
    if data[:2] == b"\x1f\x8b" or data[:1] == b"\n":  # gzip, or field 1 of a GraphDef
        names = {name: _tensorflow_name(name, scopes) for name in shapes}
        arrays = _read_graph(data, path)
    elif data[:2] == b"PK" or data[:1] == b"\x80":
        names = {name: _torch_name(name) for name in shapes}
        stored = torch_file.read(data, str(path))
        known = set(names.values())
        unknown = [key for key in stored if key not in known and not key.endswith(".num_batches_tracked")]
        if unknown:
            raise UserError(f"{path} is of another network: the FID Inception-v3 has no {unknown[0][:80]!r}.")
        arrays = {key: _from_torch(array) for key, array in stored.items()}
    else:
        raise UserError(f"{path} is neither a torch .pth file nor a TensorFlow .pb or .tgz; use a released one.")
    missing = [key for key in names.values() if key not in arrays]
    if missing:
        raise UserError(f"{path} is of another network, or not complete: it has no {missing[0]!r}.")
    weights = {name: arrays[key] for name, key in names.items()}
    check(weights, shapes, path)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}, sha256


def read_checked(path: Path) -> tuple[bytes, str]:
    """The bytes of a file and their SHA-256, checked against digits at the end of the file name, as in torch.hub.

    Raises:
      UserError: the file cannot be read, or its hash does not match.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} has {path.stat().st_size} bytes, more than any released file; use one of those.")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); pass a file of released weights.") from error
    sha256 = hashlib.sha256(data).hexdigest()
    expected = re.search(r"-([0-9a-f]{8,64})\.\w+$", path.name)
    if expected and not sha256.startswith(expected[1]):
        raise UserError(
            f"{path} should have a SHA-256 that begins with {expected[1]}, as its name says, but it is {sha256}; "
            f"download it again."
        )
    return data, sha256


def check(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raises UserError unless all arrays have these shapes and are finite floats, with nonnegative variances."""
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape:
            raise UserError(f"{path} is of another network: {name} has shape {array.shape}, not {shape}.")
        if array.dtype.kind != "f" or not np.isfinite(array).all() or (name.endswith("/var") and array.min() < 0):
            raise UserError(f"{path} is damaged: {name} does not hold finite numbers; download it again.")


def write(path: Path, arrays: Mapping[str, np.ndarray], source: str, sha256: str) -> None:
    """Writes the .npz atomically.

    Raises:
      UserError: it cannot be written; an old file is unchanged.
    """
    with open_atomically(path) as file:
        np.savez(file, format=FORMAT, source=source, sha256=sha256, **arrays)


def load(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, np.ndarray], str]:
    """Reads the arrays of an .npz, and the SHA-256 of the released file they come from.

    Raises:
      UserError: the file does not exist, or was not written by `write`.
    """
    convert = "create one with python -m jaxgan.features.inception --weights=FILE.pth --out=FILE.npz"
    try:
        # From memory: if loading fails, NumPy leaves the file it opened open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            keys = {"format", "source", "sha256", *shapes}
            if set(file.files) != keys or file["format"] != FORMAT:
                raise UserError(f"{path} does not hold the FID Inception-v3's weights in format {FORMAT}; {convert}.")
            arrays, sha256 = {name: file[name] for name in shapes}, str(file["sha256"])
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or 'not an .npz'}); {convert}.") from error
    except UserError:
        raise
    except Exception as error:  # NumPy and zipfile raise many kinds
        raise UserError(f"{path} is damaged ({type(error).__name__}) or not an .npz; {convert}.") from error
    check(arrays, shapes, path)
    return arrays, sha256


def _split(name: str) -> tuple[str, tuple[str, str]]:
    """Splits an array's name into its layer ("" for the last one) and the rest's names in torch and TensorFlow."""
    _, *layer, kind, leaf = name.split("/")
    return "/".join(layer), LEAVES[f"{kind}/{leaf}"]


def _torch_name(name: str) -> str:
    layer, (leaf, _) = _split(name)
    return ".".join([*layer.split("/"), leaf] if layer else [leaf])


def _tensorflow_name(name: str, scopes: Mapping[str, str]) -> str:
    layer, (_, leaf) = _split(name)
    return f"{scopes[layer]}/{leaf}" if layer else leaf


def _from_torch(array: np.ndarray) -> np.ndarray:
    """Transposes a kernel from torch's (output, input, height, width), or (output, input)."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _read_graph(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """The float constants of a GraphDef, or of that in a .tgz, by node name."""
    try:
        if data[:2] == b"\x1f\x8b":
            data = _member(data, path)
        return dict(_constants(Fields(memoryview(data), [MAX_FIELDS])))
    except UserError:
        raise
    except Exception as error:  # of any kind: the content is untrusted
        raise UserError(f"{path} is damaged ({type(error).__name__}); download it again.") from error


def _member(data: bytes, path: Path) -> bytes:
    with gzip.open(io.BytesIO(data)) as file:
        data = file.read(MAX_GRAPH_BYTES + 1)
    if len(data) > MAX_GRAPH_BYTES:
        raise ValueError("the archive holds more than the released one")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in islice(archive, MAX_MEMBERS):
            if Path(info.name).name == GRAPH and info.isfile():
                return archive.extractfile(info).read()
    raise UserError(f"{path} holds no {GRAPH}; use inception-2015-12-05.tgz.")


class Fields:
    """Iterates over the fields of a protocol buffer message, without building anything.

    Args:
      data: the message.
      budget: a list of one number: how many more fields may be read, nested messages included.
    """

    def __init__(self, data: memoryview, budget: list[int]) -> None:
        self.data, self.budget = data, budget

    def inside(self, data: memoryview) -> Fields:
        """The fields of a nested message, on the same budget."""
        return Fields(data, self.budget)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yields the number and the value, an int or bytes, of each field."""
        offset = 0
        while offset < len(self.data):
            self.budget[0] -= 1
            if self.budget[0] < 0:
                raise ValueError("more fields than the released graph has")
            key, offset = self._varint(offset)
            match key & 7:
                case 0:
                    value, offset = self._varint(offset)
                    yield key >> 3, value
                    continue
                case 1 | 5 as kind:
                    size = 8 if kind == 1 else 4
                case 2:
                    size, offset = self._varint(offset)
                case _:
                    raise ValueError("a field of an unknown kind")
            if offset + size > len(self.data):
                raise ValueError("a field is longer than its message")
            yield key >> 3, self.data[offset : offset + size]
            offset += size

    def _varint(self, offset: int) -> tuple[int, int]:
        """Decodes an integer with 7 bits per byte; returns it and its end."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.data[offset]
            value, offset = value | (byte & 127) << shift, offset + 1
            if byte < 128:
                return value, offset
        raise ValueError("an integer of more than 64 bits")

    def last(self, number: int, default: Any) -> Any:
        """The value of the last field with this number, which is the valid one."""
        return dict(self).get(number, default)


def _constants(graph: Fields) -> Iterator[tuple[str, np.ndarray]]:
    """The float constants: tensorflow/core/framework/graph.proto, node_def.proto, attr_value.proto, tensor.proto."""
    for number, message in graph:
        node = list(graph.inside(message)) if number == 1 else []
        if dict(node).get(2) != b"Const":
            continue
        attributes = [dict(graph.inside(message)) for number, message in node if number == 5]
        value = next((attribute[2] for attribute in attributes if attribute.get(1) == b"value"), b"")
        tensor = dict(graph.inside(graph.inside(memoryview(value)).last(8, memoryview(b""))))
        if tensor.get(1) != 1:  # DT_FLOAT
            continue
        values = np.frombuffer(tensor.get(4) or tensor.get(5, b""), "<f4")  # raw bytes, or packed floats
        dims = [dim for number, dim in graph.inside(memoryview(tensor.get(2, b""))) if number == 2]
        shape = tuple(graph.inside(dim).last(1, 0) for dim in dims)
        if math.prod(shape) == values.size:  # a single value may be repeated, but not in weights
            yield bytes(dict(node)[1]).decode(), values.reshape(shape)
