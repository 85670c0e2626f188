"""The families of networks: published parameter counts, sizes from the data, classes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.networks import DISCRIMINATORS, dcgan, patch, r3gan, resnet, sndcgan, unet
from jaxgan.networks.layers import DataSpec, downsampled_sizes, minibatch_deviation
from jaxgan.networks.spectral import SPECTRAL, Dense
from tests.helpers import zoo_games as zoo


def count(network, *inputs) -> int:
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)["params"]
    return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))


def sizes(family, spec: DataSpec, z: int, g=None, d=None) -> tuple[int, int]:
    y = jnp.zeros((2,), jnp.int32) if spec.classes else None
    generator, discriminator = family.Generator(spec, **g or {}), family.Discriminator(spec, **d or {})
    generator.check()
    discriminator.check()
    return count(generator, jnp.zeros((2, z)), y), count(discriminator, jnp.zeros((2, *spec.shape)), y)


RGB32, RGB64 = DataSpec((32, 32, 3), 0, (-1.0, 1.0)), DataSpec((64, 64, 3), 0, (-1.0, 1.0))
CIFAR10 = RGB32._replace(classes=10)
GREY28 = DataSpec((28, 28, 1), 0, (-1.0, 1.0))
UNIT28 = GREY28._replace(bounds=(0.0, 1.0))
FOUR, THREE = (512, 256, 128, 64), (256, 128, 64)


@pytest.mark.parametrize(
    ("family", "spec", "z", "g", "d", "expected"),
    [
        # PyTorch's DCGAN example, whose counts several public repositories print; and one stage less.
        (dcgan, RGB64, 100, {"widths": FOUR}, {"widths": FOUR[::-1]}, (3_576_704, 2_765_568)),
        (
            dcgan,
            RGB64._replace(shape=(64, 64, 1)),
            100,
            {"widths": FOUR},
            {"widths": FOUR[::-1]},
            (3_574_656, 2_763_520),
        ),
        (dcgan, RGB32, 100, {"widths": THREE}, {"widths": THREE[::-1]}, (1_068_928, 663_296)),
        # Halving 28 pixels, kernels of 5, as compare_gan and PacGAN do.
        (
            dcgan,
            GREY28,
            100,
            {"widths": FOUR, "kernel": 5, "bias": True},
            {"widths": FOUR[::-1], "kernel": 5, "bias": True},
            (4_511_617, 4_307_201),
        ),
        # WGAN-GP's MNIST networks.
        (
            dcgan,
            UNIT28,
            128,
            {"widths": THREE, "kernel": 5, "bias": True, "norm": "none", "output": "sigmoid"},
            {"widths": THREE[::-1], "kernel": 5, "bias": True, "norm": "none"},
            (1_554_177, 1_030_145),
        ),
        (sndcgan, RGB32, 128, {}, {}, (3_813_379, 2_935_873)),
        (resnet, RGB32, 128, {}, {}, (4_276_739, 1_053_825)),
        (resnet, RGB32._replace(shape=(32, 32, 1)), 128, {}, {}, (4_272_129, 1_051_265)),
        (resnet, RGB32, 128, {"width": 128}, {"spectral": False, "pool": "mean"}, (1_204_483, 1_053_825)),
        (resnet, CIFAR10, 128, {}, {}, (4_304_387, 1_055_105)),
        (r3gan, CIFAR10, 64, {}, {}, (20_781_952, 21_280_512)),
    ],
)
def test_parameter_counts(family, spec, z, g, d, expected):
    assert sizes(family, spec, z, g, d) == expected


def test_wgan_gp_with_its_auxiliary_classifier():
    """The conditional networks as their authors ship them: conditional batch norm in G, ten more outputs of D."""
    asked = RGB32._replace(num_aux_classes=10)
    generator, _ = sizes(resnet, CIFAR10, 128, {"width": 128})
    discriminator = resnet.Discriminator(asked, spectral=False, pool="mean")
    assert generator == 1_218_307
    assert count(discriminator, jnp.zeros((2, 32, 32, 3))) == 1_055_115


def test_the_unet_of_pix2pix():
    """unet_256 of its authors, who print 54.414 million: 16 (3 64 + 64 128 + ...) weights, scales, biases."""
    spec = DataSpec((256, 256, 3), 0, (-1.0, 1.0), given=((256, 256, 3),))
    generator = unet.Generator(spec, widths=(64, 128, 256, *[512] * 5), noise="input", output="tanh")
    # at the outermost encoder layer and the innermost, which have no norm, there is a bias here
    assert count(generator, jnp.zeros((2, 256 * 256 * 3))) - 64 - 512 == 54_413_955


def test_the_patch_gan_of_pix2pix():
    """Its authors' D for patches of 70 pixels: 2,768,705 parameters; 30 x 30 logits of 256 x 256 pixels."""
    discriminator = patch.Discriminator(DataSpec((256, 256, 6)), widths=(64, 128, 256, 512), norm="batch")
    discriminator.check()
    x = jnp.zeros((2, 256, 256, 6))
    assert count(discriminator, x) == 2_768_705
    output, _ = jax.eval_shape(discriminator.init_with_output, jax.random.key(0), x)
    assert (output.patches.shape, output.logits.shape) == ((2, 900), (2,))


@pytest.mark.parametrize(("widths", "field"), [((2, 3), 16), ((2, 3, 2), 34)])
def test_a_logit_of_a_patch_depends_on_its_pixels_alone(widths, field):
    """Of 1611.07004: 16 and 34 pixels for one and two strided layers."""
    discriminator = patch.Discriminator(DataSpec((48, 48, 1)), widths=widths, deviation=0.5)
    x = jax.random.normal(jax.random.key(1), (1, 48, 48, 1))
    variables = discriminator.init(jax.random.key(0), x)

    def middle(x):
        patches = discriminator.apply(variables, x).patches[0]
        side = int(len(patches) ** 0.5)
        return patches.reshape(side, side)[side // 2, side // 2]

    rows = np.flatnonzero(np.any(np.asarray(jax.grad(middle)(x))[0, :, :, 0] != 0, axis=1))
    assert rows[-1] - rows[0] + 1 == field


@pytest.mark.parametrize("width", [96, 128, 192])
def test_r3gan_scaled_down(width):
    fields = {"widths": (width,) * 4, "blocks": (1,) * 4, "groups": (width // 8,) * 4}
    expected = {96: (267_552, 261_504), 128: (422_272, 414_208), 192: (830_016, 817_920)}[width]
    assert sizes(r3gan, RGB32, 64, fields, fields) == expected


@pytest.mark.parametrize("family", [dcgan, sndcgan, resnet])
@pytest.mark.parametrize("side", [28, 32, 48, 64])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_size_and_any_channels(family, side, classes):
    spec = DataSpec((side, side, 2), classes, (-1.0, 1.0))
    y = jnp.array([0, 2]) if classes else None
    small = {"width": 4} if family is resnet else {"widths": (8, 4)}
    generator, discriminator = family.Generator(spec, **small), family.Discriminator(spec, **small)
    key = jax.random.key(0)
    shape = jax.eval_shape(lambda z: generator.apply(generator.init(key, z, y), z, y), jnp.zeros((2, 5))).shape
    assert shape == (2, side, side, 2)
    x = jnp.zeros((2, *spec.shape))
    output = jax.eval_shape(lambda x: discriminator.apply(discriminator.init(key, x, y), x, y), x)
    assert output.logits.shape == (2,)


def test_halvings_round_up():
    assert downsampled_sizes(28, 4) == [28, 14, 7, 4, 2]


def test_spectral_norm_estimates_the_largest_singular_value_and_is_updated_only_on_request():
    layer, x = Dense(6, spectral=True, use_bias=False), jnp.eye(9)
    variables = layer.init(jax.random.key(0), x)
    still, unchanged = layer.apply(variables, x, mutable=[])
    assert not unchanged
    for _ in range(300):
        _, moved = layer.apply(variables, x, mutable=[SPECTRAL])
        assert float(jnp.max(jnp.abs(moved[SPECTRAL]["u"] - variables[SPECTRAL]["u"]))) >= 0
        variables = {**variables, **moved}
    singular = np.linalg.svd(np.asarray(variables["params"]["kernel"], np.float64), compute_uv=False)
    np.testing.assert_allclose(
        layer.apply(variables, x), variables["params"]["kernel"] / singular[0], rtol=1e-4, atol=1e-6
    )
    assert np.abs(np.asarray(still) - np.asarray(layer.apply(variables, x))).max() > 1e-3


def test_spectral_norm_has_the_gradient_of_w_over_sigma():
    layer, x = Dense(4, spectral=True, use_bias=False), jnp.eye(5)
    variables = layer.init(jax.random.key(1), x)
    for _ in range(300):
        variables = {**variables, **layer.apply(variables, x, mutable=[SPECTRAL])[1]}
    weights = jax.random.normal(jax.random.key(2), (5, 4))
    ours = jax.grad(lambda p: jnp.sum(weights * layer.apply({**variables, "params": p}, x)))(variables["params"])
    direct = jax.grad(lambda w: jnp.sum(weights * w / jnp.linalg.norm(w, 2)))(variables["params"]["kernel"])
    np.testing.assert_allclose(ours["kernel"], direct, atol=1e-4)


def test_minibatch_deviation_is_one_number_per_group():
    x = jnp.concatenate([jnp.zeros((2, 3, 3, 1)), jnp.stack([jnp.zeros((3, 3, 1)), jnp.full((3, 3, 1), 4.0)])])
    y = minibatch_deviation(x, 2)
    np.testing.assert_allclose(y[:2, ..., 1], 1e-4, atol=1e-6)
    np.testing.assert_allclose(y[2:, ..., 1], 2.0, atol=1e-4)
    # Four examples in groups of two that follow each other: 0 and 2, then 10 and 16.
    pixels = jnp.asarray([0.0, 2.0, 10.0, 16.0]).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(minibatch_deviation(pixels, 2)[:, 0, 0, 1], [1, 1, 3, 3], rtol=1e-5)


@pytest.mark.parametrize("name", sorted(DISCRIMINATORS.keys() - {"toy", "normalized", "patch"}))
def test_features_are_the_input_of_the_last_layer(name):
    """Before its dropout: an affine map takes them to the logits, with the parameters of the last layer."""
    fields = zoo.TINY["discriminator"].get(name, {})
    unnormalized = {"spectral": False} if name in ("resnet", "sndcgan") else {}
    network = DISCRIMINATORS[name](data=DataSpec(zoo.SHAPE, num_aux_classes=2), **fields | unnormalized)
    x, key = jax.random.uniform(jax.random.key(0), (4, *zoo.SHAPE)), jax.random.key(1)

    def run(x):
        variables = network.init(key, x)
        return network.apply(variables, x, features=True), network.apply(variables, x), variables["params"]

    output, without, params = zoo.compiled(run)(x)
    assert without.features is None
    np.testing.assert_array_equal(without.logits, output.logits)
    last = params.get("output") or params["Dense_0"]
    outputs = np.asarray(output.features) @ np.asarray(last["kernel"]) + np.asarray(last.get("bias", 0))
    np.testing.assert_allclose(outputs[:, 0], output.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs[:, 1:], output.classes, rtol=1e-4, atol=1e-5)
