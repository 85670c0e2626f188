"""The two players of the game as pure functions, with everything static that a step needs to know."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan import ema
from jaxgan.augment import Nothing
from jaxgan.config import chosen, whole_minibatch
from jaxgan.config.fields import keywords
from jaxgan.data import Dataset, check_classes, value_range
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.hparams import HParams, of, traced
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.norms import MOMENTUM, STATISTICS
from jaxgan.networks.spectral import SPECTRAL
from jaxgan.objectives.losses import LOSSES, Loss
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.regularizers import LECAM, discriminator_terms, generator_terms, initial_anchors
from jaxgan.optimizers import Epochs, clip_weights, limit_column_norm, optimistic, scheduled
from jaxgan.state import GanState, Player, run_stream

AUGMENT = "augment"  # of the augmentation's state, among the statistics of D
STATISTICS_BATCHES = 50  # minibatches that a sampled G's batch statistics are measured on


class Gan(NamedTuple):
    """Functions and settings, no arrays. Parameters and statistics are always the first arguments."""

    # (theta_g, stats, z [n, d], y [n] or None, *, train, once, axis_name) -> x [n, *shape], stats
    G: Callable[..., tuple[jax.Array, Any]]
    # (theta_d, stats, x [n, *shape], y [n] or None, dropout keys [n] or None, *, train, once, axis_name)
    #  -> logits [n], stats; with an auxiliary classifier [n, 1 + K], D's own first (`verdict`)
    D: Callable[..., tuple[jax.Array, Any]]
    draw_z: Callable[[HParams, jax.Array], jax.Array]  # (hparams, key) -> one z [d]
    decode: Callable[[jax.Array], jax.Array]  # stored examples -> float32, the range of G
    augment: Callable[[HParams], Nothing]  # what examples go through on their way to D
    optimizer: Callable[[str, HParams], optax.GradientTransformation]  # (player, hparams)
    init: Callable[[HParams], GanState]
    loss: Loss
    penalties: tuple[tuple[str, Callable], ...]  # those that are on, with their names
    penalty_every: int  # updates of D from one with penalties to the next
    penalty_factor: Callable[[HParams, jax.Array], jax.Array]  # (hparams, updates of D) -> of the weights
    d_terms: tuple[tuple[str, Callable], ...]  # further terms of D's loss that are on: see regularizers.py
    g_terms: tuple[tuple[str, Callable], ...]
    top_k: bool  # G descends a part of the minibatch
    averages: tuple[ema.Average, ...]  # of theta_g
    ramp: float  # of the averages' half-lives
    rise: float  # images over which the half-lives rise; 0 = at once
    m: int  # minibatch size, over all devices
    g_m: int  # ... of G's step
    k: int  # ascent steps on D for one descent step on G
    accumulate: int  # parts of a minibatch that a gradient is added up from
    update: str  # train.update
    lookahead: int  # steps after which the players go back part of the way; 0 = never
    lookahead_rate: float  # the part that stays
    classes: int  # that the players are told; 0 = none
    asked: int  # those that D is asked for instead
    label_classes: int  # of the data's labels, of which a stack of images has the product
    stack: int  # stored images in an example


class Verdict(NamedTuple):
    """What D says of examples."""

    logits: jax.Array  # [n] float32
    classes: jax.Array | None = None  # [n, K] logits of its auxiliary classifier, where it has one


def verdict(outputs: jax.Array) -> Verdict:
    """D's outputs, [n] or [n, 1 + K], by their meaning."""
    return Verdict(outputs) if outputs.ndim == 1 else Verdict(outputs[:, 0], outputs[:, 1:])


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


def mean_example(train: np.ndarray, gcn: float, low: float) -> np.ndarray:
    """The mean of the decoded training examples, float64 [*shape]."""
    if gcn == 0 and train.dtype == np.uint8:
        # Exact, and without a float copy of the training set.
        return train.sum(axis=0, dtype=np.uint64) / (255.0 * len(train)) * (1 - low) + low
    chunks = np.array_split(train, -(-len(train) // 10_000))
    return sum(np.asarray(decode(chunk, gcn, low)).sum(axis=0, dtype=np.float64) for chunk in chunks) / len(train)


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
    return DataSpec(dataset.shape, classes, value_range(dataset, config.data.gcn, config.data.low))


def build_for(config: ConfigDict, dataset: Dataset) -> Gan:
    """The game that `config` describes, ready to start on this data.

    Raises:
      UserError: fewer training examples than a minibatch has, a class without one that the players are told, or what
        a part of the game refuses.
    """
    m, n = config.train.batch_size, len(dataset.train)
    if m > n and dataset.stack == 1:
        raise UserError(
            f"train.batch_size={m} is larger than the training set of {n} examples ({config.data.name}); make it "
            f"smaller."
        )
    if config.conditional == "label":
        check_classes(dataset)
    mean = np.tile(mean_example(dataset.train, config.data.gcn, config.data.low), dataset.stack)
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
    generator, discriminator = _networks(config, data)
    packing, weights = config.discriminator.packing, config.objective.penalties
    precision = None if config.train.precision == "default" else config.train.precision
    draw = prior(config.prior.name, config.prior.size)
    optimizer = partial(player_optimizer, config, examples)

    def augment(hparams: HParams) -> Nothing:
        return dataclasses.replace(chosen(config, "augment", data=data), **of(hparams, "augment"))

    gan = Gan(
        G=partial(_apply, generator, precision),
        D=partial(_apply_packed, packing, partial(_apply, discriminator, precision)),
        draw_z=lambda hparams, key: draw(key) * hparams["prior.scale"],
        decode=lambda x: decode(x, config.data.gcn, config.data.low),
        augment=augment,
        optimizer=optimizer,
        init=partial(initial_state, config, generator, discriminator),
        loss=LOSSES[config.objective.loss],
        penalties=tuple((name, penalty) for name, penalty in PENALTIES.items() if weights[name]),
        averages=ema.averages(config.generator.ema),
        ramp=config.generator.ema.ramp,
        rise=config.generator.ema.rise,
        penalty_every=config.objective.penalty_every,
        penalty_factor=lambda hparams, t: _schedule(config, "objective.penalty_schedule", hparams)(jnp.ones(()), t),
        d_terms=discriminator_terms(config.objective),
        g_terms=generator_terms(config.objective),
        top_k=config.objective.top_k < 1,
        m=config.train.batch_size,
        g_m=config.train.g_batch_size or config.train.batch_size,
        k=config.train.d_steps,
        accumulate=config.train.accumulate,
        update=config.train["update"],
        lookahead=config.train.lookahead,
        lookahead_rate=config.train.lookahead_rate,
        classes=data.classes,
        asked=discriminator.data.asked,
        label_classes=label_classes,
        stack=stack,
    )
    _check_statistics(config, gan)
    return gan


def _networks(config: ConfigDict, data: DataSpec) -> tuple[nn.Module, nn.Module]:
    """G and D, which fit the data, as does the augmentation."""
    seen = data._replace(shape=(*data.shape[:-1], data.shape[-1] * config.discriminator.packing))
    if any(config.objective.auxiliary.values()):
        seen = seen._replace(classes=0, asked=data.classes)
    generator, discriminator = chosen(config, "generator", data=data), chosen(config, "discriminator", data=seen)
    for part in (generator, discriminator, chosen(config, "augment", data=data)):
        if hasattr(part, "check"):
            part.check()
    if any(config.objective.penalties.values()) and (
        getattr(discriminator, "norm", "") == "batch" or getattr(discriminator, "minibatch_deviation", 0)
    ):
        raise UserError(
            "objective.penalties are of single examples, and this D couples them (discriminator.norm=batch or "
            "minibatch_deviation); set discriminator.norm to none, layer or spectral."
        )
    _check_classifier(config, discriminator)
    return generator, discriminator


def _check_classifier(config: ConfigDict, discriminator: nn.Module) -> None:
    """Raises UserError where D is asked for classes and has no outputs for them."""
    data = discriminator.data
    if not data.asked:
        return
    x = jax.ShapeDtypeStruct((getattr(discriminator, "minibatch_deviation", 0) or 1, *data.shape), jnp.float32)
    outputs, _ = jax.eval_shape(discriminator.init_with_output, jax.random.key(0), x)
    if outputs.shape[1:] != (data.outputs,):
        raise UserError(
            f"discriminator.name={config.discriminator.name} has no auxiliary classifier; take another family, or set "
            f"objective.auxiliary to 0."
        )


def _check_statistics(config: ConfigDict, gan: Gan) -> None:
    """Raises UserError where a minibatch is too small, or taken in parts, for statistics over it."""
    smallest = {"generator": min(gan.m, gan.g_m), "discriminator": min(gan.m, gan.g_m) // config.discriminator.packing}
    if gan.accumulate == 1 and min(smallest.values()) > 1:
        return
    shapes = jax.eval_shape(gan.init, traced(config))
    for name, examples in smallest.items():
        if STATISTICS not in getattr(shapes, name).stats:
            continue
        what = f"the batch normalization of {name}.name={config[name].name}"
        if gan.accumulate > 1:
            raise whole_minibatch(gan.accumulate, what)
        if examples < 2:
            key = "g_batch_size" if gan.g_m < gan.m else "batch_size"
            packs = f" in packs of {config.discriminator.packing}" if config.discriminator.packing > 1 else ""
            raise UserError(
                f"{what} has statistics over a minibatch, which is {examples} at train.{key}="
                f"{config.train[key]}{packs}; make it larger, or take networks without batch normalization."
            )


def initial_state(config: ConfigDict, generator: nn.Module, discriminator: nn.Module, hparams: HParams) -> GanState:
    """The state of step 0."""
    key_g, key_d = jax.random.split(run_stream(hparams, "init"))
    data = generator.data
    y = jnp.zeros((1,), jnp.int32) if data.classes else None
    theta_g, g_stats = _parted(generator.init(key_g, jnp.zeros((1, config.prior.size)), y))
    n = getattr(discriminator, "minibatch_deviation", 0) or 1  # whole groups
    y = None if y is None else jnp.repeat(y, n)
    theta_d, d_stats = _parted(discriminator.init(key_d, jnp.zeros((n, *discriminator.data.shape)), y))
    if config.objective.lecam.weight:
        d_stats = {**d_stats, LECAM: initial_anchors()}
    if jax.tree.leaves(start := chosen(config, "augment", data=data).init()):
        d_stats = {**d_stats, AUGMENT: start}
    # Its state does not depend on the length of an epoch.
    g_optimizer, d_optimizer = (player_optimizer(config, 1, name, hparams) for name in ("generator", "discriminator"))
    return GanState(
        step=jnp.zeros((), jnp.uint32),
        restores=jnp.zeros((), jnp.uint32),
        generator=Player(theta_g, g_stats, g_optimizer.init(theta_g)),
        discriminator=Player(theta_d, d_stats, d_optimizer.init(theta_d)),
        averages=tuple(jax.tree.map(jnp.copy, theta_g) for _ in ema.averages(config.generator.ema)),
        slow=jax.tree.map(jnp.copy, (theta_g, theta_d)) if config.train.lookahead else (),
    )


def player_optimizer(config: ConfigDict, examples: int, player: str, hparams: HParams) -> optax.GradientTransformation:
    """The optimizer of 'generator' or 'discriminator', with its learning rate and its b2 on their schedules.

    Args:
      examples: in the training set, the length of an epoch.
      hparams: the traced numbers, scalars.
    """
    path, common = f"optimizer.{player}", config.optimizer[player]
    optimizer = dataclasses.replace(chosen(config, path), **of(hparams, path))
    per_update = config.train.batch_size * (config.train.d_steps if player == "generator" else 1)
    rate = partial(_schedule(config, f"{path}.schedule", hparams), jnp.asarray(optimizer.learning_rate))
    found = optimizer.transformation(rate, Epochs(per_update, examples))
    if common.b2_schedule.name != "constant":
        b2 = partial(_schedule(config, f"{path}.b2_schedule", hparams), jnp.asarray(optimizer.b2))
        at = lambda t: dataclasses.replace(optimizer, b2=b2(t)).transformation(rate, Epochs(per_update, examples))  # noqa: E731
        found = scheduled(at)
    after = [optimistic()] if common.optimistic else []
    after += [limit_column_norm(common.max_column_norm)] if common.max_column_norm else []
    after += [clip_weights(common.clip)] if common.clip else []
    return optax.chain(found, *after) if after else found


def _schedule(config: ConfigDict, path: str, hparams: HParams) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The schedule that a section chooses, (number, updates made) -> number, with its traced fields."""
    return dataclasses.replace(chosen(config, path), **of(hparams, path))


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
        own = {name: tree for name, tree in stats.items() if name in (STATISTICS, SPECTRAL)}
        moved = [name for name in own if train and (once or name == STATISTICS)]
        if not moved:
            return network.apply({"params": params, **own}, x, *args, axis_name=axis_name), stats
        out, new = network.apply({"params": params, **own}, x, *args, axis_name=axis_name, mutable=moved)
        return out, {**stats, **new}


def _apply_packed(packing: int, D: Callable, params, stats, x, y=None, keys=None, **flags):
    """D on packs of examples that follow each other, side by side in the last axis (PacGAN): one logit per pack."""
    if packing > 1:
        packs = x.reshape(-1, packing, *x.shape[1:])
        x = jnp.concatenate([packs[:, i] for i in range(packing)], axis=-1)
        keys = None if keys is None else keys[::packing]
    return D(params, stats, x, y, keys, **flags)


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
