"""Which loss and which update rule on MNIST? Needs an accelerator.

The paper's MNIST recipe (`configs/mnist.py`) for a third of its length: both losses of section 3, and the update rules
of the 2014 code and of Algorithm 1, 8 seeds each.

    python -m jaxgan.sweep --sweep=experiments/ablations/mnist.py

Expected: as on digits (`loss.py`, `update.py`); not measured yet.
"""

from configs import mnist
from jaxgan.config import update
from jaxgan.sweep import over, product


def get_config():
    return update(mnist.get_config(), {"train.steps": 25_000, "evaluate.every": 5_000, "sample.every": 0})


def get_sweep():
    losses = over("objective.loss", ["minimax", "non_saturating"])
    return product(over("train.update", ["alternating", "simultaneous"]), losses, over("seed", range(8)))
