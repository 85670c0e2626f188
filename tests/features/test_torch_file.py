"""torch's files read without torch: every tensor as torch has it, and no pickle's program run."""

import builtins
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.features import torch_file

pytestmark = pytest.mark.slow


class Exploit:
    """Unpickled, it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def zipped(pickled: bytes, **members: bytes) -> bytes:
    """A file as torch lays it out since 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in ({"data.pkl": pickled, "version": b"3\n"} | members).items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


def sequence(pickled: bytes) -> bytes:
    """A file as torch laid it out before 1.6, up to the pickle."""
    header = [torch_file.LEGACY_MAGIC, torch_file.LEGACY_PROTOCOL, {"little_endian": True}]
    return b"".join(pickle.dumps(part, 2) for part in header) + pickled


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
def test_every_tensor_is_as_torch_has_it(new):
    torch = pytest.importorskip("torch")
    a = torch.arange(24.0).reshape(2, 3, 4)
    tensors = OrderedDict(
        a=a,
        transposed=a.permute(2, 0, 1),
        part=a[1:, :, ::2],
        scalar=torch.tensor(7),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.tensor([1.5, -2.0])),
        double=torch.tensor([1e-300], dtype=torch.float64),
        half=torch.tensor([0.5, -65504.0], dtype=torch.float16),
        flags=torch.tensor([True, False]),
    )
    tensors |= torch.nn.BatchNorm2d(3).state_dict()
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, (1, 2)), torch.nn.BatchNorm2d(3)).state_dict()  # with _metadata
    for state in (tensors, module):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=new)
        found = torch_file.read(file.getvalue(), "FILE")
        assert list(found) == list(state)
        for key, tensor in state.items():
            expected = tensor.detach().numpy()
            assert found[key].dtype == expected.dtype
            np.testing.assert_array_equal(found[key], expected, strict=True)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("layout", [zipped, sequence])
def test_a_hostile_pickle_is_refused_by_name_and_not_executed(tmp_path, protocol, layout):
    trace = tmp_path / "trace"
    pickled = pickle.dumps(OrderedDict(a=Exploit(os.mkdir, str(trace))), protocol)
    with pytest.raises(UserError, match=r"^FILE refers to 'posix.mkdir', which .* and was not executed"):
        torch_file.read(layout(pickled), "FILE")
    assert not trace.exists()
    pickle.loads(pickled)
    assert trace.exists()  # it would have


@pytest.mark.parametrize(
    "value",
    [
        Exploit(builtins.eval, "1"),
        Exploit(getattr, {}, "clear"),
        OrderedDict(a=SimpleNamespace(b=1)),  # NEWOBJ and BUILD, as of a whole network
        np.ones(3),  # a dictionary of NumPy arrays
        np.dtype("f4"),
        {"a": {1, 2}},
        b"bytes",
        1.5,
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_no_state_dict_needs_is_refused(value, protocol):
    with pytest.raises(UserError, match=r"^FILE (refers to|has a pickle with)") as refusal:
        torch_file.read(zipped(pickle.dumps(value, protocol)), "FILE")
    assert "\n" not in str(refusal.value)


def tensor(offset="K\x00", shape="K\x02\x85", stride="K\x01\x85") -> bytes:
    """The pickle of {"a": a tensor of storage 0}, its opcodes by hand: K a byte, 0x85 a tuple of one."""
    storage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + "0X\x03\0\0\0cpuK\x02tQ"
    call = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}{offset}{shape}{stride}\x89}}tR"
    return f"\x80\x02}}X\x01\0\0\0a{call}s.".encode("latin-1")


def test_a_tensor_cannot_leave_its_storage():
    storage = {"data/0": np.array([1, 2], "<f4").tobytes()}
    np.testing.assert_array_equal(torch_file.read(zipped(tensor(), **storage), "FILE")["a"], np.float32([1, 2]))
    for parts in (
        {"offset": "K\x01"},
        {"offset": "J\xff\xff\xff\xff"},  # -1
        {"shape": "K\x03\x85"},
        {"shape": "J\xff\xff\xff\x7f\x85", "stride": "K\x00\x85"},  # 2^31 - 1 times one element: 8 GB
        {"stride": "K\x02\x85"},
        {"stride": "K\x01K\x01\x86"},
        {"shape": "X\x01\0\0\0a\x85"},
    ):
        with pytest.raises(UserError, match=r"^FILE is damaged"):
            torch_file.read(zipped(tensor(**parts), **storage), "FILE")


def test_big_endian_storages_are_read():
    members = {"data/0": np.array([1, 2], ">f4").tobytes(), "byteorder": b"big"}
    np.testing.assert_array_equal(torch_file.read(zipped(tensor(), **members), "FILE")["a"], np.float32([1, 2]))


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
def test_a_damaged_file_is_one_sentence(new):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save({"a": torch.ones(5), "b": torch.ones(2, 3)}, file, _use_new_zipfile_serialization=new)
    data = file.getvalue()
    for end in range(0, len(data), 7):
        with pytest.raises(UserError) as error:
            torch_file.read(data[:end], "FILE")
        assert str(error.value).startswith("FILE ")
        assert "\n" not in str(error.value)
    rng = np.random.default_rng(0)
    for at in rng.choice(len(data), 300, replace=False):
        changed = bytearray(data)
        changed[at] ^= 1 << int(rng.integers(8))
        try:
            torch_file.read(bytes(changed), "FILE")  # not every byte counts
        except UserError as error:
            assert str(error).startswith("FILE ")


def test_files_of_another_kind_are_one_sentence():
    tensors = zipped(tensor(), **{"data/0": bytes(8), "code/a.py": b""})
    for data, words in (
        (tensors, "TorchScript"),
        (zipped(pickle.dumps([1, 2], 2)), "not a state dict"),
        (zipped(pickle.dumps({"state_dict": {}}, 2)), "not a state dict"),
        (sequence(pickle.dumps({"state_dict": {}}, 2)), "not a state dict"),
        (pickle.dumps({"a": 1}, 2), "not a torch state dict"),
        (b"PK\x03\x04 nothing more", "damaged"),
    ):
        with pytest.raises(UserError, match=words):
            torch_file.read(data, "FILE")
