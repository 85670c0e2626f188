"""Algorithm 1 of arXiv:1406.2661: k steps of ascent on D, then one step of descent on G.

    for number of training iterations:
        for k steps:
            sample m noise samples z and m examples x; ascend the gradient over theta_d of
                1/m sum [log D(x) + log(1 - D(G(z)))]
        sample m noise samples z; descend the gradient over theta_g of
            1/m sum log(1 - D(G(z)))        (or of -log D(G(z)), section 3)

The same two steps work with every other loss, penalty and network (game/step.py). The functions here are pure functions
of (hparams, state, data), and are neither jitted nor mapped: `parallel.py` maps steps over devices, and sweeps map them
over the members of a population.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from jaxgan.game import updates
from jaxgan.game.batches import BatchSource, Frame, StreamedSet, TrainingSet, d_batch, g_batch, iteration_source
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, Player
from jaxgan.game.step import Metrics, discriminator_step, generator_step
from jaxgan.game.updates import Update, UpdateResult, lookahead
from jaxgan.objectives.adjustments import ADJUSTMENTS


def alternating(frame: Frame, G: Player, D: Player, source: BatchSource) -> UpdateResult:
    """Algorithm 1 as printed in the paper: k steps of D, then one step of G against the updated D."""
    k = frame.gan.d_steps

    def update_d(D: Player, j: jax.Array):
        return discriminator_step(frame, G, D, d_batch(frame, source, j))

    D, d_metrics = jax.lax.scan(update_d, D, jnp.arange(k, dtype=jnp.uint32))
    G, g_metrics = generator_step(frame, G, D, g_batch(frame, source, k))
    return UpdateResult(G, D, summarize(frame, d_metrics) | g_metrics)


def summarize(frame: Frame, d_metrics: Metrics) -> Metrics:
    """Reduces D's metrics over its k steps, [k] -> scalar: the mean of lazy penalties, the last value of all others."""
    objective = frame.gan.objective
    lazy = [name for name, _ in objective.penalties] if objective.penalty_every > 1 else []
    return {name: jnp.mean(metric) if name in lazy else metric[-1] for name, metric in d_metrics.items()}


# The update rules, and what each is compatible with. To add one, write a function in game/updates.py and a line here.
UPDATES = {
    "alternating": Update(alternating, multiple_d_steps=True, shared_minibatch=False),
    "simultaneous": Update(updates.simultaneous),
    "extragradient": Update(updates.extragradient, shared_minibatch=False, d_updates=2),
    "unrolled": Update(updates.unrolled, whole_minibatch=True),
} | {name: Update(partial(updates.second_order, correction=correction)) for name, correction in ADJUSTMENTS.items()}


def train_step(
    gan: Gan, hparams: HParams, state: GanState, data: TrainingSet | StreamedSet, *, axis_name: str | None = None
) -> tuple[GanState, Metrics]:
    """One iteration of Algorithm 1, or of another update rule (`UPDATES`).

    Args:
      gan: the players and all settings that are static under jit.
      hparams: the scalar hyperparameters, which may be traced (`hparams.traced`).
      state, data: replicated over the devices of `axis_name`, except that a StreamedSet holds only the examples of this
        device.
      axis_name: the mapped device axis that the minibatch is sharded over; None for one device.

    Returns:
      The next state, and the metrics of the D steps (see `summarize`) and of the G step, as float32 scalars.
    """
    frame = Frame(gan, hparams, axis_name)
    source = iteration_source(hparams, state, data)
    G, D, metrics = UPDATES[gan.update].iteration(frame, state.generator, state.discriminator, source)
    state = lookahead(gan, state._replace(step=state.step + 1, generator=G, discriminator=D))
    averages = gan.averages.update(state.averages, state.generator.params, state.step, m=gan.g_batch_size)
    return state._replace(averages=averages), metrics


def zero_metrics(gan: Gan, hparams: HParams, state: GanState, data: TrainingSet | StreamedSet) -> Metrics:
    """Zero for every metric: the initial `sums` of `accumulate_steps`."""
    step = lambda *args: train_step(gan, *args)  # noqa: E731
    shapes = jax.eval_shape(step, hparams, state, data)[1]
    return {name: jnp.zeros(metric.shape, metric.dtype) for name, metric in shapes.items()}


def accumulate_steps(
    gan: Gan,
    hparams: HParams,
    state: GanState,
    data: TrainingSet | StreamedSet,
    *,
    sums: Metrics,
    n: jax.Array,
    axis_name: str | None = None,
) -> tuple[GanState, Metrics]:
    """Runs `n` iterations and adds their metrics to `sums`.

    The result is bit-identical however the steps are split into calls. `n` is traced, so that one compiled program
    works for every n.
    """

    def body(_, carry):
        state, sums = carry
        state, metrics = train_step(gan, hparams, state, data, axis_name=axis_name)
        return state, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.fori_loop(jnp.zeros_like(n), n, body, (state, sums))
