"""Does D need dropout?

The paper's D drops a fifth of its inputs and half of its hidden units. Data: digits, with the paper's recipe.

    python -m jaxgan.sweep --sweep=experiments/ablations/dropout.py

Expected: without dropout, D overfits the 1,350 images and wins; with much dropout, it is too weak to train G.
Measured (two cores of an AMD EPYC, 2026-11-25, 105 s of CPU time; means with 95% t intervals, verdicts paired by seed):
a little dropout on hidden units only is best, with a log-likelihood of the test images of 4.2 [3.3, 5.2] nats (keeping
.8 of the hidden units and all inputs). Only .8 and .8 is significantly worse (-4.1 [-9.2, 1.1], p = .03); the paper's
.8 and .5, -1.9 [-8.5, 4.7], and no dropout, 1.9 [-3.9, 7.8], are not distinguishable from the best. (By bootstrap
intervals the paper's values had been worse.)
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.sweep import over, product


def get_config():
    return small_digits()


def get_sweep():
    inputs = over("discriminator.input_keep", [0.8, 1.0])
    hidden = over("discriminator.hidden_keep", [0.5, 0.8, 1.0])
    return product(inputs, hidden, over("seed", SEEDS))
