"""G and D as pure functions, with the static settings of their game."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from jaxgan.arrays import AnyArray
from jaxgan.augment import NoAugment
from jaxgan.conditions import Condition
from jaxgan.ema import Averages
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState
from jaxgan.networks.layers import DOutput
from jaxgan.objectives.gradient_normalization import GradientNormalization
from jaxgan.objectives.losses import Loss
from jaxgan.objectives.penalties import Penalty

AUGMENT = "augment"  # key of the augmentation's state (ADA) in D's statistics


class Objective(NamedTuple):
    """The losses of both players."""

    loss: Loss
    numbers: dict[str, Any]  # the loss's fields, in which traced ones are replaced by arrays
    penalties: tuple[tuple[str, Penalty], ...]  # those with a weight above 0, by name
    penalty_every: int  # updates of D from one with penalties to the next
    penalty_factor: Callable[[HParams, jax.Array], jax.Array]  # (hparams, updates of D) -> factor of all weights
    d_terms: tuple[tuple[str, Callable], ...]  # other active terms by name, (hparams, inputs) -> weighted scalar
    g_terms: tuple[tuple[str, Callable], ...]
    update_terms: Callable[..., Any]  # (hparams, inputs) -> D's statistics, with the updated state of its terms
    top_k: bool  # G descends only the samples with the largest logits
    features: bool  # a term of G's loss takes D's features
    labelled: bool  # a term of D's loss takes labelled examples
    normalization: Callable[[HParams], GradientNormalization] | None  # of G's adversarial gradient
    # (hparams, z [m, d] -> D(G(z)), z, keys [m]) -> z after latent optimization; None without it
    optimize_z: Callable[..., jax.Array] | None


class Gan(NamedTuple):
    """Functions and settings, no arrays. Parameters and statistics are always the first arguments."""

    # (theta_g, stats, z [n, d], condition, *, train, once, axis_name) -> x [n, *shape], stats
    G: Callable[..., tuple[jax.Array, Any]]
    # (hparams, theta_g, x [n, *shape], condition, keys [n]) -> z [n, d], inferred; theta_g includes the encoder's
    # parameters. Not to be called without an encoder.
    E: Callable[..., jax.Array]
    # what D is given beside x, from what both players are conditioned on: of data, (hparams, theta_g, x, condition,
    # keys [n]), and of samples, (condition, z)
    real_condition: Callable[..., Condition]
    fake_condition: Callable[[Condition, jax.Array], Condition]
    # (theta_d, stats, x [n, *shape], condition, dropout keys [n] or None, *, train, once, axis_name)
    #  -> output, stats; features=True for the output of the last hidden layer too
    D: Callable[..., tuple[DOutput, Any]]
    sample_z: Callable[[HParams, jax.Array], jax.Array]  # (hparams, key) -> one z [d]
    project_z: Callable[[HParams, jax.Array], jax.Array]  # (hparams, z [n, d]) -> the nearest of positive density
    decode: Callable[[AnyArray], AnyArray]  # stored examples -> float32, the range of G
    # (hparams, x [n, *shape], what is stored with each, keys [n]) -> the condition of each
    condition: Callable[[HParams, jax.Array, Condition, jax.Array], Condition]
    augment: Callable[[HParams], NoAugment]  # applied to real and fake inputs of D
    optimizer: Callable[[str, HParams], optax.GradientTransformation]  # (player, hparams)
    init: Callable[[HParams], GanState]
    objective: Objective
    averages: Averages
    batch_size: int  # m, over all devices
    g_batch_size: int  # of G's update
    d_steps: int  # k, updates of D per update of G
    packing: int  # examples that D classifies jointly
    accumulate: int  # micro-batches per minibatch
    update: str  # a key of algorithm1.UPDATES
    unrolled_steps: int  # unrolled steps of D in G's loss, with train.update=unrolled
    unrolled_gradient: bool  # whether G's gradient passes through them
    lookahead: int  # steps between synchronizations with the slow weights; 0 = never
    lookahead_rate: float  # interpolation from slow to fast weights at a synchronization
    conditional: bool  # whether the players are conditioned on anything
    paired: bool  # whether on what the data set stores with each example
    num_classes: int  # classes that the players are conditioned on; 0 = unconditional
    num_aux_classes: int  # classes that D's auxiliary classifier predicts; 0 = no auxiliary classifier
    num_label_classes: int  # classes of the stored labels (a stack of images has the product of its labels)
    num_stacked: int  # stored images per example
