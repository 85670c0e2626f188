"""Convolutions with a fast CPU path (im2col) and XLA's native path elsewhere.

A convolution y = conv(x, kernel) is linear in x and in the kernel, so derivatives of any order consist of three
bilinear functions, which are transposes of one another:

    conv:    images, kernel      -> features
    images:  features, kernel    -> images      (the gradient of x; a transposed convolution)
    kernel:  images, features    -> kernel      (the gradient of the kernel)

On accelerators each is XLA's native convolution. XLA's CPU backend is ten times slower inside loops, where gradients
miss its fast path, so on CPU each is a matrix product with the windows of the images as rows (im2col,
arXiv:1410.0759). The choice is made when a program is lowered to a platform. Programs exported for any number of images
use XLA's native convolution on every platform.

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
from jaxgan.networks.mixed_precision import product
from jaxgan.networks.spectral import spectral_normalize

Padding = str | Sequence[tuple[int, int]]

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
CHUNK_BYTES = 4 * 2**20  # of windows at a time on CPU, to fit its caches


class Geometry(NamedTuple):
    """The static parameters of a convolution. Pairs are (rows, columns)."""

    sides: tuple[int, int]  # of the images, pixels
    window: tuple[int, int]  # of the kernel, pixels
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]  # before and after; negative numbers crop
    groups: int
    precision: str | None  # jax.default_matmul_precision at the call of `conv` or `conv_transpose`

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


# On CPU. The axes of a flattened window are (row, column, channel).


def blocks(g: Geometry) -> list[int]:
    """The size of the window in strides, rounded up, in each direction."""
    return [-(-window // stride) for window, stride in zip(g.window, g.strides, strict=True)]


def margins(g: Geometry) -> list[tuple[int, int, int]]:
    """Padding (or cropping, if negative) of rows and columns to the whole strides that the windows cover."""
    covered = [
        stride * (points + block - 1) for stride, points, block in zip(g.strides, g.points, blocks(g), strict=True)
    ]
    return [(lo, length - lo - side, 0) for (lo, _), length, side in zip(g.padding, covered, g.sides, strict=True)]


def im2col(x: jax.Array, g: Geometry) -> jax.Array:
    """The windows of images: [n, H, W, C] -> [n, h, w, kh * kw * C].

    Pixels are first grouped into blocks of one stride, so that the pieces of a window are dense slices. If the width of
    the window is a multiple of the stride, a piece has the columns of a whole stride.
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
    """Sums overlapping windows, the transpose of `im2col`: [n, h, w, kh * kw * C] -> [n, H, W, C].

    Each block of a window is added at the window's position plus the block's offset within it. Small windows are summed
    in one pass, larger ones first over columns and then over rows.
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

    XLA compiles the padded slices and their sum to a single loop, provided no other computation is fused into it.
    """
    terms = []
    for row, column in itertools.product(range(rows), range(columns)):
        piece = y[:, :, :, row * block[0] : (row + 1) * block[0], column * block[1] : (column + 1) * block[1]]
        height, width = block[0] - piece.shape[3], block[1] - piece.shape[4]
        edges = [(row, rows - 1 - row, 0), (column, columns - 1 - column, 0), (0, height, 0), (0, width, 0)]
        terms.append(lax.pad(piece, jnp.zeros((), y.dtype), [(0, 0, 0), *edges, (0, 0, 0)]))
    return sum(terms[1:], terms[0])


def chunk_size(n: int, g: Geometry, kernel: tuple[int, ...], bytes_each: int) -> int:
    """The number of images, of n, per chunk.

    Chunking bounds the memory and keeps the windows in the caches. It also prevents XLA from fusing other computation
    into the loop: otherwise every consumer of a sum of windows, such as batch norm's two reductions, recomputes it.
    """
    image = math.prod(g.points) * math.prod(kernel[:3]) * g.groups * bytes_each
    if n * image <= CHUNK_BYTES // 8:
        return n
    return -(-n // min(n, max(2, -(-n * image // CHUNK_BYTES))))


def map_chunks(function: Callable[..., jax.Array], size: int, *arrays: jax.Array) -> jax.Array:
    """function(*arrays), on `size` images at a time."""
    count, rest = divmod(arrays[0].shape[0], size)
    if count == 1 and not rest:
        return function(*arrays)
    whole = [a[: count * size].reshape(count, size, *a.shape[1:]) for a in arrays]
    y = lax.map(lambda chunk: function(*chunk), whole)
    y = y.reshape(count * size, *y.shape[2:])
    return jnp.concatenate([y, function(*(a[count * size :] for a in arrays))]) if rest else y


def sum_over_chunks(function: Callable[..., jax.Array], size: int, *arrays: jax.Array) -> jax.Array:
    """The sum of function(*arrays) over chunks of `size` images."""
    count, rest = divmod(arrays[0].shape[0], size)
    total = function(*(a[:size] for a in arrays))
    if count > 1:
        whole = [a[size : count * size].reshape(count - 1, size, *a.shape[1:]) for a in arrays]
        total = lax.scan(lambda total, chunk: (total + function(*chunk), None), total, whole)[0]
    return total + function(*(a[count * size :] for a in arrays)) if rest else total


def cpu_conv(x: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    k = kernel.reshape(-1, g.groups, kernel.shape[-1] // g.groups)

    def features(x: jax.Array) -> jax.Array:
        if g.groups == 1:
            return jnp.matmul(im2col(x, g), k[:, 0], precision=g.precision)
        y = jnp.einsum("nhwgi,igo->nhwgo", grouped(im2col(x, g), g), k, precision=g.precision)
        return y.reshape(*y.shape[:3], -1)

    return map_chunks(features, chunk_size(len(x), g, kernel.shape, x.dtype.itemsize), x)


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

    return map_chunks(images, chunk_size(len(y), g, kernel.shape, y.dtype.itemsize), y)


def cpu_kernel(x: jax.Array, y: jax.Array, g: Geometry) -> jax.Array:
    shape = (*g.window, x.shape[-1] // g.groups, y.shape[-1])
    # The product of two tall matrices is twice as fast if the narrower one is transposed beforehand. The barriers keep
    # XLA from undoing this.
    narrow = math.prod(shape[:3]) <= shape[3]

    def product(x: jax.Array, y: jax.Array) -> jax.Array:
        rows = im2col(x, g)
        if g.groups > 1:
            y = y.reshape(*y.shape[:3], g.groups, -1)
            return jnp.einsum("nhwgi,nhwgo->igo", grouped(rows, g), y, precision=g.precision)
        rows, y = rows.reshape(-1, rows.shape[-1]), y.reshape(-1, y.shape[-1])
        a, b = (rows, y) if narrow else (y, rows)
        return lax.optimization_barrier(jnp.matmul(lax.optimization_barrier(a.T), b, precision=g.precision))

    kernel = sum_over_chunks(product, chunk_size(len(x), g, shape, x.dtype.itemsize), x, y)
    return (kernel if narrow or g.groups > 1 else kernel.T).reshape(shape)


def grouped(rows: jax.Array, g: Geometry) -> jax.Array:
    """[n, h, w, kh * kw * C] -> [n, h, w, groups, kh * kw * C / groups]."""
    rows = rows.reshape(*rows.shape[:3], math.prod(g.window), g.groups, -1)
    return rows.swapaxes(3, 4).reshape(*rows.shape[:3], g.groups, -1)


# Both as primitives that JAX knows to be bilinear, so that derivatives of any order consist of these three alone.


def bilinear(
    name: str,
    cpu: Callable[..., jax.Array],
    native: Callable[..., jax.Array],
    shape: Callable[..., tuple[int, ...]],
) -> Primitive:
    """A primitive of two arrays and a `geometry`; `shape` maps the shapes of the two to that of the result."""

    def on_cpu(a: jax.Array, b: jax.Array, *, g: Geometry) -> jax.Array:
        # Sums of bfloat16 products are float32, as on accelerators.
        if a.dtype == jnp.bfloat16:
            return cpu(a.astype(jnp.float32), b.astype(jnp.float32), g=g).astype(a.dtype)
        return cpu(a, b, g=g)

    def function(a: jax.Array, b: jax.Array, *, geometry: Geometry) -> jax.Array:
        return lax.platform_dependent(a, b, cpu=partial(on_cpu, g=geometry), default=partial(native, g=geometry))

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


# The public functions and layers.


def conv(
    x: jax.Array, kernel: jax.Array, *, strides: tuple[int, int], padding: Padding, feature_groups: int = 1
) -> jax.Array:
    """A convolution (cross-correlation: the kernel is not flipped).

    y[n, r, c, f] = sum over i, j, k of x[n, strides[0] r + i - top, strides[1] c + j - left, k] kernel[i, j, k, f]

    Args:
      x: [n, H, W, C] float.
      kernel: [kh, kw, C / feature_groups, features], the dtype of x.
      padding: ((top, bottom), (left, right)), the zeros around x; or 'VALID' for none, or 'SAME' for as many as give
        ceil(H / strides[0]) rows, an odd one at the bottom, and columns likewise.
      feature_groups: number of groups of features, each connected to one group of channels only.

    Returns:
      [n, h, w, features].

    Raises:
      UserError: the kernel is larger than the padded x.
      ValueError: incompatible shapes or dtypes.
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2] * feature_groups or x.dtype != kernel.dtype:
        raise ValueError(f"conv of {jax.typeof(x)} with {jax.typeof(kernel)} in {feature_groups} groups")
    if kernel.shape[3] % feature_groups:
        raise ValueError(f"{kernel.shape[3]} features in {feature_groups} groups")
    sides, window = x.shape[1:3], kernel.shape[:2]
    pads = (
        lax.padtype_to_pads(sides, window, strides, check_padding_name(padding))
        if isinstance(padding, str)
        else padding
    )
    g = geometry(sides, window, strides, pads, feature_groups)
    if min(g.points) < 1:
        raise UserError(
            f"a kernel of {window[0]}x{window[1]} does not fit into images of {sides[0]}x{sides[1]} pixels with "
            f"padding {g.padding}; use a smaller kernel, fewer layers or larger images."
        )
    convolve = partial(native_conv, g=g) if is_exported(x) else partial(conv_p.bind, geometry=g)
    return product(convolve, x, kernel, min(*g.sides, *g.points))


def conv_transpose(x: jax.Array, kernel: jax.Array, *, strides: tuple[int, int], padding: Padding) -> jax.Array:
    """The transpose of `conv` with the same kernel, strides and padding, as in PyTorch and TensorFlow.

    Each point of x adds a multiple of the kernel to the result, at intervals of `strides`; then `padding` is cropped.
    Equals Flax's ConvTranspose with transpose_kernel=True.

    Args:
      x: [n, h, w, C] float.
      kernel: [kh, kw, features, C], the dtype of x.
      padding: ((top, bottom), (left, right)), rows and columns to crop, or to add if negative; or 'SAME', which makes
        H = strides[0] * h, or 'VALID' for none (if kernels overlap or touch).

    Returns:
      [n, H, W, features], H = strides[0] * (h - 1) + kh - top - bottom and W likewise.

    Raises:
      UserError: cropping leaves nothing.
      ValueError: incompatible shapes or dtypes.
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[3] or x.dtype != kernel.dtype:
        raise ValueError(f"conv_transpose of {jax.typeof(x)} with {jax.typeof(kernel)}")
    points, window = x.shape[1:3], kernel.shape[:2]
    pads = (
        [transpose_padding(k, s, padding) for k, s in zip(window, strides, strict=True)]
        if isinstance(padding, str)
        else padding
    )
    sides = [
        stride * (n - 1) + k - lo - hi for n, k, stride, (lo, hi) in zip(points, window, strides, pads, strict=True)
    ]
    if min(sides) < 1:
        raise UserError(
            f"padding {tuple(pads)} leaves nothing of a transposed convolution to {sides} pixels; use less."
        )
    g = geometry(sides, window, strides, pads, 1)
    if is_exported(x):
        around = [(k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(window, pads, strict=True)]
        transpose = partial(
            lax.conv_transpose, strides=strides, padding=around, dimension_numbers=DIMENSIONS, transpose_kernel=True,
            precision=g.precision,
        )  # fmt: skip
    else:
        transpose = partial(images_p.bind, geometry=g)
    return product(transpose, x, kernel, min(*g.sides, *g.points))


def is_exported(x: jax.Array) -> bool:
    """Whether x is in a program exported for any number of images, which rules out chunks and custom primitives."""
    return jax.export.is_symbolic_dim(x.shape[0])


def transpose_padding(window: int, stride: int, padding: str) -> tuple[int, int]:
    """The cropping of a transposed convolution in one direction for 'SAME' or 'VALID', as in `lax.conv_transpose`."""
    if check_padding_name(padding) == "VALID":
        return 0, min(window - stride, 0)
    lo = max((window - stride) // 2, 0)
    return lo, window - stride - lo


def check_padding_name(padding: str) -> str:
    """Returns a valid name of a padding; raises UserError for others."""
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
    # Read now: its context manager has exited by the time the primitives are lowered.
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
    spectral: bool = False  # spectral normalization of the kernel
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, H, W, C] -> [n, h, w, features] float32."""
        shape = (*self.kernel_size, x.shape[-1] // self.feature_group_count, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        kernel = spectral_normalize(self, kernel) if self.spectral else kernel
        y = conv(x, kernel, strides=self.strides, padding=self.padding, feature_groups=self.feature_group_count)
        return y + self.param("bias", self.bias_init, (self.features,)).reshape(1, 1, 1, -1) if self.use_bias else y


class ConvTranspose(nn.Module):
    """Flax's ConvTranspose with transpose_kernel=True, except that explicit padding is cropped, as in PyTorch.

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
