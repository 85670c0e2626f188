"""Builds the game that a configuration describes: players, losses, optimizers, and the state of step 0."""

from __future__ import annotations

import dataclasses
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
from jaxgan.augment import AUGMENTS, InstanceNoise, NoAugment
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
from jaxgan.fields import build_choice, declared
from jaxgan.game.accumulation import coupled_examples_error
from jaxgan.game.gan import AUGMENT, Gan, Objective
from jaxgan.game.hparams import HParams, bound, section_hparams
from jaxgan.game.inference import (
    build_encoder,
    decoder_of,
    exchanged,
    frozen_decoder,
    init_encoder,
    make_conditions,
    make_encode,
)
from jaxgan.game.prior import project_onto_prior, sample_prior
from jaxgan.game.state import PRNG, GanState, Player, run_stream
from jaxgan.networks import DISCRIMINATORS, GENERATORS
from jaxgan.networks.forward import forward, packed, split_variables, without_patches
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.mixed_precision import Precision
from jaxgan.networks.norms import STATISTICS
from jaxgan.objectives import gradient_normalization
from jaxgan.objectives.gradient_normalization import GradientNormalization
from jaxgan.objectives.latent_optimization import LatentOptimization
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS, DTermInputs, Part, Term, transport
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
        objective=_objective(config),
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
    _check_statistics(config, gan)
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


def _objective(config: ConfigDict) -> Objective:
    """The losses of both players."""
    objective = config.objective
    stateful = stateful_terms(objective)
    schedule = build_choice(SCHEDULES, objective.penalty_schedule)

    def update_terms(hparams: HParams, inputs: DTermInputs) -> Any:
        stats = inputs.stats
        for name, term in stateful.items():
            fields = bound(term(**objective[name]), hparams, f"objective.{name}")
            stats = {**stats, name: fields.update_state(stats[name], inputs)}
        return stats

    d_terms, g_terms = _terms(config, "D_PARTS"), _terms(config, "G_PARTS")
    if not (objective.g_scale or g_terms):
        raise UserError(
            "objective.g_scale=0 leaves G without a loss; set objective.matching.weight=1, or objective.g_scale=1."
        )
    return Objective(
        loss=exchanged(LOSSES[objective.loss]) if config.encoder.joint else LOSSES[objective.loss],
        numbers={name: objective[name] for name in declared(LOSSES[objective.loss])},
        penalties=tuple((name, penalty) for name, penalty in PENALTIES.items() if objective.penalties[name]),
        penalty_every=objective.penalty_every,
        penalty_factor=lambda hparams, t: bound(schedule, hparams, "objective.penalty_schedule")(jnp.ones(()), t),
        d_terms=d_terms,
        g_terms=g_terms,
        update_terms=update_terms,
        top_k=objective.top_k < 1,
        features=any(part.features for _, part in active_parts(objective, "G_PARTS")),
        labelled=any(part.labelled for _, part in active_parts(objective, "D_PARTS")),
        optimize_z=_latent_optimization(config),
        normalization=_gradient_normalization(config),
    )


def _latent_optimization(config: ConfigDict) -> Callable[..., jax.Array] | None:
    """The step in z of both players; None without one."""
    section = LatentOptimization(**config.objective.latent_optimization)
    if not section.rate:
        return None
    return lambda hparams, *args: bound(section, hparams, "objective.latent_optimization")(*args)


def _gradient_normalization(config: ConfigDict) -> Callable[[HParams], GradientNormalization] | None:
    section = GradientNormalization(**config.objective.gradient_normalization)
    return partial(bound, section, path="objective.gradient_normalization") if section.target else None


def stateful_terms(objective: ConfigDict) -> dict[str, type[Any]]:
    """The active terms of D's loss that keep state, by name."""
    return {
        name: term
        for name, term in TERMS.items()
        if hasattr(term, "init_state") and any(objective[name][part.weight] for part in term.D_PARTS)
    }


def _terms(config: ConfigDict, parts: str) -> tuple[tuple[str, Callable], ...]:
    """The active terms of a player's loss: (name, (hparams, inputs) -> weighted scalar)."""

    def weighted(name: str, term: type[Term], part: Part, hparams: HParams, inputs: Any) -> jax.Array:
        fields = bound(term(**config.objective[name]), hparams, f"objective.{name}")
        return getattr(fields, part.weight) * part.function(fields, inputs)

    return tuple(
        (part.name, partial(weighted, name, TERMS[name], part)) for name, part in active_parts(config.objective, parts)
    )


def active_parts(objective: ConfigDict, parts: str) -> list[tuple[str, Part]]:
    """The parts 'D_PARTS' or 'G_PARTS' of the terms that have a weight, with the names of these terms."""
    return [
        (name, part) for name, term in TERMS.items() for part in getattr(term, parts) if objective[name][part.weight]
    ]


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
    _check_condition(config, shapes, augment)
    _check_outputs(config, discriminator)
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


def _check_condition(config: ConfigDict, condition: Condition, augment: NoAugment) -> None:
    """Raises UserError for parts of the game that would change an example but not its condition."""
    if condition.image is None and condition.mask is None:
        return
    name = f"condition.name={config.condition.name}"
    if config.data.gcn:
        raise UserError(f"data.gcn normalizes an image by its own mean, which {name} does not know; set data.gcn=0.")
    changed = [] if isinstance(augment, InstanceNoise) or type(augment) is NoAugment else ["augment.name=none"]
    changed += ["objective.consistency off"] if any(config.objective.consistency.values()) else []
    if changed:
        raise UserError(f"{name} shows D an image that an augmentation of x would not change; set {changed[0]}.")


def _discriminator(config: ConfigDict, D: Callable) -> Callable:
    """D's forward pass on packs of conditioned examples, with logits of what it judges."""
    D = D if config.discriminator.judged == "patch" else without_patches(D)
    return conditioned_discriminator(packed(D, config.discriminator.packing))


def _check_outputs(config: ConfigDict, discriminator: nn.Module) -> None:
    """Raises UserError if D is to predict classes or a code, or to judge patches, and has no outputs for them."""
    data, patches = discriminator.data, config.discriminator.judged == "patch"
    if not (data.num_aux_classes or data.num_latents or patches):
        return
    x = jax.ShapeDtypeStruct((getattr(discriminator, "minibatch_deviation", 0) or 1, *data.shape), jnp.float32)
    output, _ = jax.eval_shape(discriminator.init_with_output, jax.random.key(0), x)
    if patches and output.patches is None:
        raise UserError(
            f"discriminator.name={config.discriminator.name} has one logit per example; set discriminator.judged="
            f"example, or take discriminator.name=patch."
        )
    if data.num_latents and output.latents is None:
        raise UserError(
            f"discriminator.name={config.discriminator.name} has no outputs for a code; choose another family or set "
            f"objective.code.weight to 0."
        )
    if data.num_aux_classes and (output.classes is None or output.classes.shape[1:] != (data.num_aux_classes,)):
        raise UserError(
            f"discriminator.name={config.discriminator.name} has no auxiliary classifier; choose another family or set "
            f"objective.auxiliary to 0."
        )


def _check_statistics(config: ConfigDict, gan: Gan) -> None:
    """Raises UserError for networks that couple examples, where penalties or the minibatch do not allow it."""
    m = min(gan.batch_size, gan.g_batch_size)
    smallest = {"generator": m, "discriminator": m // config.discriminator.packing}
    conditioned = gan.conditional and not gan.num_classes
    optimized = gan.objective.optimize_z is not None
    matched = gan.objective.features
    alone = (
        gan.objective.penalties or conditioned or optimized or matched
    )  # what needs networks that take each example alone
    if gan.accumulate == 1 and min(smallest.values()) > 1 and not alone:
        return
    # The state tells, whatever a family calls its field.
    shapes = jax.eval_shape(gan.init, {"seed": np.uint32(0)})
    if conditioned and STATISTICS in shapes.generator.stats:
        raise UserError(
            f"the batch normalization of generator.name={config.generator.name} needs statistics over z alone, and G "
            f"is also given condition.name={config.condition.name}; take a G without it (generator.norm=none)."
        )
    coupled = STATISTICS in shapes.discriminator.stats or config.discriminator.get("minibatch_deviation", 0)
    if optimized and (coupled or STATISTICS in shapes.generator.stats):
        raise UserError(
            "objective.latent_optimization moves each z alone, and G or D couples its examples by batch normalization "
            "or minibatch_deviation; take networks without them, such as those with norm=none or layer."
        )
    if matched and STATISTICS in shapes.discriminator.stats:
        raise UserError(
            f"objective.matching compares D's features of data and samples, which the batch normalization of "
            f"discriminator.name={config.discriminator.name} makes alike; take a D without it, such as one with "
            f"discriminator.norm=none, layer or spectral."
        )
    if gan.objective.penalties and coupled:
        raise UserError(
            f"objective.penalties are per example, and discriminator.name={config.discriminator.name} couples its "
            f"examples by batch normalization or minibatch_deviation; take a D without them, such as one with "
            f"discriminator.norm=none, layer or spectral."
        )
    for name, examples in smallest.items():
        if STATISTICS not in getattr(shapes, name).stats:
            continue
        what = f"the batch normalization of {name}.name={config[name].name}"
        if gan.accumulate > 1:
            raise coupled_examples_error(gan.accumulate, what)
        if examples < 2:
            key = "g_batch_size" if gan.g_batch_size < gan.batch_size else "batch_size"
            packs = f" in packs of {config.discriminator.packing}" if config.discriminator.packing > 1 else ""
            raise UserError(
                f"{what} has statistics over a minibatch, which is {examples} at train.{key}="
                f"{config.train[key]}{packs}; make it larger, or take networks without batch normalization."
            )


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
