"""The Inception-v3 of FID, KID and the Inception Score, and the command that converts its released weights:

    python -m jaxgan.features.inception --weights=weights-inception-2015-12-05-6726825d.pth --out=inception.npz

This is the network of 2015-12-05 (arXiv:1512.00567; for FID arXiv:1706.08500, section 4). It differs from that of
torchvision: 3x3 average pooling excludes the padding, Mixed_7c uses max pooling, there are 1008 outputs, and images are
resized as in TensorFlow 1. Layers are named as in torchvision and in the released torch files.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan import errors
from jaxgan.arrays import AnyArray
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features import inception_weights
from jaxgan.features.pixels import to_bytes
from jaxgan.features.protocol import FeatureSpace, SpaceType
from jaxgan.features.resize import tensorflow1_bilinear
from jaxgan.spread import round_robin

SIDE = 299  # pixels of the network's input
FEATURES = 2048
LOGITS = 1008
BATCH_SIZE = 32  # images per call of the compiled program; about 1 GB
RELEASED = "6726825d"  # the first digits of the released torch file's SHA-256

# --- the network as a table ---


class Conv(NamedTuple):
    """Convolution without bias, batch normalization, ReLU."""

    name: str
    features: int
    kernel: tuple[int, int] = (1, 1)  # height, width
    stride: int = 1
    padding: str = "SAME"


class Branches(NamedTuple):
    """Chains of layers on the same input whose outputs are concatenated; unnamed within another branch."""

    name: str | None
    chains: tuple[tuple[Layer, ...], ...]


Layer = Conv | Branches | Callable[[jax.Array], jax.Array]

average_pool = partial(nn.avg_pool, window_shape=(3, 3), strides=(1, 1), padding="SAME", count_include_pad=False)
max_pool = partial(nn.max_pool, window_shape=(3, 3), strides=(1, 1), padding="SAME")
halve = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2), padding="VALID")


def mixed_5(name: str, pool: int) -> Branches:
    five = (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5)))
    double = (
        Conv("branch3x3dbl_1", 64),
        Conv("branch3x3dbl_2", 96, (3, 3)),
        Conv("branch3x3dbl_3", 96, (3, 3)),
    )
    return Branches(name, ((Conv("branch1x1", 64),), five, double, (average_pool, Conv("branch_pool", pool))))


def mixed_6(name: str, width: int) -> Branches:
    seven = (
        Conv("branch7x7_1", width),
        Conv("branch7x7_2", width, (1, 7)),
        Conv("branch7x7_3", 192, (7, 1)),
    )
    double = (
        Conv("branch7x7dbl_1", width),
        Conv("branch7x7dbl_2", width, (7, 1)),
        Conv("branch7x7dbl_3", width, (1, 7)),
        Conv("branch7x7dbl_4", width, (7, 1)),
        Conv("branch7x7dbl_5", 192, (1, 7)),
    )
    return Branches(name, ((Conv("branch1x1", 192),), seven, double, (average_pool, Conv("branch_pool", 192))))


def mixed_7(name: str, pool: Callable) -> Branches:
    def fork(left: str, right: str) -> Branches:
        return Branches(None, ((Conv(left, 384, (1, 3)),), (Conv(right, 384, (3, 1)),)))

    three = (Conv("branch3x3_1", 384), fork("branch3x3_2a", "branch3x3_2b"))
    double = (
        Conv("branch3x3dbl_1", 448),
        Conv("branch3x3dbl_2", 384, (3, 3)),
        fork("branch3x3dbl_3a", "branch3x3dbl_3b"),
    )
    return Branches(name, ((Conv("branch1x1", 320),), three, double, (pool, Conv("branch_pool", 192))))


LAYERS: tuple[Layer, ...] = (
    Conv("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),  # 149 x 149
    Conv("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),  # 147
    Conv("Conv2d_2b_3x3", 64, (3, 3)),
    halve,  # 73
    Conv("Conv2d_3b_1x1", 80),
    Conv("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"),  # 71
    halve,  # 35
    mixed_5("Mixed_5b", pool=32),  # 256 channels
    mixed_5("Mixed_5c", pool=64),  # 288
    mixed_5("Mixed_5d", pool=64),
    Branches(
        "Mixed_6a",  # 17 x 17, 768 channels
        (
            (Conv("branch3x3", 384, (3, 3), 2, "VALID"),),
            (
                Conv("branch3x3dbl_1", 64),
                Conv("branch3x3dbl_2", 96, (3, 3)),
                Conv("branch3x3dbl_3", 96, (3, 3), 2, "VALID"),
            ),
            (halve,),
        ),
    ),
    mixed_6("Mixed_6b", width=128),
    mixed_6("Mixed_6c", width=160),
    mixed_6("Mixed_6d", width=160),
    mixed_6("Mixed_6e", width=192),
    Branches(
        "Mixed_7a",  # 8 x 8, 1280 channels
        (
            (Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), 2, "VALID")),
            (
                Conv("branch7x7x3_1", 192),
                Conv("branch7x7x3_2", 192, (1, 7)),
                Conv("branch7x7x3_3", 192, (7, 1)),
                Conv("branch7x7x3_4", 192, (3, 3), 2, "VALID"),
            ),
            (halve,),
        ),
    ),
    mixed_7("Mixed_7b", average_pool),  # 2048 channels
    mixed_7("Mixed_7c", max_pool),
)

# --- the network ---


class ConvNormRelu(nn.Module):
    """One `Conv` of the table: [n, H, W, C] float32 -> [n, H', W', features] float32."""

    layer: Conv

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        _, features, kernel, stride, padding = self.layer
        x = nn.Conv(
            features,
            kernel,
            (stride, stride),
            padding,
            use_bias=False,
            precision=jax.lax.Precision.HIGHEST,
            name="conv",
        )(x)
        return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(x))


class Chain(nn.Module):
    """A sequence of layers of the table."""

    layers: tuple[Layer, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return _apply(self.layers, x)


def _apply(layers: tuple[Layer, ...], x: jax.Array) -> jax.Array:
    """Applies layers; call it in a compact module, whose submodules they become."""
    for layer in layers:
        if isinstance(layer, Conv):
            x = ConvNormRelu(layer, name=layer.name)(x)
        elif not isinstance(layer, Branches):
            x = layer(x)
        elif layer.name:
            x = Chain((layer._replace(name=None),), name=layer.name)(x)
        else:
            x = jnp.concatenate([_apply(chain, x) for chain in layer.chains], axis=-1)
    return x


class InceptionV3(nn.Module):
    """[n, 299, 299, 3] float32 in [-1, 1) -> pool3 [n, 2048] and logits [n, 1008], both float32."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        pool3 = jnp.mean(_apply(LAYERS, x), axis=(1, 2))
        return pool3, nn.Dense(LOGITS, precision=jax.lax.Precision.HIGHEST, name="fc")(pool3)


def activations(variables: Mapping, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """pool3 [n, 2048] and logits [n, 1008] of images [n, H, W, 3] uint8; for jit, vmap or pmap."""
    x = (tensorflow1_bilinear(images, (SIDE, SIDE)) - 128) / 128
    return InceptionV3().apply(variables, x)  # type: ignore[return-value]  # `apply` may return variables too


_activations = jax.jit(activations)


@cache
def shapes() -> dict[str, tuple[int, ...]]:
    """The network's arrays: {"params/Conv2d_1a_3x3/conv/kernel": (3, 3, 3, 32), ...}."""
    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    variables = jax.eval_shape(InceptionV3().init, jax.random.key(0), image)
    return {name: leaf.shape for name, leaf in flatten_dict(variables, sep="/").items()}


def tensorflow_scopes() -> dict[str, str]:
    """The name of each layer in the TensorFlow graph: {"Mixed_5b/branch5x5_1": "mixed/tower/conv", ...}.

    These are numbered: a block's first branch is conv if it is a single layer; the others are tower, tower_1, ..., and
    their layers conv, conv_1, ....
    """
    return dict(_scopes(LAYERS, "", ""))


def _scopes(layers: tuple[Layer, ...], path: str, scope: str) -> Iterator[tuple[str, str]]:
    convs, blocks = _numbered("conv"), _numbered("mixed")
    for layer in layers:
        if isinstance(layer, Conv):
            yield path + layer.name, scope + next(convs)
        elif isinstance(layer, Branches):
            inside = f"{path}{layer.name}/" if layer.name else path
            block, singles, towers = f"{scope}{next(blocks)}/", _numbered("conv"), _numbered("tower")
            for chain in layer.chains:
                if len(chain) == 1 and isinstance(chain[0], Conv):
                    yield inside + chain[0].name, block + next(singles)
                elif any(isinstance(part, Conv) for part in chain):
                    yield from _scopes(chain, inside, f"{block}{next(towers)}/")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 0
    while True:
        number += 1
        yield f"{name}_{number}"


# --- with weights ---


@dataclasses.dataclass(frozen=True)
class Inception:
    """The network with its weights; call it on images."""

    variables: Mapping
    weights_sha256: str  # of the released file

    def __call__(self, images: AnyArray) -> tuple[np.ndarray, np.ndarray]:
        """Features for FID, KID, precision and recall, and logits.

        Args:
          images: [n, H, W, 3] uint8 RGB, or [n, H, W, 1] uint8 grey, of any size.

        Returns:
          pool3 [n, 2048] and logits [n, 1008], both float32: torch-fidelity's "2048" and "logits". The logits include
          the bias; the Inception Score uses those without, `logits_unbiased(pool3)`.

        Raises:
          UserError: wrong dtype or shape.
        """
        images = _rgb(images)
        size = min(BATCH_SIZE, len(images))
        padded = np.pad(images, [(0, -len(images) % size), (0, 0), (0, 0), (0, 0)])  # one shape, compiled once
        batches = [(batch,) for batch in np.split(padded, len(padded) // size)]
        outputs = round_robin(_activations, self.variables, batches)
        pool3, logits = (np.concatenate(parts)[: len(images)] for parts in zip(*outputs, strict=True))
        return pool3, logits

    def features(self, images: AnyArray) -> np.ndarray:
        """pool3 alone: [n, 2048] float32."""
        return self(images)[0]

    def logits_unbiased(self, pool3: AnyArray) -> np.ndarray:
        """Logits without the bias, as in the original Inception Score: [n, 2048] -> [n, 1008] float32.

        torch-fidelity's "logits_unbiased". Being a function of the features, they need no cache of their own.
        """
        return np.asarray(pool3, np.float32) @ np.asarray(self.variables["params"]["fc"]["kernel"])


def load(path: str | Path) -> Inception:
    """The network with the weights in an .npz written by this module's command.

    Raises:
      UserError: the file does not exist, is damaged, or is of another network.
    """
    arrays, sha256 = inception_weights.load(Path(path).expanduser(), shapes())
    return Inception(jax.tree.map(jnp.asarray, unflatten_dict(arrays, sep="/")), sha256)


def _rgb(images: AnyArray) -> np.ndarray:
    images = np.asarray(images)
    if images.dtype != np.uint8:
        span = f" from {images.min():.4g} to {images.max():.4g}" if images.size and images.dtype.kind in "fiu" else ""
        raise UserError(
            f"Inception takes uint8 images from 0 to 255, but these are {images.dtype}{span}; "
            f"convert images in [-1, 1] with clip(127.5 x + 128, 0, 255) and astype(uint8)."
        )
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise UserError(f"Inception takes images [n, H, W, 3] or [n, H, W, 1], but these are {list(images.shape)}.")
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


# --- the command ---


def load_space(argument: str, dataset: Dataset) -> FeatureSpace:
    """The space of the network whose converted weights are in the file `argument`.

    Raises:
      UserError: weights that cannot be read, or images that are neither grey nor RGB.
    """
    network = load(argument)
    if dataset.shape[-1] not in (1, 3):
        raise UserError(
            f"evaluate.features=inception:{argument} takes images of 1 or 3 channels, not {dataset.shape[-1]}."
        )

    def outputs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pool3 = network.features(to_bytes(x))
        return pool3, network.logits_unbiased(pool3)

    metadata = {"name": "inception", "sha256": network.weights_sha256, "images": "uint8, resized as TensorFlow 1 does"}
    return FeatureSpace("inception", outputs, metadata)


SPACE = SpaceType(
    load_space,
    dimensions=lambda dataset: FEATURES,
    argument="FILE.npz",
    for_images=True,
    has_logits=True,
    slow=True,
)


def convert(weights: Path, out: Path) -> str:
    """Converts released weights to an .npz for `load`; returns the SHA-256 of the released file.

    Raises:
      UserError: as `inception_weights.read` and `write`; `out` is then unchanged.
    """
    if out.suffix != ".npz" or not out.parent.is_dir():
        raise UserError(f"--out={out} must be a FILE.npz in an existing directory.")
    arrays, sha256 = inception_weights.read(weights, shapes(), tensorflow_scopes())
    inception_weights.write(out, arrays, weights.name, sha256)
    return sha256


def main() -> int:
    parser = errors.ArgumentParser(
        "python -m jaxgan.features.inception",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, required=True, help="the released .pth, .pb or .tgz")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    flags = parser.parse_args()
    sha256 = convert(flags.weights, flags.out)
    count = sum(math.prod(shape) for name, shape in shapes().items() if name.startswith("params/"))
    kind = "the released torch file" if sha256.startswith(RELEASED) else f"not the torch file {RELEASED}..."
    print(f"{flags.out}: {count:,} parameters from {flags.weights} (SHA-256 {sha256}: {kind})")
    return 0


if __name__ == "__main__":
    sys.exit(errors.run_cli(main))
