"""Networks and their layers against NumPy (network_references.py): values, gradients, and the law of the first weights.

Networks are narrow, weights arbitrary: at their initial values (zeros, equal scales) faults would not show.
"""

import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config.hparams import traced
from jaxgan.game.build import build
from jaxgan.networks import dcgan, maxout_conv, mlp, patch, r3gan, resnet, sndcgan, toy, unet
from jaxgan.networks.layers import DataSpec, DOutput, dropout
from jaxgan.networks.norms import STATISTICS, BatchNorm
from jaxgan.networks.spectral import SPECTRAL, Dense
from tests.helpers import network_references as reference
from tests.helpers import zoo_games as zoo
from tests.helpers.network_references import power_iteration, spectrally_normalized

Z = 5  # numbers that G gets
Y = np.array([0, 2, 1, 2, 1], np.int32)
RNG = np.random.default_rng  # seeded where it is used


class Case(NamedTuple):
    network: Any  # a Flax module
    reference: Callable  # (weights, x, y) -> array, in NumPy
    conditional: bool = False  # conditioned on the classes


def image(side: int, channels: int = 2, classes: int = 0) -> DataSpec:
    return DataSpec((side, side, channels), classes, (-1.0, 1.0))


LABELED = image(8, classes=3)
R3GAN = {"widths": (4, 6), "blocks": (1, 2), "groups": (2, 3)}
MAXOUT_CONV = {"paddings": (2, 1), "pools": (4, 2), "strides": (2, 2), "conv_pieces": 2, "pieces": 3}
WGAN_GP = {"kernel": 5, "bias": True, "norm": "none"}

# In the order of network_references.py; sides of odd length as 28 pixels give them (28, 14, 7, 4).
GENERATORS = {
    "mlp": Case(
        mlp.Generator(image(2)._replace(bounds=(0.0, 1.0)), hidden=(7, 6), activations=("relu", "sigmoid")),
        lambda w, z, y: reference.mlp_generator(
            w, z, activations=(reference.relu, reference.sigmoid), output=reference.sigmoid
        ).reshape(-1, 2, 2, 2),
    ),
    "mlp_conditional_batch_norm": Case(
        mlp.Generator(DataSpec((3,), 3), (7, 6), ("leaky_relu", "tanh"), output="linear", norm="batch"),
        partial(
            reference.mlp_generator,
            classes=3,
            activations=(lambda x: reference.leaky_relu(x, 0.2), np.tanh),
            output=lambda x: x,
            batch=True,
        ),
        conditional=True,
    ),
    "maxout_conv": Case(
        maxout_conv.Generator(image(8), (7, 18), output="linear", grid=(3, 3, 2), kernel=4, stride=2),
        partial(reference.deconv_generator, grid=(3, 3, 2), stride=2),
    ),
    "dcgan": Case(
        dcgan.Generator(image(8), widths=(4, 3)),
        partial(reference.dcgan_generator, sides=[(2, 2), (4, 4), (8, 8)]),
    ),
    "dcgan_concatenated": Case(
        dcgan.Generator(image(7, classes=3), widths=(4, 3), kernel=5),
        partial(reference.dcgan_generator, classes=3, sides=[(2, 2), (4, 4), (7, 7)]),
        conditional=True,
    ),
    "dcgan_conditional_batch_norm": Case(
        dcgan.Generator(LABELED, widths=(4, 3), norm="conditional_batch"),
        partial(reference.dcgan_generator, sides=[(2, 2), (4, 4), (8, 8)], norm="conditional"),
        conditional=True,
    ),
    "wgan_gp_mnist": Case(
        dcgan.Generator(image(7)._replace(bounds=(0.0, 1.0)), widths=(4, 3), output="sigmoid", **WGAN_GP),
        partial(reference.dcgan_generator, sides=[(2, 2), (4, 4), (7, 7)], norm="none", output=reference.sigmoid),
    ),
    "sndcgan": Case(
        sndcgan.Generator(image(4, classes=3), widths=(4, 3)),
        partial(reference.sndcgan_generator, classes=3, sides=[(2, 2), (4, 4)]),
        conditional=True,
    ),
    "sngan": Case(resnet.Generator(image(4), width=4, blocks=1), partial(reference.resnet_generator, side=2, blocks=1)),
    "sngan_mimicry_conditional": Case(
        resnet.Generator(LABELED, width=4, blocks=2, upsample="bilinear"),
        partial(reference.resnet_generator, side=2, blocks=2, enlarge=reference.bilinear),
        conditional=True,
    ),
    "r3gan": Case(r3gan.Generator(image(4), **R3GAN), partial(reference.r3gan_generator, **R3GAN)),
    "r3gan_conditional": Case(
        r3gan.Generator(image(4, classes=3), **R3GAN),
        partial(reference.r3gan_generator, classes=3, **R3GAN),
        conditional=True,
    ),
    "dirac": Case(toy.Generator(DataSpec((3,))), reference.dirac_generator),
    "pix2pix": Case(
        unet.Generator(image(5)._replace(given=((5, 5, 2),)), widths=(3, 4, 2), output="tanh"),
        partial(reference.unet_generator, sides=[(5, 5), (3, 3), (2, 2), (1, 1)], maps=2),
    ),
    "pix2pix_without_norm": Case(
        unet.Generator(image(4)._replace(given=((4, 4, 1),)), widths=(3, 4), norm="none", output="tanh"),
        partial(reference.unet_generator, sides=[(4, 4), (2, 2), (1, 1)], maps=1, norm=False),
    ),
}

DISCRIMINATORS = {
    "mlp_maxout": Case(
        mlp.Discriminator(DataSpec((2, 2, 2), 3), hidden=(4, 3), activation="maxout", pieces=3),
        partial(reference.maxout_discriminator, classes=3, layers=2, pieces=3),
        conditional=True,
    ),
    "mlp_spectral": Case(
        mlp.Discriminator(DataSpec((6,)), hidden=(4, 3), norm="spectral"),
        partial(reference.leaky_discriminator, layers=2),
    ),
    "maxout_conv": Case(
        maxout_conv.Discriminator(image(8), (3, 4), (4, 3), **MAXOUT_CONV, hidden=(4,)),
        partial(reference.maxout_conv_discriminator, **MAXOUT_CONV),
    ),
    "dcgan": Case(dcgan.Discriminator(image(8), widths=(3, 4)), partial(reference.dcgan_discriminator, layers=2)),
    "dcgan_layer_norm_conditional": Case(
        dcgan.Discriminator(image(7, classes=3), widths=(3, 4), kernel=5, norm="layer"),
        partial(reference.dcgan_discriminator, classes=3, layers=2, norm="layer"),
        conditional=True,
    ),
    "wgan_gp_mnist": Case(
        dcgan.Discriminator(image(7), widths=(3, 4), **WGAN_GP),
        partial(reference.dcgan_discriminator, layers=2, norm="none"),
    ),
    "sndcgan": Case(
        sndcgan.Discriminator(image(4, classes=3), widths=(3, 4)),
        partial(reference.sndcgan_discriminator, classes=3, grids=2),
        conditional=True,
    ),
    "sngan_projection": Case(
        resnet.Discriminator(LABELED, width=4, down=2, plain=1),
        partial(reference.resnet_discriminator, down=2, plain=1),
        conditional=True,
    ),
    "wgan_gp": Case(
        resnet.Discriminator(image(4), width=4, down=1, plain=1, pool="mean", spectral=False),
        partial(reference.resnet_discriminator, down=1, plain=1, pool=np.mean),
    ),
    "r3gan": Case(r3gan.Discriminator(image(4), **R3GAN), partial(reference.r3gan_discriminator, **R3GAN)),
    "r3gan_conditional": Case(
        r3gan.Discriminator(image(4, classes=3), **R3GAN),
        partial(reference.r3gan_discriminator, classes=3, **R3GAN),
        conditional=True,
    ),
    "dirac": Case(toy.Discriminator(DataSpec((3,))), reference.dirac_discriminator),
    "patch": Case(
        patch.Discriminator(image(9), widths=(3, 4)),
        partial(reference.patch_discriminator, layers=2),
    ),
    "patch_layer_norm": Case(
        patch.Discriminator(image(16), widths=(3, 4, 5), norm="layer"),
        partial(reference.patch_discriminator, layers=3, norm=True),
    ),
}


def flat(tree) -> dict[str, np.ndarray]:
    """The leaves of nested dictionaries in float64, by their path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(key.key for key in path): np.asarray(leaf, np.float64) for path, leaf in leaves}


def arbitrary(shapes):
    """Variables of these shapes: weights that keep numbers near 1, scales around 1, other vectors around 0."""
    rng = RNG(0)

    def draw(path, leaf):
        a = rng.normal(size=leaf.shape)
        if path[-1].key in ("scale", "bias") or leaf.ndim == 1:
            a = 0.3 * a + (path[-1].key in ("scale", "variance"))
        else:
            a *= math.prod(leaf.shape[:-1]) ** -0.5
        return jnp.asarray(a, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def check_value_and_gradient(
    apply: Callable, expected: Callable, params, x: jax.Array, tolerance: float = 1e-4
) -> None:
    """The output of apply(params, x), and its gradients of params and x along one direction per array.

    Args:
      expected: (flat weights, x) -> the output in float64, of which central differences are taken.
    """
    w, inputs, rng = flat(params), np.asarray(x, np.float64), RNG(1)
    want = expected(w, inputs)
    cotangent = rng.normal(size=want.shape) + want / np.sqrt(np.mean(want**2))  # so that the output's scale counts

    def total(params, x):
        y = apply(params, x)
        return jnp.sum(y * jnp.asarray(cotangent, jnp.float32)), y

    grads, got = zoo.compiled(jax.grad(total, (0, 1), has_aux=True))(params, x)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=0.1 * tolerance * np.abs(want).max())
    ours = {**flat(grads[0]), "the input": np.asarray(grads[1], np.float64)}
    largest, step = max(np.linalg.norm(g) for g in ours.values()), 1e-6
    for path, gradient in ours.items():
        direction = rng.normal(size=gradient.shape)
        ends = []
        for sign in (1, -1):
            moved = {**w, "the input": inputs}
            moved[path] = moved[path] + sign * step * direction
            ends.append(np.sum(cotangent * expected(moved, moved["the input"])))
        np.testing.assert_allclose(
            np.sum(gradient * direction),
            (ends[0] - ends[1]) / (2 * step),
            atol=2 * tolerance * np.linalg.norm(gradient) + 0.02 * tolerance * largest,
            err_msg=f"the gradient of {path}",
        )


def check_network(case: Case, x: jax.Array) -> None:
    """Value and gradient of a training pass, in which statistics are the minibatch's and spectral vectors move."""
    y = Y if case.conditional else None
    variables = arbitrary(jax.eval_shape(case.network.init, jax.random.key(0), x, y))
    params = variables["params"]
    w = flat(params)
    spectral = {}
    if getattr(case.network, "spectral", getattr(case.network, "norm", "") == "spectral"):
        u = flat(variables[SPECTRAL])
        kernels = [path for path in w if path.endswith(("kernel", "embedding"))]
        spectral = {path: u[f"{path.rpartition('.')[0]}.u"] for path in kernels}  # of every layer
    vectors = power_iteration(w, spectral, moves=True)

    def apply(params, x):
        output, _ = case.network.apply({**variables, "params": params}, x, y, mutable=[STATISTICS, SPECTRAL])
        return output.logits if isinstance(output, DOutput) else output

    check_value_and_gradient(apply, lambda w, x: case.reference(spectrally_normalized(w, vectors), x, y), params, x)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_is_the_published_one(name):
    inputs = Z + sum(map(math.prod, GENERATORS[name].network.data.given))
    check_network(GENERATORS[name], jnp.asarray(RNG(2).normal(size=(len(Y), inputs)), jnp.float32))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_is_the_published_one(name):
    case = DISCRIMINATORS[name]
    check_network(case, jnp.asarray(RNG(3).uniform(-1, 1, (len(Y), *case.network.data.shape)), jnp.float32))


# Layers, where a network does not show them.


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_numbers_as_small_as_its_epsilon(training):
    """The population's variance, and 1e-5; when it does not train, with the running mean and variance."""
    layer, x = BatchNorm(), jnp.asarray(RNG(4).normal(1, 0.003, (6, 2)), jnp.float32)
    variables = arbitrary(jax.eval_shape(layer.init, jax.random.key(0), x))
    variables[STATISTICS] = {"mean": jnp.asarray([0.99, 1.01]), "variance": jnp.asarray([1e-5, 2e-5])}

    def expected(w, x):
        if training:
            return reference.batch_norm({f"norm.{name}": a for name, a in w.items()}, "norm", x)
        return w["scale"] * (x - [0.99, 1.01]) / np.sqrt(np.array([2e-5, 3e-5])) + w["bias"]

    def apply(params, x):
        return layer.apply({**variables, "params": params}, x, mutable=[STATISTICS] if training else [])[0]

    check_value_and_gradient(apply, expected, variables["params"], x, tolerance=1e-3)


def test_spectral_vectors_are_constants_and_u_stays_when_it_is_not_to_move():
    """Both players' passes: u moves in D's own step, in others v alone follows it. Neither has a gradient."""
    layer, x = Dense(4, spectral=True), jnp.asarray(RNG(5).normal(size=(3, 6)), jnp.float32)
    variables = arbitrary(jax.eval_shape(layer.init, jax.random.key(0), x))
    for moves in (True, False):
        w, u = flat(variables["params"]), np.asarray(variables[SPECTRAL]["u"], np.float64)
        vectors = power_iteration(w, {"kernel": u}, moves)

        def expected(w, x, vectors=vectors):
            return x @ spectrally_normalized(w, vectors)["kernel"] + w["bias"]

        def apply(params, x, moves=moves):
            return layer.apply({**variables, "params": params}, x, mutable=[SPECTRAL] if moves else [])[0]

        check_value_and_gradient(apply, expected, variables["params"], x)
        _, updated = layer.apply(variables, x, mutable=[SPECTRAL] if moves else [])
        if moves:
            np.testing.assert_allclose(updated[SPECTRAL]["u"], vectors["kernel"][1], rtol=1e-5)
        else:
            assert not updated


def test_dropout_of_the_perceptron_is_before_every_layer():
    """Masks of 0 and 1 / keep: the input's share, that of later layers, and a mask of its own for each layer."""
    network = mlp.Discriminator(
        DataSpec((4,)), hidden=(4, 4), activation="maxout", pieces=2, input_keep=0.75, hidden_keep=0.5
    )
    x, keys = jnp.asarray(RNG(6).normal(size=(len(Y), 4)), jnp.float32), jax.random.split(jax.random.key(1), len(Y))
    variables = arbitrary(jax.eval_shape(network.init, jax.random.key(0), x))
    masks = [np.asarray(dropout(jnp.ones((len(Y), 4)), keep, keys, i)) for i, keep in enumerate((0.75, 0.5, 0.5))]
    assert all(
        set(mask.flat) == {0.0, np.float32(1 / keep)} for mask, keep in zip(masks, (0.75, 0.5, 0.5), strict=True)
    )
    check_value_and_gradient(
        lambda params, x: network.apply({"params": params}, x, None, keys).logits,
        partial(reference.maxout_discriminator, layers=2, pieces=2, masks=masks),
        variables["params"],
        x,
    )


# The law of the first weights.


def uniform(irange: float) -> tuple[str, float, float]:
    return "uniform", 0.0, irange / math.sqrt(3)


def check_laws(params, law: Callable) -> None:
    """Mean and deviation of every parameter to within five standard errors, and the tails of its law.

    Args:
      law: (path, shape) -> a number that all weights equal, or ("normal" or "uniform", mean, deviation).
    """
    for path, weights in flat(params).items():
        expected = law(path, weights.shape)
        if not isinstance(expected, tuple):
            assert (weights == expected).all(), path
            continue
        name, mean, deviation = expected
        a = (weights.ravel() - mean) / deviation
        assert a.size >= 240, path
        assert abs(a.mean()) < 5 / math.sqrt(a.size), path
        assert abs((a**2).mean() - 1) < 5 * math.sqrt({"normal": 2.0, "uniform": 0.8}[name] / a.size), path
        farthest = np.abs(a).max()
        assert farthest > 2.3 if name == "normal" else 1.65 < farthest <= math.sqrt(3) * (1 + 1e-6), path


def first_weights(network, x: np.ndarray, y: np.ndarray | None = None):
    return zoo.compiled(network.init)(jax.random.key(0), jnp.asarray(x, jnp.float32), y)["params"]


def test_the_perceptrons_of_2014_start_uniform():
    """mnist.yaml: irange .05 in all of G, .005 in all of D; biases 0, G's last too without the data's mean."""
    config = importlib.import_module("configs.mnist").get_config()
    state = zoo.compiled(build(config, DataSpec((28, 28, 1), bounds=(0.0, 1.0)), 50_000).init)(traced(config))
    for player, irange in ((state.generator, 0.05), (state.discriminator, 0.005)):
        check_laws(player.params, lambda path, _, irange=irange: 0 if "bias" in path else uniform(irange))


def test_the_convolutions_of_2014_start_uniform():
    """cifar10_convolutional.yaml."""
    G = maxout_conv.Generator(image(32, 3), hidden=(30, 8000), output="linear")
    D = maxout_conv.Discriminator(image(32, 3), channels=(8, 8, 8), hidden=(600,))
    for network, x, irange in ((G, np.zeros((2, 30)), 0.05), (D, np.zeros((2, 32, 32, 3)), 0.005)):
        check_laws(first_weights(network, x), lambda path, _, irange=irange: 0 if "bias" in path else uniform(irange))


@pytest.mark.parametrize("family", [dcgan, sndcgan])
def test_dcgan_starts_normal(family):
    """1511.06434: N(0, .02); the scales of its batch norm N(1, .02), as its authors' code has it."""

    def law(path, shape):
        if path.endswith("scale"):
            return ("normal", 1, 0.02) if family is dcgan else 1
        return 0 if path.endswith("bias") else ("normal", 0, 0.02)

    check_laws(first_weights(family.Generator(image(4, 3), widths=(250, 250)), np.zeros((2, Z))), law)
    check_laws(first_weights(family.Discriminator(image(4, 3), widths=(250, 250)), np.zeros((2, 4, 4, 3))), law)


def test_sngan_starts_uniform_with_gain_root_2_within_blocks():
    """Glorot's bound, times the square root of 2 in the blocks' 3x3 convolutions ('he_init' of 1704.00028)."""
    spec, y = image(8, 10, classes=40), np.zeros(2, np.int32)

    def law(path, shape):
        if path.endswith(("bias", "scale")):
            return int(path.endswith("scale"))
        within = shape[:2] == (3, 3) and path != "Conv_3.kernel"  # G's convolution to the image
        return "uniform", 0, reference.glorot(shape) * (math.sqrt(2) if within else 1)

    check_laws(first_weights(resnet.Generator(spec, width=24, blocks=1), np.zeros((2, 64)), y), law)
    D = resnet.Discriminator(spec, width=256, down=1, plain=0)
    check_laws(first_weights(D, np.zeros((2, 8, 8, 10)), y), law)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [0, 40])
def test_r3gan_starts_normal_with_residual_branches_that_are_0(classes):
    """N(0, gain / sqrt(fan in)): gain sqrt(2 / 1.04) L^(-1/4) within L blocks, 0 at their ends, elsewhere 1.

    But 1 / sqrt(dim) where D projects on the class, and N(0, 1) for the grid that G starts from.
    """
    spec, y = image(8, 24, classes), np.zeros(2, np.int32) if classes else None
    fields = {"widths": (160, 40), "blocks": (2, 1), "groups": (4, 5)}  # of 51,200 weights 2% more or less shows

    def law(path, shape, projection):
        if path.endswith("bias") or (path.endswith("Conv_2.kernel") and "Block" in path):
            return 0
        if path == "basis":
            return "normal", 0, 1
        if path == "grid":
            return "normal", 0, 1 / math.sqrt(shape[0] * shape[1])
        gain = math.sqrt(2 / 1.04) * 3**-0.25 if "Block" in path else 1
        gain = projection if path == "embed.kernel" else gain
        return "normal", 0, gain / math.sqrt(math.prod(shape[:-1]))

    G, D = r3gan.Generator(spec, **fields), r3gan.Discriminator(spec, **fields)
    check_laws(first_weights(G, np.zeros((2, 64)), y), partial(law, projection=1))
    D = D if classes else r3gan.Discriminator(spec._replace(num_aux_classes=24), **fields)
    check_laws(first_weights(D, np.zeros((2, 8, 8, 24)), y), partial(law, projection=40**-0.5))
