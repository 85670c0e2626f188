"""The largest singular value of each layer, and how many directions share it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric

PLAYERS = ("generator", "discriminator")


def evaluate(kernels: Mapping[str, ArrayLike]) -> dict[str, float]:
    """sigma_1 and the stable rank |W|_F^2 / sigma_1^2 of each kernel, and the extremes of each player, float64.

    Before a collapse sigma_1 of G's first layers grows (arXiv:1809.11096, section 4, quoted from memory). Under
    spectral normalization sigma_1 of what the layer uses is 1 plus the relative error of its estimate.

    Args:
      kernels: {'generator.LAYER': [inputs, units]}, as the layers use them.

    Returns:
      'sigma.NAME' and 'stable_rank.NAME' of each; 'generator_sigma' and 'discriminator_sigma', the largest, and
      'generator_stable_rank' and 'discriminator_stable_rank', the smallest. A kernel of zeros has the stable rank 0.

    Raises:
      UserError: a player without kernels, or numbers that are not finite.
    """
    found: dict[str, float] = {}
    for player in PLAYERS:
        names = [name for name in kernels if name.startswith(f"{player}.")]
        if not names:
            raise UserError(f"the {player} has no kernels; its layers have no spectra.")
        for name in names:
            found |= _spectrum(name, np.asarray(kernels[name], np.float64))
        found[f"{player}_sigma"] = max(found[f"sigma.{name}"] for name in names)
        found[f"{player}_stable_rank"] = min(found[f"stable_rank.{name}"] for name in names)
    return found


def _spectrum(name: str, kernel: np.ndarray) -> dict[str, float]:
    if not np.all(np.isfinite(kernel)):
        raise UserError(f"the kernel of {name} is not finite; it has no spectrum.")
    product = kernel.T @ kernel if kernel.shape[0] >= kernel.shape[1] else kernel @ kernel.T
    largest = max(float(np.linalg.eigvalsh(product)[-1]), 0.0)
    rank = float(np.trace(product)) / largest if largest else 0.0
    return {f"sigma.{name}": largest**0.5, f"stable_rank.{name}": rank}


METRIC = Metric(
    needs=("kernels",),
    evaluate=evaluate,
    outputs={
        f"{player}_{name}": Display(f"{words} of {letter}'s layers", digits, 0)
        for player, letter in zip(PLAYERS, "GD", strict=True)
        for name, words, digits in (("sigma", "largest singular value", 3), ("stable_rank", "smallest stable rank", 2))
    },
    best="",
)
