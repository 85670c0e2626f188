"""Inputs of metrics that come from the players: D's logits and input gradients on examples, both players' kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.conditions import Condition
from jaxgan.data import Dataset
from jaxgan.evaluation.samples import evaluation_labels
from jaxgan.game.gan import Gan
from jaxgan.game.state import GanState
from jaxgan.metrics import METRICS
from jaxgan.networks.forward import coupled_group_size
from jaxgan.networks.spectral import kernels

D_EXAMPLES = 1000  # examples per split, the first ones, on which metrics of the players evaluate D
D_BATCH = 100  # examples per batch


def player_inputs(
    gan: Gan, state: GanState, samples: jax.Array, *, examples: dict[str, Any], group_size: int
) -> dict[str, Any]:
    """The inputs `PLAYER_INPUTS` of metrics, by name.

    D is evaluated as `gan.discriminate` does, without dropout and augmentation, on groups of `group_size` consecutive
    examples; an incomplete last group is left out.

    Args:
      samples: [n, *shape] float32.
      examples: stored examples, 'train' and 'validation' [m, *shape], and classes, 'train_labels', 'validation_labels'
        and 'sample_labels' [m] int32, None if D is not conditioned on classes.
    """
    D = state.discriminator
    splits = {
        "train": gan.decode(examples["train"]),
        "validation": gan.decode(examples["validation"]),
        "sample": samples[:D_EXAMPLES],
    }

    def logits_and_slopes(x: jax.Array, y: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        def logit_sum(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            logits = gan.D(D.params, D.stats, x, Condition(label=y))[0].logits
            return jnp.sum(logits), logits

        gradient, logits = jax.grad(logit_sum, has_aux=True)(x)
        return logits, jnp.sqrt(jnp.sum(jnp.square(gradient), axis=tuple(range(1, x.ndim))))

    inputs: dict[str, Any] = {}
    for name, x in splits.items():
        n = len(x) // group_size
        batch = (x, examples[f"{name}_labels"])
        groups = jax.tree.map(lambda a, n=n: a[: n * group_size].reshape(n, group_size, *a.shape[1:]), batch)
        logits, slopes = jax.lax.map(
            lambda group: logits_and_slopes(*group), groups, batch_size=-(-D_BATCH // group_size)
        )
        inputs |= {f"{name}_logits": logits.reshape(-1), f"{name}_slopes": slopes.reshape(-1)}
    players = {"generator": state.generator, "discriminator": D}
    inputs["kernels"] = {
        f"{player}.{layer}": kernel
        for player, player_state in players.items()
        for layer, kernel in kernels(player_state.params, player_state.stats).items()
    }
    return inputs


def make_player_inputs(
    config: ConfigDict, gan: Gan, dataset: Dataset
) -> tuple[Callable[..., dict[str, Any]], dict[str, Any]] | None:
    """`player_inputs` as a function (state, samples, examples), and its `examples`; None if no metric needs them."""
    if not any(METRICS[name].uses_players for name in config.evaluate.metrics):
        return None
    labels = {
        "train_labels": dataset.train_labels,
        "validation_labels": dataset.validation_labels,
        "sample_labels": evaluation_labels(config, dataset),
    }
    examples: dict[str, Any] = {
        split: np.asarray(getattr(dataset, split)[:D_EXAMPLES]) for split in ("train", "validation")
    }
    examples |= {name: None if y is None or not gan.num_classes else y[:D_EXAMPLES] for name, y in labels.items()}
    group_size = coupled_group_size(config)
    return (
        lambda state, samples, examples: player_inputs(gan, state, samples, examples=examples, group_size=group_size),
        examples,
    )
