"""Does D need dropout?

The paper's D drops a fifth of its inputs and half of its hidden units. Digits, the paper's recipe.

    python -m jaxgan.sweep --sweep=experiments/ablations/dropout.py

Expected: without dropout D overfits 1,350 images and wins; with much of it D is too weak to teach G.
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.plan import over, product


def get_config():
    return small_digits()


def get_sweep():
    inputs = over("discriminator.input_keep", [0.8, 1.0])
    hidden = over("discriminator.hidden_keep", [0.5, 0.8, 1.0])
    return product(inputs, hidden, over("seed", SEEDS))
