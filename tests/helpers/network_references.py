"""The published layers and networks in NumPy, forward only, to be compared with their papers.

Weights are a flat dictionary of float64 arrays by the Flax path, such as "Block_0.Conv_1.kernel". Images are
[n, H, W, C], kernels [kh, kw, inputs, units]; y are the classes [n], or None. Spectral normalization is a change of
the weights (`spectrally_normalized`), so no network knows of it.
"""

from __future__ import annotations

import math

import numpy as np

Weights = dict[str, np.ndarray]


# Layers.


def same(side: int, window: int, stride: int) -> tuple[int, int]:
    """The zeros before and after that TensorFlow's 'SAME' adds: ceil(side / stride) outputs, the odd zero after."""
    total = max((-(-side // stride) - 1) * stride + window - side, 0)
    return total // 2, total - total // 2


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int | None = None, groups: int = 1):
    """Cross-correlation, with `padding` zeros on every side (None: 'SAME')."""
    window, units = kernel.shape[:2], kernel.shape[3]
    pads = [
        same(n, k, stride) if padding is None else (padding,) * 2 for n, k in zip(x.shape[1:3], window, strict=True)
    ]
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], window, strict=True))
    y = np.zeros((len(x), rows, columns, units))
    for row in range(rows):
        for column in range(columns):
            patch = x[:, stride * row : stride * row + window[0], stride * column : stride * column + window[1]]
            for group in range(groups):
                inputs = slice(group * kernel.shape[2], (group + 1) * kernel.shape[2])
                outputs = slice(group * units // groups, (group + 1) * units // groups)
                y[:, row, column, outputs] = np.tensordot(patch[..., inputs], kernel[..., outputs], 3)
    return y


def deconvolve(x: np.ndarray, kernel: np.ndarray, stride: int, crop: int) -> np.ndarray:
    """Every point of x adds its multiple of the kernel [kh, kw, units, inputs]; `crop` is cut off above and left.

    Below and right nothing is cut off: the caller keeps as many rows and columns as it needs.
    """
    (n, rows, columns, _), (kh, kw, units, _) = x.shape, kernel.shape
    y = np.zeros((n, stride * (rows - 1) + kh, stride * (columns - 1) + kw, units))
    for row in range(rows):
        for column in range(columns):
            y[:, stride * row : stride * row + kh, stride * column : stride * column + kw] += np.einsum(
                "nc,ijfc->nijf", x[:, row, column], kernel
            )
    return y[:, crop:, crop:]


def dense(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ w[f"{name}.kernel"] + w.get(f"{name}.bias", 0.0)


def conv(w: Weights, name: str, x: np.ndarray, stride: int = 1, padding: int | None = None, groups: int = 1):
    return convolve(x, w[f"{name}.kernel"], stride, padding, groups) + w.get(f"{name}.bias", 0.0)


def doubling_deconv(w: Weights, name: str, x: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Stride 2, as TensorFlow's 'SAME' and (kernel 4) PyTorch's padding 1 have it; `sides` of the result."""
    kernel = w[f"{name}.transposed_kernel"]
    y = deconvolve(x, kernel, 2, (kernel.shape[0] - 2) // 2)
    return y[:, : sides[0], : sides[1]] + w.get(f"{name}.bias", 0.0)


def batch_norm(w: Weights, name: str, x: np.ndarray, y: np.ndarray | None = None, eps: float = 1e-5) -> np.ndarray:
    """1502.03167, algorithm 1. With classes y: a scale and a bias per class, 1610.07629."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    variance = ((x - mean) ** 2).mean(axes)
    scale, bias = w[f"{name}.scale"], w[f"{name}.bias"]
    if y is not None:
        shape = (len(x), *(1,) * (x.ndim - 2), x.shape[-1])
        scale, bias = scale[y].reshape(shape), bias[y].reshape(shape)
    return scale * (x - mean) / np.sqrt(variance + eps) + bias


def layer_norm(w: Weights, name: str, x: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    """1607.06450: over all numbers of an example, with a scale and a bias per channel."""
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    return w[f"{name}.scale"] * (x - mean) / np.sqrt(variance + eps) + w[f"{name}.bias"]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def leaky_relu(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def maxout(x: np.ndarray, pieces: int) -> np.ndarray:
    """1302.4389: unit u is the largest of the columns u, u + units, u + 2 units, ..."""
    units = x.shape[-1] // pieces
    return np.max([x[..., piece * units : (piece + 1) * units] for piece in range(pieces)], axis=0)


def max_pool(x: np.ndarray, window: int, stride: int) -> np.ndarray:
    """Of cuda-convnet: the last window may reach beyond the border."""
    starts = [range(0, side - window + stride, stride) for side in x.shape[1:3]]
    return np.stack(
        [np.stack([x[:, i : i + window, j : j + window].max((1, 2)) for j in starts[1]], axis=1) for i in starts[0]],
        axis=1,
    )


def average_pool(x: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def nearest(x: np.ndarray) -> np.ndarray:
    """Twice the sides, every pixel four times."""
    return np.kron(x, np.ones((1, 2, 2, 1)))


def bilinear(x: np.ndarray) -> np.ndarray:
    """Twice the sides, new pixels a quarter of the old distance from the old ones (half-pixel centers)."""
    for axis in (1, 2):
        edges = [(1, 1) if i == axis else (0, 0) for i in range(4)]
        padded = np.pad(x, edges, mode="edge")
        before, after = (np.take(padded, range(lo, lo + x.shape[axis]), axis) for lo in (0, 2))
        pairs = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def one_hot(y: np.ndarray | None, classes: int) -> np.ndarray:
    return np.zeros((0, 0)) if y is None else np.eye(classes)[y]


def joined(x: np.ndarray, y: np.ndarray | None, classes: int) -> np.ndarray:
    """Vectors, or images, and their classes as a row, or as constant channels, of 0 and 1 (1411.1784)."""
    if y is None:
        return x
    rows = one_hot(y, classes).reshape(len(x), *(1,) * (x.ndim - 2), classes)
    return np.concatenate([x, np.broadcast_to(rows, (*x.shape[:-1], classes))], axis=-1)


# Spectral normalization, 1802.05957, algorithm 1. A kernel is the matrix [inputs, units].

Vectors = dict[str, tuple[np.ndarray, np.ndarray]]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def power_iteration(w: Weights, u: Weights, moves: bool) -> Vectors:
    """One step for every layer of which u is given: by path the (v, u) that estimate the largest singular value.

    Args:
      moves: False where only v follows the stored u.
    """
    found = {}
    for path, start in u.items():
        matrix = w[path].reshape(-1, w[path].shape[-1])
        v = unit(matrix @ start)
        found[path] = v, unit(matrix.T @ v) if moves else start
    return found


def spectrally_normalized(w: Weights, vectors: Vectors) -> Weights:
    """Each kernel over v W u. v and u are constants: they stay when w changes."""
    return w | {path: w[path] / (v @ w[path].reshape(len(v), -1) @ u) for path, (v, u) in vectors.items()}


# 1406.2661: perceptrons of goodfeli/adversarial.


def mlp_generator(w, z, y=None, *, classes=0, activations, output, batch=False):
    h = joined(z, y, classes)
    for i, activation in enumerate(activations):
        h = dense(w, f"Dense_{i}", h)
        h = activation(batch_norm(w, f"BatchNorm_{i}", h) if batch else h)
    return output(dense(w, "output", h))


def maxout_discriminator(w, x, y=None, *, classes=0, layers, pieces, masks=None):
    """`masks`: of dropout, each 0 or 1 / keep, for every layer's input."""
    h = joined(x.reshape(len(x), -1), y, classes)
    for i in range(layers):
        h = h if masks is None else h * masks[i]
        h = maxout(dense(w, f"Dense_{i}", h), pieces)
    h = h if masks is None else h * masks[layers]
    return dense(w, "output", h)[:, 0]


def leaky_discriminator(w, x, y=None, *, layers, slope=0.2):
    h = x.reshape(len(x), -1)
    for i in range(layers):
        h = leaky_relu(dense(w, f"Dense_{i}", h), slope)
    return dense(w, "output", h)[:, 0]


# 1406.2661: cifar10_convolutional.yaml.


def deconv_generator(w, z, y=None, *, grid, stride):
    h = sigmoid(dense(w, "Dense_1", relu(dense(w, "Dense_0", z))))
    x = deconvolve(h.reshape(-1, *grid), w["output.transposed_kernel"], stride, 0)
    return x + w["output_bias"].reshape(x.shape[1:])


def maxout_conv_discriminator(w, x, y=None, *, paddings, pools, strides, conv_pieces, pieces):
    for i, (padding, pool, stride) in enumerate(zip(paddings, pools, strides, strict=True)):
        x = max_pool(maxout(conv(w, f"Conv_{i}", x, padding=padding), conv_pieces), pool, stride)
    return dense(w, "output", maxout(dense(w, "Dense_0", x.reshape(len(x), -1)), pieces))[:, 0]


# 1511.06434 and, without norms, the MNIST networks of 1704.00028.


def dcgan_generator(w, z, y=None, *, classes=0, sides, norm="batch", output=np.tanh):
    """`sides` of the grids, the smallest first."""
    h = dense(w, "Dense_0", z if norm == "conditional" else joined(z, y, classes)).reshape(len(z), *sides[0], -1)
    for i, side in enumerate(sides[1:]):
        if norm != "none":
            h = batch_norm(w, f"BatchNorm_{i}", h, y if norm == "conditional" else None)
        h = doubling_deconv(w, f"ConvTranspose_{i}", relu(h), side)
    return output(h)


def dcgan_discriminator(w, x, y=None, *, classes=0, layers, norm="batch", slope=0.2):
    h = leaky_relu(conv(w, "Conv_0", joined(x, y, classes), 2), slope)
    for i in range(1, layers):
        h = conv(w, f"Conv_{i}", h, 2)
        if norm != "none":
            h = batch_norm(w, f"BatchNorm_{i - 1}", h) if norm == "batch" else layer_norm(w, f"LayerNorm_{i - 1}", h)
        h = leaky_relu(h, slope)
    return dense(w, "Dense_0", h.reshape(len(h), -1))[:, 0]


# 1611.07004.


def unet_generator(w: Weights, z: np.ndarray, y: np.ndarray | None, sides: list, maps: int, norm: bool = True):
    """1611.07004, of images of sides[0] and as many numbers of the image given, behind the others; z at the bottleneck.

    Args:
      sides: of the image and of each level.
      maps: channels of the image given.
    """
    size = sides[0][0] * sides[0][1] * maps
    h, z = z[:, -size:].reshape(len(z), *sides[0], maps), z[:, :-size]
    skips, norms, last = [], iter(range(99)), len(sides) - 2
    for i in range(last + 1):
        h = conv(w, f"Conv_{i}", leaky_relu(h, 0.2) if i else h, 2)
        h = layer_norm(w, f"LayerNorm_{next(norms)}", h) if norm and 0 < i < last else h
        skips.append(h)
    h = np.concatenate([skips[last], dense(w, "Dense_0", z).reshape(skips[last].shape)], axis=-1)
    for i in range(last):
        h = doubling_deconv(w, f"ConvTranspose_{i}", relu(h), sides[last - i])
        h = layer_norm(w, f"LayerNorm_{next(norms)}", h) if norm else h
        h = np.concatenate([h, skips[last - 1 - i]], axis=-1)
    return np.tanh(doubling_deconv(w, f"ConvTranspose_{last}", relu(h), sides[0]))


def patch_discriminator(w, x, y=None, *, layers, norm=False, slope=0.2):
    """The mean logit of the patches."""
    h = x
    for i in range(layers):
        h = conv(w, f"Conv_{i}", h, 2 if i < layers - 1 else 1, padding=1)
        h = layer_norm(w, f"LayerNorm_{i - 1}", h) if norm and i else h
        h = leaky_relu(h, slope)
    return conv(w, f"Conv_{layers}", h, padding=1).mean((1, 2, 3))


# 1802.05957, table 3.


def sndcgan_generator(w, z, y=None, *, classes=0, sides):
    h = dense(w, "Dense_0", joined(z, y, classes)).reshape(len(z), *sides[0], -1)
    h = relu(batch_norm(w, "BatchNorm_0", h))
    for i, side in enumerate(sides[1:]):
        h = relu(batch_norm(w, f"BatchNorm_{i + 1}", doubling_deconv(w, f"ConvTranspose_{i}", h, side)))
    return np.tanh(conv(w, "Conv_0", h))


def sndcgan_discriminator(w, x, y=None, *, classes=0, grids, slope=0.1):
    h = joined(x, y, classes)
    for i in range(grids - 1):
        h = leaky_relu(conv(w, f"Conv_{2 * i}", h, padding=1), slope)
        h = leaky_relu(conv(w, f"Conv_{2 * i + 1}", h, stride=2, padding=1), slope)
    h = leaky_relu(conv(w, f"Conv_{2 * grids - 2}", h, padding=1), slope)
    return dense(w, "Dense_0", h.reshape(len(h), -1))[:, 0]


# 1802.05957, tables 4 and 5 of its appendix, and 1704.00028; classes as in 1802.05637.


def resnet_generator(w, z, y=None, *, side, blocks, enlarge=nearest):
    h = dense(w, "Dense_0", z).reshape(len(z), side, side, -1)
    for i in range(blocks):
        residual = enlarge(relu(batch_norm(w, f"BatchNorm_{2 * i}", h, y)))
        residual = relu(batch_norm(w, f"BatchNorm_{2 * i + 1}", conv(w, f"Conv_{3 * i}", residual, padding=1), y))
        residual = conv(w, f"Conv_{3 * i + 1}", residual, padding=1)
        h = residual + conv(w, f"Conv_{3 * i + 2}", enlarge(h))
    return np.tanh(conv(w, f"Conv_{3 * blocks}", relu(batch_norm(w, f"BatchNorm_{2 * blocks}", h)), padding=1))


def resnet_discriminator(w, x, y=None, *, down, plain, pool=np.sum):
    residual = average_pool(conv(w, "Conv_1", relu(conv(w, "Conv_0", x, padding=1)), padding=1))
    h = residual + conv(w, "Conv_2", average_pool(x))
    layer = 3
    for block in range(1, down + plain):
        residual = conv(w, f"Conv_{layer}", relu(h), padding=1)
        residual = conv(w, f"Conv_{layer + 1}", relu(residual), padding=1)
        if block < down:
            residual, h = average_pool(residual), average_pool(conv(w, f"Conv_{layer + 2}", h))
        layer += 3 if block < down else 2
        h = h + residual
    h = pool(relu(h), axis=(1, 2))
    logits = dense(w, "Dense_0", h)[:, 0]
    return logits if y is None else logits + (w["Projection_0.embedding"][y] * h).sum(1)


# 2501.05441.

FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def r3gan_block(w, name, x, groups):
    h = leaky_relu(conv(w, f"{name}.Conv_0", x) + w[f"{name}.Activation_0.bias"], 0.2)
    h = leaky_relu(conv(w, f"{name}.Conv_1", h, padding=1, groups=groups) + w[f"{name}.Activation_1.bias"], 0.2)
    return x + conv(w, f"{name}.Conv_2", h)


def channelwise(function, x: np.ndarray) -> np.ndarray:
    return np.concatenate([function(x[..., c : c + 1]) for c in range(x.shape[-1])], axis=-1)


def upsample(x: np.ndarray) -> np.ndarray:
    """Zeros between the pixels, then 4 times the filter, so that constants stay (but at the border)."""
    sides = 2 * x.shape[1], 2 * x.shape[2]
    y = channelwise(lambda one: deconvolve(one, 4 * FILTER[:, :, None, None], 2, 1), x)
    return y[:, : sides[0], : sides[1]]


def downsample(x: np.ndarray) -> np.ndarray:
    return channelwise(lambda one: convolve(one, FILTER[:, :, None, None], 2, 1), x)


def r3gan_generator(w, z, y=None, *, classes=0, widths, blocks, groups):
    z = z if y is None else np.concatenate([z, dense(w, "embed", one_hot(y, classes))], axis=1)
    x = w["basis"] * dense(w, "weights", z)[:, None, None]
    block = change = 0
    for stage, width in enumerate(widths):
        if stage and width != widths[stage - 1]:
            x = conv(w, f"Conv_{change}", x)
            change += 1
        x = upsample(x) if stage else x
        for _ in range(blocks[stage]):
            x = r3gan_block(w, f"Block_{block}", x, groups[stage])
            block += 1
    return conv(w, f"Conv_{change}", x)


def r3gan_discriminator(w, x, y=None, *, classes=0, widths, blocks, groups):
    x = conv(w, "Conv_0", x)
    block, change = 0, 1
    for stage, width in enumerate(widths):
        x = downsample(x) if stage else x
        if stage and width != widths[stage - 1]:
            x = conv(w, f"Conv_{change}", x)
            change += 1
        for _ in range(blocks[stage]):
            x = r3gan_block(w, f"Block_{block}", x, groups[stage])
            block += 1
    h = dense(w, "Dense_0", (x * w["grid"]).sum((1, 2)))
    return h[:, 0] if y is None else (h * dense(w, "embed", one_hot(y, classes))).sum(1)


# 1801.04406: the Dirac-GAN.


def dirac_generator(w, z, y=None):
    return np.tile(w["theta"], (len(z), *(1,) * w["theta"].ndim))


def dirac_discriminator(w, x, y=None):
    return (x * w["psi"]).reshape(len(x), -1).sum(1)


# Laws of the initial weights: the standard deviation of each.


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of one number of a kernel [..., inputs, units]."""
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def glorot(shape: tuple[int, ...]) -> float:
    """Of the uniform law of Glorot and Bengio, [-b, b] with b = sqrt(6 / (fan in + fan out))."""
    return math.sqrt(2 / sum(fans(shape)))
