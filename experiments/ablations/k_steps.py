"""How many steps of D for one of G?

Algorithm 1 has k steps of D for one of G; the paper used k = 1, "the least expensive option". Ring of eight
Gaussians, equally many steps of G for each k, so D gets k times as many.

    python -m jaxgan.sweep --sweep=experiments/ablations/k_steps.py

Expected: a better D helps a G that has equally many steps, at a cost that grows with k.
Measured (two cores of an AMD EPYC, 2026-11-23, 140 s of CPU time): only half so. From k = 1 to 5 the share of
high-quality samples rises from .49 [.39, .59] to .79 [.64, .92], but the modes captured fall from 8 of 8 to
2.6 [2.2, 3.0]: G settles on a few modes that the sharper D likes. JSD, .43 to .51, does not tell them apart.
"""

from configs import ring8
from experiments.ablations import SEEDS
from jaxgan.plan import over, product


def get_config():
    return ring8.get_config()


def get_sweep():
    return product(over("train.d_steps", [1, 2, 3, 4, 5]), over("seed", SEEDS))
