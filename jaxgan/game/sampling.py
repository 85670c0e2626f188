"""Samples of p_g: G(z) with standing statistics, and the streams of z that they are drawn from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float32, Key, UInt32

from jaxgan.arrays import AnyArray
from jaxgan.conditions import Condition
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream
from jaxgan.networks.norms import MOMENTUM, STATISTICS

STATISTICS_BATCHES = 50  # minibatches from which standing statistics are computed


def standing_statistics(gan: Gan, hparams: HParams, params: optax.Params, stats: Any) -> Any:
    """Standing statistics (BigGAN): G's batch-norm statistics recomputed for the sampled parameters from fixed z.

    Training leaves statistics that lag behind theta_g, and none for its averages. Others stay as they are.
    """
    if STATISTICS not in stats:
        return stats
    key = run_stream(hparams, "statistics")

    def body(number: jax.Array, running: Any) -> Any:
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(key, number), i))(jnp.arange(gan.batch_size))
        return gan.G(params, running, *sample_inputs(gan, hparams, keys), train=True)[1]

    zero = {**stats, STATISTICS: jax.tree.map(jnp.zeros_like, stats[STATISTICS])}
    running = jax.lax.fori_loop(0, STATISTICS_BATCHES, body, zero)
    weight_sum = 1 - MOMENTUM**STATISTICS_BATCHES  # of the minibatches; the rest is that of the initial zeros
    return {**running, STATISTICS: jax.tree.map(lambda s: s / weight_sum, running[STATISTICS])}


def theta_g_of(state: GanState, ema: int | None = 0) -> optax.Params:
    """G's parameters for sampling: an average of theta_g by its index, or theta_g itself (None, or no averages)."""
    return state.averages[ema] if ema is not None and state.averages else state.generator.params


def sampling_params(gan: Gan, hparams: HParams, state: GanState, *, ema: int | None = 0) -> tuple[optax.Params, Any]:
    """G's parameters for sampling (`theta_g_of`), and their standing statistics."""
    params = theta_g_of(state, ema)
    return params, standing_statistics(gan, hparams, params, state.generator.stats)


def sample_keys(key: Key[jax.Array, ""], numbers: UInt32[AnyArray, " n"]) -> Key[jax.Array, " n"]:
    """The keys of the samples with these indices into the stream of `key`."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)


def sample_z(
    gan: Gan, hparams: HParams, key: Key[jax.Array, ""], numbers: UInt32[AnyArray, " n"]
) -> Float32[jax.Array, "n d"]:
    """The z of the samples with these indices into the stream of `key` (`sample`)."""
    return sample_inputs(gan, hparams, sample_keys(key, numbers))[0]


def sample_inputs(
    gan: Gan, hparams: HParams, keys: Key[jax.Array, " n"]
) -> tuple[Float32[jax.Array, "n d"], Condition]:
    """Samples z and, if G is class-conditional, classes, uniformly; one key per sample."""
    z = jax.vmap(lambda key: gan.sample_z(hparams, jax.random.fold_in(key, 0)))(keys)
    if not gan.num_classes:
        return z, Condition()
    sample_class = lambda key: jax.random.randint(jax.random.fold_in(key, 1), (), 0, gan.num_classes)  # noqa: E731
    return z, Condition(label=jax.vmap(sample_class)(keys))


def sample(
    gan: Gan,
    hparams: HParams,
    params: optax.Params,
    stats: Any,
    *,
    key: Key[jax.Array, ""],
    numbers: UInt32[AnyArray, " n"],
    condition: Condition | None = None,
) -> Float32[jax.Array, " n *shape"]:
    """Samples of p_g in the range of the data.

    Args:
      params, stats: of G; the statistics from `standing_statistics`.
      key: of a stream of samples.
      numbers: indices into the stream: sample i depends on (key, i) alone, not on how many are drawn or in
        which batches.
      condition: of each; if None, a class-conditional G samples classes uniformly, and others need one.
    """
    z, sampled = sample_inputs(gan, hparams, sample_keys(key, numbers))
    return gan.G(params, stats, z, sampled if condition is None else condition)[0]
