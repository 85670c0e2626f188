"""The FID Inception-v3: its sizes, its resize, its files; with torch-fidelity installed, its numbers.

The released weights are not part of the project. With JAXGAN_INCEPTION=FILE.npz, converted from them, and
JAXGAN_CIFAR10=DIR, the directory cifar-10-batches-bin of CIFAR-10's binary version, published scores are tests.
"""

import importlib.util
import io
import math
import os
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxgan.errors import UserError
from jaxgan.features import inception, inception_weights
from jaxgan.features.resize import tensorflow1_bilinear

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHA256 = "0" * 64


# --- sizes ---


def size(*names: str) -> int:
    """Numbers in the arrays whose names begin so."""
    return sum(math.prod(shape) for name, shape in inception.shapes().items() if name.startswith(names))


def test_numbers_of_parameters():
    last = size("params/fc/")
    assert last == 2048 * 1008 + 1008 == 2_065_392
    assert size("params/") - last == 21_785_568
    assert size("batch_stats/") == 34_432
    assert sum(name.endswith("conv/kernel") for name in inception.shapes()) == 94


def test_blocks_have_the_published_sizes():
    x = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    expected = {
        "Conv2d_1a_3x3": (149, 149, 32),
        "Conv2d_2b_3x3": (147, 147, 64),
        "Conv2d_3b_1x1": (73, 73, 80),
        "Conv2d_4a_3x3": (71, 71, 192),
        "Mixed_5b": (35, 35, 256),
        "Mixed_5d": (35, 35, 288),
        "Mixed_6a": (17, 17, 768),
        "Mixed_6e": (17, 17, 768),
        "Mixed_7a": (8, 8, 1280),
        "Mixed_7b": (8, 8, 2048),
        "Mixed_7c": (8, 8, 2048),
    }
    found = {}
    for layer in inception.LAYERS:
        if isinstance(layer, inception.Conv | inception.Branches):
            x, _ = jax.eval_shape(inception.Chain((layer,)).init_with_output, jax.random.key(0), x)
            found[layer.name] = x.shape[1:]
        else:
            x = jax.eval_shape(layer, x)
    assert {name: found[name] for name in expected} == expected


def test_averages_leave_the_padding_out_and_the_last_block_takes_maxima():
    x = -jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    average = inception.average_pool(x)[0, :, :, 0]
    np.testing.assert_allclose(average[0, 0], -(1 + 2 + 4 + 5) / 4)
    np.testing.assert_allclose(average[1, 0], -(1 + 2 + 4 + 5 + 7 + 8) / 6)
    np.testing.assert_allclose(average[1, 1], -5)
    np.testing.assert_array_equal(inception.max_pool(x)[0, :, :, 0], [[-1, -1, -2], [-1, -1, -2], [-4, -4, -5]])
    pools = {layer.name: layer.chains[3][0] for layer in inception.LAYERS[7:] if len(getattr(layer, "chains", ())) == 4}
    assert [name for name, pool in pools.items() if pool is inception.max_pool] == ["Mixed_7c"]
    assert [name for name, pool in pools.items() if pool is inception.average_pool] == [
        "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b",
    ]  # fmt: skip


# --- resize ---

SIDES = [(32, 32), (28, 28), (64, 48), (299, 299), (512, 300), (1, 2), (100, 77)]


def some_images(n: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def resize_in_float64(x: np.ndarray, out: int) -> np.ndarray:
    """The rule, by matrices: row i holds the weights of floor(i in/out) and of the pixel after it."""

    def weights(n: int) -> np.ndarray:
        w = np.zeros((out, n))
        for i in range(out):
            low, rest = divmod(i * n, out)  # exact
            w[i, low] += 1 - rest / out
            w[i, min(low + 1, n - 1)] += rest / out
        return w

    return np.einsum("ih,jw,nhwc->nijc", weights(x.shape[1]), weights(x.shape[2]), x.astype(np.float64), optimize=True)


@pytest.mark.parametrize("sides", SIDES)
def test_resize_against_float64(sides):
    x = some_images(1, *sides, 2)
    found = jax.jit(tensorflow1_bilinear, static_argnums=1)(x, (299, 299))
    assert found.dtype == jnp.float32
    # Positions near 512 are rounded to 3e-5, between pixels that differ by up to 255.
    np.testing.assert_allclose(found, resize_in_float64(x, 299), rtol=0, atol=255 * max(sides) * 2**-23)


def test_resize_by_hand():
    x = np.uint8([[[[0], [100]]]])  # a row of two pixels, in four: at 0, 1/2, 1, and 3/2, beyond the last pixel
    np.testing.assert_array_equal(tensorflow1_bilinear(x, (1, 4))[0, 0, :, 0], [0, 50, 100, 100])


# --- files ---


@cache
def random_arrays() -> dict[str, np.ndarray]:
    """Weights that neither let activations vanish nor explode, by name."""
    rng = np.random.default_rng(0)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        x = rng.standard_normal(shape, np.float32)
        if name.endswith("conv/kernel"):
            return x * np.float32(math.sqrt(2 / math.prod(shape[:3])))
        if name.endswith("fc/kernel"):
            return x * np.float32(math.sqrt(1 / shape[0]))
        if name.endswith("var"):
            return np.exp(x / 4)
        return x / 10 + np.float32(name.endswith("scale"))

    return {name: draw(name, shape) for name, shape in inception.shapes().items()}


def torch_state() -> dict:
    """The same weights as the released torch files have them."""
    import torch

    renamed = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    state = {}
    for name, x in random_arrays().items():
        *layer, leaf = name.split("/")[1:]
        axes = (3, 2, 0, 1) if x.ndim == 4 else tuple(reversed(range(x.ndim)))
        state[".".join([*layer, renamed[leaf]])] = torch.tensor(x.transpose(axes).copy())
    return state


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    torch = pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("torch") / "weights.pth"
    torch.save(torch_state(), path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("npz") / "inception.npz"
    inception_weights.write(path, random_arrays(), "random", SHA256)
    return inception.load(path)


def assert_same(loaded: inception.Inception) -> None:
    found = flatten_dict(loaded.variables, sep="/")
    assert found.keys() == random_arrays().keys()
    for name, x in random_arrays().items():
        np.testing.assert_array_equal(found[name], x, strict=True)


def test_a_torch_file_by_the_command(torch_file, tmp_path, monkeypatch, capsys):
    import torch

    state = torch.load(torch_file, weights_only=True)
    assert state["Mixed_6b.branch7x7_2.conv.weight"].shape == (128, 128, 1, 7)
    assert state["Mixed_7b.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    out = tmp_path / "inception.npz"
    monkeypatch.setattr(sys, "argv", ["inception", f"--weights={torch_file}", f"--out={out}"])
    assert inception.main() == 0
    loaded = inception.load(out)
    sha256 = subprocess.run(["sha256sum", torch_file], capture_output=True, text=True, check=True).stdout.split()[0]
    assert loaded.weights_sha256 == sha256
    assert f"23,850,960 parameters from {torch_file} (SHA-256 {sha256}: not" in capsys.readouterr().out
    assert_same(loaded)
    kernel = loaded.variables["params"]["Mixed_6b"]["branch7x7_2"]["conv"]["kernel"]
    assert float(kernel[0, 5, 3, 2]) == float(state["Mixed_6b.branch7x7_2.conv.weight"][2, 3, 0, 5])
    assert [path.name for path in tmp_path.iterdir()] == ["inception.npz"]


def graph(arrays: dict[str, np.ndarray]) -> bytes:
    """A GraphDef of constants."""
    from tensorboardX.proto.graph_pb2 import GraphDef

    message = GraphDef()
    message.node.add(name="ExpandDims", op="ExpandDims")
    for name, x in arrays.items():
        tensor = message.node.add(name=name, op="Const").attr["value"].tensor
        tensor.dtype = 1
        for side in x.shape:
            tensor.tensor_shape.dim.add(size=side)
        if x.size > 2:
            tensor.tensor_content = x.tobytes()
        else:
            tensor.float_val.extend(x.ravel().tolist())
    return message.SerializeToString()


def packed(data: bytes, name: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=0) as archive:
        for member, content in (("LICENSE", b"words"), (name, data)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    ("layer", "scope"),
    [
        ("Conv2d_1a_3x3", "conv"),
        ("Conv2d_4a_3x3", "conv_4"),
        ("Mixed_5b/branch1x1", "mixed/conv"),
        ("Mixed_5c/branch5x5_2", "mixed_1/tower/conv_1"),
        ("Mixed_5d/branch_pool", "mixed_2/tower_2/conv"),
        ("Mixed_6a/branch3x3", "mixed_3/conv"),
        ("Mixed_6a/branch3x3dbl_3", "mixed_3/tower/conv_2"),
        ("Mixed_6e/branch7x7dbl_5", "mixed_7/tower_1/conv_4"),
        ("Mixed_7a/branch3x3_2", "mixed_8/tower/conv_1"),
        ("Mixed_7a/branch7x7x3_4", "mixed_8/tower_1/conv_3"),
        ("Mixed_7b/branch3x3_2b", "mixed_9/tower/mixed/conv_1"),
        ("Mixed_7c/branch3x3dbl_3a", "mixed_10/tower_1/mixed/conv"),
        ("Mixed_7c/branch_pool", "mixed_10/tower_2/conv"),
    ],
)
def test_tensorflow_names(layer, scope):
    assert inception.tensorflow_scopes()[layer] == scope


def test_a_tensorflow_graph_and_its_archive(tmp_path):
    scopes, leaves = inception.tensorflow_scopes(), {
        "kernel": "conv2d_params", "scale": "batchnorm/gamma", "bias": "batchnorm/beta",
        "mean": "batchnorm/moving_mean", "var": "batchnorm/moving_variance",
    }  # fmt: skip
    assert len(scopes) == len(set(scopes.values())) == 94
    arrays = {
        "softmax/weights": random_arrays()["params/fc/kernel"],
        "softmax/biases": random_arrays()["params/fc/bias"],
    }
    for name, x in random_arrays().items():
        _, *layer, _, leaf = name.split("/")
        if layer:
            arrays[f"{scopes['/'.join(layer)]}/{leaves[leaf]}"] = x
    data = graph(arrays)
    (tmp_path / "a.pb").write_bytes(data)
    (tmp_path / "inception-2015-12-05.tgz").write_bytes(packed(data, "./classify_image_graph_def.pb"))
    for source in ("a.pb", "inception-2015-12-05.tgz"):
        inception.convert(tmp_path / source, tmp_path / "a.npz")
        assert_same(inception.load(tmp_path / "a.npz"))


# A network of one layer: what is refused, without files of 95 MB.
SMALL = {
    "params/a/conv/kernel": (1, 2, 3, 4),
    "params/a/bn/scale": (4,),
    "params/a/bn/bias": (4,),
    "batch_stats/a/bn/mean": (4,),
    "batch_stats/a/bn/var": (4,),
    "params/fc/kernel": (4, 5),
    "params/fc/bias": (5,),
}
SCOPES = {"a": "conv"}


def small_state(**changes) -> dict:
    torch = pytest.importorskip("torch")
    state = {"a.conv.weight": torch.ones(4, 3, 1, 2), "fc.weight": torch.ones(5, 4), "fc.bias": torch.ones(5)}
    state |= {f"a.{key}": value for key, value in torch.nn.BatchNorm2d(4).state_dict().items()}
    state = {key.replace("a.weight", "a.bn.weight").replace("a.bias", "a.bn.bias").replace("a.r", "a.bn.r"): value
             for key, value in state.items()}  # fmt: skip
    state |= {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in state.items() if value is not None}


def save(path: Path, state: dict) -> Path:
    import torch

    torch.save(state, path)
    return path


def test_a_small_network_is_read(tmp_path):
    arrays, sha256 = inception_weights.read(save(tmp_path / "a.pth", small_state()), SMALL, SCOPES)
    assert {name: x.shape for name, x in arrays.items()} == SMALL
    assert all(x.dtype == np.float32 for x in arrays.values())
    named = (tmp_path / "a.pth").rename(tmp_path / f"weights-2015-12-05-{sha256[:8]}.pth")
    assert inception_weights.read(named, SMALL, SCOPES)[1] == sha256
    wrong = named.rename(tmp_path / "weights-2015-12-05-6726825d.pth")
    with pytest.raises(UserError, match=f"begins with 6726825d, as its name says, but it is {sha256}; download"):
        inception_weights.read(wrong, SMALL, SCOPES)


def test_weights_of_another_network_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    for changes, words in (
        ({"fc__bias": None}, "it has no 'fc.bias'"),
        ({"a__bn__running_var": None}, "it has no 'a.bn.running_var'"),
        ({"AuxLogits__conv0__conv__weight": torch.ones(1)}, "has no 'AuxLogits.conv0.conv.weight'"),
        ({"fc__weight": torch.ones(3, 4)}, r"params/fc/kernel has shape \(4, 3\), not \(4, 5\)"),
        ({"fc__bias": torch.full((5,), torch.nan)}, "params/fc/bias does not hold finite numbers"),
        ({"fc__bias": torch.ones(5, dtype=torch.int64)}, "params/fc/bias does not hold finite numbers"),
        ({"a__bn__running_var": -torch.ones(4)}, "batch_stats/a/bn/var does not hold finite numbers"),
    ):
        path = save(tmp_path / "a.pth", small_state(**changes))
        with pytest.raises(UserError, match=words) as error:
            inception_weights.read(path, SMALL, SCOPES)
        assert str(error.value).startswith(str(path))


def test_damaged_and_other_files_are_refused(tmp_path):
    whole = graph({"softmax/biases": np.ones(5, np.float32)})
    for data, words in (
        (b"", "neither"),
        (b"<html>not found</html>", "neither"),
        (whole, "it has no 'conv/conv2d_params'"),
        (whole[:-3], "damaged"),
        (packed(whole, "other.pb"), "holds no classify_image_graph_def.pb"),
        (packed(whole, "classify_image_graph_def.pb")[:-100], "damaged|holds no"),
        (b"\x1f\x8b nothing", "damaged"),
    ):
        path = tmp_path / "weights"
        path.write_bytes(data)
        with pytest.raises(UserError, match=words):
            inception_weights.read(path, SMALL, SCOPES)
    with pytest.raises(UserError, match="No such file"):
        inception_weights.read(tmp_path / "none.pth", SMALL, SCOPES)


def test_a_file_larger_than_any_released_one_is_not_read(tmp_path):
    path = tmp_path / "weights.pth"
    with path.open("wb") as file:
        file.truncate(inception_weights.MAX_BYTES + 1)  # of holes
    with pytest.raises(UserError, match="has 268435457 bytes, more than any released file"):
        inception_weights.read(path, SMALL, SCOPES)


def test_fields_of_a_message_by_hand():
    """protobuf.dev/programming-guides/encoding: 150 is 96 01, "testing" has its length before it."""
    message = b"\x08\x96\x01" + b"\x12\x07testing" + b"\x1d\0\0\x80\x3f" + b"\x21" + bytes(8) + b"\x12\x01x"
    fields = inception_weights.Fields(memoryview(message), [5])
    assert [(number, x if isinstance(x, int) else bytes(x)) for number, x in fields] == [
        (1, 150), (2, b"testing"), (3, b"\0\0\x80\x3f"), (4, bytes(8)), (2, b"x"),
    ]  # fmt: skip
    assert inception_weights.Fields(memoryview(message), [5]).last(2, b"") == b"x"
    for damaged, budget in ((message, 4), (message[:-1], 9), (b"\x0b", 9), (b"\x08" + b"\xff" * 11, 9)):
        with pytest.raises(ValueError, match=r"field|integer"):
            list(inception_weights.Fields(memoryview(damaged), [budget]))


def test_the_command_ends_with_one_sentence_and_overwrites_nothing(tmp_path):
    out = tmp_path / "inception.npz"
    out.write_bytes(b"mine")
    weights = tmp_path / "weights-2015-12-05-6726825d.pth"
    weights.write_bytes(b"PK\x03\x04")
    command = [sys.executable, "-m", "jaxgan.features.inception", f"--weights={weights}", f"--out={out}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {weights} should have a SHA-256 that begins with 6726825d")
    assert result.stderr.count("\n") == 1
    assert out.read_bytes() == b"mine"
    assert {path.name for path in tmp_path.iterdir()} == {out.name, weights.name}


def test_out_is_an_npz_in_a_directory(tmp_path):
    for out in (tmp_path / "inception", tmp_path / "none" / "inception.npz"):
        with pytest.raises(UserError, match=r"--out=.* must be a FILE.npz in an existing directory"):
            inception.convert(tmp_path / "weights.pth", out)


def test_our_files_are_checked_too(tmp_path):
    arrays = {name: np.ones(shape, np.float32) for name, shape in SMALL.items()}
    path = tmp_path / "a.npz"
    inception_weights.write(path, arrays, "source", SHA256)
    found, sha256 = inception_weights.load(path, SMALL)
    assert sha256 == SHA256
    assert found.keys() == SMALL.keys()
    data = path.read_bytes()
    for damaged, words in ((data[:-50], "damaged"), (data[:300], "damaged"), (b"", "damaged"), (b"words", "damaged")):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=words):
            inception_weights.load(path, SMALL)
    changed = bytearray(data)
    changed[data.index(np.ones(4, np.float32).tobytes())] ^= 1
    path.write_bytes(changed)
    with pytest.raises(UserError, match="damaged"):
        inception_weights.load(path, SMALL)
    for key in ("sha256", "params/fc/bias"):
        np.savez(
            path, **{k: v for k, v in (arrays | {"format": 1, "source": "", "sha256": SHA256}).items() if k != key}
        )
        with pytest.raises(UserError, match="does not hold the FID Inception-v3's weights"):
            inception_weights.load(path, SMALL)
    with pytest.raises(UserError, match=r"No such file .* python -m jaxgan.features.inception"):
        inception.load(tmp_path / "none.npz")


# --- numbers ---


def test_batches_grey_images_and_logits(network, monkeypatch):
    monkeypatch.setattr(inception, "BATCH_SIZE", 2)
    grey = some_images(3, 28, 28, 1)
    pool3, logits = network(grey)  # two batches, the last one padded
    assert (pool3.shape, pool3.dtype, logits.shape, logits.dtype) == ((3, 2048), np.float32, (3, 1008), np.float32)
    last_pool3, last_logits = network(np.repeat(grey[1:], 3, axis=-1))
    np.testing.assert_allclose(pool3[1:], last_pool3, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits[1:], last_logits, rtol=0, atol=1e-5)
    assert np.abs(pool3[0] - pool3[1]).max() > 1e-3
    np.testing.assert_array_equal(network.features(grey), pool3)
    bias = random_arrays()["params/fc/bias"]
    np.testing.assert_allclose(network.logits_unbiased(pool3) + bias[None], logits, rtol=0, atol=1e-5)
    assert network.weights_sha256 == SHA256


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 8, 8, 3), np.float32) - 1, r"these are float32 from -1 to -1; convert images in \[-1, 1\] with"),
        (np.full((2, 8, 8, 3), 300), "these are int64 from 300 to 300"),
        (np.zeros((2, 8, 8, 3), bool), "these are bool;"),
        (np.zeros((8, 8, 3), np.uint8), r"these are \[8, 8, 3\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"these are \[2, 3, 8, 8\]"),
        (np.zeros((2, 8, 8, 2), np.uint8), r"these are \[2, 8, 8, 2\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"these are \[0, 8, 8, 3\]"),
    ],
)
def test_other_images_are_refused(images, words):
    network = inception.Inception({}, SHA256)
    with pytest.raises(UserError, match=words):
        network(images)


@pytest.fixture
def fidelity(monkeypatch):
    """Imports a module of torch-fidelity, whose package would import torchvision first."""
    pytest.importorskip("torch")
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        pytest.skip("torch-fidelity is not installed")
    before = {name for name in sys.modules if name.split(".")[0] == "torch_fidelity"}
    if not before:
        monkeypatch.setitem(sys.modules, "torch_fidelity", importlib.util.module_from_spec(spec))
    yield lambda name: importlib.import_module(f"torch_fidelity.{name}")
    for name in {name for name in sys.modules if name.startswith("torch_fidelity.")} - before:
        del sys.modules[name]


@pytest.mark.parity
def test_resize_is_torch_fidelitys_bit_for_bit(fidelity):
    import torch

    reference = fidelity("interpolate_compat_tensorflow").interpolate_bilinear_2d_like_tensorflow1x
    for sides in SIDES:
        x = some_images(1, *sides)
        expected = reference(torch.tensor(x).permute(0, 3, 1, 2).float(), size=(299, 299), align_corners=False)
        found = jax.jit(tensorflow1_bilinear, static_argnums=1)(x, (299, 299))
        np.testing.assert_array_equal(found, expected.permute(0, 2, 3, 1).numpy())


@pytest.mark.parity
def test_features_and_logits_are_torch_fidelitys(fidelity, torch_file, network):
    import torch

    x = some_images(3, 32, 32)  # noise, a grey ramp, red stripes
    x[1] = np.arange(32, dtype=np.uint8)[:, None, None] * 8
    x[2] = np.uint8([255, 40, 0]) * (np.arange(32) // 8 % 2 == 0)[None, :, None]
    names = ["2048", "logits_unbiased", "logits"]
    reference = fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3(
        "inception", names, feature_extractor_weights_path=str(torch_file)
    )
    features, unbiased, logits = (y.numpy() for y in reference(torch.tensor(x).permute(0, 3, 1, 2)))
    assert features.std(axis=0).mean() > 0.1  # else agreement would mean nothing
    assert logits.std(axis=0).mean() > 0.1
    found_features, found_logits = network(x)
    np.testing.assert_allclose(found_features, features, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found_logits, logits, rtol=0, atol=1e-4)
    np.testing.assert_allclose(network.logits_unbiased(found_features), unbiased, rtol=0, atol=1e-4)
    assert np.abs(logits - unbiased).max() > 0.1


# --- published scores, with the user's files ---

needs_files = pytest.mark.skipif(
    not {"JAXGAN_INCEPTION", "JAXGAN_CIFAR10"} <= os.environ.keys(),
    reason="JAXGAN_INCEPTION: the released weights as .npz; JAXGAN_CIFAR10: the directory cifar-10-batches-bin",
)


@cache
def released() -> inception.Inception:
    return inception.load(os.environ["JAXGAN_INCEPTION"])


def cifar10(train: bool) -> np.ndarray:
    """CIFAR-10's images in their order: [n, 32, 32, 3] uint8."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if train else ["test_batch.bin"]
    records = [np.fromfile(Path(os.environ["JAXGAN_CIFAR10"], name), np.uint8).reshape(-1, 3073) for name in names]
    return np.concatenate(records)[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def subset(images: np.ndarray, n: int, noise: bool = False) -> np.ndarray:
    """torch-fidelity's n of the images, in the images' order; the noise wraps around."""
    rng = np.random.RandomState(2020)
    chosen = rng.choice(len(images), n, replace=False)
    images = images[chosen]
    if noise:
        noisy = [image.astype(np.float32) + rng.randn(*image.shape) * 64 for image in images]
        images = np.stack([image.astype(np.int64) for image in noisy]).astype(np.uint8)
    return images[np.argsort(chosen)]


@cache
def train_features() -> np.ndarray:
    return released().features(subset(cifar10(train=True), 5000)).astype(np.float64)


@needs_files
def test_published_inception_score_of_100_images():
    network = released()
    logits = network.logits_unbiased(network.features(subset(cifar10(train=True), 100)))
    logits = logits[np.random.RandomState(2020).permutation(100)].astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    scores = [np.exp((np.exp(part) * (part - np.log(np.exp(part).mean(axis=0)))).sum(axis=1).mean())
              for part in np.split(log_p, 10)]  # fmt: skip
    assert np.mean(scores) == pytest.approx(4.51089784587268, abs=1e-4)


@needs_files
def test_published_fid_of_5000_and_5000_images():
    a, b = train_features(), released().features(subset(cifar10(train=False), 5000)).astype(np.float64)
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(c @ d).astype(complex)).real.sum()
    fid = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + np.trace(c) + np.trace(d) - 2 * root
    assert fid == pytest.approx(10.3233274, abs=1e-4)


@needs_files
def test_published_kid_of_noisy_images():
    a = released().features(subset(cifar10(train=False), 5000, noise=True)).astype(np.float64)
    b, rng, values = train_features(), np.random.RandomState(2020), []
    for _ in range(100):
        x, y = (f[rng.choice(len(f), 1000, replace=False)] for f in (a, b))
        xx, yy, xy = ((p @ q.T / 2048 + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
        within = xx.sum() + yy.sum() - np.trace(xx) - np.trace(yy)
        values.append(within / (1000 * 999) - 2 * xy.mean())
    assert np.mean(values) == pytest.approx(0.4718520, abs=1e-5)


@pytest.mark.skipif(jax.default_backend() == "cpu", reason="60,000 images take hours without an accelerator")
@needs_files
def test_published_fid_of_all_of_cifar10():
    a, b = (released().features(cifar10(train)).astype(np.float64) for train in (True, False))
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(c @ d).astype(complex)).real.sum()
    fid = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + np.trace(c) + np.trace(d) - 2 * root
    assert fid == pytest.approx(3.1508, abs=2e-3)  # TensorFlow's; pytorch-gan-metrics has 3.15177
