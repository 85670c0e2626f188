"""Algorithm 1 of arXiv:1406.2661: k steps of ascent on D, then one step of descent on G.

    for number of training iterations:
        for k steps:
            sample m noise samples z and m examples x; ascend the gradient over theta_d of
                1/m sum [log D(x) + log(1 - D(G(z)))]
        sample m noise samples z; descend the gradient over theta_g of
            1/m sum log(1 - D(G(z)))        (or of -log D(G(z)), section 3)

The same two steps serve every other loss, penalty and network (game/step.py). Pure functions of (hparams, state, data);
nothing here is jitted or mapped: `parallel.py` maps steps over devices, and sweeps over the members of a population.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from jaxgan.game import updates
from jaxgan.game.batches import BatchSource, Frame, TrainingSet, d_batch, g_batch, iteration_source
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, Player
from jaxgan.game.step import Metrics, discriminator_step, generator_step
from jaxgan.game.updates import Update, UpdateResult, lookahead
from jaxgan.objectives.adjustments import ADJUSTMENTS


def alternating(frame: Frame, G: Player, D: Player, source: BatchSource) -> UpdateResult:
    """Algorithm 1 as printed: k steps of D, then one of G against the new D."""
    k = frame.gan.d_steps

    def update_d(D: Player, j: jax.Array):
        return discriminator_step(frame, G, D, d_batch(frame, source, j))

    D, d_metrics = jax.lax.scan(update_d, D, jnp.arange(k, dtype=jnp.uint32))
    G, g_metrics = generator_step(frame, G, D, g_batch(frame, source, k))
    return UpdateResult(G, D, summarize(frame, d_metrics) | g_metrics)


def summarize(frame: Frame, d_metrics: Metrics) -> Metrics:
    """The metrics of the last of D's k steps, and lazy penalties' means over all k: [k] arrays -> scalars."""
    objective = frame.gan.objective
    lazy = [name for name, _ in objective.penalties] if objective.penalty_every > 1 else []
    return {name: jnp.mean(metric) if name in lazy else metric[-1] for name, metric in d_metrics.items()}


# Each with what it is compatible with; a new one is a function of game/updates.py, and a line here.
UPDATES = {
    "alternating": Update(alternating, multiple_d_steps=True, shared_minibatch=False),
    "simultaneous": Update(updates.simultaneous),
    "extragradient": Update(updates.extragradient, shared_minibatch=False, d_updates=2),
} | {name: Update(partial(updates.second_order, correction=correction)) for name, correction in ADJUSTMENTS.items()}


def train_step(
    gan: Gan, hparams: HParams, state: GanState, data: TrainingSet, *, axis_name: str | None = None
) -> tuple[GanState, Metrics]:
    """One iteration of Algorithm 1, or of another update of both players (`UPDATES`).

    Args:
      gan: the players and the static settings.
      hparams: scalars (`hparams.traced`).
      state, data: replicated over the devices of `axis_name`.
      axis_name: the mapped device axis that the minibatch is sharded over; None for one device.

    Returns:
      The next state, and float32 scalars: those of the last D step and of the G step.
    """
    frame = Frame(gan, hparams, axis_name)
    source = iteration_source(hparams, state, data)
    G, D, metrics = UPDATES[gan.update].iteration(frame, state.generator, state.discriminator, source)
    state = lookahead(gan, state._replace(step=state.step + 1, generator=G, discriminator=D))
    averages = gan.averages.update(state.averages, state.generator.params, state.step, m=gan.g_batch_size)
    return state._replace(averages=averages), metrics


def zero_metrics(gan: Gan, hparams: HParams, state: GanState, data: TrainingSet) -> Metrics:
    """The sums of no steps, for `accumulate_steps` to add to: a 0 for each metric."""
    step = lambda *args: train_step(gan, *args)  # noqa: E731
    shapes = jax.eval_shape(step, hparams, state, data)[1]
    return {name: jnp.zeros(metric.shape, metric.dtype) for name, metric in shapes.items()}


def accumulate_steps(
    gan: Gan,
    hparams: HParams,
    state: GanState,
    data: TrainingSet,
    *,
    sums: Metrics,
    n: jax.Array,
    axis_name: str | None = None,
) -> tuple[GanState, Metrics]:
    """`n` iterations, and `sums` plus their metrics; bit-identical however the steps are split into dispatches.

    `n` is traced, so one compiled program serves every length.
    """

    def body(_, carry):
        state, sums = carry
        state, metrics = train_step(gan, hparams, state, data, axis_name=axis_name)
        return state, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.fori_loop(jnp.zeros_like(n), n, body, (state, sums))
