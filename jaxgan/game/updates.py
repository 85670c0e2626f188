"""Updates of both players other than Algorithm 1's alternating one; the table of all is `algorithm1.UPDATES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.game.batches import Batch, BatchSource, Draw, Frame, d_batch, d_draw, g_batch, g_draw
from jaxgan.game.gan import Gan
from jaxgan.game.state import GanState, Player
from jaxgan.game.step import (
    Metrics,
    apply_gradients,
    discriminator_gradient,
    discriminator_step,
    generator_gradient,
    generator_loss,
    generator_step,
    pmean_floats,
)

TINY = 1e-15  # whose square float32 resolves, and which changes no step that is not 0


class UpdateResult(NamedTuple):
    """Both players after an iteration, and metrics."""

    G: Player
    D: Player
    metrics: Metrics


class Update(NamedTuple):
    """An update rule, a member of `train.update`, and the settings with which it is compatible."""

    iteration: Callable[[Frame, Player, Player, BatchSource], UpdateResult]  # of both players, from G, D and the data
    multiple_d_steps: bool = False  # allows train.d_steps above 1
    shared_minibatch: bool = True  # both players' gradients are of one minibatch: no train.g_batch_size
    whole_minibatch: bool = False  # a gradient needs all of it: no train.accumulate
    d_updates: int = 1  # updates of D per iteration, each on a minibatch of its own (times train.d_steps)

    def draws(self, gan: Gan, step: int) -> list[Draw]:
        """The minibatches of data that iteration `step` uses, in order."""
        found: list[Draw] = []
        for own in range(self.d_updates * step, self.d_updates * (step + 1)):
            found += [d_draw(gan, own, substep) for substep in range(gan.d_steps)]
            found += [] if self.shared_minibatch or not (draw := g_draw(gan, own)) else [draw]
        return found

    def check(self, config: ConfigDict) -> None:
        """Raises UserError if the configuration is not compatible with this update rule."""
        t, penalty_every = config.train, config.objective.penalty_every
        if t.d_steps != 1 and not self.multiple_d_steps:
            raise UserError(
                f"train.update={t.update!r} makes one step of each player, so train.d_steps must "
                f"be 1, not {t.d_steps}; use 'alternating' for k > 1."
            )
        if self.d_updates > 1 and penalty_every > 1:
            raise UserError(
                f"train.update={t.update!r} updates D {self.d_updates} times per iteration, and penalties of "
                f"objective.penalty_every={penalty_every} would fall on only some of them; set it to 1."
            )
        if self.whole_minibatch and t.accumulate > 1:
            raise UserError(
                f"train.update={t.update!r} needs a whole minibatch for each gradient; set train.accumulate=1, not "
                f"{t.accumulate}."
            )
        if (drawn := t.steps * t.d_steps * self.d_updates * max(t.batch_size, t.g_batch_size)) >= 2**32:
            raise UserError(
                f"train.steps * train.d_steps * train.batch_size = {drawn} examples, but the data "
                f"order counts them in 32 bits; stay below {2**32}."
            )
        if self.shared_minibatch and t.g_batch_size not in (0, t.batch_size):
            raise UserError(f"train.update={t.update!r} gives both players one minibatch; set train.g_batch_size=0.")


def simultaneous(frame: Frame, G: Player, D: Player, source: BatchSource) -> UpdateResult:
    """The 2014 code: both gradients at the same parameters, from the same examples, fakes and dropout masks."""
    batch = d_batch(frame, source, jnp.uint32(0))
    new_d, d_metrics = discriminator_step(frame, G, D, batch)
    new_g, g_metrics = generator_step(frame, G, D, batch)
    return UpdateResult(new_g, new_d, d_metrics | g_metrics)


def extragradient(frame: Frame, G: Player, D: Player, source: BatchSource) -> UpdateResult:
    """Extrapolates by simultaneous gradients, then applies the gradients there to the original parameters.

    (arXiv:1802.10551.) Both half steps advance the optimizers (ExtraAdam, Algorithm 4), and each has a minibatch of its
    own. The metrics are those of the first.
    """

    def half_step(at_g: Player, at_d: Player, half: int) -> UpdateResult:
        """One step from the parameters of G and D along the gradients at `at_g` and `at_d`."""
        own = source._replace(step=2 * source.step + half, key=jax.random.fold_in(source.key, half))
        d_gradient, d_stats, d_metrics = discriminator_gradient(frame, at_g, at_d, d_batch(frame, own, jnp.uint32(0)))
        g_gradient, g_stats, g_metrics = generator_gradient(frame, at_g, at_d, g_batch(frame, own, 1))
        base_d, base_g = at_d._replace(params=D.params), at_g._replace(params=G.params)
        new_d = apply_gradients("discriminator", frame, base_d, d_gradient, d_stats)
        new_g = apply_gradients("generator", frame, base_g, g_gradient, g_stats)
        return UpdateResult(new_g, new_d, d_metrics | g_metrics)

    extrapolated = half_step(G, D, 0)
    return half_step(extrapolated.G, extrapolated.D, 1)._replace(metrics=extrapolated.metrics)


def unrolled(frame: Frame, G: Player, D: Player, source: BatchSource) -> UpdateResult:
    """Simultaneous steps in which G descends its loss against the D of `train.unrolled_steps` steps later.

    Unrolled GAN, arXiv:1611.02163, which uses the loss `minimax`. These steps are D's own, on the same minibatch and
    with its own optimizer, and then forgotten: the D that is kept makes one step. The points at which a penalty
    differentiates D are constants in G's gradient.
    """
    batch = d_batch(frame, source, jnp.uint32(0))
    new_d, d_metrics = discriminator_step(frame, G, D, batch)
    gradient, stats, g_metrics = generator_gradient(frame, G, D, batch, unrolled_generator_loss)
    return UpdateResult(apply_gradients("generator", frame, G, gradient, stats), new_d, d_metrics | g_metrics)


def unrolled_generator_loss(theta_g: optax.Params, frame: Frame, G: Player, D: Player, batch: Batch):
    """`generator_loss` against D after `train.unrolled_steps` steps on the minibatch, as a function of theta_g."""
    at = G._replace(params=theta_g if frame.gan.unrolled_gradient else jax.lax.stop_gradient(theta_g))

    def step(D: Player, j: jax.Array) -> tuple[Player, None]:
        gradient, stats, _ = discriminator_gradient(frame, at, D, batch._replace(count=batch.count + j))
        # Adam divides by a square root, which has no derivative at 0, where the gradient of a unit that is off lies.
        gradient = jax.tree.map(lambda g: g + TINY, gradient)
        return apply_gradients("discriminator", frame, D, gradient, stats), None

    D, _ = jax.lax.scan(step, D, jnp.arange(frame.gan.unrolled_steps, dtype=jnp.uint32))
    return generator_loss(theta_g, frame, G, D, batch)


def second_order(frame: Frame, G: Player, D: Player, source: BatchSource, *, correction: Callable) -> UpdateResult:
    """Simultaneous gradients xi plus `objective.adjustment` times a correction by products with their Jacobian.

    The points at which a penalty differentiates D are constants in the Jacobian too. The metrics are those of xi.

    Args:
      correction: of objectives/adjustments.py.
    """
    batch = d_batch(frame, source, jnp.uint32(0))

    def simultaneous_gradient(theta: tuple[optax.Params, optax.Params]):
        players = G._replace(params=theta[0]), D._replace(params=theta[1])
        g_gradient, g_stats, g_metrics = generator_gradient(frame, *players, batch)
        d_gradient, d_stats, d_metrics = discriminator_gradient(frame, *players, batch)
        return (g_gradient, d_gradient), (g_stats, d_stats, d_metrics | g_metrics)

    theta = (G.params, D.params)
    xi, pullback, (g_stats, d_stats, metrics) = jax.vjp(simultaneous_gradient, theta, has_aux=True)
    # xi is averaged over devices; its cotangents on each device are not yet.
    vjp = lambda v: pmean_floats(pullback(v)[0], frame.axis_name)  # noqa: E731
    jvp = lambda v: jax.jvp(simultaneous_gradient, (theta,), (v,), has_aux=True)[1]  # noqa: E731
    weight = frame.hparams["objective.adjustment"]
    g_gradient, d_gradient = jax.tree.map(lambda x, c: x + weight * c, xi, correction(xi, jvp, vjp))
    new_d = apply_gradients("discriminator", frame, D, d_gradient, d_stats)
    new_g = apply_gradients("generator", frame, G, g_gradient, g_stats)
    return UpdateResult(new_g, new_d, metrics)


def lookahead(gan: Gan, state: GanState) -> GanState:
    """Every `lookahead` steps, moves the slow weights towards both players and resets the players to them.

    Lookahead-Minimax, arXiv:2006.14567.
    """
    if not state.slow:
        return state
    fast = (state.generator.params, state.discriminator.params)
    is_sync_step = state.step % jnp.uint32(gan.lookahead) == 0
    rate = gan.lookahead_rate
    slow = jax.tree.map(lambda s, f: jnp.where(is_sync_step, s + rate * (f - s), s), state.slow, fast)
    theta_g, theta_d = jax.tree.map(lambda s, f: jnp.where(is_sync_step, s, f), slow, fast)
    return state._replace(
        generator=state.generator._replace(params=theta_g),
        discriminator=state.discriminator._replace(params=theta_d),
        slow=slow,
    )
