"""Samples of G for evaluation, in batches, as one compiled function or on all devices of this host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.conditions import Condition
from jaxgan.data import Dataset
from jaxgan.game.batches import TrainingSet, stored_condition, stored_examples
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import sample, sampling_params
from jaxgan.game.state import GanState, stream
from jaxgan.metrics import METRICS
from jaxgan.spread import round_robin

SAMPLE_BATCH = 1000  # samples per batch


def sample_stream(
    gan: Gan,
    hparams: HParams,
    state: GanState,
    key: jax.Array,
    n: int,
    *,
    ema: int | None = 0,
    condition: Condition | None = None,
) -> jax.Array:
    """The first `n` samples of the stream `key`: [n, *shape] float32.

    Args:
      ema: index of the average of theta_g to sample from; theta_g itself if None, or if there are no averages.
      condition: of each, leaves [n, ...]; if None, a class-conditional G samples classes uniformly.
    """
    params, stats = sampling_params(gan, hparams, state, ema=ema)
    size = min(SAMPLE_BATCH, n)
    starts = jnp.arange(0, n, size, dtype=jnp.uint32)
    offsets = jnp.arange(size, dtype=jnp.uint32)
    padded = jax.tree.map(lambda leaf: _padded(jnp.asarray(leaf), len(starts) * size), condition)

    def sample_batch(start: jax.Array) -> jax.Array:
        part = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, size), padded)
        return sample(gan, hparams, params, stats, key=key, numbers=start + offsets, condition=part)

    batches = jax.lax.map(sample_batch, starts)
    return batches.reshape(-1, *batches.shape[2:])[:n]


def _padded(leaf: Any, n: int) -> Any:
    """A leaf [m, ...] with zeros appended: [n, ...]."""
    return (jnp if isinstance(leaf, jax.Array) else np).pad(leaf, [(0, n - len(leaf))] + [(0, 0)] * (leaf.ndim - 1))


def make_sampler(gan: Gan) -> Callable[..., np.ndarray]:
    """Compiles `sample_stream` for all devices of this host.

    Returns:
      A function (hparams, state, key, n, ema=0, condition=None) -> [n, *shape] float32.
    """
    prepare = jax.jit(partial(sampling_params, gan), static_argnames="ema")

    @partial(jax.jit, static_argnames="size")
    def sample_batch(shared: Any, start: jax.Array, condition: Condition | None, *, size: int) -> jax.Array:
        hparams, key, params, stats = shared
        numbers = start + jnp.arange(size, dtype=jnp.uint32)
        return sample(gan, hparams, params, stats, key=key, numbers=numbers, condition=condition)

    def sampler(
        hparams: HParams,
        state: GanState,
        key: jax.Array,
        n: int,
        *,
        ema: int | None = 0,
        condition: Condition | None = None,
    ) -> np.ndarray:
        size = min(SAMPLE_BATCH, n)
        starts = np.arange(0, n, size, dtype=np.uint32)
        padded = jax.tree.map(lambda leaf: _padded(np.asarray(leaf), len(starts) * size), condition)
        parts = [jax.tree.map(lambda leaf, i=i: leaf[i : i + size], padded) for i in starts]
        shared = hparams, key, *prepare(hparams, state, ema=ema)
        batches = round_robin(partial(sample_batch, size=size), shared, list(zip(starts, parts, strict=True)))
        return np.concatenate(list(batches))[:n]

    return sampler


def evaluation_condition(config: ConfigDict, gan: Gan, hparams: HParams, dataset: Dataset) -> Condition | None:
    """The conditions of the samples that are evaluated, or None if none are needed.

    Classes are those of `evaluation_labels`; other conditions are those of the validation examples, repeated if
    there are too few.
    """
    if gan.num_classes or not gan.conditional:
        y = evaluation_labels(config, dataset)
        return None if y is None else Condition(label=y)
    split = "validation" if len(dataset.validation) else "train"
    numbers = np.arange(config.evaluate.samples) % len(getattr(dataset, split))
    return examples_condition(gan, hparams, stored_examples(gan, dataset, split), numbers)


def examples_condition(gan: Gan, hparams: HParams, examples: TrainingSet, numbers: np.ndarray) -> Condition:
    """The conditions of the examples with these numbers [n]; that of an example is the same in every run."""
    x, *stored = jax.tree.map(lambda leaf: jnp.asarray(leaf)[numbers], examples[:3])
    y, paired = (None if isinstance(leaf, tuple) else leaf for leaf in stored)
    key = stream(0, "condition")
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(numbers, jnp.uint32))
    return gan.condition(hparams, gan.decode(x), stored_condition(gan, y, paired), keys)


def evaluation_labels(config: ConfigDict, dataset: Dataset) -> np.ndarray | None:
    """The classes of the samples that are evaluated, equally many of each: [n] int32.

    None if no metric uses the classes of samples; a conditional G then samples them uniformly.
    """
    metrics = [METRICS[name] for name in config.evaluate.metrics]
    if config.conditional != "label" or not any("fake_labels" in m.needs or m.uses_players for m in metrics):
        return None
    return np.arange(config.evaluate.samples, dtype=np.int32) % np.int32(dataset.classes)


def in_batches(function: Callable[..., jax.Array], *examples: Any, starts: Any = None) -> np.ndarray:
    """function(*batch) of `SAMPLE_BATCH` examples at a time: [n, ...].

    Args:
      examples: trees of arrays [n, ...]; `starts`, if any, is [k, n, ...] and the last argument.
    """
    results = []
    for first in range(0, len(examples[0]), SAMPLE_BATCH):
        part = slice(first, first + SAMPLE_BATCH)
        batch = jax.tree.map(lambda leaf, part=part: jnp.asarray(leaf)[part], examples)
        results.append(function(*batch, *(() if starts is None else (jnp.asarray(starts[:, part]),))))
    return np.concatenate(results)
