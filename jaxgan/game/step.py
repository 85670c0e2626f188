"""One step of one player: its loss, the gradient over a minibatch, and the optimizer's update.

Both losses are computed in the same order: sample, augment and discriminate, loss, penalties (D only), other terms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.conditions import Condition, split_pairs
from jaxgan.fields import accepted_kwargs
from jaxgan.game.accumulation import accumulate_gradients
from jaxgan.game.batches import Batch, Frame
from jaxgan.game.gan import AUGMENT
from jaxgan.game.hparams import PENALTY_WEIGHTS, section_hparams
from jaxgan.game.state import Player
from jaxgan.networks.layers import DOutput
from jaxgan.networks.norms import STATISTICS
from jaxgan.objectives.gradient_normalization import STATE as NORMALIZATION
from jaxgan.objectives.losses import top_k_mean
from jaxgan.objectives.terms import DTermInputs, GTermInputs
from jaxgan.objectives.value import value

Metrics = dict[str, jax.Array]


class DInputs(NamedTuple):
    """This device's share of the real or the fake inputs of D, and the PRNG keys of this forward pass."""

    x: jax.Array  # [m, *shape] float32
    condition: Condition
    dropout_keys: jax.Array  # [m]
    augment_keys: jax.Array  # [m]


def real_inputs(frame: Frame, theta_g: optax.Params, batch: Batch) -> DInputs:
    condition = frame.gan.real_condition(frame.hparams, theta_g, batch.x, batch.condition, batch.noise.encoder_keys)
    return DInputs(batch.x, condition, batch.noise.real_dropout_keys, batch.noise.real_augment_keys)


def fake_inputs(frame: Frame, batch: Batch, fake_x: jax.Array) -> DInputs:
    condition = frame.gan.fake_condition(batch.condition, batch.noise.z)
    return DInputs(fake_x, condition, batch.noise.fake_dropout_keys, batch.noise.fake_augment_keys)


def discriminator_loss(theta_d: optax.Params, frame: Frame, G: Player, D: Player, batch: Batch):
    """D's total loss, a scalar, and aux = (metrics, D's updated statistics, global real logits)."""
    gan, hparams, axis_name = frame
    batch = optimize_z(frame, G, D._replace(params=theta_d), batch)
    objective, noise = gan.objective, batch.noise
    sample = lambda z: gan.G(G.params, G.stats, z, batch.condition, train=True, axis_name=axis_name)[0]  # noqa: E731

    fake_x = sample(noise.z)
    real, fake = real_inputs(frame, G.params, batch), fake_inputs(frame, batch, fake_x)

    real_output, fake_output, stats = discriminate_real_and_fake(frame, theta_d, D.stats, real, fake)
    real_logits, fake_logits = (all_gather(output.logits, axis_name) for output in (real_output, fake_output))

    losses = example_losses(frame, "discriminator", real_output.judged, fake_output.judged)
    d_loss = hparams["objective.d_scale"] * jnp.mean(losses)
    metrics = {"d_loss": d_loss}

    with jax.named_scope("penalties"):
        total, penalties = penalty_loss(frame, theta_d, stats, real=real, fake=fake, batch=batch)
    metrics |= penalties

    logits_fn = lambda x: discriminate(frame, theta_d, stats, real._replace(x=x))[0].logits  # noqa: E731

    def classify(x: jax.Array, keys: jax.Array) -> jax.Array | None:
        dropout_keys, augment_keys = (jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in range(2))
        return discriminate(frame, theta_d, stats, DInputs(x, Condition(), dropout_keys, augment_keys))[0].classes

    inputs = DTermInputs(
        logits_fn, sample, batch.x, fake_x, noise.z, noise.term_keys, batch.condition.label, real_logits, fake_logits,
        real_output.classes, fake_output.classes, stats, batch.count, fake_output.latents, batch.labelled, classify,
    )  # fmt: skip
    stats = objective.update_terms(hparams, inputs)
    for name, term in objective.d_terms:
        with jax.named_scope(name):
            metrics[name] = term(hparams, inputs._replace(stats=stats))
        total += metrics[name]
    return d_loss + total, (metrics | logit_metrics(frame, real_logits, fake_logits), stats, real_logits)


def generator_loss(theta_g: optax.Params, frame: Frame, G: Player, D: Player, batch: Batch):
    """G's total loss, a scalar, and aux = (metrics, G's updated statistics, ())."""
    gan, hparams, axis_name = frame
    batch = optimize_z(frame, G._replace(params=theta_g), D, batch)
    objective, noise = gan.objective, batch.noise
    sample = partial(gan.G, theta_g, G.stats, train=True, axis_name=axis_name)

    fake_x, stats = sample(noise.z, batch.condition, once=True)

    apply_d = partial(discriminate, frame, D.params, D.stats, features=objective.features)
    real_output = DOutput(None)
    if objective.loss.needs_real or objective.features:
        real_output, _ = apply_d(real_inputs(frame, theta_g, batch))

    def adversarial_loss(fake_x: jax.Array) -> tuple[jax.Array, DOutput]:
        fake_output, _ = apply_d(fake_inputs(frame, batch, fake_x))
        fake_logits = all_gather(fake_output.logits, axis_name)
        losses = example_losses(frame, "generator", real_output.judged, fake_output.judged)
        if objective.top_k:
            losses = top_k_mean(losses, fake_logits, hparams["objective.top_k"])
        return jnp.mean(losses), fake_output

    g_loss, fake_output = adversarial_loss(fake_x)
    total, metrics = hparams["objective.g_scale"] * g_loss, {"g_loss": g_loss}
    if objective.normalization is not None:
        gradient = jax.grad(lambda x: adversarial_loss(x)[0])(jax.lax.stop_gradient(fake_x))
        factor, stats = normalization_factor(frame, stats, gradient)
        total *= jax.lax.stop_gradient(factor)

    features = (jax.tree.map(lambda a: all_gather(a, axis_name), o.features) for o in (real_output, fake_output))
    sample_again = lambda z: sample(z, batch.condition)[0]  # noqa: E731
    label, mask = batch.condition.label, batch.condition.mask
    encode = lambda x: gan.E(hparams, theta_g, x, batch.condition, noise.encoder_keys)  # noqa: E731
    inputs = GTermInputs(
        sample_again, noise.z, noise.term_keys, label, fake_output.classes, fake_x, batch.x, mask, encode,
        fake_output.latents, *features,
    )  # fmt: skip
    for name, term in objective.g_terms:
        with jax.named_scope(name):
            metrics[name] = term(hparams, inputs)
        total += metrics[name]
    return total, (metrics, stats, ())


def normalization_factor(frame: Frame, stats: Any, gradient: jax.Array) -> tuple[jax.Array, Any]:
    """The factor by which gradient normalization scales G's adversarial loss, and G's updated statistics.

    Args:
      gradient: of the loss with respect to this device's share of the fakes, [m, *shape].
    """
    gan, hparams, axis_name = frame
    square, elements = jnp.sum(jnp.square(gradient)), gradient.size
    if axis_name is not None:
        devices = jax.lax.axis_size(axis_name)
        # The loss of every device depends on these fakes, so this gradient is of their sum: `devices` times too large.
        square, elements = jax.lax.psum(square, axis_name) / devices**2, elements * devices
    assert gan.objective.normalization is not None
    factor, square = gan.objective.normalization(hparams)(stats[NORMALIZATION], square, elements)
    return factor, {**stats, NORMALIZATION: jax.lax.stop_gradient(square)}


def optimize_z(frame: Frame, G: Player, D: Player, batch: Batch) -> Batch:
    """The minibatch with its z after latent optimization, or unchanged if that is off."""
    gan, hparams, axis_name = frame
    noise = batch.noise
    if gan.objective.optimize_z is None:
        return batch

    def logits(z: jax.Array) -> jax.Array:
        fake_x, _ = gan.G(G.params, G.stats, z, batch.condition, train=True, axis_name=axis_name)
        inputs = fake_inputs(frame, batch._replace(noise=noise._replace(z=z)), fake_x)
        return discriminate(frame, D.params, D.stats, inputs)[0].logits

    z = gan.project_z(hparams, gan.objective.optimize_z(hparams, logits, noise.z, noise.term_keys))
    return batch._replace(noise=noise._replace(z=z))


def discriminate(
    frame: Frame,
    theta_d: optax.Params,
    stats: Any,
    inputs: DInputs,
    *,
    update_spectral: bool = False,
    features: bool = False,
) -> tuple[DOutput, Any]:
    """D's training-mode output, on augmented inputs and with dropout, and D's updated statistics.

    Args:
      update_spectral: whether to advance spectral normalization's power iteration, done once per update of D.
      features: whether to return the output of the last hidden layer too.
    """
    gan, hparams, axis_name = frame
    x = gan.augment(hparams)(inputs.x, inputs.augment_keys, stats.get(AUGMENT, ()))
    return gan.D(
        theta_d, stats, x, inputs.condition, inputs.dropout_keys,
        train=True, once=update_spectral, features=features, axis_name=axis_name,
    )  # fmt: skip


def discriminate_real_and_fake(
    frame: Frame, theta_d: optax.Params, stats: Any, real: DInputs, fake: DInputs
) -> tuple[DOutput, DOutput, Any]:
    """D's outputs on real and on fake inputs, and D's updated statistics.

    Both go through D in one pass, or in two if D has batch normalization: each is normalized by its own statistics.
    """
    if STATISTICS not in stats:
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), real, fake)
        outputs, stats = discriminate(frame, theta_d, stats, both, update_spectral=True)
        return *(jax.tree.map(lambda a, i=i: jnp.split(a, 2)[i], outputs) for i in range(2)), stats
    real_output, stats = discriminate(frame, theta_d, stats, real, update_spectral=True)
    fake_output, stats = discriminate(frame, theta_d, stats, fake)
    return real_output, fake_output, stats


def example_losses(frame: Frame, player: str, real_logits: jax.Array | None, fake_logits: jax.Array) -> jax.Array:
    """The per-example losses of `player`, 'discriminator' or 'generator', over the global minibatch: [m] float32.

    Args:
      real_logits, fake_logits: `DOutput.judged` of this device's share; the loss of an example is the mean over its
        patches. Losses that pair data with fakes pair patches at the same position.
    """
    real_logits, fake_logits = jax.tree.map(lambda a: all_gather(a, frame.axis_name), (real_logits, fake_logits))
    function = getattr(frame.gan.objective.loss, player)
    fields = frame.gan.objective.numbers | section_hparams(frame.hparams, "objective")
    losses = function(real_logits, fake_logits, **accepted_kwargs(function, fields))
    return losses if losses.ndim == 1 else jnp.mean(losses, axis=1)


def penalty_loss(frame: Frame, theta_d: optax.Params, stats: Any, *, real: DInputs, fake: DInputs, batch: Batch):
    """The weighted sum of D's penalties, and the mean of each before weighting, by name.

    With `objective.penalty_every` = k, penalties are computed in every k-th update and multiplied by k
    (arXiv:1912.04958, appendix B), and are 0 in the others, so that the mean of a metric over many steps is the mean
    penalty. A pack of examples counts as one point: penalties use the norm of its whole gradient, and interpolate
    with one coefficient per pack.
    """
    gan, hparams, axis_name = frame
    every, penalties = gan.objective.penalty_every, gan.objective.penalties
    keys = batch.noise.penalty_keys[:: gan.packing]

    def compute():
        total, means, factor = jnp.zeros(()), {}, gan.objective.penalty_factor(hparams, batch.count)
        for name, penalty in penalties:
            inputs = fake if penalty.at_fakes else real
            to_inputs = split_pairs(inputs.x, inputs.condition)[1]

            def D(packs, inputs=inputs, to_inputs=to_inputs):
                x, condition = to_inputs(packs if gan.packing == 1 else packs.reshape(-1, *packs.shape[2:]))
                return discriminate(frame, theta_d, stats, inputs._replace(x=x, condition=condition))[0].logits

            points = (into_packs(split_pairs(side.x, side.condition)[0], gan.packing) for side in (real, fake))
            values = penalty(D, *points, keys, axis_name=axis_name)
            means[name] = every * jnp.mean(values)
            total += factor * hparams[f"{PENALTY_WEIGHTS}{name}"] * means[name]
        return total, means

    if every == 1 or not penalties:
        return compute()
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), jax.eval_shape(compute))
    return jax.lax.cond(batch.count % jnp.uint32(every) == 0, compute, lambda: zeros)


def into_packs(x: jax.Array, packing: int) -> jax.Array:
    """Packs of consecutive examples: [m, *shape] -> [m / packing, packing, *shape]; x itself if packing is 1."""
    return x if packing == 1 else x.reshape(-1, packing, *x.shape[1:])


def logit_metrics(frame: Frame, real_logits: jax.Array, fake_logits: jax.Array) -> Metrics:
    """V(D, G) and D's mean outputs if these are probabilities, else D's mean logits."""
    if not frame.gan.objective.loss.probability:
        return {"real_logit": jnp.mean(real_logits), "fake_logit": jnp.mean(fake_logits)}
    return {
        "value": value(real_logits, fake_logits),
        "d_real": jnp.mean(jax.nn.sigmoid(real_logits)),
        "d_fake": jnp.mean(jax.nn.sigmoid(fake_logits)),
    }


def player_gradient(
    loss: Callable, player: Player, frame: Frame, G: Player, D: Player, batch: Batch
) -> tuple[optax.Updates, Any, Metrics]:
    """The gradient of a player's total loss with respect to its parameters, its updated statistics, and metrics.

    Args:
      loss: `discriminator_loss` if `player` is D, `generator_loss` if it is G.
    """

    def gradient_of(microbatch: Batch):
        gradient, (metrics, stats, logits) = jax.grad(loss, has_aux=True)(player.params, frame, G, D, microbatch)
        return (gradient, metrics), stats, logits

    means, stats, real_logits = accumulate_gradients(frame.gan.accumulate, gradient_of, batch)
    if AUGMENT in stats:
        stats = {**stats, AUGMENT: frame.gan.augment(frame.hparams).update(stats[AUGMENT], real_logits)}
    (gradient, metrics), stats = pmean_floats((means, stats), frame.axis_name)
    return gradient, stats, metrics


def discriminator_gradient(frame: Frame, G: Player, D: Player, batch: Batch) -> tuple[optax.Updates, Any, Metrics]:
    """The gradient with respect to theta_d, D's updated statistics, and metrics; see `discriminator_step`."""
    with jax.named_scope("discriminator"):
        gradient, stats, metrics = player_gradient(discriminator_loss, D, frame, G, D, batch)
    return gradient, stats, metrics | {"d_gradient_norm": optax.tree.norm(gradient)}


def generator_gradient(
    frame: Frame, G: Player, D: Player, batch: Batch, loss: Callable = generator_loss
) -> tuple[optax.Updates, Any, Metrics]:
    """The gradient with respect to theta_g, G's updated statistics, and metrics; see `generator_step`."""
    with jax.named_scope("generator"):
        gradient, stats, metrics = player_gradient(loss, G, frame, G, D, batch)
    return gradient, stats, metrics | {"g_gradient_norm": optax.tree.norm(gradient)}


def apply_gradients(name: str, frame: Frame, player: Player, gradient: optax.Updates, stats: Any) -> Player:
    """Applies one optimizer update to `player`; `name` is 'discriminator' or 'generator'."""
    with jax.named_scope(f"{name}_optimizer"):
        optimizer = frame.gan.optimizer(name, frame.hparams)
        updates, opt_state = optimizer.update(gradient, player.opt_state, player.params)
        return Player(optax.apply_updates(player.params, updates), stats, opt_state)


def discriminator_step(frame: Frame, G: Player, D: Player, batch: Batch) -> tuple[Player, Metrics]:
    """One gradient step of D on its loss, penalties and other terms, with G fixed.

    Fake examples have the conditions of the real ones, so that c has the same distribution under p_g and p_data.

    Returns:
      The updated D, and metrics of the players before the update, with dropout, float32 scalars: `d_loss` (without
      penalties and other terms), each penalty (unweighted) and each other term (weighted) by name, and
      `d_gradient_norm`; if D's output is a probability, also `value` = V(D, G), `d_real` = mean D(x) and
      `d_fake` = mean D(G(z)), else the mean logits `real_logit` and `fake_logit`.
    """
    gradient, stats, metrics = discriminator_gradient(frame, G, D, batch)
    return apply_gradients("discriminator", frame, D, gradient, stats), metrics


def generator_step(frame: Frame, G: Player, D: Player, batch: Batch) -> tuple[Player, Metrics]:
    """One gradient step of G on its loss and other terms, with D fixed (but D's dropout on).

    Returns:
      The updated G, and metrics of the players before the update, float32 scalars: `g_loss`, each other term (weighted)
      by name, and `g_gradient_norm`.
    """
    gradient, stats, metrics = generator_gradient(frame, G, D, batch)
    return apply_gradients("generator", frame, G, gradient, stats), metrics


def pmean_floats(tree: Any, axis_name: str | None) -> Any:
    """Averages floating-point leaves over devices; integer counters are identical on all devices and left alone.

    Apply it to gradients, not to losses: the gradient of a pmean is not the pmean of the gradient.
    """
    if axis_name is None:
        return tree
    is_float = lambda x: jnp.issubdtype(x.dtype, jnp.floating)  # noqa: E731
    return jax.tree.map(lambda x: jax.lax.pmean(x, axis_name) if is_float(x) else x, tree)


def all_gather(logits: jax.Array, axis_name: str | None) -> jax.Array:
    """Gathers outputs from all devices, [m / devices, ...] -> [m, ...]: an example's loss may depend on the others."""
    return logits if axis_name is None else jax.lax.all_gather(logits, axis_name, tiled=True)
