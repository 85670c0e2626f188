"""Convolutions that are fast where they run.

A convolution y = conv(x, kernel) is linear in x and in the kernel, so all that training asks for, derivatives of
derivatives included, is three bilinear functions, each the transpose of another:

    conv:    images, kernel      -> features
    images:  features, kernel    -> images      (the gradient of x; a transposed convolution)
    kernel:  images, features    -> kernel      (the gradient of the kernel)

On accelerators each is XLA's own convolution. XLA's CPU backend is slow in loops there (the gradients leave its
fast path, by a factor of ten), so on CPU each is one matrix product with the windows of the images laid out as rows
(im2col, arXiv:1410.0759). Which one is decided when a program is lowered to a platform. In a program that is exported
for any number of images it is XLA's own convolution on every platform.

Images are [n, H, W, C], kernels [kh, kw, C, features] and features [n, h, w, features], of one dtype.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxgan.errors import UserError
from jaxgan.networks.spectral import normalized

Padding = str | Sequence[tuple[int, int]]

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
PORTION_BYTES = 4 * 2**20  # of windows at a time on CPU: what its caches hold


class Geometry(NamedTuple):
    """What a convolution is besides its arrays. Pairs are of rows and columns."""

    sides: tuple[int, int]  # of the images, pixels
    window: tuple[int, int]  # of the kernel, pixels
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]  # before and after; negative numbers crop
    groups: int
    precision: str | None  # jax.default_matmul_precision where the convolution was written

    @property
    def points(self) -> tuple[int, int]:
        """Rows and columns of the features."""
        h, w = (
            (side + lo + hi - window) // stride + 1
            for side, window, stride, (lo, hi) in zip(self.sides, self.window, self.strides, self.padding, strict=True)
        )
        return h, w


# On accelerators.


def native_conv(x: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        g.strides,
        g.padding,
        dimension_numbers=DIMENSIONS,
        feature_group_count=g.groups,
        precision=g.precision,
    )


def native_images(y: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *g.sides, kernel.shape[2] * g.groups), y.dtype)
    return jax.linear_transpose(lambda x: native_conv(x, kernel, g), x)(y)[0]


def native_kernel(x: jax.Array, y: jax.Array, g: Geometry) -> jax.Array:
    kernel = jax.ShapeDtypeStruct((*g.window, x.shape[-1] // g.groups, y.shape[-1]), y.dtype)
    return jax.linear_transpose(lambda kernel: native_conv(x, kernel, g), kernel)(y)[0]


# On CPU. A row of windows is (row in the window, column in the window, channel).


def blocks(g: Geometry) -> list[int]:
    """How many strides long the window is, rounded up, in each direction."""
    return [-(-window // stride) for window, stride in zip(g.window, g.strides, strict=True)]


def margins(g: Geometry) -> list[tuple[int, int, int]]:
    """Of rows and columns: what pads or crops the images to whole strides, exactly those that windows cover."""
    covered = [
        stride * (points + block - 1) for stride, points, block in zip(g.strides, g.points, blocks(g), strict=True)
    ]
    return [(lo, length - lo - side, 0) for (lo, _), length, side in zip(g.padding, covered, g.sides, strict=True)]


def im2col(x: jax.Array, g: Geometry) -> jax.Array:
    """The windows of images: [n, H, W, C] -> [n, h, w, kh * kw * C].

    Pixels go first into blocks of one stride, so that the pieces of a window are dense slices; a window that is
    whole strides wide has a stride's columns in one piece.
    """
    (h, w), (sh, sw), (kh, kw), c = g.points, g.strides, g.window, x.shape[-1]
    (rows, columns) = blocks(g)
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *margins(g), (0, 0, 0)])
    x = x.reshape(-1, h + rows - 1, sh, w + columns - 1, sw * c)
    wide = sw if kw % sw == 0 else 1
    across = [(j // sw, slice(j % sw * c, (j % sw + wide) * c)) for j in range(0, kw, wide)]
    down = [(i // sh, i % sh) for i in range(kh)]
    if len(down) * len(across) <= 16:
        pieces = [x[:, i : i + h, row, j : j + w, part] for i, row in down for j, part in across]
    else:  # in two steps: programs of 64 slices take long to compile
        x = jnp.stack([x[:, :, :, j : j + w, part] for j, part in across], axis=4)
        pieces = [x[:, i : i + h, row] for i, row in down]
    return jnp.stack(pieces, axis=3).reshape(-1, h, w, kh * kw * c)


def col2im(y: jax.Array, g: Geometry, channels: int) -> jax.Array:
    """Adds windows up where they lie in the images, `im2col` transposed: [n, h, w, kh * kw * C] -> [n, H, W, C].

    A block of a window counts as many blocks further down and to the right as it lies in the window. Small windows
    are summed in one pass, larger ones by columns and then by rows.
    """
    (h, w), (sh, sw), (kh, kw), (rows, columns) = g.points, g.strides, g.window, blocks(g)
    y = y.reshape(-1, h, w, kh, kw, channels)
    if rows * columns <= 4:
        x = block_sum(y, rows, columns, g.strides)
    else:
        x = block_sum(lax.optimization_barrier(block_sum(y, 1, columns, (kh, sw))), rows, 1, (sh, sw))
    n, rows, columns = x.shape[:3]
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows * sh, columns * sw, channels)
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((-lo, -hi, 0) for lo, hi, _ in margins(g)), (0, 0, 0)])


def block_sum(y: jax.Array, rows: int, columns: int, block: tuple[int, int]) -> jax.Array:
    """[n, h, w, kh, kw, C] -> [n, h + rows - 1, w + columns - 1, *block, C], in one pass over y.

    XLA makes a single loop of padded slices and their sum, as long as no other computation reaches into it.
    """
    terms = []
    for row, column in itertools.product(range(rows), range(columns)):
        piece = y[:, :, :, row * block[0] : (row + 1) * block[0], column * block[1] : (column + 1) * block[1]]
        height, width = block[0] - piece.shape[3], block[1] - piece.shape[4]
        edges = [(row, rows - 1 - row, 0), (column, columns - 1 - column, 0), (0, height, 0), (0, width, 0)]
        terms.append(lax.pad(piece, jnp.zeros((), y.dtype), [(0, 0, 0), *edges, (0, 0, 0)]))
    return sum(terms[1:], terms[0])


def portion_size(n: int, g: Geometry, kernel: tuple[int, ...], bytes_each: int) -> int:
    """How many of n images to lay out at a time.

    A loop over portions keeps the windows in the caches, and the memory small. XLA moves no other computation
    into it either: otherwise each user of a sum of windows, such as batch norm's two reductions, sums up again.
    """
    image = math.prod(g.points) * math.prod(kernel[:3]) * g.groups * bytes_each
    if n * image <= PORTION_BYTES // 8:
        return n
    return -(-n // min(n, max(2, -(-n * image // PORTION_BYTES))))


def in_portions(function: Callable[..., jax.Array], size: int, *arrays: jax.Array) -> jax.Array:
    """function(*arrays), of `size` images at a time."""
    count, rest = divmod(arrays[0].shape[0], size)
    if count == 1 and not rest:
        return function(*arrays)
    whole = [a[: count * size].reshape(count, size, *a.shape[1:]) for a in arrays]
    y = lax.map(lambda portion: function(*portion), whole)
    y = y.reshape(count * size, *y.shape[2:])
    return jnp.concatenate([y, function(*(a[count * size :] for a in arrays))]) if rest else y


def total_of_portions(function: Callable[..., jax.Array], size: int, *arrays: jax.Array) -> jax.Array:
    """The sum of function(*arrays) over portions of `size` images."""
    count, rest = divmod(arrays[0].shape[0], size)
    total = function(*(a[:size] for a in arrays))
    if count > 1:
        whole = [a[size : count * size].reshape(count - 1, size, *a.shape[1:]) for a in arrays]
        total = lax.scan(lambda total, portion: (total + function(*portion), None), total, whole)[0]
    return total + function(*(a[count * size :] for a in arrays)) if rest else total


def cpu_conv(x: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    k = kernel.reshape(-1, g.groups, kernel.shape[-1] // g.groups)

    def features(x: jax.Array) -> jax.Array:
        if g.groups == 1:
            return jnp.matmul(im2col(x, g), k[:, 0], precision=g.precision)
        y = jnp.einsum("nhwgi,igo->nhwgo", grouped(im2col(x, g), g), k, precision=g.precision)
        return y.reshape(*y.shape[:3], -1)

    return in_portions(features, portion_size(len(x), g, kernel.shape, x.dtype.itemsize), x)


def cpu_images(y: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    c = kernel.shape[2]
    k = kernel.reshape(-1, g.groups, kernel.shape[-1] // g.groups)

    def images(y: jax.Array) -> jax.Array:
        if g.groups == 1:
            return col2im(jnp.matmul(y, k[:, 0].T, precision=g.precision), g, c)
        y = y.reshape(*y.shape[:3], g.groups, -1)
        rows = jnp.einsum("nhwgo,igo->nhwig", y, k, precision=g.precision)
        rows = rows.reshape(*rows.shape[:3], -1, c, g.groups).swapaxes(-1, -2)
        return col2im(rows, g, c * g.groups)

    return in_portions(images, portion_size(len(y), g, kernel.shape, y.dtype.itemsize), y)


def cpu_kernel(x: jax.Array, y: jax.Array, g: Geometry) -> jax.Array:
    shape = (*g.window, x.shape[-1] // g.groups, y.shape[-1])
    # Two matrices of many rows: twice as fast if the narrower one is transposed beforehand. The barriers keep XLA
    # from turning that back.
    narrow = math.prod(shape[:3]) <= shape[3]

    def product(x: jax.Array, y: jax.Array) -> jax.Array:
        rows = im2col(x, g)
        if g.groups > 1:
            y = y.reshape(*y.shape[:3], g.groups, -1)
            return jnp.einsum("nhwgi,nhwgo->igo", grouped(rows, g), y, precision=g.precision)
        rows, y = rows.reshape(-1, rows.shape[-1]), y.reshape(-1, y.shape[-1])
        a, b = (rows, y) if narrow else (y, rows)
        return lax.optimization_barrier(jnp.matmul(lax.optimization_barrier(a.T), b, precision=g.precision))

    kernel = total_of_portions(product, portion_size(len(x), g, shape, x.dtype.itemsize), x, y)
    return (kernel if narrow or g.groups > 1 else kernel.T).reshape(shape)


def grouped(rows: jax.Array, g: Geometry) -> jax.Array:
    """[n, h, w, kh * kw * C] -> [n, h, w, groups, kh * kw * C / groups]."""
    rows = rows.reshape(*rows.shape[:3], math.prod(g.window), g.groups, -1)
    return rows.swapaxes(3, 4).reshape(*rows.shape[:3], g.groups, -1)


# Both, as functions that JAX knows to be bilinear, so that derivatives of any order are made of these three alone.


def bilinear(
    name: str,
    cpu: Callable[..., jax.Array],
    native: Callable[..., jax.Array],
    shape: Callable[..., tuple[int, ...]],
) -> Primitive:
    """A primitive of two arrays and a `geometry`; `shape` is its result's, of the shapes of the two."""

    def function(a: jax.Array, b: jax.Array, *, geometry: Geometry) -> jax.Array:
        return lax.platform_dependent(a, b, cpu=partial(cpu, g=geometry), default=partial(native, g=geometry))

    def batch(arrays, axes, *, geometry: Geometry):
        return jax.vmap(partial(function, geometry=geometry), axes)(*arrays), 0

    primitive = Primitive(name)
    primitive.def_impl(jax.jit(function, static_argnames="geometry"))
    primitive.def_abstract_eval(lambda a, b, *, geometry: a.update(shape=shape(a.shape, b.shape, geometry)))
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    batching.primitive_batchers[primitive] = batch
    return primitive


conv_p = bilinear("convolution", cpu_conv, native_conv, lambda x, kernel, g: (x[0], *g.points, kernel[-1]))
images_p = bilinear(
    "convolution_images", cpu_images, native_images, lambda y, kernel, g: (y[0], *g.sides, kernel[2] * g.groups)
)
kernel_p = bilinear(
    "convolution_kernel", cpu_kernel, native_kernel, lambda x, y, g: (*g.window, x[-1] // g.groups, y[-1])
)

ad.defbilinear(
    conv_p,
    lambda y, _, kernel, *, geometry: images_p.bind(y, kernel, geometry=geometry),
    lambda y, x, _, *, geometry: kernel_p.bind(x, y, geometry=geometry),
)
ad.defbilinear(
    images_p,
    lambda x, _, kernel, *, geometry: conv_p.bind(x, kernel, geometry=geometry),
    lambda x, y, _, *, geometry: kernel_p.bind(x, y, geometry=geometry),
)
ad.defbilinear(
    kernel_p,
    lambda kernel, _, y, *, geometry: images_p.bind(y, kernel, geometry=geometry),
    lambda kernel, x, _, *, geometry: conv_p.bind(x, kernel, geometry=geometry),
)


# What networks use.


def conv(
    x: jax.Array, kernel: jax.Array, *, strides: tuple[int, int], padding: Padding, feature_groups: int = 1
) -> jax.Array:
    """A convolution as networks have it, which does not flip the kernel.

    y[n, r, c, f] = sum over i, j, k of x[n, strides[0] r + i - top, strides[1] c + j - left, k] kernel[i, j, k, f]

    Args:
      x: [n, H, W, C] float.
      kernel: [kh, kw, C / feature_groups, features], the dtype of x.
      padding: ((top, bottom), (left, right)), the zeros around x; or 'VALID', none, or 'SAME', as many as give
        ceil(H / strides[0]) rows, the odd one at the bottom, and columns likewise.
      feature_groups: group g of the features sees only group g of the channels.

    Returns:
      [n, h, w, features].

    Raises:
      UserError: the kernel is larger than x with its padding.
      ValueError: shapes or dtypes do not fit together.
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2] * feature_groups or x.dtype != kernel.dtype:
        raise ValueError(f"conv of {jax.typeof(x)} with {jax.typeof(kernel)} in {feature_groups} groups")
    if kernel.shape[3] % feature_groups:
        raise ValueError(f"{kernel.shape[3]} features in {feature_groups} groups")
    sides, window = x.shape[1:3], kernel.shape[:2]
    pads = lax.padtype_to_pads(sides, window, strides, named(padding)) if isinstance(padding, str) else padding
    g = geometry(sides, window, strides, pads, feature_groups)
    if min(g.points) < 1:
        raise UserError(
            f"a kernel of {window[0]}x{window[1]} does not fit into images of {sides[0]}x{sides[1]} pixels with "
            f"padding {g.padding}; use a smaller kernel, fewer layers or larger images."
        )
    return native_conv(x, kernel, g) if exported(x) else conv_p.bind(x, kernel, geometry=g)


def conv_transpose(x: jax.Array, kernel: jax.Array, *, strides: tuple[int, int], padding: Padding) -> jax.Array:
    """The transpose of `conv` with the same kernel, strides and padding: the deconvolution of PyTorch and TensorFlow.

    Each point of x adds its multiple of the kernel to the result, `strides` apart; `padding` is cut off. Equals
    flax's ConvTranspose with transpose_kernel=True.

    Args:
      x: [n, h, w, C] float.
      kernel: [kh, kw, features, C], the dtype of x.
      padding: ((top, bottom), (left, right)), rows and columns to cut off, negative to add; or 'SAME', such as
        give strides times the points of x, or 'VALID', none (where kernels overlap or touch).

    Returns:
      [n, H, W, features], H = strides[0] * (h - 1) + kh - top - bottom and W likewise.

    Raises:
      UserError: nothing is left.
      ValueError: shapes or dtypes do not fit together.
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[3] or x.dtype != kernel.dtype:
        raise ValueError(f"conv_transpose of {jax.typeof(x)} with {jax.typeof(kernel)}")
    points, window = x.shape[1:3], kernel.shape[:2]
    pads = (
        [cropping(k, s, padding) for k, s in zip(window, strides, strict=True)] if isinstance(padding, str) else padding
    )
    sides = [
        stride * (n - 1) + k - lo - hi for n, k, stride, (lo, hi) in zip(points, window, strides, pads, strict=True)
    ]
    if min(sides) < 1:
        raise UserError(
            f"padding {tuple(pads)} leaves nothing of a transposed convolution to {sides} pixels; use less."
        )
    g = geometry(sides, window, strides, pads, 1)
    if exported(x):
        around = [(k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(window, pads, strict=True)]
        return lax.conv_transpose(
            x, kernel, strides, around, dimension_numbers=DIMENSIONS, transpose_kernel=True, precision=g.precision
        )
    return images_p.bind(x, kernel, geometry=g)


def exported(x: jax.Array) -> bool:
    """Whether x is in a program for any number of images: portions need the number, and converters lax's primitives."""
    return jax.export.is_symbolic_dim(x.shape[0])


def cropping(window: int, stride: int, padding: str) -> tuple[int, int]:
    """The padding of a transposed convolution in one direction, as `lax.conv_transpose` understands its name."""
    if named(padding) == "VALID":
        return 0, min(window - stride, 0)
    lo = max((window - stride) // 2, 0)
    return lo, window - stride - lo


def named(padding: str) -> str:
    if padding not in ("SAME", "VALID"):
        raise UserError(f"padding is 'SAME', 'VALID' or two pairs of numbers, not {padding!r}.")
    return padding


def geometry(
    sides: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    groups: int,
) -> Geometry:
    (height, width), (kh, kw), (sh, sw), ((top, bottom), (left, right)) = sides, window, strides, padding
    # Read here: whoever set it has left its context when primitives are lowered.
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return Geometry((height, width), (kh, kw), (sh, sw), ((top, bottom), (left, right)), groups, precision)


class Conv(nn.Module):
    """Flax's Conv for images: parameters `kernel` [kh, kw, C / feature_group_count, features] and `bias` [features]."""

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    feature_group_count: int = 1
    use_bias: bool = True
    spectral: bool = False  # the kernel is divided by its spectral norm
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, H, W, C] -> [n, h, w, features] float32."""
        shape = (*self.kernel_size, x.shape[-1] // self.feature_group_count, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        kernel = normalized(self, kernel) if self.spectral else kernel
        y = conv(x, kernel, strides=self.strides, padding=self.padding, feature_groups=self.feature_group_count)
        return y + self.param("bias", self.bias_init, (self.features,)).reshape(1, 1, 1, -1) if self.use_bias else y


class ConvTranspose(nn.Module):
    """Flax's ConvTranspose with transpose_kernel=True, but explicit padding is cut off, as PyTorch has it.

    Parameters `transposed_kernel` [kh, kw, features, C], whose last axis is the input's, and `bias` [features].
    """

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, C] -> [n, H, W, features] float32."""
        kernel = self.param("transposed_kernel", self.kernel_init, (*self.kernel_size, self.features, x.shape[-1]))
        y = conv_transpose(x, kernel, strides=self.strides, padding=self.padding)
        return y + self.param("bias", self.bias_init, (self.features,)).reshape(1, 1, 1, -1) if self.use_bias else y
