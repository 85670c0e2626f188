"""The largest singular value and the stable rank of each layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric

PLAYERS = ("generator", "discriminator")


def evaluate(kernels: Mapping[str, AnyArray]) -> dict[str, float]:
    """sigma_1 and the stable rank |W|_F^2 / sigma_1^2 of each kernel, and the extremes of each player, float64.

    Before a collapse, sigma_1 of G's first layers grows (arXiv:1809.11096, section 4, quoted from memory). Under
    spectral normalization, sigma_1 of the normalized kernel is 1 plus the relative error of the power iteration.

    Args:
      kernels: {'generator.LAYER': [inputs, units]}, as the layers use them.

    Returns:
      'sigma.NAME' and 'stable_rank.NAME' of each; 'generator_sigma' and 'discriminator_sigma', the largest, and
      'generator_stable_rank' and 'discriminator_stable_rank', the smallest. A kernel of zeros has the stable rank 0.

    Raises:
      UserError: a player without kernels, or values that are not finite.
    """
    spectra: dict[str, float] = {}
    for player in PLAYERS:
        names = [name for name in kernels if name.startswith(f"{player}.")]
        if not names:
            raise UserError(f"the {player} has no kernels; its layers have no spectra.")
        for name in names:
            spectra |= _spectrum(name, np.asarray(kernels[name], np.float64))
        spectra[f"{player}_sigma"] = max(spectra[f"sigma.{name}"] for name in names)
        spectra[f"{player}_stable_rank"] = min(spectra[f"stable_rank.{name}"] for name in names)
    return spectra


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
