"""How many steps of D for one of G?

Algorithm 1 has k steps of D for one of G; the paper used k = 1, "the least expensive option". Ring of eight
Gaussians, equally many steps of G for each k, so D gets k times as many.

    python -m jaxgan.sweep --sweep=experiments/ablations/k_steps.py

Expected: a better D helps a G that has equally many steps, at a cost that grows with k.
Measured: it does not. Modes captured 8.0, 8.0, 7.8, 6.2, 2.6 for k = 1 ... 5, JSD not distinguishable (5 seeds,
2 CPU cores, 2026-11-23).
"""

from configs import ring8
from experiments.ablations import SEEDS
from jaxgan.plan import over, product


def get_config():
    return ring8.get_config()


def get_sweep():
    return product(over("train.d_steps", [1, 2, 3, 4, 5]), over("seed", SEEDS))
