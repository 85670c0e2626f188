"""Builds the game that a configuration describes: players, losses, optimizers, and the state of step 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan import ema
from jaxgan.augment import AUGMENTS, NoAugment
from jaxgan.conditions import (
    CONDITIONS,
    Condition,
    conditioned_discriminator,
    conditioned_generator,
    join_channels,
    join_rows,
)
from jaxgan.data import Dataset, check_classes, value_range
from jaxgan.data.decode import decode
from jaxgan.data.rows import Rows, cut
from jaxgan.errors import UserError
from jaxgan.fields import build_choice
from jaxgan.game.checks import check_condition, check_outputs, check_statistics
from jaxgan.game.gan import AUGMENT, Gan
from jaxgan.game.hparams import HParams, bound, section_hparams
from jaxgan.game.inference import (
    build_encoder,
    decoder_of,
    frozen_decoder,
    init_encoder,
    make_conditions,
    make_encode,
)
from jaxgan.game.objective import build_objective, stateful_terms
from jaxgan.game.prior import project_onto_prior, sample_prior
from jaxgan.game.state import PRNG, GanState, Player, run_stream
from jaxgan.networks import DISCRIMINATORS, GENERATORS
from jaxgan.networks.forward import forward, packed, split_variables, without_patches
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.mixed_precision import Precision
from jaxgan.objectives import gradient_normalization
from jaxgan.objectives.terms import transport
from jaxgan.objectives.terms.code import with_category
from jaxgan.optimizers import OPTIMIZERS, EpochSize, clip_weights, limit_column_norm, optimistic, with_scheduled_hparams
from jaxgan.schedules import SCHEDULES


def mean_example(train: np.ndarray | Rows, gcn: float, low: float) -> np.ndarray:
    """The mean of the decoded training examples, float64 [*shape]."""
    sizes = [len(part) for part in np.array_split(np.empty(len(train), bool), -(-len(train) // 10_000))]
    exact = gcn == 0 and train.dtype == np.uint8  # in any order, and without a float copy of the training set
    ordered = train.in_order() if exact and isinstance(train, Rows) else train
    chunks = (np.asarray(part) for part in cut(ordered, *np.cumsum(sizes[:-1])))
    if exact:
        total = sum(chunk.sum(axis=0, dtype=np.uint64) for chunk in chunks)
        return total / (255.0 * len(train)) * (1 - low) + low
    sums = [np.asarray(decode(chunk, gcn, low)).sum(axis=0, dtype=np.float64) for chunk in chunks]
    return sum(sums, np.zeros(train.shape[1:])) / len(train)


def data_spec(config: ConfigDict, dataset: Dataset) -> DataSpec:
    """Static data properties the networks need (without the mean).

    Raises:
      UserError: labels asked of data without them.
    """
    if config.conditional == "label" and not dataset.classes:
        raise UserError(
            f"conditional=label needs classes, but {config.data.name} has no labels; set conditional=none, or give "
            f"the data labels: class sub-folders, or an array train_labels."
        )
    classes = dataset.classes if config.conditional == "label" else 0
    paired = () if dataset.train_condition is None else dataset.train_condition.shape[1:]
    return DataSpec(dataset.shape, classes, value_range(dataset, config.data.gcn, config.data.low), paired=paired)


def build_for(config: ConfigDict, dataset: Dataset) -> Gan:
    """The game that `config` describes, ready to start on this data.

    Raises:
      UserError: fewer training examples than a minibatch has, a class without examples in a conditional game, or what
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
    spec = data_spec(config, dataset)._replace(mean=mean)
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
    networks = _networks(config, data, label_classes)
    generator, discriminator, encoder = networks
    precision = matmul_precision(config)

    def augment(hparams: HParams) -> NoAugment:
        return bound(build_choice(AUGMENTS, config.augment, data=data), hparams, "augment")

    def condition(hparams: HParams, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        choice = build_choice(CONDITIONS, config.condition, data=data)
        return bound(choice, hparams, "condition")(x, stored, keys)

    G = forward(generator, precision) if encoder is None else decoder_of(forward(generator, precision))
    E = make_encode(config, encoder, precision)
    real_condition, fake_condition = make_conditions(config, E)
    gan = Gan(
        G=conditioned_generator(G, build_choice(CONDITIONS, config.condition, data=data).complete),
        E=E,
        real_condition=real_condition,
        fake_condition=fake_condition,
        D=_discriminator(config, forward(discriminator, precision)),
        sample_z=partial(_sample_z, config),
        project_z=lambda hparams, z: project_onto_prior({**config.prior, **section_hparams(hparams, "prior")}, z),
        decode=lambda x: decode(x, config.data.gcn, config.data.low),
        condition=condition,
        augment=augment,
        optimizer=partial(player_optimizer, config, examples),
        init=partial(initial_state, config, networks),
        objective=build_objective(config),
        averages=ema.averages(config.generator.ema),
        batch_size=config.train.batch_size,
        g_batch_size=config.train.g_batch_size or config.train.batch_size,
        d_steps=config.train.d_steps,
        packing=config.discriminator.packing,
        accumulate=config.train.accumulate,
        update=config.train.update,
        unrolled_steps=config.train.unrolled_steps,
        unrolled_gradient=config.train.unrolled_gradient,
        lookahead=config.train.lookahead,
        lookahead_rate=config.train.lookahead_rate,
        conditional=config.condition.name != "none",
        paired=config.condition.name == "pairs",
        num_classes=data.classes,
        num_aux_classes=discriminator.data.num_aux_classes,
        num_label_classes=label_classes,
        num_stacked=stack,
    )
    check_statistics(config, gan)
    return gan


def _sample_z(config: ConfigDict, hparams: HParams, key: jax.Array) -> jax.Array:
    """One z [d]."""
    z = sample_prior({**config.prior, **section_hparams(hparams, "prior")}, key)
    return with_category(z, config.objective.code.categories)


def matmul_precision(config: ConfigDict) -> Precision:
    """The precision of matrix products that `train.precision` names."""
    name = config.train.precision
    if name == "bfloat16":
        return Precision("high", config.train.float32_grid)
    return Precision(None if name == "default" else name)


class Networks(NamedTuple):
    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module | None


def _networks(config: ConfigDict, data: DataSpec, label_classes: int) -> Networks:
    """G, D and the encoder, checked against the data, as are the condition and the augmentation."""
    shapes = condition_shapes(config, data)
    data = data._replace(given=tuple(leaf.shape[1:] for leaf in shapes[1:] if leaf is not None))
    z = jax.ShapeDtypeStruct((1, config.prior.size), jnp.float32) if config.encoder.joint else None
    x = jax.ShapeDtypeStruct((1, *data.shape), jnp.float32)
    shape = jax.eval_shape(join_channels, x, shapes._replace(z=z)).shape[1:]
    d_data = data._replace(shape=(*shape[:-1], shape[-1] * config.discriminator.packing))
    if any(config.objective.auxiliary.values()) or config.objective.labelled.weight:
        if not (classes := data.classes or label_classes):
            raise UserError(
                f"objective.labelled needs labelled examples, and {config.data.name} has no labels; give the data "
                f"labels: class sub-folders, or an array train_labels."
            )
        joint = config.objective.classes == "outputs"
        d_data = d_data._replace(classes=0, num_aux_classes=classes, logsumexp=joint)
    code = config.objective.code
    d_data = d_data._replace(num_latents=code.categories + code.continuous)
    generator, discriminator = (
        build_choice(GENERATORS, config.generator, data=data),
        build_choice(DISCRIMINATORS, config.discriminator, data=d_data),
    )
    augment = build_choice(AUGMENTS, config.augment, data=data)
    for part in (generator, discriminator, augment):
        if hasattr(part, "check"):
            part.check()
    check_condition(config, shapes, augment)
    check_outputs(config, discriminator)
    transport.check(config, data.shape)
    return Networks(generator, discriminator, build_encoder(config, data, shapes))


def condition_shapes(config: ConfigDict, data: DataSpec) -> Condition:
    """Shapes and dtypes of the condition of one example, [1, ...].

    Raises:
      UserError: the condition does not fit the data.
    """
    choice = build_choice(CONDITIONS, config.condition, data=data)
    choice.check()
    like = lambda *shape: jnp.zeros((1, *shape), jnp.float32)  # noqa: E731

    def condition() -> Condition:
        stored = Condition(label=jnp.zeros((1,), jnp.int32) if data.classes else None)
        if data.paired:
            stored = stored._replace(**{"vector" if len(data.paired) == 1 else "image": like(*data.paired)})
        return choice(like(*data.shape), stored, jax.random.split(jax.random.key(0, impl=PRNG), 1))

    return jax.eval_shape(condition)


def _discriminator(config: ConfigDict, D: Callable) -> Callable:
    """D's forward pass on packs of conditioned examples, with logits of what it judges."""
    D = D if config.discriminator.judged == "patch" else without_patches(D)
    return conditioned_discriminator(packed(D, config.discriminator.packing))


def initial_state(config: ConfigDict, networks: Networks, hparams: HParams) -> GanState:
    """The state of step 0."""
    generator, discriminator, encoder = networks
    key_g, key_d = jax.random.split(run_stream(hparams, "init"))
    data = generator.data
    y = jnp.zeros((1,), jnp.int32) if data.classes else None
    z = jax.ShapeDtypeStruct((1, config.prior.size), jnp.float32)
    z = jnp.zeros(jax.eval_shape(join_rows, z, condition_shapes(config, data)).shape)
    theta_g, g_stats = split_variables(generator.init(key_g, z, y))
    if encoder is not None:
        theta_e = split_variables(init_encoder(encoder, jax.random.fold_in(key_g, 1))[1])[0]
        theta_g = {"decoder": theta_g, "encoder": theta_e}
    n = getattr(discriminator, "minibatch_deviation", 0) or 1  # whole groups
    y = None if y is None else jnp.repeat(y, n)
    theta_d, d_stats = split_variables(discriminator.init(key_d, jnp.zeros((n, *discriminator.data.shape)), y))
    d_stats = {**d_stats, **{name: term().init_state() for name, term in stateful_terms(config.objective).items()}}
    if jax.tree.leaves(start := build_choice(AUGMENTS, config.augment, data=data).init()):
        d_stats = {**d_stats, AUGMENT: start}
    if config.objective.gradient_normalization.target:
        g_stats = {**g_stats, gradient_normalization.STATE: jnp.zeros(())}
    # Its state does not depend on the length of an epoch.
    g_optimizer, d_optimizer = (player_optimizer(config, 1, name, hparams) for name in ("generator", "discriminator"))
    return GanState(
        step=jnp.zeros((), jnp.uint32),
        restores=jnp.zeros((), jnp.uint32),
        generator=Player(theta_g, g_stats, g_optimizer.init(theta_g)),
        discriminator=Player(theta_d, d_stats, d_optimizer.init(theta_d)),
        averages=tuple(jax.tree.map(jnp.copy, theta_g) for _ in ema.averages(config.generator.ema).rules),
        slow=jax.tree.map(jnp.copy, (theta_g, theta_d)) if config.train.lookahead else (),
    )


def player_optimizer(config: ConfigDict, examples: int, player: str, hparams: HParams) -> optax.GradientTransformation:
    """The optimizer of 'generator' or 'discriminator', with its learning rate and its b2 on their schedules.

    Args:
      examples: in the training set, the length of an epoch.
      hparams: the traced numbers, scalars.
    """
    path, common = f"optimizer.{player}", config.optimizer[player]
    optimizer = bound(build_choice(OPTIMIZERS, common), hparams, path)
    per_update = config.train.batch_size * (config.train.d_steps if player == "generator" else 1)
    rate = partial(
        bound(build_choice(SCHEDULES, common.schedule), hparams, f"{path}.schedule"),
        jnp.asarray(optimizer.learning_rate),
    )
    transform = optimizer.transformation(rate, EpochSize(per_update, examples))
    if common.b2_schedule.name != "constant":
        b2 = partial(
            bound(build_choice(SCHEDULES, common.b2_schedule), hparams, f"{path}.b2_schedule"),
            jnp.asarray(optimizer.b2),
        )
        at = lambda t: dataclasses.replace(optimizer, b2=b2(t)).transformation(rate, EpochSize(per_update, examples))  # noqa: E731
        transform = with_scheduled_hparams(at)
    post = [optimistic()] if common.optimistic else []
    post += [limit_column_norm(common.max_column_norm)] if common.max_column_norm else []
    post += [clip_weights(common.clip)] if common.clip else []
    post += [frozen_decoder()] if player == "generator" and config.generator.frozen else []
    return optax.chain(transform, *post) if post else transform
