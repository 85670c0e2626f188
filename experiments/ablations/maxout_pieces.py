"""How many linear pieces does a maxout unit of D need?

The paper's D has 240 units of 5 pieces per layer. With 1 piece it is linear but for dropout. Digits, the
paper's recipe, 64 units per layer whatever the pieces.

    python -m jaxgan.sweep --sweep=experiments/ablations/maxout_pieces.py

Expected: a linear D teaches G the mean image only; beyond 2 pieces little is gained.
Measured (two cores of an AMD EPYC, 2026-11-23, 170 s of CPU time): log-likelihood at the end -7.4 [-7.4, -7.4] with
1 piece, -1.9 [-6.6, 1.2] with 2, -0.1 [-2.3, 2.3] with 3 and -2.9 [-5.0, -.8] with 5; only the linear D is
distinguishably worse than the best.
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.sweep import over, product


def get_config():
    return small_digits()


def get_sweep():
    return product(over("discriminator.pieces", [1, 2, 3, 5]), over("seed", SEEDS))
