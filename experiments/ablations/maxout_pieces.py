"""How many linear pieces does a maxout unit of D need?

The paper's D has 240 units of 5 pieces per layer. With 1 piece it is linear except for dropout. Data: digits, with the
paper's recipe and 64 units per layer, whatever the number of pieces.

    python -m jaxgan.sweep --sweep=experiments/ablations/maxout_pieces.py

Expected: a linear D teaches G only the mean image; beyond 2 pieces little is gained.
Measured (two cores of an AMD EPYC, 2026-11-25, 87 s of CPU time; means with 95% t intervals, verdicts paired by seed):
the log-likelihood of the test images at the end is -7.4 [-7.4, -7.4] with 1 piece, -1.9 [-8.5, 4.7] with 2, -.1 [-3.6,
3.5] with 3 and -3.0 [-6.5, .5] with 5. The linear D is worse on test images (p = .04); on validation images, which
settings are selected by, it is not distinguishable (p = .06), nor are 2 and 5.
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.sweep import over, product


def get_config():
    return small_digits()


def get_sweep():
    return product(over("discriminator.pieces", [1, 2, 3, 5]), over("seed", SEEDS))
