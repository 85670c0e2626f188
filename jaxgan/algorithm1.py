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

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan import ema
from jaxgan.data import stacked
from jaxgan.gan import AUGMENT, Gan, Verdict, loss_of, verdict
from jaxgan.hparams import PENALTIES, HParams
from jaxgan.networks.norms import STATISTICS
from jaxgan.objectives.adjustments import ADJUSTMENTS
from jaxgan.objectives.losses import top_k_mean
from jaxgan.objectives.regularizers import Draw, Look
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
    terms: jax.Array  # [m] keys of the further terms of the losses


def local_indices(m: int, axis_name: str | None) -> jax.Array:
    """Which of the minibatch's examples 0 .. m-1 are this device's: [m / devices] uint32."""
    if axis_name is None:
        return jnp.arange(m, dtype=jnp.uint32)
    local = m // jax.lax.axis_size(axis_name)
    first = jax.lax.axis_index(axis_name).astype(jnp.uint32) * jnp.uint32(local)
    return first + jnp.arange(local, dtype=jnp.uint32)


def sample_noise(gan: Gan, hparams: HParams, key: jax.Array, indices: jax.Array) -> Noise:
    """Random numbers for the given examples of a minibatch; example i's depend on (key, i) alone."""

    def one(i: jax.Array):
        # Append only: a use's place is part of its key, and so of every recorded run.
        z, *keys = (jax.random.fold_in(jax.random.fold_in(key, i), use) for use in range(len(Noise._fields)))
        return gan.draw_z(hparams, z), *keys

    return Noise(*jax.vmap(one)(indices))


def sample_data(gan: Gan, key: jax.Array, data: Data, *, first: jax.Array, indices: jax.Array):
    """Examples of the run by their number: the minibatch's `indices` counted from `first` on.

    Args:
      key: of the order of the data.
      first: scalar uint32, examples drawn before this minibatch.
      indices: [m] uint32.

    Returns:
      x [m, *shape] float32, and y [m] int32 where the players are told classes, else None.
    """
    counters = first + indices
    rows = jax.vmap(lambda counter: stacked.rows(key, counter, data.x.shape[0], gan.stack))(counters)
    y = stacked.gather_labels(data.y, rows, gan.label_classes) if gan.classes else None
    return gan.decode(stacked.gather(data.x, rows)), y


def mean(tree, axis_name: str | None):
    """The mean over devices; counters, which are alike on all of them, as they are.

    (The gradient of a pmean is not the pmean of the gradient.)
    """
    if axis_name is None:
        return tree
    number = lambda x: jnp.issubdtype(x.dtype, jnp.floating)  # noqa: E731
    return jax.tree.map(lambda x: jax.lax.pmean(x, axis_name) if number(x) else x, tree)


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
    """D's verdict on examples as it sees them in training, augmented and with dropout, and its statistics after it."""
    x = gan.augment(hparams)(seen.x, seen.view, stats.get(AUGMENT, ()))
    outputs, stats = gan.D(theta_d, stats, x, seen.y, seen.dropout, train=True, once=once, axis_name=axis_name)
    return verdict(outputs), stats


def look_at_both(gan: Gan, hparams: HParams, theta_d, stats, *, real: Examples, fake: Examples, axis_name: str | None):
    """D's verdicts on real and on fake examples, and its statistics after both.

    In one pass where D judges each example on its own; where it has batch statistics real examples first, then fakes,
    each normalized by its own.
    """
    if STATISTICS not in stats:
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), real, fake)
        verdicts, stats = look(gan, hparams, theta_d, stats, both, once=True, axis_name=axis_name)
        return *(jax.tree.map(lambda a, i=i: jnp.split(a, 2)[i], verdicts) for i in range(2)), stats
    on_real, stats = look(gan, hparams, theta_d, stats, real, once=True, axis_name=axis_name)
    on_fake, stats = look(gan, hparams, theta_d, stats, fake, once=False, axis_name=axis_name)
    return on_real, on_fake, stats


def penalized(gan: Gan, hparams: HParams, theta_d, stats, *, real: Examples, fake: Examples, keys, count, axis_name):
    """The penalties of D that are on: their weighted sum, and the mean of each before weighting, by name.

    With `objective.penalty_every` of k they are there in every k-th update, k times as large (arXiv:1912.04958,
    appendix B), and 0 in the others; so are the means, whose average over a line of metrics is then the penalty's.
    """

    def all_of_them():
        total, means, factor = jnp.zeros(()), {}, gan.penalty_factor(hparams, count)
        for name, penalty in gan.penalties:
            seen = fake if penalty.at_fakes else real

            def D(x: jax.Array, seen: Examples = seen) -> jax.Array:
                seen = seen._replace(x=x)
                return look(gan, hparams, theta_d, stats, seen, once=False, axis_name=axis_name)[0].logits

            means[name] = gan.penalty_every * jnp.mean(penalty(D, real.x, fake.x, keys, axis_name=axis_name))
            total += factor * hparams[f"{PENALTIES}{name}"] * means[name]
        return total, means

    if gan.penalty_every == 1 or not gan.penalties:
        return all_of_them()
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), jax.eval_shape(all_of_them))
    return jax.lax.cond(count % jnp.uint32(gan.penalty_every) == 0, all_of_them, lambda: zeros)


def numbers_of(hparams: HParams) -> dict[str, jax.Array]:
    """The traced numbers of the objective, {'lecam.weight': ...}."""
    return {key.removeprefix("objective."): value for key, value in hparams.items() if key.startswith("objective.")}


def discriminator_loss(
    theta_d: optax.Params,
    *,
    gan: Gan,
    hparams: HParams,
    G: Player,
    stats: Any,
    x: jax.Array,
    y: jax.Array | None,
    noise: Noise,
    count: jax.Array,
    axis_name: str | None,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any, jax.Array]]:
    """What D descends, scalar; with it metrics, D's statistics after it, and its logits on x, all devices' [m]."""
    fake_x, _ = gan.G(G.params, G.stats, noise.z, y, train=True, axis_name=axis_name)
    real = Examples(x, y, noise.real_dropout, noise.real_view)
    fake = Examples(fake_x, y, noise.fake_dropout, noise.fake_view)
    on_real, on_fake, stats = look_at_both(gan, hparams, theta_d, stats, real=real, fake=fake, axis_name=axis_name)
    real_logits, fake_logits = gather(on_real.logits, axis_name), gather(on_fake.logits, axis_name)
    losses = loss_of(gan, hparams, "discriminator", real_logits, fake_logits)
    d_loss = hparams["objective.d_scale"] * jnp.mean(losses)
    common = {"once": False, "axis_name": axis_name}
    sees = lambda x: look(gan, hparams, theta_d, stats, real._replace(x=x), **common)[0].logits  # noqa: E731
    total, means = penalized(
        gan, hparams, theta_d, stats, real=real, fake=fake, keys=noise.penalty, count=count, axis_name=axis_name
    )
    for name, term in gan.d_terms:
        draws = lambda z: gan.G(G.params, G.stats, z, y, train=True, axis_name=axis_name)[0]  # noqa: E731
        seen = Look(
            D=sees,
            G=draws,
            x=x,
            fake=fake_x,
            z=noise.z,
            keys=noise.terms,
            y=y,
            real_logits=real_logits,
            fake_logits=fake_logits,
            real_classes=on_real.classes,
            fake_classes=on_fake.classes,
            stats=stats,
            count=count,
        )
        means[name], stats = term(numbers_of(hparams), seen)
        total += means[name]
    return d_loss + total, ({"d_loss": d_loss, **means, **readings(gan, real_logits, fake_logits)}, stats, real_logits)


def readings(gan: Gan, real_logits: jax.Array, fake_logits: jax.Array) -> dict[str, jax.Array]:
    """What D's logits say: see `discriminator_step`."""
    if not gan.loss.probability:
        return {"real_logit": jnp.mean(real_logits), "fake_logit": jnp.mean(fake_logits)}
    return {
        "value": value(real_logits, fake_logits),
        "d_real": jnp.mean(jax.nn.sigmoid(real_logits)),
        "d_fake": jnp.mean(jax.nn.sigmoid(fake_logits)),
    }


def generator_loss(
    theta_g: optax.Params,
    *,
    gan: Gan,
    hparams: HParams,
    D: Player,
    stats: Any,
    x: jax.Array | None,
    y: jax.Array | None,
    noise: Noise,
    axis_name: str | None,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    """What G descends, scalar; with it metrics, and G's statistics after it."""
    draws = partial(gan.G, theta_g, stats, train=True, axis_name=axis_name)
    fake_x, stats = draws(noise.z, y, once=True)
    sees = partial(look, gan, hparams, D.params, D.stats, once=False, axis_name=axis_name)
    real_logits = None
    if gan.loss.needs_real:
        real_logits = gather(sees(Examples(x, y, noise.real_dropout, noise.real_view))[0].logits, axis_name)
    on_fake: Verdict = sees(Examples(fake_x, y, noise.fake_dropout, noise.fake_view))[0]
    fake_logits = gather(on_fake.logits, axis_name)
    losses = loss_of(gan, hparams, "generator", real_logits, fake_logits)
    g_loss = top_k_mean(losses, fake_logits, hparams["objective.top_k"]) if gan.top_k else jnp.mean(losses)
    total, means = g_loss, {"g_loss": g_loss}
    for name, term in gan.g_terms:
        draw = Draw(lambda z: draws(z, y)[0], noise.z, noise.terms, y, on_fake.classes)
        means[name] = term(numbers_of(hparams), draw)
        total += means[name]
    return total, (means, stats)


def in_micro_batches(n: int, function: Callable, *batch: Any) -> tuple[Any, Any, Any]:
    """What `function` finds in the n parts of a minibatch, one after the other: the same gradient in less memory.

    Args:
      function: (*part of the batch) -> (means over its examples, statistics of a player after it, what is per example).
      batch: trees of arrays [m, ...], m a multiple of n.

    Returns:
      The means over all m examples; the statistics after a part, each of which begins where the minibatch does, since
      what a pass moves here (spectral vectors) does not depend on the examples; and [m, ...] what is per example.
    """
    if n == 1:
        return function(*batch)
    parts = jax.tree.map(lambda a: a.reshape(n, -1, *a.shape[1:]), batch)
    of_none = jax.tree.map(
        lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(function, *jax.tree.map(lambda a: a[0], parts))[:2]
    )

    def add(so_far, part):
        means, stats, each = function(*part)
        return (jax.tree.map(jnp.add, so_far[0], means), stats), each

    (sums, stats), each = jax.lax.scan(add, of_none, parts)
    return jax.tree.map(lambda a: a / n, sums), stats, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), each)


def discriminator_gradient(
    *,
    gan: Gan,
    hparams: HParams,
    G: Player,
    D: Player,
    x: jax.Array,
    y: jax.Array | None,
    noise: Noise,
    count: jax.Array,
    axis_name: str | None,
) -> tuple[optax.Updates, Any, dict[str, jax.Array]]:
    """The gradient over theta_d of D's loss and its terms, D's statistics, and metrics; see `discriminator_step`."""

    def part(x: jax.Array, y: jax.Array | None, noise: Noise):
        given = {"gan": gan, "hparams": hparams, "G": G, "stats": D.stats, "count": count, "axis_name": axis_name}
        loss = partial(discriminator_loss, x=x, y=y, noise=noise, **given)
        gradient, (metrics, stats, real_logits) = jax.grad(loss, has_aux=True)(D.params)
        return (gradient, metrics), stats, real_logits

    means, stats, real_logits = in_micro_batches(gan.accumulate, part, x, y, noise)
    if AUGMENT in stats:
        stats = {**stats, AUGMENT: gan.augment(hparams).update(stats[AUGMENT], real_logits)}
    (gradient, metrics), stats = mean((means, stats), axis_name)
    return gradient, stats, {**metrics, "d_gradient_norm": optax.tree.norm(gradient)}


def generator_gradient(
    *,
    gan: Gan,
    hparams: HParams,
    G: Player,
    D: Player,
    x: jax.Array | None,
    y: jax.Array | None,
    noise: Noise,
    axis_name: str | None,
) -> tuple[optax.Updates, Any, dict[str, jax.Array]]:
    """The gradient over theta_g of G's loss and its terms, G's statistics, and metrics; see `generator_step`."""

    def part(x: jax.Array | None, y: jax.Array | None, noise: Noise):
        given = {"gan": gan, "hparams": hparams, "D": D, "stats": G.stats, "axis_name": axis_name}
        loss = partial(generator_loss, x=x, y=y, noise=noise, **given)
        gradient, (metrics, stats) = jax.grad(loss, has_aux=True)(G.params)
        return (gradient, metrics), stats, ()

    means, stats, _ = in_micro_batches(gan.accumulate, part, x, y, noise)
    (gradient, metrics), stats = mean((means, stats), axis_name)
    return gradient, stats, {**metrics, "g_gradient_norm": optax.tree.norm(gradient)}


def discriminator_step(
    *,
    gan: Gan,
    hparams: HParams,
    G: Player,
    D: Player,
    x: jax.Array,
    y: jax.Array | None,
    noise: Noise,
    count: jax.Array | int = 0,
    axis_name: str | None = None,
) -> tuple[Player, dict[str, jax.Array]]:
    """One step of D down the gradient of its loss, its penalties and its other terms, G held fixed.

    Fakes have the classes of the data, so that p_g and p_data have the same marginal.

    Args:
      count: uint32 scalar, updates of D before this one; for terms that are not in every update.

    Returns:
      The new D, and float32 scalars measured before the step, dropout on: `d_loss` (the loss alone), each penalty by
      its name, unweighted, each other term by its name, `d_gradient_norm`, and what D's output means: where it is a
      probability `value` = V(D, G), `d_real` = mean D(x), `d_fake` = mean D(G(z)); else the mean logits `real_logit`
      and `fake_logit`.
    """
    gradient, stats, metrics = discriminator_gradient(
        gan=gan,
        hparams=hparams,
        G=G,
        D=D,
        x=x,
        y=y,
        noise=noise,
        count=jnp.asarray(count, jnp.uint32),
        axis_name=axis_name,
    )
    return apply_gradients(gan.optimizer("discriminator", hparams), D, gradient, stats), metrics


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
    """One step of G down the gradient of its loss and its other terms, D held fixed (its dropout stays on).

    Args:
      x: data, where G's loss needs it.
      y: classes of the fakes, where the players are told any.

    Returns:
      The new G, and float32 scalars measured before the step: `g_loss`, each other term, `g_gradient_norm`.
    """
    gradient, stats, metrics = generator_gradient(
        gan=gan, hparams=hparams, G=G, D=D, x=x, y=y, noise=noise, axis_name=axis_name
    )
    return apply_gradients(gan.optimizer("generator", hparams), G, gradient, stats), metrics


class Draws(NamedTuple):
    """What the minibatches of one iteration are drawn from."""

    data: Data
    key: jax.Array  # of the noise
    order: jax.Array  # key of the order of the data
    fresh: jax.Array  # key of the order of the data in G's step
    step: jax.Array  # uint32
    axis_name: str | None


def d_batch(gan: Gan, hparams: HParams, draws: Draws, j: jax.Array | int) -> dict[str, Any]:
    """The minibatch of D's j-th update in an iteration: x, y and noise."""
    indices = local_indices(gan.m, draws.axis_name)
    count = draws.step * jnp.uint32(gan.k) + j
    x, y = sample_data(gan, draws.order, draws.data, first=count * jnp.uint32(gan.m), indices=indices)
    noise = sample_noise(gan, hparams, jax.random.fold_in(draws.key, j), indices)
    return {"x": x, "y": y, "noise": noise, "count": count}


def g_batch(gan: Gan, hparams: HParams, draws: Draws, use: int) -> dict[str, Any]:
    """The minibatch of G's update: noise, and data of its own where its loss or its classes need them."""
    indices = local_indices(gan.g_m, draws.axis_name)
    x = y = None
    if gan.loss.needs_real or gan.classes:
        first = draws.step * jnp.uint32(gan.g_m)
        x, y = sample_data(gan, draws.fresh, draws.data, first=first, indices=indices)
    return {"x": x, "y": y, "noise": sample_noise(gan, hparams, jax.random.fold_in(draws.key, use), indices)}


Players = tuple[Player, Player, dict[str, jax.Array]]


def alternating(gan: Gan, hparams: HParams, G: Player, D: Player, draws: Draws) -> Players:
    """Algorithm 1 as printed: k steps of D, then one of G against the new D."""
    common = {"gan": gan, "hparams": hparams, "axis_name": draws.axis_name}

    def update_d(D: Player, j: jax.Array):
        return discriminator_step(G=G, D=D, **d_batch(gan, hparams, draws, j), **common)

    D, d_metrics = jax.lax.scan(update_d, D, jnp.arange(gan.k, dtype=jnp.uint32))
    G, g_metrics = generator_step(G=G, D=D, **g_batch(gan, hparams, draws, gan.k), **common)
    last = {name: metric[-1] for name, metric in d_metrics.items()}
    lazy = {name: jnp.mean(d_metrics[name]) for name, _ in gan.penalties} if gan.penalty_every > 1 else {}
    return G, D, last | lazy | g_metrics


def simultaneous(gan: Gan, hparams: HParams, G: Player, D: Player, draws: Draws) -> Players:
    """The 2014 code: both gradients at the same parameters, from the same examples, fakes and dropout masks."""
    common = {"gan": gan, "hparams": hparams, "axis_name": draws.axis_name}
    batch = d_batch(gan, hparams, draws, jnp.uint32(0))
    new_d, d_metrics = discriminator_step(G=G, D=D, **batch, **common)
    del batch["count"]
    new_g, g_metrics = generator_step(G=G, D=D, **batch, **common)
    return new_g, new_d, d_metrics | g_metrics


def extragradient(gan: Gan, hparams: HParams, G: Player, D: Player, draws: Draws) -> Players:
    """Simultaneous gradients taken where a first such step leads, applied where it began (arXiv:1802.10551).

    Both half steps advance the optimizers (ExtraAdam, Algorithm 4), and each has a minibatch of its own.
    """
    common = {"gan": gan, "hparams": hparams, "axis_name": draws.axis_name}

    def half(ahead_g: Player, ahead_d: Player, use: int) -> Players:
        """One step from theta of G and D along the gradients at the players that are ahead."""
        far = draws._replace(step=2 * draws.step + use, key=jax.random.fold_in(draws.key, use))
        d_gradient, d_stats, d_metrics = discriminator_gradient(
            G=ahead_g, D=ahead_d, **d_batch(gan, hparams, far, jnp.uint32(0)), **common
        )
        g_gradient, g_stats, g_metrics = generator_gradient(
            G=ahead_g, D=ahead_d, **g_batch(gan, hparams, far, 1), **common
        )
        from_d, from_g = ahead_d._replace(params=D.params), ahead_g._replace(params=G.params)
        new_d = apply_gradients(gan.optimizer("discriminator", hparams), from_d, d_gradient, d_stats)
        new_g = apply_gradients(gan.optimizer("generator", hparams), from_g, g_gradient, g_stats)
        return new_g, new_d, d_metrics | g_metrics

    ahead_g, ahead_d, metrics = half(G, D, 0)
    new_g, new_d, _ = half(ahead_g, ahead_d, 1)
    return new_g, new_d, metrics


def adjusted(gan: Gan, hparams: HParams, G: Player, D: Player, draws: Draws, *, term: Callable) -> Players:
    """Simultaneous gradients xi, and `objective.adjustment` times a term of them and of their Jacobian's products.

    The points at which a penalty looks count as constants in the Jacobian too. The metrics are those of xi.

    Args:
      term: of objectives/adjustments.py.
    """
    batch = d_batch(gan, hparams, draws, jnp.uint32(0))
    count = batch.pop("count")
    common = {"gan": gan, "hparams": hparams, "axis_name": draws.axis_name, **batch}

    def field(theta: tuple[optax.Params, optax.Params]):
        players = {"G": G._replace(params=theta[0]), "D": D._replace(params=theta[1])}
        g_gradient, g_stats, g_metrics = generator_gradient(**players, **common)
        d_gradient, d_stats, d_metrics = discriminator_gradient(count=count, **players, **common)
        return (g_gradient, d_gradient), (g_stats, d_stats, d_metrics | g_metrics)

    theta = (G.params, D.params)
    xi, pullback, (g_stats, d_stats, metrics) = jax.vjp(field, theta, has_aux=True)
    # xi is the mean over devices; what is pulled back on each of them is not yet.
    transposed_times = lambda v: mean(pullback(v)[0], draws.axis_name)  # noqa: E731
    times = lambda v: jax.jvp(field, (theta,), (v,), has_aux=True)[1]  # noqa: E731
    weight = hparams["objective.adjustment"]
    g_gradient, d_gradient = jax.tree.map(lambda x, t: x + weight * t, xi, term(xi, times, transposed_times))
    new_d = apply_gradients(gan.optimizer("discriminator", hparams), D, d_gradient, d_stats)
    new_g = apply_gradients(gan.optimizer("generator", hparams), G, g_gradient, g_stats)
    return new_g, new_d, metrics


UPDATES = {"alternating": alternating, "simultaneous": simultaneous, "extragradient": extragradient} | {
    name: partial(adjusted, term=term) for name, term in ADJUSTMENTS.items()
}


def looked_ahead(gan: Gan, state: GanState) -> GanState:
    """Every so many steps both players go back part of the way to where they were (Lookahead-Minimax, 2006.14567)."""
    if not state.slow:
        return state
    fast = (state.generator.params, state.discriminator.params)
    there = state.step % jnp.uint32(gan.lookahead) == 0
    rate = gan.lookahead_rate
    slow = jax.tree.map(lambda s, f: jnp.where(there, s + rate * (f - s), s), state.slow, fast)
    theta_g, theta_d = jax.tree.map(lambda s, f: jnp.where(there, s, f), slow, fast)
    return state._replace(
        generator=state.generator._replace(params=theta_g),
        discriminator=state.discriminator._replace(params=theta_d),
        slow=slow,
    )


def train_step(
    *, gan: Gan, hparams: HParams, state: GanState, data: Data, axis_name: str | None = None
) -> tuple[GanState, dict[str, jax.Array]]:
    """One iteration of Algorithm 1, or of another update of both players (`UPDATES`).

    Args:
      gan: the players and the static settings.
      hparams: scalars (`hparams.traced`).
      state, data: replicated over the devices of `axis_name`.
      axis_name: the mapped axis that the minibatch is spread over; None for one device.

    Returns:
      The next state, and float32 scalars: those of the last D step and of the G step.
    """
    key = jax.random.fold_in(run_stream(hparams, "train", state.restores), state.step)
    order, fresh = (run_stream(hparams, name, state.restores) for name in ("order", "fresh"))
    draws = Draws(data, key, order, fresh, state.step, axis_name)
    G, D, metrics = UPDATES[gan.update](gan, hparams, state.generator, state.discriminator, draws)
    state = looked_ahead(gan, state._replace(step=state.step + 1, generator=G, discriminator=D))
    t = state.step.astype(jnp.float32)
    averages = tuple(
        ema.updated(old, state.generator.params, ema.kept(average, t, m=gan.g_m, ramp=gan.ramp, rise=gan.rise))
        for average, old in zip(gan.averages, state.averages, strict=True)
    )
    return state._replace(averages=averages), metrics


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
