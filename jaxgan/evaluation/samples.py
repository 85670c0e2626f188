"""Samples of G for evaluation, in batches, as one compiled function or on all devices of this host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import sample, standing_statistics
from jaxgan.game.state import GanState
from jaxgan.metrics import METRICS
from jaxgan.spread import round_robin

SAMPLE_BATCH = 1000  # samples per batch


def sample_stream(
    gan: Gan, hparams: HParams, state: GanState, key: jax.Array, n: int, *, ema: int | None = 0, y: Any = None
) -> jax.Array:
    """The first `n` samples of the stream `key`: [n, *shape] float32.

    Args:
      ema: index of the average of theta_g to sample from; theta_g itself if None, or if there are no averages.
      y: [n] int32 classes; if None, a conditional G samples them uniformly.
    """
    params, stats = sampling_params(gan, hparams, state, ema=ema)
    size = min(SAMPLE_BATCH, n)
    starts = jnp.arange(0, n, size, dtype=jnp.uint32)
    offsets = jnp.arange(size, dtype=jnp.uint32)
    classes = None if y is None else jnp.pad(jnp.asarray(y, jnp.int32), (0, len(starts) * size - n))

    def sample_batch(start: jax.Array) -> jax.Array:
        batch_classes = None if classes is None else jax.lax.dynamic_slice(classes, (start,), (size,))
        return sample(gan, hparams, params, stats, key=key, numbers=start + offsets, y=batch_classes)

    batches = jax.lax.map(sample_batch, starts)
    return batches.reshape(-1, *batches.shape[2:])[:n]


def sampling_params(gan: Gan, hparams: HParams, state: GanState, *, ema: int | None) -> tuple[optax.Params, Any]:
    """G's parameters for sampling (an average of theta_g, or theta_g), and their standing statistics."""
    params = state.averages[ema] if ema is not None and state.averages else state.generator.params
    return params, standing_statistics(gan, hparams, params, state.generator.stats)


def make_sampler(gan: Gan) -> Callable[..., np.ndarray]:
    """Compiles `sample_stream` for all devices of this host.

    Returns:
      A function (hparams, state, key, n, ema=0, y=None) -> [n, *shape] float32.
    """
    prepare = jax.jit(partial(sampling_params, gan), static_argnames="ema")

    @partial(jax.jit, static_argnames="size")
    def sample_batch(shared: Any, start: jax.Array, y: jax.Array | None, *, size: int) -> jax.Array:
        hparams, key, params, stats = shared
        numbers = start + jnp.arange(size, dtype=jnp.uint32)
        return sample(gan, hparams, params, stats, key=key, numbers=numbers, y=y)

    def sampler(
        hparams: HParams, state: GanState, key: jax.Array, n: int, *, ema: int | None = 0, y: Any = None
    ) -> np.ndarray:
        size = min(SAMPLE_BATCH, n)
        starts = np.arange(0, n, size, dtype=np.uint32)
        classes: list[Any] = [None] * len(starts)
        if y is not None:
            classes = np.split(np.pad(np.asarray(y, np.int32), (0, len(starts) * size - n)), len(starts))
        shared = hparams, key, *prepare(hparams, state, ema=ema)
        batches = round_robin(partial(sample_batch, size=size), shared, list(zip(starts, classes, strict=True)))
        return np.concatenate(list(batches))[:n]

    return sampler


def evaluation_labels(config: ConfigDict, dataset: Dataset) -> np.ndarray | None:
    """The classes of the samples that are evaluated, equally many of each: [n] int32.

    None if no metric uses the classes of samples; a conditional G then samples them uniformly.
    """
    metrics = [METRICS[name] for name in config.evaluate.metrics]
    if config.conditional != "label" or not any("fake_labels" in m.needs or m.uses_players for m in metrics):
        return None
    return np.arange(config.evaluate.samples, dtype=np.int32) % np.int32(dataset.classes)
