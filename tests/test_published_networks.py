"""Networks and their layers against NumPy (network_references.py): values, gradients, and the law of the first weights.

Networks are narrow, weights arbitrary: at their initial values (zeros, equal scales) faults would not show.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import network_references as reference
import numpy as np
import pytest
from network_references import power_iteration, spectrally_normalized

from jaxgan.networks import dcgan, maxout_conv, mlp, r3gan, resnet, sndcgan, toy
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.norms import STATISTICS
from jaxgan.networks.spectral import SPECTRAL

Z = 5  # numbers that G gets
Y = np.array([0, 2, 1, 2, 1], np.int32)
RNG = np.random.default_rng  # seeded where it is used


class Case(NamedTuple):
    network: Any  # a Flax module
    reference: Callable  # (weights, x, y) -> array, in NumPy
    conditional: bool = False  # told the classes


def image(side: int, channels: int = 2, classes: int = 0) -> DataSpec:
    return DataSpec((side, side, channels), classes, (-1.0, 1.0))


LABELED = image(8, classes=3)
R3GAN = {"widths": (4, 6), "blocks": (1, 2), "groups": (2, 3)}
MAXOUT_CONV = {"paddings": (2, 1), "pools": (3, 2), "strides": (2, 2), "conv_pieces": 2, "pieces": 3}
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
}


def flat(tree) -> dict[str, np.ndarray]:
    """The leaves of nested dictionaries in float64, by their path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(key.key for key in path): np.asarray(leaf, np.float64) for path, leaf in leaves}


def arbitrary(params):
    """Weights that keep numbers near 1, scales around 1 and other vectors around 0."""
    rng = RNG(0)

    def draw(path, leaf):
        a = rng.normal(size=leaf.shape)
        if path[-1].key in ("scale", "bias") or leaf.ndim == 1:
            a = 0.3 * a + (path[-1].key == "scale")
        else:
            a *= math.prod(leaf.shape[:-1]) ** -0.5
        return jnp.asarray(a, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, params)


def check_value_and_gradient(apply: Callable, expected: Callable, params, x: jax.Array) -> None:
    """The output of apply(params, x), and its gradients of params and x along one direction per array.

    Args:
      expected: (flat weights, x) -> the output in float64, of which central differences are taken.
    """
    w, inputs, rng = flat(params), np.asarray(x, np.float64), RNG(1)
    want = expected(w, inputs)
    cotangent = rng.normal(size=want.shape)

    def total(params, x):
        y = apply(params, x)
        return jnp.sum(y * jnp.asarray(cotangent, jnp.float32)), y

    grads, got = jax.jit(jax.grad(total, (0, 1), has_aux=True))(params, x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())
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
            atol=2e-4 * np.linalg.norm(gradient) + 2e-6 * largest,
            err_msg=f"the gradient of {path}",
        )


def check_network(case: Case, x: jax.Array) -> None:
    """Value and gradient of a training pass, in which statistics are the minibatch's and spectral vectors move."""
    y = Y if case.conditional else None
    variables = case.network.init(jax.random.key(0), x, y)
    params = arbitrary(variables["params"])
    state = {name: stats for name, stats in variables.items() if name != "params"}
    w = flat(params)
    spectral = {}
    if getattr(case.network, "spectral", getattr(case.network, "norm", "") == "spectral"):
        u = flat(state[SPECTRAL])
        kernels = [path for path in w if path.endswith(("kernel", "embedding"))]
        spectral = {path: u[f"{path.rpartition('.')[0]}.u"] for path in kernels}  # of every layer
    vectors = power_iteration(w, spectral, moves=True)

    def apply(params, x):
        return case.network.apply({"params": params, **state}, x, y, mutable=[STATISTICS, SPECTRAL])[0]

    check_value_and_gradient(apply, lambda w, x: case.reference(spectrally_normalized(w, vectors), x, y), params, x)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_is_the_published_one(name):
    check_network(GENERATORS[name], jnp.asarray(RNG(2).normal(size=(len(Y), Z)), jnp.float32))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_is_the_published_one(name):
    case = DISCRIMINATORS[name]
    check_network(case, jnp.asarray(RNG(3).uniform(-1, 1, (len(Y), *case.network.data.shape)), jnp.float32))
