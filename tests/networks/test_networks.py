"""The paper's networks: parameter counts by arithmetic, and their parts against loops and by hand."""

import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config import default, update, validate
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.game.build import build, build_for
from jaxgan.networks import maxout_conv, mlp
from jaxgan.networks.layers import DataSpec, dropout, maxout, sparse_init, uniform_init
from tests.helpers import zoo_games as zoo

PIXELS = DataSpec((8, 8, 1), bounds=(0.0, 1.0))


def count(params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))


def dense(*sizes: int) -> int:
    """Weights and biases of layers that join these numbers of units."""
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    ("name", "shape", "generator", "discriminator"),
    [
        ("mnist", (28, 28, 1), dense(100, 1200, 1200, 784), dense(784, 240 * 5) + dense(240, 240 * 5) + dense(240, 1)),
        ("tfd_pretrain", (48, 48, 1), dense(100, 8000, 8000, 2304), dense(2304, 6000) + dense(1200, 6000) + 1201),
        ("tfd", (48, 48, 1), dense(100, 8000, 100, 8000, 8000, 2304), dense(2304, 6000) + dense(1200, 6000) + 1201),
        (
            "cifar10_fully_connected",
            (32, 32, 3),
            dense(100, 8000, 8000, 3072),
            dense(3072, 1600 * 5) + dense(1600, 1600 * 5) + dense(1600, 1),
        ),
        (
            "cifar10_convolutional",
            (32, 32, 3),
            dense(100, 8000, 8000) + 5 * 5 * 80 * 3 + 32 * 32 * 3,
            # Sides: 32 -> 33 -> 16 -> 15 -> 7 -> 9 -> 5.
            (8 * 8 * 3 * 64 + 64) + (8 * 8 * 32 * 64 + 64) + (5 * 5 * 32 * 384 + 384)
            + dense(5 * 5 * 192, 500 * 5) + dense(500, 1),
        ),
    ],
)  # fmt: skip
def test_parameter_counts_of_the_four_recipes(name, shape, generator, discriminator):
    config = importlib.import_module(f"configs.{name}").get_config()
    bounds = None if config.data.gcn else (0.0, 1.0)
    gan = build(config, DataSpec(shape, bounds=bounds), 40_000)
    state = jax.eval_shape(gan.init, traced(config))
    assert count(state.generator.params) == generator
    assert count(state.discriminator.params) == discriminator


def test_initial_weights_fill_the_irange_and_biases_are_0():
    config = update(default(), {"generator.irange": 0.05, "discriminator.irange": 0.005})
    gan = build(config, PIXELS._replace(shape=(28, 28, 1)), 50_000)
    state = zoo.compiled(gan.init)(traced(config))
    for player, irange in (("generator", 0.05), ("discriminator", 0.005)):
        for layer in getattr(state, player).params.values():
            top = float(jnp.max(jnp.abs(layer["kernel"])))
            assert 0.97 * irange < top <= irange
            assert not np.any(layer["bias"])  # build() without the data's mean


def test_batch_norm_of_the_perceptron_by_hand():
    """W z, normalized over the minibatch, scaled and shifted, ReLU; biases are the norm's, but for the last layer's."""
    G = mlp.Generator(DataSpec((2,)), hidden=(3, 4), activations=("relu", "relu"), output="linear", norm="batch")
    z = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5)), jnp.float32)
    variables = G.init(jax.random.key(0), z)
    assert set(variables["params"]["Dense_0"]) == set(variables["params"]["Dense_1"]) == {"kernel"}
    assert set(variables["params"]["output"]) == {"kernel", "bias"}
    draw = lambda *shape: jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)  # noqa: E731
    params = jax.tree.map(lambda leaf: draw(*leaf.shape), variables["params"])
    out, moved = G.apply({**variables, "params": params}, z, mutable=["batch_stats"])
    h, numbers = np.asarray(z, np.float64), jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    for i in range(2):
        h = h @ numbers[f"Dense_{i}"]["kernel"]
        h = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5)
        h = np.maximum(h * numbers[f"BatchNorm_{i}"]["scale"] + numbers[f"BatchNorm_{i}"]["bias"], 0)
    expected = h @ numbers["output"]["kernel"] + numbers["output"]["bias"]
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-4)
    assert np.any(moved["batch_stats"]["BatchNorm_1"]["mean"])


def test_a_norm_that_the_perceptron_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"generator\.norm must be one of none, batch, spectral, not 'layer'"):
        validate(update(default(), {"generator.norm": "layer"}))


def test_maxout_by_hand():
    x = jnp.array([[1.0, 5.0, 3.0, 2.0, 0.0, -4.0]])  # 3 pieces of 2 units: unit 0 has 1, 3, 0; unit 1 has 5, 2, -4
    np.testing.assert_array_equal(maxout(x, 3), [[3.0, 5.0]])


@pytest.mark.parametrize("keep", [0.8, 0.5])
def test_dropout_keeps_its_share_and_scales_it(keep):
    x = jnp.ones((200, 500))
    y = np.asarray(dropout(x, keep, jax.random.split(jax.random.key(0), 200), 0))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / keep)}
    assert (y > 0).mean() == pytest.approx(keep, abs=0.005)
    assert len(np.unique(y > 0, axis=0)) == 200  # a mask of its own for every example
    other = dropout(x, keep, jax.random.split(jax.random.key(0), 200), 1)
    assert ((y > 0) != (np.asarray(other) > 0)).mean() == pytest.approx(2 * keep * (1 - keep), abs=0.01)


def test_sparse_init_gives_each_unit_its_number_of_weights():
    w = np.asarray(sparse_init(30)(jax.random.key(0), (50, 200)))
    assert ((w != 0).sum(axis=0) == 30).all()
    assert w[w != 0].std() == pytest.approx(1, abs=0.03)
    assert ((w != 0).sum(axis=1) > 70).all()  # 120 on average: no row is left out


def test_only_sigmoid_units_get_the_sigmoid_bias(tiny_config):
    config = tiny_config(
        generator__hidden=(6, 5), generator__activations=("relu", "sigmoid"), generator__sigmoid_bias=-2.0
    )
    params = jax.jit(build(config, PIXELS, 100).init)(traced(config)).generator.params
    np.testing.assert_array_equal(params["Dense_0"]["bias"], np.zeros(6))
    np.testing.assert_array_equal(params["Dense_1"]["bias"], np.full(5, -2.0))


def test_transposed_convolution_adds_kernels_and_a_bias_for_every_number():
    rows, columns, features, channels, kernel, stride = 2, 3, 4, 2, 5, 3
    height, width = stride * (rows - 1) + kernel, stride * (columns - 1) + kernel
    shape, hidden = (height, width, channels), (rows * columns * features,)
    generator = maxout_conv.Generator(
        data=DataSpec(shape), hidden=hidden, activations=("relu",), output="linear", irange=0.5, output_irange=0.5,
        grid=(rows, columns, features), kernel=kernel, stride=stride,
    )  # fmt: skip
    z = jax.random.normal(jax.random.key(1), (6, 7))
    params = generator.init(jax.random.key(0), z)["params"]
    init = uniform_init(1.0)
    params["output_bias"] = init(jax.random.key(2), params["output_bias"].shape)
    found = np.asarray(generator.apply({"params": params}, z))

    weights = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    h = np.maximum(np.asarray(z, np.float64) @ weights["Dense_0"]["kernel"] + weights["Dense_0"]["bias"], 0)
    h = h.reshape(6, rows, columns, features)
    expected = np.tile(weights["output_bias"].reshape(1, *shape), (6, 1, 1, 1))
    for r in range(rows):
        for c in range(columns):
            for i in range(kernel):
                for j in range(kernel):
                    # The kernel is [kernel, kernel, channels, features].
                    expected[:, stride * r + i, stride * c + j] += (
                        h[:, r, c] @ weights["output"]["transposed_kernel"][i, j].T
                    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(np.unique(weights["output_bias"])) == height * width * channels


@pytest.mark.parametrize(
    ("side", "window", "stride", "pooled"), [(33, 4, 2, 16), (15, 4, 2, 7), (9, 2, 2, 5), (6, 2, 2, 3)]
)
def test_pooling_as_cuda_convnet_does(side, window, stride, pooled):
    x = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    y = np.asarray(maxout_conv.max_pool(jnp.asarray(x), window, stride))
    assert y.shape == (2, pooled, pooled, 3)
    for r in range(pooled):
        for c in range(pooled):
            patch = x[:, r * stride : r * stride + window, c * stride : c * stride + window]
            np.testing.assert_array_equal(y[:, r, c], patch.max(axis=(1, 2)))


def conv_config(**changes):
    """Convolutional players of 8x8 images."""
    small = {
        "generator.name": "maxout_conv", "generator.hidden": (18,), "generator.activations": ("relu",),
        "generator.grid": (3, 3, 2), "generator.kernel": 4, "generator.stride": 2,
        "discriminator.name": "maxout_conv", "discriminator.hidden": (6,), "discriminator.irange": 0.5,
        "discriminator.hidden_keep": 0.5, "discriminator.channels": (3, 4), "discriminator.kernels": (3, 3),
        "discriminator.paddings": (1, 1), "discriminator.pools": (2, 2), "discriminator.strides": (2, 2),
        "prior.size": 5, "train.batch_size": 4,
    }  # fmt: skip
    return update(default(), small | {key.replace("__", "."): value for key, value in changes.items()})


def test_convolutional_masks_belong_to_examples():
    config = conv_config()
    validate(config)
    gan = build(config, PIXELS, 100)
    params = zoo.compiled(gan.init)(traced(config)).discriminator.params
    D = jax.jit(lambda params, x, keys=None: gan.D(params, {}, x, UNCONDITIONAL, keys)[0].logits)
    x, keys = jax.random.normal(jax.random.key(0), (4, 8, 8, 1)), jax.random.split(jax.random.key(1), 4)
    together = D(params, x, keys)
    alone = jnp.concatenate([D(params, x[i : i + 1], keys[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    same = D(params, jnp.broadcast_to(x[:1], x.shape), keys)
    assert len(np.unique(np.asarray(same))) == 4  # one image, four masks
    assert D(params, x).shape == (4,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator__grid": (3, 3, 3)}, "product is the number of units of the last hidden layer, 18"),
        ({"generator__kernel": 1}, "stride=2 must be from 1 to generator.kernel=1"),
        ({"discriminator__pools": (2,)}, "one number per convolution each"),
        ({"discriminator__pools": (2, 0)}, "not 0"),
        ({"discriminator__strides": (3, 2)}, "must not exceed"),
    ],
)
def test_convolutions_that_cannot_be(changes, words):
    with pytest.raises(UserError, match=words):
        validate(conv_config(**changes))


def test_convolutions_that_do_not_fit_the_images():
    config = conv_config()
    with pytest.raises(UserError, match=r"images of 8x8 pixels, but the data have shape \(9, 9, 1\)"):
        build(config, DataSpec((9, 9, 1)), 100)
    with pytest.raises(UserError, match=r"generates images of 8x8 pixels, but the data have shape \(2,\)"):
        build(config, DataSpec((2,)), 100)
    with pytest.raises(UserError, match="a window of 8x8 does not fit into the 4x4 points"):
        build(conv_config(discriminator__pools=(2, 8)), PIXELS, 100).init(traced(config))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator__output_sparse": 20}, "the layer below has 16 units"),
        ({"generator__activations": ("relu", "relu")}, "2 activations for the 1 layers"),
        ({"generator__irange": -0.1}, "0 or more, not -0.1"),
        ({"discriminator__pieces": 0}, "above 0, not 0"),
        ({"discriminator__input_keep": 0.0}, "not 0.0"),
    ],
)
def test_perceptrons_that_cannot_be(tiny_config, changes, words):
    with pytest.raises(UserError, match=words):
        validate(tiny_config(**changes))


def a_dataset(name: str, **changes) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
    return Dataset(name, images[:40], images[40:50], images[50:], None)._replace(**changes)


def test_a_sigmoid_generator_cannot_generate_unbounded_data(tiny_config):
    """Points of a mixture, and images after global contrast normalization; pixels in [0, 1] are fine."""
    build_for(tiny_config(), a_dataset("digits"))
    with pytest.raises(UserError, match=r"output=sigmoid has values in \[0, 1\], but these data are not bounded"):
        build_for(tiny_config(**{"data.gcn": 1.0}), a_dataset("digits"))
    points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    with pytest.raises(UserError, match=r"not bounded; set generator.output=linear"):
        build_for(tiny_config(), a_dataset("mixture:ring8", train=points))
    build_for(tiny_config(**{"generator.output": "linear"}), a_dataset("mixture:ring8", train=points))


def test_classes_need_labels(tiny_config):
    config = tiny_config(conditional="label")
    with pytest.raises(UserError, match=r"conditional=label needs classes, but digits has no labels"):
        build_for(config, a_dataset("digits"))
    labelled = a_dataset("digits", train_labels=np.arange(40, dtype=np.int32) % 3, classes=3)
    assert build_for(config, labelled).num_classes == 3
    assert build_for(tiny_config(), labelled).num_classes == 0


def test_classes_join_the_inputs_as_a_row_of_0_and_1(tiny_config):
    gan = build(tiny_config(conditional="label"), PIXELS._replace(classes=5), 100)
    state = jax.eval_shape(gan.init, traced(tiny_config()))
    assert state.generator.params["Dense_0"]["kernel"].shape == (8 + 5, 16)
    assert state.discriminator.params["Dense_0"]["kernel"].shape == (64 + 5, 8)


def test_a_minibatch_larger_than_the_data(tiny_config):
    with pytest.raises(UserError, match=r"train\.batch_size=41 is larger than the training set of 40"):
        build_for(tiny_config(**{"train.batch_size": 41}), a_dataset("digits"))
