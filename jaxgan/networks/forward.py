"""Forward passes of Flax modules as pure functions of parameters and statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.networks.mixed_precision import Precision, bfloat16_above
from jaxgan.networks.norms import STATISTICS
from jaxgan.networks.spectral import SPECTRAL


def split_variables(variables: dict) -> tuple[optax.Params, dict]:
    """Splits Flax's variables into parameters and statistics."""
    return variables["params"], {name: tree for name, tree in variables.items() if name != "params"}


def forward(network: nn.Module, precision: Precision) -> Callable:
    """A network's forward pass as a pure function.

    Args:
      precision: of its matrix products.

    Returns:
      (params, stats, x, *args, train=False, once=False, **flags) -> (output, updated statistics). With `train` it
      normalizes by the minibatch's statistics and updates them, otherwise by the running ones in `stats`; `once` also
      updates what moves once per update of the player (spectral vectors). The network gets the other flags.
    """

    def apply(params, stats, x, *args, train: bool = False, once: bool = False, **flags: Any):
        # The precision here rather than around the step: training, samples and scores share it, and so do gradients.
        with jax.default_matmul_precision(precision.name), bfloat16_above(precision.float32_grid):
            collections = {name: tree for name, tree in stats.items() if name in (STATISTICS, SPECTRAL)}
            mutable = [name for name in collections if train and (once or name == STATISTICS)]
            variables = {"params": params, **collections}
            if not mutable:
                return network.apply(variables, x, *args, **flags), stats
            out, new = network.apply(variables, x, *args, mutable=mutable, **flags)
            return out, {**stats, **new}

    return apply


def packed(D: Callable, packing: int) -> Callable:
    """D on packs of `packing` consecutive examples concatenated along channels (PacGAN); one logit per pack."""
    if packing == 1:
        return D

    def apply(params, stats, x, y=None, keys=None, **flags):
        packs = x.reshape(-1, packing, *x.shape[1:])
        x = jnp.concatenate([packs[:, i] for i in range(packing)], axis=-1)
        keys = None if keys is None else keys[::packing]
        return D(params, stats, x, y, keys, **flags)

    return apply


def without_patches(D: Callable) -> Callable:
    """D with the logits of examples alone."""

    def apply(*args, **flags):
        output, stats = D(*args, **flags)
        return output._replace(patches=None), stats

    return apply


def check_packing(config: ConfigDict) -> None:
    """Raises UserError if packs do not divide a minibatch, or D is given the class of single examples."""
    t, packing = config.train, config.discriminator.packing
    for key, size in (("train.batch_size", t.batch_size), ("train.g_batch_size", t.g_batch_size)):
        if size % packing:
            raise UserError(f"discriminator.packing={packing} does not divide {key}={size}; change one of them.")
    if packing > 1 and config.conditional == "label":
        raise UserError(
            f"discriminator.packing={packing} combines examples of several classes, but a network takes one; "
            f"set packing to 1, or conditional to another condition."
        )


def coupled_group_size(config: ConfigDict) -> int:
    """The number of examples on which one logit of D may depend: a pack, or a minibatch-stddev group; 1 if alone."""
    return config.discriminator.packing * (config.discriminator.get("minibatch_deviation", 0) or 1)
