"""Algorithm 1 of arXiv:1406.2661: k steps of ascent on D, then one step of descent on G.

    for number of training iterations:
        for k steps:
            sample m noise samples z and m examples x; ascend the gradient over theta_d of
                1/m sum [log D(x) + log(1 - D(G(z)))]
        sample m noise samples z; descend the gradient over theta_g of
            1/m sum log(1 - D(G(z)))        (or of -log D(G(z)), section 3)

Pure functions of (hparams, state, data). Nothing here is jitted or mapped: `parallel.py` maps steps over devices,
and over the members of a sweep.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.data import order
from jaxgan.gan import Gan
from jaxgan.hparams import HParams
from jaxgan.objectives.losses import discriminator_loss, generator_loss, r1
from jaxgan.objectives.value import value
from jaxgan.state import GanState, Player, stream


class Noise(NamedTuple):
    """The random draws of one update for this device's share of the minibatch."""

    z: jax.Array  # [m, d] float32
    real_keys: jax.Array  # [m] keys of D's dropout masks on x
    fake_keys: jax.Array  # [m] keys of D's dropout masks on G(z)


def share(gan: Gan, axis_name: str | None) -> jax.Array:
    """Which of the minibatch's examples 0 .. m-1 are this device's: [m / devices] uint32."""
    if axis_name is None:
        return jnp.arange(gan.m, dtype=jnp.uint32)
    local = gan.m // jax.lax.axis_size(axis_name)
    first = jax.lax.axis_index(axis_name).astype(jnp.uint32) * jnp.uint32(local)
    return first + jnp.arange(local, dtype=jnp.uint32)


def draw_noise(gan: Gan, hparams: HParams, key: jax.Array, examples: jax.Array) -> Noise:
    """Draws for the given examples of a minibatch; example i's draw depends on (key, i) alone."""

    def one(i: jax.Array):
        z, real, fake = jax.random.split(jax.random.fold_in(key, i), 3)
        return gan.draw_z(hparams, z), real, fake

    return Noise(*jax.vmap(one)(examples))


def draw_data(gan: Gan, key: jax.Array, data: jax.Array, batch: jax.Array, examples: jax.Array) -> jax.Array:
    """The given examples of minibatch number `batch` of the run: x [m, *shape] float32.

    Args:
      key: of the data stream.
      data: [n, *shape] uint8 or float32, the whole training set.
      batch: scalar uint32.
      examples: [m] uint32.
    """
    counters = batch * jnp.uint32(gan.m) + examples
    rows = jax.vmap(lambda counter: order.example(key, counter, data.shape[0]))(counters)
    return gan.decode(data[rows])


def mean(tree, axis_name: str | None):
    """The mean over devices. (The gradient of a pmean is not the pmean of the gradient.)"""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def descend(optimizer: optax.GradientTransformation, player: Player, gradient: optax.Updates) -> Player:
    """One update of one player."""
    updates, opt_state = optimizer.update(gradient, player.opt_state, player.params)
    return Player(optax.apply_updates(player.params, updates), opt_state)


def averaged(power: float, average: optax.Params, theta_g: optax.Params, step: jax.Array) -> optax.Params:
    """The weighted mean of theta_g over all steps, this one included (arXiv:1212.1824, polynomial decay).

    theta_g after step t has a weight that grows as t^(power - 1): 1 is the plain mean, a larger power
    forgets the first steps sooner. Whatever the length of a run, half of the weight lies on its last
    1 - 2^(-1/power): 50% of the steps for 1, 29% for 2. In float32 a mean of w does not notice a theta_g
    nearer than about t / power * 6e-8 |w|, .2% of w for a power of 2 at step 75,000.

    Args:
      power: 1 or more; the source's eta + 1.
      step: scalar uint32, steps averaged before; at 0 the mean is `theta_g`.
    """
    t = step.astype(jnp.float32) + 1.0
    weight = power / (t + power - 1.0)
    return jax.tree.map(lambda mean, new: mean + weight * (new - mean), average, theta_g)


def discriminator_step(
    gan: Gan, hparams: HParams, G: Player, D: Player, x: jax.Array, noise: Noise, axis_name: str | None
) -> tuple[Player, dict[str, jax.Array]]:
    """One step of D up the gradient of V(D, G), less the gradient penalty, G held fixed.

    Returns:
      The new D, and float32 scalars measured before the step, dropout on: `value` = V(D, G),
      `d_loss` = -V / 2 (without the gradient penalty), `d_real` = mean D(x), `d_fake` = mean D(G(z)),
      `d_gradient_norm`.
    """
    fake = gan.G(G.params, noise.z)
    both, keys = jnp.concatenate([x, fake]), jnp.concatenate([noise.real_keys, noise.fake_keys])

    def loss(theta_d: optax.Params):
        real_logits, fake_logits = jnp.split(gan.D(theta_d, both, keys), 2)
        d_loss = jnp.mean(discriminator_loss(real_logits, fake_logits))
        objective = d_loss
        if gan.gradient_penalty:
            objective += gan.gradient_penalty * jnp.mean(r1(partial(gan.D, theta_d), x, noise.real_keys))
        return objective, {
            "value": value(real_logits, fake_logits),
            "d_loss": d_loss,
            "d_real": jnp.mean(jax.nn.sigmoid(real_logits)),
            "d_fake": jnp.mean(jax.nn.sigmoid(fake_logits)),
        }

    gradient, metrics = mean(jax.grad(loss, has_aux=True)(D.params), axis_name)
    metrics["d_gradient_norm"] = optax.tree.norm(gradient)
    return descend(gan.optimizer("discriminator", hparams), D, gradient), metrics


def generator_step(
    gan: Gan, hparams: HParams, G: Player, D: Player, noise: Noise, axis_name: str | None
) -> tuple[Player, dict[str, jax.Array]]:
    """One step of G down the gradient of its loss, D held fixed (its dropout stays on).

    Returns:
      The new G, and float32 scalars measured before the step: `g_loss`, `g_gradient_norm`.
    """

    def loss(theta_g: optax.Params) -> jax.Array:
        logits = gan.D(D.params, gan.G(theta_g, noise.z), noise.fake_keys)
        return jnp.mean(generator_loss(hparams["objective.loss"], logits))

    g_loss, gradient = mean(jax.value_and_grad(loss)(G.params), axis_name)
    metrics = {"g_loss": g_loss, "g_gradient_norm": optax.tree.norm(gradient)}
    return descend(gan.optimizer("generator", hparams), G, gradient), metrics


def train_step(
    gan: Gan, hparams: HParams, state: GanState, data: jax.Array, axis_name: str | None = None
) -> tuple[GanState, dict[str, jax.Array]]:
    """One iteration of Algorithm 1, or of the 2014 code's simultaneous update.

    Args:
      gan: the players and the static settings.
      hparams: scalars (`hparams.traced`).
      state: replicated over the devices of `axis_name`.
      data: [n, *shape], the training set, replicated.
      axis_name: the mapped axis that the minibatch is spread over; None for one device.

    Returns:
      The next state, and float32 scalars: those of the last D step and of the G step.
    """
    examples = share(gan, axis_name)
    key = jax.random.fold_in(stream(hparams, "train", state.restores), state.step)
    key_order = stream(hparams, "order", state.restores)

    def ascend(D: Player, j: jax.Array):
        x = draw_data(gan, key_order, data, state.step * jnp.uint32(gan.k) + j, examples)
        noise = draw_noise(gan, hparams, jax.random.fold_in(key, j), examples)
        return discriminator_step(gan, hparams, state.generator, D, x, noise, axis_name)

    D, metrics = jax.lax.scan(ascend, state.discriminator, jnp.arange(gan.k, dtype=jnp.uint32))

    # Simultaneous: both gradients at the same parameters, from the same fakes and dropout masks.
    opponent, draw = (state.discriminator, 0) if gan.simultaneous else (D, gan.k)
    noise = draw_noise(gan, hparams, jax.random.fold_in(key, draw), examples)
    G, g_metrics = generator_step(gan, hparams, state.generator, opponent, noise, axis_name)

    average = averaged(gan.average, state.average, G.params, state.step) if gan.average else state.average
    return GanState(state.step + 1, state.restores, G, D, average), {k: v[-1] for k, v in metrics.items()} | g_metrics


def train_steps(
    gan: Gan, hparams: HParams, state: GanState, data: jax.Array, n: jax.Array, axis_name: str | None = None
) -> tuple[GanState, dict[str, jax.Array]]:
    """`n` iterations in one dispatch, and the mean of each metric over them.

    `n` is traced, so one compiled program serves every length and a run that is cut at any step
    repeats the same arithmetic.
    """
    state, sums = sum_steps(gan, hparams, state, no_steps(gan, hparams, state, data), data, n, axis_name)
    return state, jax.tree.map(lambda total: total / n.astype(total.dtype), sums)


def no_steps(gan: Gan, hparams: HParams, state: GanState, data: jax.Array) -> dict[str, jax.Array]:
    """The sums of no steps, for `sum_steps` to add to: a 0 for each metric."""
    shapes = jax.eval_shape(partial(train_step, gan), hparams, state, data)[1]
    return {name: jnp.zeros(metric.shape, metric.dtype) for name, metric in shapes.items()}


def sum_steps(
    gan: Gan,
    hparams: HParams,
    state: GanState,
    sums: dict[str, jax.Array],
    data: jax.Array,
    n: jax.Array,
    axis_name: str | None = None,
) -> tuple[GanState, dict[str, jax.Array]]:
    """`n` iterations, and `sums` with their metrics added one by one: wherever the steps are cut, the same bits."""

    def body(_, carry):
        state, sums = carry
        state, metrics = train_step(gan, hparams, state, data, axis_name)
        return state, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.fori_loop(jnp.zeros_like(n), n, body, (state, sums))
