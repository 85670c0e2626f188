"""The two players of the game as pure functions, with everything static that a step needs to know."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan import ema
from jaxgan.config import chosen
from jaxgan.config.fields import keywords
from jaxgan.data import Dataset, value_range
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.hparams import HParams, of, traced
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.norms import MOMENTUM, STATISTICS
from jaxgan.objectives.losses import LOSSES, Loss
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.optimizers import Epochs, limit_column_norm
from jaxgan.state import GanState, Player, run_stream

STATISTICS_BATCHES = 50  # minibatches that a sampled G's batch statistics are measured on


class Gan(NamedTuple):
    """Functions and settings, no arrays. Parameters and statistics are always the first arguments."""

    # (theta_g, stats, z [n, d], y [n] or None, *, train, axis_name) -> x [n, *shape], stats
    G: Callable[..., tuple[jax.Array, Any]]
    # (theta_d, stats, x [n, *shape], y [n] or None, dropout keys [n] or None, *, train, once, axis_name)
    #  -> logits [n], stats
    D: Callable[..., tuple[jax.Array, Any]]
    draw_z: Callable[[HParams, jax.Array], jax.Array]  # (hparams, key) -> one z [d]
    decode: Callable[[jax.Array], jax.Array]  # stored examples -> float32, the range of G
    view: Callable[[HParams, jax.Array, jax.Array], jax.Array]  # (hparams, x, keys [n]) -> x, augmented
    optimizer: Callable[[str, HParams], optax.GradientTransformation]  # (player, hparams)
    init: Callable[[HParams], GanState]
    loss: Loss
    penalties: tuple[tuple[str, Callable], ...]  # those that are on, with their names
    averages: tuple[ema.Average, ...]  # of theta_g
    ramp: float  # of the averages' half-lives
    m: int  # minibatch size, over all devices
    k: int  # ascent steps on D for one descent step on G
    simultaneous: bool  # the 2014 code's update in place of Algorithm 1's
    classes: int  # that the players are told; 0 = none
    label_classes: int  # of the data's labels, of which a stack of images has the product
    stack: int  # stored images in an example


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


def mean_example(train: np.ndarray, gcn: float) -> np.ndarray:
    """The mean of the decoded training examples, float64 [*shape]."""
    if gcn == 0 and train.dtype == np.uint8:
        # Exact, and without a float copy of the training set.
        return train.sum(axis=0, dtype=np.uint64) / (255.0 * len(train))
    chunks = np.array_split(train, -(-len(train) // 10_000))
    return sum(np.asarray(decode(chunk, gcn)).sum(axis=0, dtype=np.float64) for chunk in chunks) / len(train)


def spec_of(config: ConfigDict, dataset: Dataset) -> DataSpec:
    """What the networks have to know about the data, all but its mean.

    Raises:
      UserError: labels asked of data without them.
    """
    if config.conditional == "label" and not dataset.classes:
        raise UserError(
            f"conditional=label needs classes, but {config.data.name} has no labels; set conditional=none, or give "
            f"the data labels: class sub-folders, or an array train_labels."
        )
    classes = dataset.classes if config.conditional == "label" else 0
    return DataSpec(dataset.shape, classes, value_range(dataset, config.data.gcn))


def build_for(config: ConfigDict, dataset: Dataset) -> Gan:
    """The game that `config` describes, ready to start on this data.

    Raises:
      UserError: fewer training examples than a minibatch has, or what a part of the game refuses.
    """
    m, n = config.train.batch_size, len(dataset.train)
    if m > n:
        raise UserError(
            f"train.batch_size={m} is larger than the training set of {n} examples ({config.data.name}); make it "
            f"smaller."
        )
    mean = np.tile(mean_example(dataset.train, config.data.gcn), dataset.stack)
    spec = spec_of(config, dataset)._replace(mean=mean)
    return build(config, spec, n, label_classes=dataset.classes, stack=dataset.stack)


def build(config: ConfigDict, data: DataSpec, examples: int, *, label_classes: int = 0, stack: int = 1) -> Gan:
    """The game that `config` describes.

    Args:
      data: its mean is needed only to start a run.
      examples: in the training set, the length of an epoch.
      label_classes: of the data's labels.
      stack: stored images in an example.

    Raises:
      UserError: a family that does not fit the data.
    """
    generator, discriminator = (chosen(config, player, data=data) for player in ("generator", "discriminator"))
    for network in (generator, discriminator):
        if hasattr(network, "check"):
            network.check()
    precision = None if config.train.precision == "default" else config.train.precision
    draw = prior(config.prior.name, config.prior.size)
    optimizer = partial(player_optimizer, config, examples)
    averages = ema.averages(config.generator.ema)

    def init(hparams: HParams) -> GanState:
        key_g, key_d = jax.random.split(run_stream(hparams, "init"))
        y = jnp.zeros((1,), jnp.int32) if data.classes else None
        theta_g, g_stats = _parted(generator.init(key_g, jnp.zeros((1, config.prior.size)), y))
        theta_d, d_stats = _parted(discriminator.init(key_d, jnp.zeros((1, *data.shape)), y))
        return GanState(
            step=jnp.zeros((), jnp.uint32),
            restores=jnp.zeros((), jnp.uint32),
            generator=Player(theta_g, g_stats, optimizer("generator", hparams).init(theta_g)),
            discriminator=Player(theta_d, d_stats, optimizer("discriminator", hparams).init(theta_d)),
            averages=tuple(jax.tree.map(jnp.copy, theta_g) for _ in averages),
        )

    def view(hparams: HParams, x: jax.Array, keys: jax.Array) -> jax.Array:
        return dataclasses.replace(chosen(config, "augment"), **of(hparams, "augment"))(x, keys)

    # An augmentation that cannot take the data says so now.
    jax.eval_shape(partial(view, traced(config)), jnp.zeros((1, *data.shape)), jax.random.split(jax.random.key(0), 1))
    weights = config.objective.penalties
    return Gan(
        G=partial(_apply, generator, precision),
        D=partial(_apply, discriminator, precision),
        draw_z=lambda hparams, key: draw(key) * hparams["prior.scale"],
        decode=lambda x: decode(x, config.data.gcn),
        view=view,
        optimizer=optimizer,
        init=init,
        loss=LOSSES[config.objective.loss],
        penalties=tuple((name, penalty) for name, penalty in PENALTIES.items() if weights[name]),
        averages=averages,
        ramp=config.generator.ema.ramp,
        m=config.train.batch_size,
        k=config.train.d_steps,
        simultaneous=config.train["update"] == "simultaneous",
        classes=data.classes,
        label_classes=label_classes,
        stack=stack,
    )


def player_optimizer(config: ConfigDict, examples: int, player: str, hparams: HParams) -> optax.GradientTransformation:
    """The optimizer of 'generator' or 'discriminator', with its learning rate on its schedule.

    Args:
      examples: in the training set, the length of an epoch.
      hparams: the traced numbers, scalars.
    """
    path = f"optimizer.{player}"
    schedule = dataclasses.replace(chosen(config, f"{path}.schedule"), **of(hparams, f"{path}.schedule"))
    optimizer = dataclasses.replace(chosen(config, path), **of(hparams, path))
    per_update = config.train.batch_size * (config.train.d_steps if player == "generator" else 1)
    rate = jnp.asarray(optimizer.learning_rate)
    found = optimizer.transformation(partial(schedule, rate), Epochs(per_update, examples))
    limit = config.optimizer[player].max_column_norm
    return optax.chain(found, limit_column_norm(limit)) if limit else found


def _parted(variables: dict) -> tuple[optax.Params, dict]:
    """Flax's variables as parameters and statistics."""
    return variables["params"], {name: tree for name, tree in variables.items() if name != "params"}


def _apply(network, precision, params, stats, x, *args, train: bool = False, once: bool = False, axis_name=None):
    """A forward pass, and the statistics after it.

    Args:
      train: normalize by the minibatch's statistics and update them; else by those that are given.
      once: also move what moves once per update of the player (spectral vectors).
    """
    # The precision here rather than around the step: training, samples and scores share it, and so do gradients.
    with jax.default_matmul_precision(precision):
        moved = [name for name in stats if train and (once or name == STATISTICS)]
        if not moved:
            return network.apply({"params": params, **stats}, x, *args, axis_name=axis_name), stats
        out, new = network.apply({"params": params, **stats}, x, *args, axis_name=axis_name, mutable=moved)
        return out, {**stats, **new}


def loss_of(
    gan: Gan, hparams: HParams, player: str, real_logits: jax.Array | None, fake_logits: jax.Array
) -> jax.Array:
    """What 'discriminator' or 'generator' descends, per example: [m] float32.

    Args:
      real_logits, fake_logits: [m] of the global minibatch.
    """
    function = getattr(gan.loss, player)
    return function(real_logits, fake_logits, **keywords(function, of(hparams, "objective")))


def sampling_statistics(gan: Gan, hparams: HParams, params: optax.Params, stats: Any) -> Any:
    """The batch statistics of the very parameters that are sampled, from minibatches of fixed z; others as they are.

    Training leaves statistics that lag behind theta_g, and none for its averages.
    """
    if STATISTICS not in stats:
        return stats
    key = run_stream(hparams, "statistics")

    def body(number: jax.Array, found: Any) -> Any:
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(key, number), i))(jnp.arange(gan.m))
        z, y = draw_inputs(gan, hparams, keys)
        return gan.G(params, found, z, y, train=True)[1]

    zero = {**stats, STATISTICS: jax.tree.map(jnp.zeros_like, stats[STATISTICS])}
    found = jax.lax.fori_loop(0, STATISTICS_BATCHES, body, zero)
    share = 1 - MOMENTUM**STATISTICS_BATCHES  # of the minibatches; the rest is the zero that they began with
    return {**found, STATISTICS: jax.tree.map(lambda s: s / share, found[STATISTICS])}


def draw_inputs(gan: Gan, hparams: HParams, keys: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    """z [n, d] float32, and classes [n] int32, all equally likely, or None; one key per sample."""
    z = jax.vmap(lambda key: gan.draw_z(hparams, jax.random.fold_in(key, 0)))(keys)
    if not gan.classes:
        return z, None
    draw = lambda key: jax.random.randint(jax.random.fold_in(key, 1), (), 0, gan.classes)  # noqa: E731
    return z, jax.vmap(draw)(keys)


def sample(
    gan: Gan,
    hparams: HParams,
    params: optax.Params,
    stats: Any,
    *,
    key: jax.Array,
    numbers: jax.Array,
    y: jax.Array | None = None,
) -> jax.Array:
    """Samples of p_g: [n, *shape] float32 in the range of the data.

    Args:
      params, stats: of G; the statistics are those of `sampling_statistics`.
      key: typed PRNG key of a stream of samples.
      numbers: [n] uint32, which of the stream: sample i depends on (key, i) alone, however many
        are drawn and in whatever batches.
      y: [n] int32, their classes; None draws them, where there are any.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)
    z, drawn = draw_inputs(gan, hparams, keys)
    return gan.G(params, stats, z, drawn if y is None else y)[0]
