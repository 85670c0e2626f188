"""Small files that ask a reader for much memory or time, and a program that measures what reading them costs.

`python tests/helpers/hostile.py` reads each as released weights of Inception-v3 and prints a JSON object per file: its
name and bytes, the seconds of CPU time, the growth of the process in bytes, and the sentence that refused it.
"""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from jaxgan.errors import UserError
from jaxgan.features import inception_weights, torch_file

MEGABYTE = 2**20
N = 100_000
STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpuK\2tQ"
LAUGHS = b"K\1" + b"q\0h\0\x86" * 1000  # t = (t, t), a thousand times: 2^1000 numbers


def pickled(*parts: bytes) -> bytes:
    return b"\x80\2" + b"".join(parts) + b"."


def zipped(data: bytes, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in ({"data.pkl": data} | members).items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def legacy(*parts: bytes) -> bytes:
    header = [torch_file.LEGACY_MAGIC, torch_file.LEGACY_PROTOCOL, {"little_endian": True}]
    return b"".join([*(pickle.dumps(part, 2) for part in header), *parts])


def tensor(shape: bytes = b"K\2\x85", strides: bytes = b"K\1\x85", storage: bytes = STORAGE) -> bytes:
    """The call that makes a tensor, by opcodes: K is a byte, \\x85 a tuple of one."""
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + shape + strides + b"\x89}tR"


def state_dict(*values: bytes) -> bytes:
    """The pickle of {"a000000": the first value, ...}."""
    items = (b"X\7\0\0\0a%06d" % i + value for i, value in enumerate(values))
    return pickled(b"}(", *items, b"u")


def calls_of_one_list() -> bytes:
    """OrderedDict(items) many times, where the items are one list: a dictionary of 20,000 for every 5 bytes."""
    items = b"](" + b"".join(b"X\5\0\0\0%05dK\1\x86" % i for i in range(20_000)) + b"e\x85q\0"
    return pickled(items, b"ccollections\nOrderedDict\nq\1", b"h\1h\0R" * N)


def arguments_of_one_tuple() -> bytes:
    """Parameters, each of one tuple of 100,000."""
    call = b"ctorch._utils\n_rebuild_parameter\nq\1"
    return pickled(b"(", tensor(), b"K\1" * N, b"tq\0", call, b"h\1h\0R" * N)


def archive_with(infos: list[zipfile.ZipInfo], copies: int = 1) -> bytes:
    """An archive whose directory lists members more than once."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info in infos:
            archive.writestr(info, bytes(MEGABYTE))
        archive.filelist *= copies
    return file.getvalue()


def directory_of_extras() -> bytes:
    """A directory of 64 KB of extra fields a member, 4 bytes each, which zipfile moves by 4 bytes one by one."""
    data = bytearray(zipped(state_dict()))
    end = data.rfind(b"PK\5\6")
    start, extra = data.find(b"PK\1\2"), b"\x99\x99\0\0" * 16_383
    entry = data[start:end]
    name = struct.unpack_from("<H", entry, 28)[0]
    struct.pack_into("<H", entry, 30, len(extra))
    entries = (bytes(entry[: 46 + name]) + extra) * 30  # under the bound of the directory
    tail = bytearray(data[end:])
    struct.pack_into("<HHII", tail, 8, 30, 30, len(entries), start)
    return bytes(data[:start] + entries + tail)


def files() -> Iterator[tuple[str, bytes]]:
    """Hostile files of at most 5 MB, by what they do."""
    million = 10**6
    yield "a long integer", zipped(pickled(b"\x8b", struct.pack("<i", 4 * million), b"\xff" * 4 * million))
    yield "a long integer before 1.6", pickled(b"\x8b", struct.pack("<i", 4 * million), b"\xff" * 4 * million)
    yield "long integers as a shape", zipped(state_dict(tensor(b"(" + (b"\x8a\xff" + b"\x7f" * 255) * 10_000 + b"t")))
    yield "a long string", zipped(pickled(b"X", struct.pack("<I", 4 * million), "\U0001f600".encode() * million))
    yield "a long line", zipped(pickled(b"c" + b"x" * 4 * million))
    yield "many dictionaries", zipped(pickled(b"}" * 4 * million))
    yield "many memos", zipped(pickled(b"}", b"\x94" * 4 * million))
    yield "deep tuples", zipped(pickled(b")", b"\x85" * 4 * million))
    yield "one list of many dictionaries", zipped(calls_of_one_list())
    yield "one tuple of many parameters", zipped(arguments_of_one_tuple())
    yield (
        "many dimensions",
        zipped(state_dict(*[tensor(b"(" + b"K\1" * 1000 + b"t", b"(" + b"K\1" * 1000 + b"t")] * 900)),
    )
    yield "laughs as a shape", zipped(state_dict(tensor(LAUGHS)))
    yield "laughs as a storage", zipped(state_dict(tensor(storage=LAUGHS)))
    yield "laughs as a tensor", zipped(state_dict(LAUGHS))
    yield "laughs as a key", zipped(pickled(b"}", LAUGHS, b"K\1s"))
    yield "laughs as a storage's key", legacy(state_dict(tensor()), pickled(b"](", LAUGHS, b"e"), bytes(64))
    yield "laughs before 1.6", pickled(LAUGHS)
    shape = b"J\0\0\4\0\x85"  # 2^18 numbers, 1 MB
    yield "one storage of many tensors", zipped(state_dict(*[tensor(shape)] * 10_000), **{"data/0": bytes(MEGABYTE)})
    yield "one number of a large tensor", zipped(state_dict(tensor(shape, b"K\0\x85")), **{"data/0": bytes(4)})
    yield "one member many times", archive_with([zipfile.ZipInfo("archive/data.pkl")], copies=20_000)
    yield "many members", zipped(state_dict(), **{f"{i}": b"" for i in range(40_000)})
    bomb = zipfile.ZipInfo("archive/data.pkl")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    yield "a compressed member", archive_with([bomb])
    yield "a directory of extra fields", directory_of_extras()
    yield "a graph of many nodes", b"\n\0" * million
    yield "a node of many attributes", graph(b"\x12\5Const" + b"\x2a\0" * million)
    tensor_of_sides = field(2, b"\x12\0" * million)
    attribute = field(1, b"value") + field(2, field(8, b"\x08\1" + tensor_of_sides))
    yield "a tensor of many sides", graph(b"\x12\5Const" + field(5, attribute))
    yield "a compressed graph", gzipped(bytes(MEGABYTE), times=600)
    member = tarfile.TarInfo("x").tobuf()
    yield "an archive of many members", gzipped(member * 1000, times=200)


def field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer's message, of bytes."""
    size, rest = b"", len(content)
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + size + bytes([rest]) + content


def graph(node: bytes) -> bytes:
    return field(1, node)


def gzipped(part: bytes, times: int) -> bytes:
    pack = zlib.compressobj(wbits=31)
    return b"".join([*(pack.compress(part) for _ in range(times)), pack.flush()])


def read(data: bytes) -> None:
    if data[:2] == b"\x1f\x8b" or data[:1] == b"\n":
        inception_weights._read_graph(data, Path("FILE"))
    else:
        torch_file.read(data, "FILE")


def main() -> None:
    for limit, bound in ((resource.RLIMIT_AS, 6 * 2**30), (resource.RLIMIT_CPU, 120)):  # for the machine's sake
        resource.setrlimit(limit, (bound, bound))
    for name, data in files():
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            read(data)
            words = ""
        except UserError as error:
            words = str(error)
        seconds = time.process_time() - started
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        print(json.dumps({"name": name, "bytes": len(data), "seconds": seconds, "grown": grown, "words": words}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
