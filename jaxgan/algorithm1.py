"""Algorithm 1 of arXiv:1406.2661: k steps of ascent on D, then one step of descent on G.

    for number of training iterations:
        for k steps:
            sample m noise samples z and m examples x; ascend the gradient over theta_d of
                1/m sum [log D(x) + log(1 - D(G(z)))]
        sample m noise samples z; descend the gradient over theta_g of
            1/m sum log(1 - D(G(z)))        (or of -log D(G(z)), section 3)

and the same two steps for every other loss, penalty and network. Pure functions of (hparams, state, data). Nothing
here is jitted or mapped: `parallel.py` maps steps over devices, and over the members of a sweep.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan import ema
from jaxgan.data import stacked
from jaxgan.gan import Gan, loss_of
from jaxgan.hparams import PENALTIES, HParams
from jaxgan.networks.norms import STATISTICS
from jaxgan.objectives.value import value
from jaxgan.state import GanState, Player, run_stream


class Data(NamedTuple):
    """The training set, on the devices."""

    x: jax.Array  # [n, *shape] uint8 or float32, as stored
    y: jax.Array | tuple[()] = ()  # [n] int32; () where nobody asks for labels


class Examples(NamedTuple):
    """This device's share of a minibatch of data or of G's samples, and the random numbers of D's look at it."""

    x: jax.Array  # [m, *shape] float32
    y: jax.Array | None  # [m] int32
    dropout: jax.Array  # [m] keys
    view: jax.Array  # [m] keys of the augmentation


class Noise(NamedTuple):
    """The random numbers of one update for this device's share of the minibatch."""

    z: jax.Array  # [m, d] float32
    real_dropout: jax.Array  # [m] keys of D's dropout masks on x
    fake_dropout: jax.Array  # [m] keys of D's dropout masks on G(z)
    real_view: jax.Array  # [m] keys of the augmentation of x
    fake_view: jax.Array  # [m] keys of the augmentation of G(z)
    penalty: jax.Array  # [m] keys of the points at which D is penalized


def local_indices(gan: Gan, axis_name: str | None) -> jax.Array:
    """Which of the minibatch's examples 0 .. m-1 are this device's: [m / devices] uint32."""
    if axis_name is None:
        return jnp.arange(gan.m, dtype=jnp.uint32)
    local = gan.m // jax.lax.axis_size(axis_name)
    first = jax.lax.axis_index(axis_name).astype(jnp.uint32) * jnp.uint32(local)
    return first + jnp.arange(local, dtype=jnp.uint32)


def sample_noise(gan: Gan, hparams: HParams, key: jax.Array, indices: jax.Array) -> Noise:
    """Random numbers for the given examples of a minibatch; example i's depend on (key, i) alone."""

    def one(i: jax.Array):
        # Append only: a use's place is part of its key, and so of every recorded run.
        z, *keys = (jax.random.fold_in(jax.random.fold_in(key, i), use) for use in range(len(Noise._fields)))
        return gan.draw_z(hparams, z), *keys

    return Noise(*jax.vmap(one)(indices))


def sample_data(gan: Gan, key: jax.Array, data: Data, batch: jax.Array, indices: jax.Array):
    """The given examples of minibatch number `batch` of the run.

    Args:
      key: of the order of the data.
      batch: scalar uint32.
      indices: [m] uint32.

    Returns:
      x [m, *shape] float32, and y [m] int32 where the players are told classes, else None.
    """
    counters = batch * jnp.uint32(gan.m) + indices
    rows = jax.vmap(lambda counter: stacked.rows(key, counter, data.x.shape[0], gan.stack))(counters)
    y = stacked.gather_labels(data.y, rows, gan.label_classes) if gan.classes else None
    return gan.decode(stacked.gather(data.x, rows)), y


def mean(tree, axis_name: str | None):
    """The mean over devices. (The gradient of a pmean is not the pmean of the gradient.)"""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def gather(logits: jax.Array | None, axis_name: str | None) -> jax.Array | None:
    """The logits of the global minibatch, [m / devices] -> [m]: a loss may couple its examples as it likes."""
    return logits if axis_name is None or logits is None else jax.lax.all_gather(logits, axis_name, tiled=True)


def apply_gradients(
    optimizer: optax.GradientTransformation, player: Player, gradient: optax.Updates, stats: Any
) -> Player:
    """One update of one player."""
    updates, opt_state = optimizer.update(gradient, player.opt_state, player.params)
    return Player(optax.apply_updates(player.params, updates), stats, opt_state)


def look(gan: Gan, hparams: HParams, theta_d, stats, seen: Examples, *, once: bool, axis_name: str | None):
    """D's logits on examples as it sees them in training, augmented and with dropout, and its statistics after it."""
    x = gan.view(hparams, seen.x, seen.view)
    return gan.D(theta_d, stats, x, seen.y, seen.dropout, train=True, once=once, axis_name=axis_name)


def look_at_both(gan: Gan, hparams: HParams, theta_d, stats, *, real: Examples, fake: Examples, axis_name: str | None):
    """D's logits on real and on fake examples, and its statistics after both.

    In one pass where D judges each example on its own; where it has batch statistics real examples first, then fakes,
    each normalized by its own.
    """
    if STATISTICS not in stats:
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), real, fake)
        logits, stats = look(gan, hparams, theta_d, stats, both, once=True, axis_name=axis_name)
        return *jnp.split(logits, 2), stats
    real_logits, stats = look(gan, hparams, theta_d, stats, real, once=True, axis_name=axis_name)
    fake_logits, stats = look(gan, hparams, theta_d, stats, fake, once=False, axis_name=axis_name)
    return real_logits, fake_logits, stats


def penalized(gan: Gan, hparams: HParams, theta_d, stats, *, real: Examples, fake: Examples, keys, axis_name):
    """The penalties of D that are on: their weighted sum, and the mean of each before weighting, by name."""
    total, means = jnp.zeros(()), {}
    for name, penalty in gan.penalties:
        seen = fake if penalty.at_fakes else real

        def D(x: jax.Array, seen: Examples = seen) -> jax.Array:
            seen = seen._replace(x=x)
            return look(gan, hparams, theta_d, stats, seen, once=False, axis_name=axis_name)[0]

        means[name] = jnp.mean(penalty(D, real.x, fake.x, keys, axis_name=axis_name))
        total += hparams[f"{PENALTIES}{name}"] * means[name]
    return total, means


def discriminator_step(
    *,
    gan: Gan,
    hparams: HParams,
    G: Player,
    D: Player,
    x: jax.Array,
    y: jax.Array | None,
    noise: Noise,
    axis_name: str | None = None,
) -> tuple[Player, dict[str, jax.Array]]:
    """One step of D down the gradient of its loss and its penalties, G held fixed.

    Fakes have the classes of the data, so that p_g and p_data have the same marginal.

    Returns:
      The new D, and float32 scalars measured before the step, dropout on: `d_loss` (without penalties), each penalty
      by its name, unweighted, `d_gradient_norm`, and what D's output means: where it is a probability `value` =
      V(D, G), `d_real` = mean D(x), `d_fake` = mean D(G(z)); else the mean logits `real_logit` and `fake_logit`.
    """
    fake_x, _ = gan.G(G.params, G.stats, noise.z, y, train=True, axis_name=axis_name)
    real = Examples(x, y, noise.real_dropout, noise.real_view)
    fake = Examples(fake_x, y, noise.fake_dropout, noise.fake_view)

    def objective(theta_d: optax.Params):
        both = look_at_both(gan, hparams, theta_d, D.stats, real=real, fake=fake, axis_name=axis_name)
        real_logits, fake_logits, stats = (*(gather(logits, axis_name) for logits in both[:2]), both[2])
        d_loss = hparams["objective.d_scale"] * jnp.mean(
            loss_of(gan, hparams, "discriminator", real_logits, fake_logits)
        )
        penalty, means = penalized(
            gan, hparams, theta_d, stats, real=real, fake=fake, keys=noise.penalty, axis_name=axis_name
        )
        return d_loss + penalty, ({"d_loss": d_loss, **means, **readings(gan, real_logits, fake_logits)}, stats)

    gradient, (metrics, stats) = mean(jax.grad(objective, has_aux=True)(D.params), axis_name)
    metrics["d_gradient_norm"] = optax.tree.norm(gradient)
    return apply_gradients(gan.optimizer("discriminator", hparams), D, gradient, stats), metrics


def readings(gan: Gan, real_logits: jax.Array, fake_logits: jax.Array) -> dict[str, jax.Array]:
    """What D's logits say: see `discriminator_step`."""
    if not gan.loss.probability:
        return {"real_logit": jnp.mean(real_logits), "fake_logit": jnp.mean(fake_logits)}
    return {
        "value": value(real_logits, fake_logits),
        "d_real": jnp.mean(jax.nn.sigmoid(real_logits)),
        "d_fake": jnp.mean(jax.nn.sigmoid(fake_logits)),
    }


def generator_step(
    *,
    gan: Gan,
    hparams: HParams,
    G: Player,
    D: Player,
    x: jax.Array | None,
    y: jax.Array | None,
    noise: Noise,
    axis_name: str | None = None,
) -> tuple[Player, dict[str, jax.Array]]:
    """One step of G down the gradient of its loss, D held fixed (its dropout stays on).

    Args:
      x: data, where G's loss needs it.
      y: classes of the fakes, where the players are told any.

    Returns:
      The new G, and float32 scalars measured before the step: `g_loss`, `g_gradient_norm`.
    """

    def objective(theta_g: optax.Params):
        fake_x, stats = gan.G(theta_g, G.stats, noise.z, y, train=True, axis_name=axis_name)
        fake = Examples(fake_x, y, noise.fake_dropout, noise.fake_view)
        sees = partial(look, gan, hparams, D.params, D.stats, once=False, axis_name=axis_name)
        real_logits = None
        if gan.loss.needs_real:
            real_logits = sees(Examples(x, y, noise.real_dropout, noise.real_view))[0]
        logits = (gather(real_logits, axis_name), gather(sees(fake)[0], axis_name))
        return jnp.mean(loss_of(gan, hparams, "generator", *logits)), stats

    (g_loss, stats), gradient = mean(jax.value_and_grad(objective, has_aux=True)(G.params), axis_name)
    metrics = {"g_loss": g_loss, "g_gradient_norm": optax.tree.norm(gradient)}
    return apply_gradients(gan.optimizer("generator", hparams), G, gradient, stats), metrics


def train_step(
    *, gan: Gan, hparams: HParams, state: GanState, data: Data, axis_name: str | None = None
) -> tuple[GanState, dict[str, jax.Array]]:
    """One iteration of Algorithm 1, or of the 2014 code's simultaneous update.

    Args:
      gan: the players and the static settings.
      hparams: scalars (`hparams.traced`).
      state, data: replicated over the devices of `axis_name`.
      axis_name: the mapped axis that the minibatch is spread over; None for one device.

    Returns:
      The next state, and float32 scalars: those of the last D step and of the G step.
    """
    indices = local_indices(gan, axis_name)
    key = jax.random.fold_in(run_stream(hparams, "train", state.restores), state.step)
    order = run_stream(hparams, "order", state.restores)

    def update_d(D: Player, j: jax.Array):
        x, y = sample_data(gan, order, data, state.step * jnp.uint32(gan.k) + j, indices)
        noise = sample_noise(gan, hparams, jax.random.fold_in(key, j), indices)
        step = partial(discriminator_step, gan=gan, hparams=hparams, G=state.generator, axis_name=axis_name)
        return step(D=D, x=x, y=y, noise=noise)

    D, metrics = jax.lax.scan(update_d, state.discriminator, jnp.arange(gan.k, dtype=jnp.uint32))

    # Simultaneous: both gradients at the same parameters, from the same examples, fakes and dropout masks.
    opponent, draw = (state.discriminator, 0) if gan.simultaneous else (D, gan.k)
    noise = sample_noise(gan, hparams, jax.random.fold_in(key, draw), indices)
    x = y = None
    if gan.loss.needs_real or gan.classes:
        fresh = order if gan.simultaneous else run_stream(hparams, "fresh", state.restores)
        x, y = sample_data(gan, fresh, data, state.step, indices)
    G, g_metrics = generator_step(
        gan=gan, hparams=hparams, G=state.generator, D=opponent, x=x, y=y, noise=noise, axis_name=axis_name
    )

    t = state.step.astype(jnp.float32) + 1.0
    averages = tuple(
        ema.updated(old, G.params, ema.kept(average, t, gan.m, gan.ramp))
        for average, old in zip(gan.averages, state.averages, strict=True)
    )
    state = GanState(state.step + 1, state.restores, G, D, averages)
    return state, {k: v[-1] for k, v in metrics.items()} | g_metrics


def zero_metrics(gan: Gan, hparams: HParams, state: GanState, data: Data) -> dict[str, jax.Array]:
    """The sums of no steps, for `accumulate_steps` to add to: a 0 for each metric."""
    step = lambda *args: train_step(gan=gan, hparams=args[0], state=args[1], data=args[2])  # noqa: E731
    shapes = jax.eval_shape(step, hparams, state, data)[1]
    return {name: jnp.zeros(metric.shape, metric.dtype) for name, metric in shapes.items()}


def accumulate_steps(
    *,
    gan: Gan,
    hparams: HParams,
    state: GanState,
    sums: dict[str, jax.Array],
    data: Data,
    n: jax.Array,
    axis_name: str | None = None,
) -> tuple[GanState, dict[str, jax.Array]]:
    """`n` iterations, and `sums` with their metrics added one by one: wherever the steps are cut, the same bits.

    `n` is traced, so one compiled program serves every length.
    """

    def body(_, carry):
        state, sums = carry
        state, metrics = train_step(gan=gan, hparams=hparams, state=state, data=data, axis_name=axis_name)
        return state, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.fori_loop(jnp.zeros_like(n), n, body, (state, sums))
