"""How many steps of D for one of G?

Algorithm 1 has k steps of D for one of G; the paper used k = 1, "the least expensive option". Ring of eight
Gaussians, equally many steps of G for each k, so D gets k times as many.

    python -m jaxgan.sweep --sweep=experiments/ablations/k_steps.py

Expected: a better D helps a G that has equally many steps, at a cost that grows with k.
Measured (two cores of an AMD EPYC, 2026-11-24, 92 s): no. With k = 5 G settles on 3.0 [2.4, 3.6] of 8 modes, where
k = 1 has 8. The share of high-quality samples (.61 [.47, .76] for k = 1, .67 [.40, .92] for k = 5) does not tell any k
from the best, nor does JSD (.36 [.24, .46] for k = 1), but for k = 2 (.56 [.52, .60]), which is worse.
"""

from configs import ring8
from experiments.ablations import SEEDS
from jaxgan.sweep import over, product


def get_config():
    return ring8.get_config()


def get_sweep():
    return product(over("train.d_steps", [1, 2, 3, 4, 5]), over("seed", SEEDS))
