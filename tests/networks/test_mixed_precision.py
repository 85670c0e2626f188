"""train.precision=bfloat16: products of bfloat16 operands, everything else float32."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import algorithm1
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.networks import patch
from jaxgan.networks.convolution import conv, conv_transpose
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.mixed_precision import bfloat16_above, product
from jaxgan.objectives.penalties import r1

SHAPE = (8, 8, 1)
FAMILIES = {
    "dcgan": {"generator.widths": (16, 8), "discriminator.widths": (8, 16), "discriminator.norm": "none"},
    "r3gan": {
        f"{player}.{name}": value
        for player in ("generator", "discriminator")
        for name, value in {"widths": (8, 8), "blocks": (1, 1), "groups": (2, 2)}.items()
    },
    "mlp": {"generator.output": "tanh", "discriminator.activation": "maxout", "discriminator.irange": 0.2},
}


def game(family, precision):
    names = {"generator.name": family, "discriminator.name": family, "train.precision": precision}
    common = {"train.batch_size": 8, "train.float32_grid": 2, "objective.penalties.r1": 1.0}
    config = update(default(), names | FAMILIES[family] | common)
    return build(config, DataSpec(SHAPE, bounds=(-1.0, 1.0)), 32), traced(config)


@pytest.mark.parametrize("family", ["mlp", "dcgan", pytest.param("r3gan", marks=pytest.mark.slow)])
def test_outputs_and_r1_are_those_of_float32_up_to_bfloat16s_rounding(family):
    z, x = jax.random.normal(jax.random.key(0), (8, 64)), jax.random.uniform(jax.random.key(1), (8, *SHAPE))
    results = {}
    for precision in ("highest", "bfloat16"):
        gan, hparams = game(family, precision)
        state = jax.jit(gan.init)(hparams)
        # Away from the start, where R3GAN's blocks are identities.
        params = jax.tree.map(lambda p: p + 0.03, (state.generator.params, state.discriminator.params))

        @jax.jit
        def evaluate(params, gan=gan, state=state):
            D = lambda x: gan.D(params[1], state.discriminator.stats, x)[0].logits  # noqa: E731
            return gan.G(params[0], state.generator.stats, z)[0], D(x), r1(D, x)

        results[precision] = jax.device_get(evaluate(params))
    for exact, rounded, bound in zip(*results.values(), (0.02, 0.02, 0.03), strict=True):
        assert rounded.dtype == np.float32
        error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
        assert 1e-6 < error < bound


@pytest.mark.parametrize("family", FAMILIES)
def test_only_products_are_bfloat16_and_the_state_is_not(family):
    gan, hparams = game(family, "bfloat16")
    train = partial(algorithm1.train_step, gan=gan)
    data = TrainingSet(jnp.zeros((32, *SHAPE), jnp.uint8))
    state = jax.eval_shape(gan.init, hparams)
    step = jax.make_jaxpr(lambda h, s: train(hparams=h, state=s, data=data))(hparams, state)
    kinds = {"dot_general", "convolution", "convolution_images", "convolution_kernel"}
    harmless = {"convert_element_type", "transpose", "reshape", "jit", "pjit", "cond", "scan", "while", "squeeze"}
    found = set(bfloat16_results(step.jaxpr))
    assert found <= kinds | harmless and found & kinds
    # The last linear layer of D, and convolutions of small grids.
    kept = re.findall(r"f32\[[\d,]+\] = (?:dot_general|convolution\w*)\[", str(step))
    assert kept
    after = jax.eval_shape(lambda h, s: train(hparams=h, state=s, data=data), hparams, state)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(after)} <= {"float32", "int32", "uint32"}


def bfloat16_results(jaxpr):
    """The names of the primitives with a bfloat16 result, those of inner programs among them."""
    for equation in jaxpr.eqns:
        if any(getattr(v.aval, "dtype", None) == jnp.bfloat16 for v in equation.outvars):
            yield equation.primitive.name
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from bfloat16_results(inner)


def test_logits_of_patches_are_float32():
    D = patch.Discriminator(DataSpec((16, 16, 1)), widths=(4, 4))
    with bfloat16_above(2):
        jaxpr = jax.make_jaxpr(lambda x: D.init_with_output(jax.random.key(0), x)[0].patches)(jnp.ones((1, 16, 16, 1)))
    assert len([name for name in bfloat16_results(jaxpr.jaxpr) if name.startswith("convolution")]) == 2


def test_a_large_logit_keeps_its_digits():
    gan, hparams = game("mlp", "bfloat16")
    state = jax.jit(gan.init)(hparams)
    params = jax.tree.map(jnp.zeros_like, state.discriminator.params)
    params["output"]["bias"] += 1000.3
    output, _ = gan.D(params, state.discriminator.stats, jnp.ones((2, *SHAPE)))
    np.testing.assert_allclose(output.logits, 1000.3, atol=1e-4)


def test_statistics_of_a_minibatch_are_float32():
    gan, hparams = game("dcgan", "bfloat16")
    state = jax.jit(gan.init)(hparams)
    _, stats = jax.jit(partial(gan.G, train=True))(
        state.generator.params, state.generator.stats, jax.random.normal(jax.random.key(0), (4096, 64))
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(stats)} == {"float32"}
    # Its first normalization follows a product in float32, of z with a matrix of deviation .02.
    kernel = np.asarray(state.generator.params["Dense_0"]["kernel"], np.float64)
    z = np.asarray(jax.random.normal(jax.random.key(0), (4096, 64)), np.float64)
    variance = (z @ kernel).reshape(-1, 16).var(axis=0)
    np.testing.assert_allclose(stats["batch_stats"]["BatchNorm_0"]["variance"], 0.9 + 0.1 * variance, rtol=1e-3)


def test_fusion_and_the_size_of_the_minibatch_change_no_bit():
    x, kernel = jax.random.normal(jax.random.key(0), (8, 12, 12, 4)), jax.random.normal(jax.random.key(1), (3, 3, 4, 4))

    def below(x):
        return jax.nn.leaky_relu(conv(x, kernel, strides=(2, 2), padding="SAME") + 0.1)

    def above(h):
        return conv_transpose(h, kernel, strides=(2, 2), padding="SAME") * 1.1

    with bfloat16_above(4):
        network = jax.jit(lambda x: above(below(x)))
        whole, parts = network(x), jax.jit(above)(jax.jit(below)(x))
        halves = [network(half) for half in jnp.split(x, 2)]
    assert np.array_equal(whole, parts) and np.array_equal(whole, np.concatenate(halves))


def test_operands_and_results_are_rounded_and_small_grids_are_not():
    a, b = jnp.float32(1 + 2.0**-9), jnp.float32(3)
    with bfloat16_above(4):
        assert product(jnp.multiply, a, b) == 3
        assert product(jnp.multiply, a, b, 4) == a * b
        assert product(jnp.multiply, jnp.float32(1 + 2.0**-7), jnp.float32(1 + 2.0**-7)) == 1 + 2.0**-6
        assert jax.grad(lambda a: product(jnp.multiply, a, b))(a) == 3
    assert product(jnp.multiply, a, b) == a * b
