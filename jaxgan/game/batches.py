"""Minibatches of Algorithm 1: noise samples z from p_z and examples x from p_data, derived from the step's keys."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.conditions import Condition
from jaxgan.data import Dataset, order, stacked
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream


class Labelled(NamedTuple):
    """The labelled examples, if not all are; or a minibatch of them."""

    x: jax.Array  # [n, *shape]
    y: jax.Array  # [n] int32


class TrainingSet(NamedTuple):
    """The training set, on the devices; or other stored examples."""

    x: jax.Array  # [n, *shape] uint8 or float32, as stored
    y: jax.Array | tuple[()] = ()  # [n] int32 labels; () if no player uses them
    paired: jax.Array | tuple[()] = ()  # [n, k] float32 or [n, H, W, C] uint8 conditions; () if no player uses them
    labelled: Labelled | tuple[()] = ()  # of which D's class errors are; () if no term uses them


def stored_examples(gan: Gan, dataset: Dataset, split: str = "train") -> TrainingSet:
    """The examples of a split, with what the players' condition is made from."""
    labels, paired = getattr(dataset, f"{split}_labels"), getattr(dataset, f"{split}_condition")
    x, y = getattr(dataset, split), labels if gan.num_classes else ()
    return TrainingSet(x, y, paired if gan.paired else (), labelled(x, labels) if gan.objective.labelled else ())


def labelled(x: np.ndarray, labels: np.ndarray) -> Labelled:
    """The examples that have a label, which is -1 where it is hidden."""
    rows = np.flatnonzero(labels >= 0)
    return Labelled(x[rows], labels[rows])


class Draw(NamedTuple):
    """A minibatch of the data order: the examples at counters number * size .. (number + 1) * size - 1."""

    stream: str  # the data order: 'order', of D's updates, or 'fresh', of G's (`state.stream`)
    number: jax.Array | int  # uint32, minibatches of the stream before this one
    size: int  # examples, over all devices


def d_draw(gan: Gan, step: jax.Array | int, substep: jax.Array | int) -> Draw:
    """The examples of D's update number `substep` of an iteration."""
    return Draw("order", step * np.uint32(gan.d_steps) + substep, gan.batch_size)


def g_draw(gan: Gan, step: jax.Array | int) -> Draw | None:
    """The examples of G's update of an iteration; None if neither its loss nor the condition needs any."""
    needed = gan.objective.loss.needs_real or gan.objective.features or gan.conditional
    return Draw("fresh", step, gan.g_batch_size) if needed else None


class Minibatches(NamedTuple):
    """Consecutive minibatches of one stream, this device's share of each, read ahead by the host."""

    first: jax.Array  # uint32, the number of the first one
    x: jax.Array  # [b, m, *shape] uint8 or float32, as stored
    y: jax.Array | tuple[()] = ()  # [b, m] int32 labels of the examples
    paired: jax.Array | tuple[()] = ()  # [b, m, k] float32 or [b, m, H, W, C] uint8


# By stream, the minibatches of the next steps instead of the whole training set.
StreamedSet = dict[str, Minibatches]


class Noise(NamedTuple):
    """Noise samples z and the PRNG keys of one update, for this device's share of the minibatch."""

    z: jax.Array  # [m, d] float32
    real_dropout_keys: jax.Array  # [m] keys of D's dropout on x
    fake_dropout_keys: jax.Array  # [m] keys of D's dropout on G(z)
    real_augment_keys: jax.Array  # [m] keys of the augmentation of x
    fake_augment_keys: jax.Array  # [m] keys of the augmentation of G(z)
    penalty_keys: jax.Array  # [m] keys of the points at which penalties differentiate D
    term_keys: jax.Array  # [m] keys of the other terms of the losses
    condition_keys: jax.Array  # [m] keys of what the players are conditioned on
    encoder_keys: jax.Array  # [m] keys of the encoder's noise


class Batch(NamedTuple):
    """This device's share of the minibatch of one update of one player."""

    x: jax.Array | None  # [m, *shape] float32; None if G's update needs no data
    condition: Condition  # of x and of the fakes
    noise: Noise
    count: jax.Array | np.uint32 = np.uint32(0)  # updates of D before this one; not used in G's update
    labelled: Labelled | None = None  # [m, *shape] float32 and [m], of D's update, if a term uses them


class Frame(NamedTuple):
    """What every function of a training step needs in addition to players and batches."""

    gan: Gan
    hparams: HParams
    axis_name: str | None = None  # the mapped device axis that the minibatch is sharded over; None for one device


class BatchSource(NamedTuple):
    """The data and PRNG keys from which the minibatches of one iteration are drawn."""

    data: TrainingSet | StreamedSet
    key: jax.Array  # of the noise
    d_data_key: jax.Array  # of the data order in D's updates
    g_data_key: jax.Array  # of the data order in G's updates
    step: jax.Array  # uint32, iterations before this one
    labelled_key: jax.Array  # of the order of the labelled examples


def iteration_source(hparams: HParams, state: GanState, data: TrainingSet | StreamedSet) -> BatchSource:
    """The source of the minibatches of the iteration that `state` is about to make."""
    key = jax.random.fold_in(run_stream(hparams, "train", state.restores), state.step)
    d_data_key, g_data_key = (run_stream(hparams, name, state.restores) for name in ("order", "fresh"))
    return BatchSource(data, key, d_data_key, g_data_key, state.step, run_stream(hparams, "labelled", state.restores))


def d_batch(frame: Frame, source: BatchSource, substep: jax.Array | int) -> Batch:
    """The minibatch of D's update number `substep` of the iteration."""
    gan = frame.gan
    draw = d_draw(gan, source.step, substep)
    indices = local_indices(draw.size, frame.axis_name)
    x, stored = drawn_data(gan, source, draw, indices)
    noise = sample_noise(gan, frame.hparams, jax.random.fold_in(source.key, substep), indices)
    condition = gan.condition(frame.hparams, x, stored, noise.condition_keys)
    return Batch(x, condition, noise, draw.number, draw_labelled(gan, source, draw, indices))


def draw_labelled(gan: Gan, source: BatchSource, draw: Draw, indices: jax.Array) -> Labelled | None:
    """As many labelled examples as the minibatch has others, in an order of their own; None if no term uses them."""
    if not gan.objective.labelled:
        return None
    assert isinstance(source.data, TrainingSet) and isinstance(source.data.labelled, Labelled)
    x, y = source.data.labelled
    counters = draw.number * jnp.uint32(draw.size) + indices
    rows = jax.vmap(lambda counter: order.example(source.labelled_key, counter, len(x)))(counters)
    return Labelled(gan.decode(x[rows]), y[rows])


def g_batch(frame: Frame, source: BatchSource, substep: int) -> Batch:
    """The minibatch of G's update: noise, and examples of its own if its loss or the condition needs them.

    Args:
      substep: of the noise key; those below it are D's.
    """
    gan = frame.gan
    indices = local_indices(gan.g_batch_size, frame.axis_name)
    key = jax.random.fold_in(source.key, substep)
    noise = sample_noise(gan, frame.hparams, key, indices)
    draw = g_draw(gan, source.step)
    if draw is None:
        return Batch(None, Condition(), noise)
    x, stored = drawn_data(gan, source, draw, indices)
    return Batch(x, gan.condition(frame.hparams, x, stored, noise.condition_keys), noise)


def local_indices(m: int, axis_name: str | None) -> jax.Array:
    """Indices of this device's examples among the minibatch's 0 .. m-1: [m / devices] uint32."""
    if axis_name is None:
        return jnp.arange(m, dtype=jnp.uint32)
    local = m // jax.lax.axis_size(axis_name)
    first = jax.lax.axis_index(axis_name).astype(jnp.uint32) * jnp.uint32(local)
    return first + jnp.arange(local, dtype=jnp.uint32)


def sample_noise(gan: Gan, hparams: HParams, key: jax.Array, indices: jax.Array) -> Noise:
    """Noise for the given examples of a minibatch; that of example i depends on (key, i) alone."""

    def sample_example_noise(i: jax.Array):
        # Append only: the position of a use in `Noise` is part of its key, and so of every recorded run.
        z, *keys = (jax.random.fold_in(jax.random.fold_in(key, i), use) for use in range(len(Noise._fields)))
        return gan.sample_z(hparams, z), *keys

    return Noise(*jax.vmap(sample_example_noise)(indices))


def drawn_data(gan: Gan, source: BatchSource, draw: Draw, indices: jax.Array):
    """The examples `indices` of a minibatch, as of `sample_data`: from the training set, or those the host read.

    Args:
      indices: [m] uint32, of this device's examples.
    """
    if isinstance(source.data, TrainingSet):
        key = {"order": source.d_data_key, "fresh": source.g_data_key}[draw.stream]
        return sample_data(gan, key, source.data, first=draw.number * jnp.uint32(draw.size), indices=indices)
    part = source.data[draw.stream]
    x, y, paired = (() if isinstance(a, tuple) else a[draw.number - part.first] for a in part[1:])
    present = [None if isinstance(a, tuple) else a for a in (y, paired)]
    return gan.decode(x), stored_condition(gan, *present)


def sample_data(gan: Gan, key: jax.Array, data: TrainingSet, *, first: jax.Array, indices: jax.Array):
    """Examples number `first + indices` of the run's data order.

    Args:
      key: of the data order.
      first: scalar uint32, examples drawn before this minibatch.
      indices: [m] uint32.

    Returns:
      x [m, *shape] float32, and what is stored with each that the players' condition may be made from.
    """
    counters = first + indices
    rows = jax.vmap(lambda counter: stacked.rows(key, counter, data.x.shape[0], gan.num_stacked))(counters)
    y = stacked.gather_labels(data.y, rows, gan.num_label_classes) if gan.num_classes else None
    paired = stacked.gather(data.paired, rows) if gan.paired else None
    return gan.decode(stacked.gather(data.x, rows)), stored_condition(gan, y, paired)


def stored_condition(gan: Gan, y: jax.Array | None, paired: jax.Array | None) -> Condition:
    """What is stored with examples, as conditions: labels [m], and decoded vectors [m, k] or images."""
    if paired is None:
        return Condition(label=y)
    return Condition(label=y, vector=paired) if paired.ndim == 2 else Condition(label=y, image=gan.decode(paired))
