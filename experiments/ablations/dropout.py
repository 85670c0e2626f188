"""Does D need dropout?

The paper's D drops a fifth of its inputs and half of its hidden units. Digits, the paper's recipe.

    python -m jaxgan.sweep --sweep=experiments/ablations/dropout.py

Expected: without dropout D overfits 1,350 images and wins; with much of it D is too weak to teach G.
Measured (two cores of an AMD EPYC, 2026-11-23, 225 s of CPU time): a little of it on hidden units alone is best,
4.6 [4.0, 5.2] nats (hidden .8, inputs all kept). The paper's .8 and .5 are worse, -1.9 [-6.6, 1.2], and so is
whatever drops inputs: 8x8 pixels have none to spare. Without any, 1.8 [-2.3, 4.6] is not distinguishable from
the best, but one seed of five fails (-6.3).
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.sweep import over, product


def get_config():
    return small_digits()


def get_sweep():
    inputs = over("discriminator.input_keep", [0.8, 1.0])
    hidden = over("discriminator.hidden_keep", [0.5, 0.8, 1.0])
    return product(inputs, hidden, over("seed", SEEDS))
