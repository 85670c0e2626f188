"""The two players of the game as pure functions, with everything static that a step needs to know."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan import optimizers
from jaxgan.data import Dataset
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.hparams import HParams
from jaxgan.networks import conv, mlp
from jaxgan.networks.layers import sparse_init, uniform_init
from jaxgan.state import GanState, Player, stream


class Gan(NamedTuple):
    """Functions and settings, no arrays. Parameters are always the first argument."""

    G: Callable[..., jax.Array]  # (theta_g, z [n, d]) -> x [n, *shape]
    D: Callable[..., jax.Array]  # (theta_d, x [n, *shape], dropout keys [n] or None) -> logits [n]
    draw_z: Callable[[HParams, jax.Array], jax.Array]  # (hparams, key) -> one z [d]
    decode: Callable[[jax.Array], jax.Array]  # stored examples -> float32, the range of G
    optimizer: Callable[[str, HParams], optax.GradientTransformation]  # (player, hparams)
    init: Callable[[HParams], GanState]
    m: int  # minibatch size, over all devices
    k: int  # ascent steps on D for one descent step on G
    simultaneous: bool  # the 2014 code's update in place of Algorithm 1's
    average: float  # the power of the mean of theta_g over the steps; 0 = none is kept
    gradient_penalty: float  # the weight of R1 in D's loss; 0 = none


def prior(name: str, size: int) -> Callable[[jax.Array], jax.Array]:
    """p_z: key -> z [size] float32, with mean 0 and variance 1 in each dimension.

    'uniform' on [-sqrt 3, sqrt 3] (the 2014 code's MNIST), 'normal', or 'sphere': a normal draw
    divided by its root mean square.
    """

    def draw(key: jax.Array) -> jax.Array:
        if name == "uniform":
            return jax.random.uniform(key, (size,), minval=-math.sqrt(3), maxval=math.sqrt(3))
        z = jax.random.normal(key, (size,))
        return z if name == "normal" else z * jax.lax.rsqrt(jnp.mean(z * z))

    return draw


def output_bias(mean: np.ndarray, output: str) -> np.ndarray:
    """The bias that makes G's first samples equal the mean example.

    Means are clipped at 1e-7, as the 2014 code does: with a larger clip D sees the residue in
    pixels that are always black, wins outright, and G never learns.
    """
    mean = np.asarray(mean, np.float64).reshape(-1)
    if output == "sigmoid":
        mean = np.clip(mean, 1e-7, 1 - 1e-7)
        return (np.log(mean) - np.log1p(-mean)).astype(np.float32)
    return mean.astype(np.float32)


def mean_example(train: np.ndarray, contrast: float) -> np.ndarray:
    """The mean of the decoded training examples, float64 [*shape]."""
    if contrast == 0 and train.dtype == np.uint8:
        # Exact, and without a float copy of the training set.
        return train.sum(axis=0, dtype=np.uint64) / (255.0 * len(train))
    chunks = np.array_split(train, -(-len(train) // 10_000))
    return sum(np.asarray(decode(chunk, contrast)).sum(axis=0, dtype=np.float64) for chunk in chunks) / len(train)


def build_for(config: ConfigDict, dataset: Dataset) -> Gan:
    """The game that `config` describes, ready to start on this data.

    Raises:
      UserError: fewer training examples than a minibatch has.
    """
    m, n = config.train.batch_size, len(dataset.train)
    if m > n:
        raise UserError(
            f"train.batch_size={m} is larger than the training set of {n} examples ({config.data.name}); make it "
            f"smaller."
        )
    return build(config, dataset.train.shape[1:], n, mean_example(dataset.train, config.data.contrast))


def build(config: ConfigDict, shape: tuple[int, ...], examples: int, mean: np.ndarray | None = None) -> Gan:
    """The game that `config` describes.

    Args:
      shape: of one example, such as (28, 28, 1).
      examples: in the training set, the length of an epoch.
      mean: [*shape], the training set's mean (`mean_example`); needed only to start a run.
    """
    g, d = config.generator, config.discriminator
    bias = np.zeros(math.prod(shape), np.float32)
    if g.output_bias and mean is not None:
        bias = output_bias(mean, g.output)
    output_init = sparse_init(g.output_sparse) if g.output_sparse else uniform_init(g.output_irange)
    bias_init = lambda *_: jnp.asarray(bias)  # noqa: E731
    layers = (shape, g.hidden, g.activations, g.output, g.irange, g.sigmoid_bias, output_init, bias_init)
    if g.name == "conv":
        generator = conv.Generator(*layers, g.conv.grid, g.conv.kernel, g.conv.stride)
    else:
        generator = mlp.Generator(*layers)
    keeps = (d.input_keep, d.hidden_keep)
    if d.name == "conv":
        c = d.conv
        layers = (c.channels, c.kernels, c.paddings, c.pools, c.strides, c.pieces)
        discriminator = conv.Discriminator(*layers, d.hidden, d.pieces, d.irange, *keeps)
    else:
        discriminator = mlp.Discriminator(d.hidden, d.activation, d.pieces, d.irange, *keeps)
    draw, precision = prior(config.prior.name, config.prior.size), config.train.precision

    def optimizer(player: str, hparams: HParams) -> optax.GradientTransformation:
        return optimizers.build(player, config, hparams, examples)

    def init(hparams: HParams) -> GanState:
        key_g, key_d = jax.random.split(stream(hparams, "init"))
        theta_g = generator.init(key_g, jnp.zeros((1, config.prior.size)))["params"]
        theta_d = discriminator.init(key_d, jnp.zeros((1, *shape)))["params"]
        return GanState(
            step=jnp.zeros((), jnp.uint32),
            restores=jnp.zeros((), jnp.uint32),
            generator=Player(theta_g, optimizer("generator", hparams).init(theta_g)),
            discriminator=Player(theta_d, optimizer("discriminator", hparams).init(theta_d)),
            average=jax.tree.map(jnp.copy, theta_g) if g.average else (),
        )

    def apply(network, theta: optax.Params, *args) -> jax.Array:
        # Here rather than around the step: training, samples and scores share it, and so do gradients.
        with jax.default_matmul_precision(None if precision == "default" else precision):
            return network.apply({"params": theta}, *args)

    return Gan(
        G=lambda theta, z: apply(generator, theta, z),
        D=lambda theta, x, keys=None: apply(discriminator, theta, x, keys),
        draw_z=lambda hparams, key: draw(key) * hparams["prior.scale"],
        decode=lambda x: decode(x, config.data.contrast),
        optimizer=optimizer,
        init=init,
        m=config.train.batch_size,
        k=config.train.d_steps,
        simultaneous=config.train["update"] == "simultaneous",
        average=g.average,
        gradient_penalty=d.gradient_penalty,
    )


def sample(gan: Gan, hparams: HParams, theta_g: optax.Params, key: jax.Array, examples: jax.Array) -> jax.Array:
    """Samples of p_g: [n, *shape] float32 in the range of the data.

    Args:
      key: typed PRNG key of a stream of samples.
      examples: [n] uint32, which of the stream: sample i depends on (key, i) alone, however many
        are drawn and in whatever portions.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(examples)
    return gan.G(theta_g, jax.vmap(lambda k: gan.draw_z(hparams, k))(keys))
