"""How many steps of D per step of G?

Algorithm 1 makes k steps of D per step of G; the paper used k = 1, "the least expensive option". Data: the ring of
eight Gaussians. G makes equally many steps for every k, so D makes k times as many.

    python -m jaxgan.sweep --sweep=experiments/ablations/k_steps.py

Expected: a better D helps a G that makes equally many steps, at a cost that grows with k.
Measured (two cores of an AMD EPYC, 2026-11-25, 59 s of CPU time; means with 95% t intervals, verdicts paired by seed):
no. With k = 5, G converges to 3.0 [2.1, 3.9] of 8 modes, whereas with k = 1 it has 8 (worse by modes, p < .001). By
JSD, the selection metric, only k = 2 is worse than k = 1 (.57 against .37 [.19, .55], p = .026); k = 3, 4 and 5 (.41,
.46, .53) are not distinguishable from it.
"""

from configs import ring8
from experiments.ablations import SEEDS
from jaxgan.sweep import over, product


def get_config():
    return ring8.get_config()


def get_sweep():
    return product(over("train.d_steps", [1, 2, 3, 4, 5]), over("seed", SEEDS))
