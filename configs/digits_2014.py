"""The paper's game on scikit-learn's 1,797 digits of 8x8 pixels, with its recipe of 2014; minutes on two CPU cores.

    python -m jaxgan.main --config=configs/digits_2014.py

The optimizer and smaller versions of the players of the MNIST recipe (section 5), with Algorithm 1 as printed; 13.5
steps are one epoch. With initial weights this small, V stays at -log 4 and D at 1/2 for the first thousand steps,
because D has not begun to learn. `digits.py` learns from the first step on.
"""

from configs import mnist
from jaxgan.config import default, update


def get_config():
    return update(
        default(),
        mnist.PAPER
        | {
            "generator.hidden": (256, 256),
            "discriminator.hidden": (128, 128),
            "discriminator.activation": "maxout",
            "discriminator.pieces": 4,
            "train.steps": 15_000,
            "sample.every": 3_000,
            "evaluate.every": 3_000,
            "checkpoint.every": 3_000,
        },
    )
