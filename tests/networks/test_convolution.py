"""The convolutions against XLA's own, in values and in derivatives of first and second order, and by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgan.errors import UserError
from jaxgan.networks import convolution
from jaxgan.networks.convolution import Conv, ConvTranspose, conv, conv_transpose
from jaxgan.networks.maxout_conv import max_pool

pytestmark = pytest.mark.slow

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def native(x, kernel, *, strides, padding, feature_groups=1):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=DIMENSIONS, feature_group_count=feature_groups
    )


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def close(a, b):
    for u, v in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert u.shape == v.shape and u.dtype == v.dtype
        np.testing.assert_allclose(u, v, rtol=1e-5, atol=2e-6 * float(jnp.max(jnp.abs(v))) * 10)


GEOMETRIES = [  # sides, window, strides, padding, groups
    ((8, 8), (4, 4), (2, 2), ((1, 1), (1, 1)), 1),
    ((9, 11), (3, 3), (2, 2), "SAME", 2),
    ((7, 6), (3, 3), (1, 1), "SAME", 1),
    ((9, 8), (5, 5), (2, 2), "VALID", 2),
    ((10, 9), (5, 4), (3, 2), ((1, 2), (0, 3)), 1),
    ((9, 10), (8, 8), (1, 1), ((4, 4), (3, 4)), 1),
    ((8, 7), (1, 1), (3, 3), "VALID", 1),
    ((7, 7), (1, 3), (2, 1), ((-1, 0), (1, -1)), 1),
]


@pytest.mark.parametrize("portion", [5, 2])  # all five images at once; two portions and a rest
@pytest.mark.parametrize(("sides", "window", "strides", "padding", "groups"), GEOMETRIES)
def test_equals_xlas_own_with_both_gradients(sides, window, strides, padding, groups, portion, monkeypatch):
    monkeypatch.setattr(convolution, "chunk_size", lambda *_: portion)
    x, kernel = normal(0, 5, *sides, 4), normal(1, *window, 4 // groups, 6)
    options = {"strides": strides, "padding": padding, "feature_groups": groups}
    weights = normal(2, *jax.eval_shape(lambda: native(x, kernel, **options)).shape)

    def results(function, x, kernel):
        y, pullback = jax.vjp(lambda x, kernel: function(x, kernel, **options), x, kernel)
        return y, pullback(weights)

    # Inside a loop of one step, whose length XLA does not know, as in training.
    def looped(x, kernel, n):
        first = jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: results(conv, x, kernel)))
        return lax.fori_loop(0, n, lambda _, carry: results(conv, x, kernel), first)

    ours, reference = jax.jit(lambda x, kernel, n: (looped(x, kernel, n), results(native, x, kernel)))(x, kernel, 1)
    close(ours, reference)


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 2), (3, 1), (1, 2), (2, 3), (5, 3)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_transposed_equals_xlas_own(window, stride, padding):
    x, kernel = normal(0, 3, 4, 5, 3), normal(1, window, window, 2, 3)

    def both(x, kernel):
        ours = conv_transpose(x, kernel, strides=(stride, stride), padding=padding)
        return ours, lax.conv_transpose(
            x, kernel, (stride, stride), padding, dimension_numbers=DIMENSIONS, transpose_kernel=True
        )

    close(*jax.jit(both)(x, kernel))


def test_by_hand():
    x = jnp.array([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1)
    kernel = jnp.array([1.0, 10.0]).reshape(1, 2, 1, 1)
    y = conv(x, kernel, strides=(1, 1), padding=((0, 0), (1, 0)))
    np.testing.assert_array_equal(y.ravel(), [10.0, 1.0 + 20.0, 2.0 + 40.0])  # the kernel is not flipped
    y = conv_transpose(x, kernel, strides=(1, 1), padding=((0, 0), (0, 0)))
    np.testing.assert_array_equal(y.ravel(), [1.0, 2.0 + 10.0, 4.0 + 20.0, 40.0])
    y = conv_transpose(x, kernel, strides=(1, 2), padding=((0, 0), (1, 0)))
    np.testing.assert_array_equal(y.ravel(), [10.0, 2.0, 20.0, 4.0, 40.0])


def test_padding_1_of_a_4x4_kernel_halves_and_doubles():
    x, kernel, padding = normal(0, 2, 14, 14, 3), normal(1, 4, 4, 3, 5), ((1, 1), (1, 1))
    y = conv(x, kernel, strides=(2, 2), padding=padding)
    back = conv_transpose(y, kernel, strides=(2, 2), padding=padding)
    assert y.shape == (2, 7, 7, 5) and back.shape == x.shape
    other = normal(2, *y.shape)  # <conv(x), y> = <x, conv_transpose(y)>
    left = jnp.vdot(y, other)
    right = jnp.vdot(x, conv_transpose(other, kernel, strides=(2, 2), padding=padding))
    np.testing.assert_allclose(left, right, rtol=1e-4)


def gradient_penalty(convolve, transpose, x, kernels):
    """R1 of a network of a convolution and a transposed one."""
    options = {"strides": (2, 2), "padding": ((1, 1), (1, 1))}

    def D(x):
        h = jnp.tanh(convolve(x, kernels[0], **options))
        return jnp.sum(jnp.tanh(transpose(h, kernels[1], **options)) ** 2)

    return jnp.sum(jax.grad(D)(x) ** 2) / 2


def native_transpose(y, kernel, *, strides, padding):
    sides = [2 * side for side in y.shape[1:3]]
    x = jax.ShapeDtypeStruct((y.shape[0], *sides, kernel.shape[2]), y.dtype)
    return jax.linear_transpose(lambda x: native(x, kernel, strides=strides, padding=padding), x)(y)[0]


def test_second_derivatives_inside_a_loop_for_several_members():
    x, kernels = normal(0, 2, 3, 6, 6, 2), (0.3 * normal(1, 2, 4, 4, 2, 3), 0.3 * normal(2, 2, 4, 4, 1, 3))

    def penalties(convolve, transpose, n):
        member = jax.vmap(jax.value_and_grad(lambda k, x: gradient_penalty(convolve, transpose, x, k)))
        first = jax.tree.map(jnp.zeros_like, jax.eval_shape(member, kernels, x))
        return lax.fori_loop(0, n, lambda _, carry: member(kernels, x), first)

    close(*jax.jit(lambda n: (penalties(conv, conv_transpose, n), penalties(native, native_transpose, n)))(1))


def test_forward_mode_over_reverse_mode_and_gradients_outside_of_vmap():
    x, kernels = normal(0, 3, 6, 6, 2), (0.3 * normal(1, 4, 4, 2, 3), 0.3 * normal(2, 4, 4, 1, 3))
    direction = jax.tree.map(lambda k: jnp.ones_like(k), kernels)

    def derivatives(convolve, transpose):
        loss = lambda k: gradient_penalty(convolve, transpose, x, k)  # noqa: E731
        scaled = lambda s: jnp.sum(  # noqa: E731
            jax.vmap(lambda s: gradient_penalty(convolve, transpose, x, jax.tree.map(lambda k: s * k, kernels)))(s)
        )
        return jax.jvp(jax.grad(loss), (kernels,), (direction,))[1], jax.grad(scaled)(jnp.array([1.0, 0.5]))

    close(*jax.jit(lambda: (derivatives(conv, conv_transpose), derivatives(native, native_transpose)))())


@pytest.mark.parametrize(("platform", "operation", "other"), [
    ("cpu", "stablehlo.dot_general", "stablehlo.convolution"),
    ("cuda", "stablehlo.convolution", "stablehlo.dot_general"),
    ("tpu", "stablehlo.convolution", "stablehlo.dot_general"),
])  # fmt: skip
def test_the_platform_decides_and_the_precision_is_kept(platform, operation, other):
    def loss(kernel):
        with jax.default_matmul_precision("highest"):
            return jnp.sum(conv(jnp.ones((2, 6, 6, 1)), kernel, strides=(2, 2), padding="SAME") ** 2)

    lowered = jax.jit(jax.grad(loss)).trace(jnp.ones((4, 4, 1, 3))).lower(lowering_platforms=(platform,)).as_text()
    lines = [line for line in lowered.splitlines() if operation in line]
    assert len(lines) >= 2 and other not in lowered
    assert all("HIGHEST" in line for line in lines)


def test_modules_have_flaxs_parameters_and_values():
    x, padding = normal(0, 2, 6, 7, 4), ((1, 0), (2, 1))
    pairs = [
        (Conv(6, (3, 4), (2, 1), padding, 2), nn.Conv(6, (3, 4), (2, 1), padding, feature_group_count=2)),
        (Conv(3, (3, 3), use_bias=False), nn.Conv(3, (3, 3), use_bias=False)),
        (ConvTranspose(3, (4, 4), (2, 2)), nn.ConvTranspose(3, (4, 4), (2, 2), transpose_kernel=True)),
        (
            ConvTranspose(3, (5, 5), (3, 3), "VALID", use_bias=False),
            nn.ConvTranspose(3, (5, 5), (3, 3), "VALID", transpose_kernel=True, use_bias=False),
        ),
    ]
    for ours, flaxs in pairs:
        params = jax.jit(ours.init)(jax.random.key(0), x)
        renamed = {"params": {name.removeprefix("transposed_"): p for name, p in params["params"].items()}}
        close(renamed, jax.jit(flaxs.init)(jax.random.key(0), x))
        params, renamed = jax.tree.map(lambda p: p + 0.5, (params, renamed))  # a bias that is not 0
        close(jax.jit(ours.apply)(params, x), jax.jit(flaxs.apply)(renamed, x))


@pytest.mark.parametrize(("function", "words"), [
    (lambda x: conv(x, jnp.ones((6, 6, 1, 1)), strides=(1, 1), padding=((0, 0), (0, 0))), "6x6 does not fit into"),
    (lambda x: conv_transpose(x, jnp.ones((1, 1, 1, 1)), strides=(1, 1), padding=((2, 2), (0, 0))), "leaves nothing"),
    (lambda x: conv_transpose(x, jnp.ones((1, 1, 1, 1)), strides=(1, 1), padding="CIRCULAR"), "not 'CIRCULAR'"),
    (lambda x: conv(x, jnp.ones((1, 1, 1, 1)), strides=(1, 1), padding="CIRCULAR"), "not 'CIRCULAR'"),
])  # fmt: skip
def test_what_cannot_be(function, words):
    with pytest.raises(UserError, match=words):
        function(jnp.ones((1, 4, 4, 1)))


def test_shapes_that_do_not_fit_together():
    with pytest.raises(ValueError, match="in 1 groups"):
        conv(jnp.ones((1, 4, 4, 3)), jnp.ones((1, 1, 2, 1)), strides=(1, 1), padding="SAME")
    with pytest.raises(ValueError, match="conv_transpose of"):
        conv_transpose(jnp.ones((1, 4, 4, 3)), jnp.ones((1, 1, 3, 2)), strides=(1, 1), padding="SAME")


@pytest.mark.parametrize(("side", "window", "stride"), [(9, 4, 2), (5, 2, 2), (7, 3, 1)])
def test_pooling_sends_gradients_to_the_maxima(side, window, stride):
    x = normal(0, 2, side, side, 3)
    weights = normal(1, *max_pool(x, window, stride).shape)
    gradient = jax.grad(lambda x: jnp.sum(weights * max_pool(x, window, stride)))(x)
    expected = np.zeros(x.shape, np.float32)
    for n, r, c, k in np.ndindex(weights.shape):
        part = np.asarray(x[n, r * stride : r * stride + window, c * stride : c * stride + window, k])
        i, j = np.unravel_index(part.argmax(), part.shape)
        expected[n, r * stride + i, c * stride + j, k] += weights[n, r, c, k]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_portions_are_equal_and_fit_the_caches():
    g = convolution.geometry((14, 14), (4, 4), (2, 2), ((1, 1), (1, 1)), 1)
    size = lambda n, channels: convolution.chunk_size(n, g, (4, 4, channels, 128), 4)  # noqa: E731
    assert size(64, 64) == 16  # windows of 49 * 1024 * 4 bytes an image, 12.8 MB in four portions
    assert size(20, 64) == 10  # 4 MB, but a loop keeps other computations out
    assert size(2, 64) == 2  # .4 MB: too little for a loop
    assert size(3, 64_000) == 1  # one image has more than a portion
